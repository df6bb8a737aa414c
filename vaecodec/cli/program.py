"""The commands. Everything slow is imported where it is used: ``vaecodec info`` starts without numpy and torch."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

import vaecodec
from vaecodec.cli import report
from vaecodec.cli.conformance import show_conformance
from vaecodec.cli.exits import Exit, Fatal
from vaecodec.cli.paths import PHOTO_SUFFIXES, STDIO, VAEC_SUFFIXES, Job, find, plan
from vaecodec.cli.run import Record, finish, run
from vaecodec.cli.train import train
from vaecodec.cli.weights import export, pack

if TYPE_CHECKING:
    from vaecodec import Codec

_Command = TypeVar("_Command", bound=Callable[..., Any])

_EXIT_CODES = """\b
Exit codes:
  0  everything worked
  1  several files failed in different ways
  2  wrong usage
  3  a .vaec file is damaged or of an unknown version
  4  an image cannot be read, or not be written in that format
  5  a file cannot be read or written
  6  an output exists already (see --overwrite)
  7  the weights of a model are missing or do not match
  8  the device cannot be used or does not decode exactly, or memory ran out
  130, 141, 143  interrupted, reader of the output gone, terminated

\b
Shell completion (bash; zsh and fish alike):
  eval "$(_VAECODEC_COMPLETE=bash_source vaecodec)"
"""


class _Program(click.Group):
    """A group that turns what stops a whole run into one line, or into silence, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except Fatal as error:
            click.echo(f"vaecodec: {error}", err=True)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            # `vaecodec info * | head -1`: nothing more can be said; without this Python would complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(Exit.BROKEN_PIPE)


