"""The two commands that code pictures: compress and decompress."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.exits import Fatal
from vaecodec.cli.paths import PHOTO_SUFFIXES, STDIO, VAEC_SUFFIXES, Job, plan
from vaecodec.cli.run import Record, Results, finish, run
from vaecodec.files import discard_leftovers, write_atomic
from vaecodec.weights.manifest import DEFAULT_MODEL, DEFAULT_SIZE, tuned_name

if TYPE_CHECKING:
    from vaecodec import Codec

_TARGETS = ("quality", "target_bytes", "target_psnr", "target_bpp")


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
    **aims: Any,
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
    piped = _check_stdout(planned, as_json=as_json)
    aim = _aim(aims)
    name = chosen_model(model, tune)
    make_codec = codec_maker(name, device, jobs=jobs, max_memory=max_memory)
    may_be_light = _may_be_light(planned, device, max_memory) and "quality" in aim and not name.endswith(".safetensors")

    def work(job: Job) -> Record:
        from vaecodec import numpy_codec
        from vaecodec.cli.photos import open_photo

        _prepare(job, overwrite=overwrite, skip_existing=skip_existing)
        source = job.read()
        image = open_photo(source)
        if may_be_light and numpy_codec.is_sooner_done(image.width * image.height):
            data = numpy_codec.encode(image, aim["quality"], model=name, strip=strip)
        else:
            data = make_codec().encode(image, strip=strip, **aim)
        job.write(data, overwrite=overwrite)
        return {
            "output": job.output,
            "source_bytes": len(source),
            "bytes": len(data),
            "quality": vaecodec.inspect(data).quality,
            "width": image.width,
            "height": image.height,
            "bpp": round(8 * len(data) / (image.width * image.height), 4),
        }

    results = Results()
    with _report(report_path, results):
        run(planned, work, "compressing", workers=jobs, skip=_skipper(skip_existing), results=results)
    lines = [*report.compress_lines(results.records), *report.skipped_lines(results.skipped)]
    finish(results, lines, as_json=as_json, to_stderr=piped)


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
    piped = _check_stdout(planned, as_json=as_json)
    may_be_light = _may_be_light(planned, device, max_memory) and scale == "1"

    def work(job: Job) -> Record:
        from vaecodec import numpy_codec
        from vaecodec.cli.photos import format_of, salvaged, save_photo

        _prepare(job, overwrite=overwrite, skip_existing=skip_existing)
        source = job.read()
        data = salvaged(source) if allow_partial else source
        info = vaecodec.inspect(data)  # a foreign file is declined before anything slow is loaded
        form = format_of(str(job.output))
        if may_be_light and numpy_codec.is_sooner_done(info.width * info.height):
            image = numpy_codec.decode(data, crop=crop)
        else:
            load_codec()
            _share_cores(jobs)
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

    results = run(planned, work, "decompressing", workers=jobs, skip=_skipper(skip_existing))
    lines = [*report.decompress_lines(results.records), *report.skipped_lines(results.skipped)]
    finish(results, lines, as_json=as_json, to_stderr=piped)


def _aim(aims: dict[str, Any]) -> dict[str, Any]:
    """The one option that says how good or small the file shall be; the quality unless another is given."""
    source_of = click.get_current_context().get_parameter_source
    given = [name for name in _TARGETS if source_of(name) is click.core.ParameterSource.COMMANDLINE]
    if len(given) > 1:
        names = " and ".join("--" + name.replace("_", "-").replace("bytes", "size") for name in given)
        message = f"{names} cannot be combined: give one of them."
        raise click.UsageError(message)
    chosen = given[0] if given else "quality"
    return {chosen: aims[chosen]}


def _may_be_light(jobs: Sequence[Job], device: str, max_memory: int | None) -> bool:
    """Without PyTorch. Not in folders: what a file is like must not depend on its place in them."""
    return len(jobs) == 1 and device != "cuda" and max_memory is None


def _prepare(job: Job, *, overwrite: bool, skip_existing: bool) -> None:
    """Before the work: the output must be free. Of a killed run that is continued, no temporary file stays."""
    job.check_output(overwrite=overwrite)
    if skip_existing and job.output not in (None, STDIO):
        discard_leftovers(str(job.output))


def _skipper(skip_existing: bool) -> Callable[[Job], bool]:
    """A file under its final name is complete, so it need not be looked at."""
    if not skip_existing:
        return lambda _: False
    return lambda job: job.output not in (None, STDIO) and Path(str(job.output)).is_file()


@contextlib.contextmanager
def _report(path: str | None, results: Results) -> Iterator[None]:
    """Writes the table when the run ends, however it ends."""
    try:
        yield
    finally:
        if path is not None:
            try:
                write_atomic(path, report.csv_table(results), overwrite=True)
            except OSError as error:
                raise Fatal(error) from error


def _check_stdout(jobs: Iterable[Job], *, as_json: bool) -> bool:
    """True when a file goes to standard output, which then must be free and no terminal."""
    if not any(job.output == STDIO for job in jobs):
        return False
    if as_json:
        message = "--json and the file cannot both go to standard output: give -o FILE."
        raise click.UsageError(message)
    if sys.stdout.isatty():
        message = "standard output is a terminal: give -o FILE, or send it to a file or pipe."
        raise click.UsageError(message)
    return True


def chosen_model(model: str | None, tune: str | None) -> str:
    """What --model and --tune ask for together. A weights file is what it is."""
    if tune is None:
        return model or DEFAULT_MODEL
    if model is not None and model.endswith(".safetensors"):
        message = f"--tune {tune} chooses among shipped models; {model} is a weights file."
        raise click.UsageError(message)
    return tuned_name(model or DEFAULT_SIZE, tune)


def codec_maker(model: str, device: str, *, jobs: int = 1, max_memory: int | None = None) -> Callable[[], Codec]:
    """A function that makes the codec when it is first needed: a missing photo is reported before torch is loaded."""
    made: list[Codec] = []
    lock = threading.Lock()

    def make() -> Codec:
        with lock:
            if not made:
                path = Path(model)
                chosen = path if path.suffix == ".safetensors" else model
                load_codec()
                try:
                    made.append(vaecodec.Codec(model=chosen, device=device, max_memory=max_memory))
                except (vaecodec.VaecodecError, OSError) as error:
                    raise Fatal(error) from error
                _share_cores(jobs)
        return made[0]

    return make


def load_codec() -> None:
    """Import what codes pictures, a quarter of a second faster than plainly.

    PyTorch makes half a million objects while it is imported, all to stay: without a garbage collector that looks
    through them again and again.
    """
    if "vaecodec.codec" in sys.modules:
        return
    gc.disable()
    try:
        import vaecodec.codec  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()


def _share_cores(jobs: int) -> None:
    """Files at a time share the cores: each its part of the threads."""
    if jobs > 1:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
