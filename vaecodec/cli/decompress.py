"""`vaecodec decompress`: .vaec files in, image files out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command, grouped
from vaecodec.cli.jobs import STDIO, Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import Placement, check_stdout
from vaecodec.cli.results import Record
from vaecodec.cli.resuming import check_picture, made_before
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sources import VAEC_SUFFIXES, Selection
from vaecodec.cli.startup import codec_maker, limit_threads, may_skip_numba, once, share_cores, spare_blas

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec.cli.image_files import Saved

Crop = tuple[int, int, int, int]


@dataclass(frozen=True)
class Part:
    """What is decoded of a file: a rectangle, or all of it, reduced; damaged ones as far as they go."""

    crop: Crop | None = None
    reduction: int = 1
    allow_partial: bool = False

    @classmethod
    def of_options(cls, crop: Crop | None, reduction: str, allow_partial: bool) -> Part:
        """Raises UsageError for a crop at a reduced size."""
        if crop is not None and reduction != "1":
            message = "--crop and --scale cannot be combined: give one of them."
            raise click.UsageError(message)
        return cls(crop, int(reduction), allow_partial)


@dataclass(frozen=True)
class Finish:
    """How the image is written. form: an extension, for folders and standard output; quality: of a lossy format."""

    form: str | None = None
    quality: int | None = None
    strip: bool = False
    auto_rotate: bool = False

    @property
    def suffix(self) -> str:
        """The ending of the output's name, with its dot."""
        return f".{(self.form or 'png').lower().removeprefix('.')}"

    def format_of(self, job: Job) -> str:
        """The Pillow format of the job's output. Raises InputError."""
        from vaecodec.cli.image_files import format_of

        return format_of(self.suffix if self.form or job.output in (None, STDIO) else job.output_suffix)

    def save(self, image: Image.Image, form: str) -> Saved:
        """The image as a file of a Pillow format. Raises InputError."""
        from vaecodec.cli.image_files import save_photo

        return save_photo(image, form, quality=self.quality, strip=self.strip, auto_rotate=self.auto_rotate)


def _extension(form: str | None) -> str | None:
    """The value of --format. Raises UsageError for what no file name ends with."""
    if form is not None and not form.removeprefix(".").isalnum():
        message = f"--format {form!r} is no extension; give one such as png."
        raise click.UsageError(message)
    return form


part = grouped(
    "part",
    Part.of_options,
    click.option("--crop", type=options.Rectangle(), metavar="X,Y,W,H", help="Only this part of the picture."),
    click.option(
        "--scale", "reduction", type=click.Choice(["1", "2", "4", "8"]), default="1", help="1/SCALE of the size."
    ),
    options.rare(
        "--allow-partial", is_flag=True, help="Take what is intact of damaged files, and say what is missing."
    ),
)
finishing = grouped(
    "finishing",
    lambda form, output_quality, strip, auto_rotate: Finish(_extension(form), output_quality, strip, auto_rotate),
    click.option("--format", "form", metavar="EXT", help="png (default), jpg, webp, tif, avif, ...; else as -o FILE."),
    options.rare(
        "--output-quality", type=click.IntRange(1, 100), metavar="Q",
        help="Of .jpg, .webp, .avif and .jxl; else 95, and .webp without loss.",
    ),
    options.rare("--strip", is_flag=True, help="Leave EXIF, XMP and profile out; turned upright, in sRGB."),
    options.rare("--auto-rotate", is_flag=True, help="Turn the pixels upright, as the EXIF says."),
)  # fmt: skip


@click.command(cls=Command)
@options.combined(options.placement, finishing, options.selection("FILE"), options.jobs, part, options.dry_run)
@options.combined(options.own_model, options.machine, options.console)
def decompress(
    selection: Selection,
    placement: Placement,
    part: Part,
    finishing: Finish,
    jobs: int,
    dry_run: bool,
    own_model: Path | None,
    machine: Machine,
    console: Console,
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
    sources = selection.find(VAEC_SUFFIXES)
    planned = placement.plan(sources, finishing.suffix, has_folder=selection.has_folder)
    console.lines_to_stderr = check_stdout(planned, as_json=console.as_json)
    selection.say_left_alone(console)
    is_whole = part.crop is None and part.reduction == 1
    skip = made_before(
        placement, check_picture(thoroughly=placement.resume == "verify", may_differ_in_size=not is_whole)
    )
    if dry_run:
        finish(run(planned, options.planning(placement, skip), console), console)
    limit_threads(machine.threads)
    spare_blas()
    decode = _decoder(part, own_model, machine, len(planned), jobs)
    work = Work(decode, placement, finishing, part.allow_partial)
    results = run(planned, Task(work, "decompressing", skip, report.decompress_lines), console, workers=jobs)
    finish(results, console, report.skipped_summary(results), can_resume=placement.can_resume)


@dataclass(frozen=True)
class Work:
    """What is done with each file."""

    decode: Callable[[bytes], Image.Image]
    placement: Placement
    finishing: Finish
    allow_partial: bool

    def __call__(self, job: Job) -> Record:
        """Write the image of one file. Raises EXPECTED."""
        self.placement.prepare(job)
        source = job.read()
        data = self._intact(source)
        form = self.finishing.format_of(job)
        image = self.decode(data)
        saved = self.finishing.save(image, form)
        self.placement.write(job, saved.data)
        size = {"width": saved.width, "height": saved.height, "mode": image.mode}
        return {"output": job.output, "source_bytes": len(source), "bytes": len(saved.data), **size}

    def _intact(self, source: bytes) -> bytes:
        """What is to be decoded of a file. A foreign one is declined before anything slow is loaded."""
        from vaecodec.cli.image_files import salvaged

        data = salvaged(source) if self.allow_partial else source
        vaecodec.inspect(data)
        return data


def _decoder(
    part: Part, own_model: Path | None, machine: Machine, files: int, jobs: int
) -> Callable[[bytes], Image.Image]:
    """A function that decodes the files of one run, one small one without numba."""
    make_codec = None if own_model is None else codec_maker(own_model, machine, jobs=jobs)
    share = once(lambda: share_cores(jobs, machine.threads))

    def decode(data: bytes) -> Image.Image:
        from vaecodec import numpy_codec

        if make_codec is not None:
            return make_codec().decode(data, crop=part.crop, reduction=part.reduction)
        info = vaecodec.inspect(data)
        if may_skip_numba(info.width * info.height, machine, files=files, is_plain=part.reduction == 1, task="decode"):
            return numpy_codec.decode(data, crop=part.crop)
        share()
        return vaecodec.decode(
            data, device=machine.device, crop=part.crop, reduction=part.reduction, max_memory=machine.max_memory
        )

    return decode
