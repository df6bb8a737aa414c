"""`vaecodec compress`: image files in, .vaec files out."""

from __future__ import annotations

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.paths import PHOTO_SUFFIXES, Job, check_stdout, plan, prepare, skipper
from vaecodec.cli.results import Record, Results
from vaecodec.cli.run import finish, run
from vaecodec.cli.startup import codec_maker, may_skip_torch
from vaecodec.cli.target import Target


@click.command()
@options.combined(options.photos, options.output, options.quality)
@click.option("--target-size", "target_bytes", type=options.Size(), metavar="SIZE", help="At most this large, as 20KB.")
@click.option("--target-psnr", type=float, metavar="DB", help="At least this PSNR, by 0.05 dB.")
@click.option("--target-bpp", type=float, metavar="BPP", help="At most so many bits per pixel.")
@options.recursive
@click.option("--strip", is_flag=True, help="Leave out metadata: EXIF, XMP and colour profile.")
@options.combined(options.overwrite, options.resume, options.jobs)
@click.option("--report", "report_path", metavar="CSV", help="Write a table: what became of every file.")
@options.combined(options.device, options.model, options.tune, options.max_memory, options.as_json)
def compress(
    photos: tuple[str, ...],
    output: str | None,
    quality: int | None,
    target_bytes: int | None,
    target_psnr: float | None,
    target_bpp: float | None,
    recursive: bool,
    strip: bool,
    overwrite: bool,
    skip_existing: bool,
    jobs: int,
    report_path: str | None,
    device: str,
    model: str | None,
    tune: str | None,
    max_memory: int | None,
    as_json: bool,
) -> None:
    """Make .vaec files from photos.

    PHOTO is an image file of any format that Pillow reads, a folder (with -r), or - for standard input. Without -o
    the file goes beside the photo. Transparency is kept without loss; EXIF, XMP and colour profile are kept.

    \b
    vaecodec compress photo.jpg                  photo.vaec, beside it
    vaecodec compress *.jpg -o small -q 40       into the folder small, smaller files
    vaecodec compress photo.jpg --target-size 20KB
    vaecodec compress photo.jpg --tune psnr
    vaecodec compress -r photos -o small -j 4    a whole tree; --resume goes on after an interruption
    cat photo.png | vaecodec compress - > photo.vaec
    """
    planned = plan(photos, output, PHOTO_SUFFIXES, ".vaec", recursive=recursive)
    piped = check_stdout(planned, as_json=as_json)
    target = Target.of_options(quality, target_bytes, target_psnr, target_bpp)
    name = options.chosen_model(model, tune)
    make_codec = codec_maker(name, device, jobs=jobs, max_memory=max_memory)
    is_plain = target.is_quality and not name.endswith(".safetensors")

    def work(job: Job) -> Record:
        from vaecodec import numpy_codec
        from vaecodec.cli.image_files import open_photo

        prepare(job, overwrite=overwrite, skip_existing=skip_existing)
        source = job.read()
        image = open_photo(source)
        pixels = image.width * image.height
        if may_skip_torch(pixels, files=len(planned), device=device, max_memory=max_memory, is_plain=is_plain):
            data = numpy_codec.encode(image, target.quality, model=name, strip=strip)
        else:
            data = target.encode(make_codec(), image, strip=strip)
        job.write(data, overwrite=overwrite)
        return {
            "output": job.output,
            "source_bytes": len(source),
            "bytes": len(data),
            "quality": vaecodec.inspect(data).quality,
            "width": image.width,
            "height": image.height,
            "bpp": round(8 * len(data) / pixels, 4),
        }

    results = Results()
    with report.csv_report(report_path, results):
        run(planned, work, "compressing", workers=jobs, skip=skipper(skip_existing), results=results)
    lines = [*report.compress_lines(results.records), *report.skipped_lines(results.skipped)]
    finish(results, lines, as_json=as_json, to_stderr=piped)
