"""`vaecodec decompress`: .vaec files in, image files out."""

from __future__ import annotations

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.paths import VAEC_SUFFIXES, Job, check_stdout, plan, prepare, skipper
from vaecodec.cli.results import Record
from vaecodec.cli.run import finish, run
from vaecodec.cli.startup import load_codec, may_skip_torch, share_cores


@click.command()
@options.combined(options.files, options.output, options.recursive)
@click.option("--crop", type=options.Rectangle(), metavar="X,Y,W,H", help="Only this part of the picture.")
@click.option("--scale", type=click.Choice(["1", "2", "4", "8"]), default="1", help="1/SCALE of the size: a preview.")
@click.option("--allow-partial", is_flag=True, help="Take what is intact of damaged files, and say what is missing.")
@options.combined(options.overwrite, options.resume, options.jobs, options.device, options.max_memory, options.as_json)
def decompress(
    files: tuple[str, ...],
    output: str | None,
    recursive: bool,
    crop: tuple[int, int, int, int] | None,
    scale: str,
    allow_partial: bool,
    overwrite: bool,
    skip_existing: bool,
    jobs: int,
    device: str,
    max_memory: int | None,
    as_json: bool,
) -> None:
    """Turn .vaec files back into pictures.

    The extension of -o FILE chooses the format: .png (default), .jpg, .webp, .tif, .avif and what else Pillow writes.
    EXIF, XMP and colour profile go along. A damaged file is an error; --allow-partial still makes a picture of it when
    the picture itself is intact and only transparency, metadata or the end of the file is not.

    \b
    vaecodec decompress photo.vaec               photo.png, beside it
    vaecodec decompress photo.vaec -o copy.jpg   as JPEG
    vaecodec decompress photo.vaec --crop 100,200,640,480
    vaecodec decompress -r small -o pictures     a whole tree, as PNG
    vaecodec decompress - < photo.vaec > photo.png
    """
    planned = plan(files, output, VAEC_SUFFIXES, ".png", recursive=recursive)
    piped = check_stdout(planned, as_json=as_json)

    def work(job: Job) -> Record:
        from vaecodec import numpy_codec
        from vaecodec.cli.image_files import format_of, salvaged, save_photo

        prepare(job, overwrite=overwrite, skip_existing=skip_existing)
        source = job.read()
        data = salvaged(source) if allow_partial else source
        info = vaecodec.inspect(data)  # a foreign file is declined before anything slow is loaded
        form = format_of(str(job.output))
        pixels, is_plain = info.width * info.height, scale == "1"
        if may_skip_torch(pixels, files=len(planned), device=device, max_memory=max_memory, is_plain=is_plain):
            image = numpy_codec.decode(data, crop=crop)
        else:
            load_codec()
            share_cores(jobs)
            image = vaecodec.decode(data, device=device, crop=crop, scale=int(scale), max_memory=max_memory)
        picture = save_photo(image, form)
        job.write(picture, overwrite=overwrite)
        return {
            "output": job.output,
            "source_bytes": len(source),
            "bytes": len(picture),
            "width": image.width,
            "height": image.height,
            "mode": image.mode,
        }

    results = run(planned, work, "decompressing", workers=jobs, skip=skipper(skip_existing))
    lines = [*report.decompress_lines(results.records), *report.skipped_lines(results.skipped)]
    finish(results, lines, as_json=as_json, to_stderr=piped)
