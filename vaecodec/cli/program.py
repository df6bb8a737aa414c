"""The commands. Everything slow is imported where it is used: ``vaecodec info`` starts without numpy and torch."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import signal
import sys
from typing import Any, NoReturn

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.coding import chosen_model, codec_maker, compress, decompress
from vaecodec.cli.conformance import show_conformance
from vaecodec.cli.exits import Exit, Fatal
from vaecodec.cli.paths import PHOTO_SUFFIXES, VAEC_SUFFIXES, Job, find, page_job
from vaecodec.cli.run import Record, finish, run
from vaecodec.cli.train import train
from vaecodec.cli.weights import export, pack

_EXIT_CODES = """\b
Exit codes:
  0  everything worked
  1  several files failed in different ways
  2  wrong usage
  3  a .vaec file is damaged or of an unknown version
  4  an image cannot be read, not meet its target, or not be written in that format
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
            _silence_stdout()
            ctx.exit(Exit.BROKEN_PIPE)
        except OSError as error:  # the report itself cannot be written, as on a full disk
            _silence_stdout()
            click.echo(f"vaecodec: {error}", err=True)
            ctx.exit(Exit.FILE_SYSTEM)


def _silence_stdout() -> None:
    """Drop what is left in the buffer of standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    _leave(code)


def _leave(code: int | None) -> NoReturn:
    """End the process. With PyTorch loaded that takes half a second of taking down what the system frees at once."""
    if "torch" in sys.modules:
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):  # nobody is left to read it; standard output was flushed by the command
            sys.stderr.flush()
        os._exit(code or 0)
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


@cli.command()
@options.combined(options.files, options.recursive, options.as_json)
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
@options.combined(options.recursive, options.device, options.as_json)
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
@options.combined(options.photos, options.quality)
@click.option("--html", metavar="FILE", help="Write a page that shows the photos through every codec at equal bytes.")
@options.combined(options.recursive, options.overwrite, options.device, options.model)
@options.combined(options.tune, options.as_json)
def compare(
    photos: tuple[str, ...],
    quality: int,
    html: str | None,
    recursive: bool,
    overwrite: bool,
    device: str,
    model: str | None,
    tune: str | None,
    as_json: bool,
) -> None:
    """Compare the size with that of a JPEG of equal PSNR.

    The JPEG is Pillow's (4:2:0, optimized), of the lowest quality that reaches the same PSNR. Nothing is written,
    unless --html asks for a page: one file to open in any browser, without a network, with the photos beside what
    JPEG, WebP, AVIF and JPEG XL make of them at the size of the .vaec file. It takes a minute or so for each photo.

    \b
    vaecodec compare photo.jpg
    vaecodec compare -r samples -q 40
    vaecodec compare photo.jpg --html page.html
    """
    make_codec = codec_maker(chosen_model(model, tune), device)
    page = page_job(html, overwrite=overwrite)
    shown: list[tuple[str, Any]] = []

    def work(job: Job) -> Record:
        from vaecodec.cli.compare import compare_one, open_rgb

        image, upright = open_rgb(job)
        record = compare_one(image, make_codec(), quality)
        if page is not None:
            shown.append((job.name, upright))
        return record

    def make_page(job: Job) -> Record:
        from vaecodec.cli.compare import write_page

        return write_page(job, shown, make_codec(), quality, overwrite=overwrite)

    results = run(find(photos, PHOTO_SUFFIXES, recursive=recursive), work, "comparing")
    lines = report.compare_lines(results.records)
    if page is not None and shown:
        results.page = run([page], make_page, "page").ordered[0]
        lines += report.page_lines(results.page.record)
    finish(results, lines, as_json=as_json)


for _command in (compress, decompress, train, export, pack):
    cli.add_command(_command)