def main() -> NoReturn:
    """Run the command line and leave the process with one of the exit codes of ``Exit``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.TERMINATED))  # so that temporary files are removed
    try:
        code = cli.main(prog_name="vaecodec", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        click.echo("vaecodec: interrupted", err=True)
        code = Exit.INTERRUPTED
    sys.exit(code)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXIT_CODES)
@click.version_option(vaecodec.__version__, prog_name="vaecodec")
def cli() -> None:
    """Photographs far smaller than JPEG, as .vaec files.

    \b
    vaecodec compress photo.jpg            makes photo.vaec
    vaecodec decompress photo.vaec         makes photo.png
    vaecodec compress -r photos -o small   a whole folder, its tree mirrored
    vaecodec COMMAND --help                the options of a command
    """


_photos = click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
_files = click.argument("files", nargs=-1, required=True, metavar="FILE...")
_output = click.option(
    "-o", "--output", metavar="FILE|DIR", help="Where to write; a folder for several inputs; - for standard output."
)
_recursive = click.option("-r", "--recursive", is_flag=True, help="Take the files in folders, and in folders below.")
_overwrite = click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
_quality = click.option(
    "-q", "--quality", type=click.IntRange(1, 100), default=60, show_default=True, help="1 smallest, 100 best."
)
_device = click.option(
    "--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N."
)
_model = click.option(
    "--model", default="fast", show_default=True, metavar="NAME|FILE", help="A shipped model or a .safetensors file."
)


def _options(*decorators: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    def decorate(command: _Command) -> _Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


@cli.command()
@_options(_photos, _output, _quality, _recursive)
@click.option("--strip", is_flag=True, help="Leave out metadata: EXIF, XMP and colour profile.")
@_options(_overwrite, _device, _model, _json)
def compress(
    photos: tuple[str, ...],
    output: str | None,
    quality: int,
    recursive: bool,
    strip: bool,
    overwrite: bool,
    device: str,
    model: str,
    as_json: bool,
) -> None:
    """Make .vaec files from photos.

    PHOTO is an image file of any format that Pillow reads, a folder (with -r), or - for standard input. Without -o
    the file goes beside the photo. Transparency is kept without loss; EXIF, XMP and colour profile are kept.

    \b
    vaecodec compress photo.jpg                  photo.vaec, beside it
    vaecodec compress *.jpg -o small -q 40       into the folder small, smaller files
    vaecodec compress -r photos -o small         a whole tree
    cat photo.png | vaecodec compress - > photo.vaec
    """
    jobs = plan(photos, output, PHOTO_SUFFIXES, ".vaec", recursive=recursive)
    piped = _check_stdout(jobs, as_json=as_json)
    make_codec = _codec_maker(model, device)

    def work(job: Job) -> Record:
        from vaecodec.cli.photos import open_photo

        job.check_output(overwrite=overwrite)
        source = job.read()
        image = open_photo(source)
        data = make_codec().encode(image, quality=quality, strip=strip)
        job.write(data, overwrite=overwrite)
        return {
            "output": job.output,
            "source_bytes": len(source),
            "bytes": len(data),
            "width": image.width,
            "height": image.height,
            "bpp": round(8 * len(data) / (image.width * image.height), 4),
        }

    results = run(jobs, work, "compressing")
    finish(results, report.compress_lines(results.records), as_json=as_json, to_stderr=piped)


@cli.command()
@_options(_files, _output, _recursive)
@click.option("--allow-partial", is_flag=True, help="Take what is intact of damaged files, and say what is missing.")
@_options(_overwrite, _device, _json)
def decompress(
    files: tuple[str, ...],
    output: str | None,
    recursive: bool,
    allow_partial: bool,
    overwrite: bool,
    device: str,
    as_json: bool,
) -> None:
    """Turn .vaec files back into pictures.

    The extension of -o FILE chooses the format: .png (default), .jpg, .webp, .tif, .avif and what else Pillow writes.
    EXIF, XMP and colour profile go along. A damaged file is an error; --allow-partial still makes a picture of it when
    the picture itself is intact and only transparency, metadata or the end of the file is not.

    \b
    vaecodec decompress photo.vaec               photo.png, beside it
    vaecodec decompress photo.vaec -o copy.jpg   as JPEG
    vaecodec decompress -r small -o pictures     a whole tree, as PNG
    vaecodec decompress - < photo.vaec > photo.png
    """
    jobs = plan(files, output, VAEC_SUFFIXES, ".png", recursive=recursive)
    piped = _check_stdout(jobs, as_json=as_json)

    def work(job: Job) -> Record:
        from vaecodec.cli.photos import format_of, salvaged, save_photo

        job.check_output(overwrite=overwrite)
        source = job.read()
        data = salvaged(source) if allow_partial else source
        vaecodec.inspect(data)  # a foreign file is declined before anything slow is loaded
        form = format_of(str(job.output))
        image = vaecodec.decode(data, device=device)
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

    results = run(jobs, work, "decompressing")
    finish(results, report.decompress_lines(results.records), as_json=as_json, to_stderr=piped)


@cli.command()
@_options(_files, _recursive, _json)
def info(files: tuple[str, ...], recursive: bool, as_json: bool) -> None:
    """Show what .vaec files say about themselves.

    Only the headers are read: no picture is decoded and no model is loaded.

    \b
    vaecodec info photo.vaec
    vaecodec info --json -r small
    """
    lines: list[str] = []

    def work(job: Job) -> Record:
        told = vaecodec.inspect(job.read())
        lines.extend(report.info_lines(job.name, told))
        return dataclasses.asdict(told)

    finish(run(find(files, VAEC_SUFFIXES, recursive=recursive), work, "reading"), lines, as_json=as_json)


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--conformance", is_flag=True, help="Check this machine instead: does it decode exactly?")
@_options(_recursive, _device, _json)
def verify(files: tuple[str, ...], conformance: bool, recursive: bool, device: str, as_json: bool) -> None:
    """Check that .vaec files are whole.

    All checksums, and every symbol decoded to the end of the stream. With --conformance the files of the conformance
    set are decoded and compared instead; --device is for that only.

    \b
    vaecodec verify photo.vaec
    vaecodec verify -r small && echo all good
    vaecodec verify --conformance
    """
    if conformance == bool(files):
        message = "give FILE... to check files, or --conformance alone to check this machine."
        raise click.UsageError(message)
    if conformance:
        show_conformance(device, as_json=as_json)

    def work(job: Job) -> Record:
        return {"ok": True, **dataclasses.asdict(vaecodec.verify(job.read()))}

    results = run(find(files, VAEC_SUFFIXES, recursive=recursive), work, "verifying")
    finish(results, [f"{record['source']}: ok" for record in results.records], as_json=as_json)


@cli.command()
@_options(_photos, _quality, _recursive, _device, _model, _json)
def compare(photos: tuple[str, ...], quality: int, recursive: bool, device: str, model: str, as_json: bool) -> None:
    """Compare the size with that of a JPEG of equal PSNR.

    Nothing is written. The JPEG is Pillow's (4:2:0, optimized), of the lowest quality that reaches the same PSNR.

    \b
    vaecodec compare photo.jpg
    vaecodec compare -r samples -q 40
    """
    make_codec = _codec_maker(model, device)

    def work(job: Job) -> Record:
        from vaecodec.cli.compare import compare_one

        return compare_one(job, make_codec(), quality)

    results = run(find(photos, PHOTO_SUFFIXES, recursive=recursive), work, "comparing")
    finish(results, report.compare_lines(results.records), as_json=as_json)


for _command in (train, export, pack):
    cli.add_command(_command)


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


def _codec_maker(model: str, device: str) -> Callable[[], Codec]:
    """A function that makes the codec when it is first needed: a missing photo is reported before torch is loaded."""
    made: list[Codec] = []

    def make() -> Codec:
        if not made:
            path = Path(model)
            try:
                made.append(vaecodec.Codec(model=path if path.suffix == ".safetensors" else model, device=device))
            except (vaecodec.VaecodecError, OSError) as error:
                raise Fatal(error) from error
        return made[0]

    return make
