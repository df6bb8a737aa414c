"""The program with its commands. What is slow is imported where it is used: ``info`` starts without numpy and torch."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

import click

import vaecodec
from vaecodec.cli.compare import compare
from vaecodec.cli.compress import compress
from vaecodec.cli.decompress import decompress
from vaecodec.cli.exits import Exit, Fatal
from vaecodec.cli.export import export
from vaecodec.cli.info import info
from vaecodec.cli.pack import pack
from vaecodec.cli.startup import leave
from vaecodec.cli.train import train
from vaecodec.cli.verify import verify

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
    leave(code)


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


for _command in (compress, decompress, info, verify, compare, train, export, pack):
    cli.add_command(_command)
