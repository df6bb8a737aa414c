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
from vaecodec.cli.doctor import doctor
from vaecodec.cli.exits import MEANINGS, Exit, Fatal, message_of
from vaecodec.cli.export import export
from vaecodec.cli.help import WIDTH
from vaecodec.cli.info import info
from vaecodec.cli.pack import pack
from vaecodec.cli.startup import leave
from vaecodec.cli.train import train
from vaecodec.cli.verify import verify
from vaecodec.cli.view import view
from vaecodec.cli.web import web

_LAST_STREAM = 2
"""The number of standard error."""
_EPILOG = (
    "\b\nExit codes:\n"
    + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())
    + """

\b
Shell completion (bash; zsh and fish alike): eval "$(_VAECODEC_COMPLETE=bash_source vaecodec)"
"""
)


class _Program(click.Group):
    """A group that turns what stops a whole run into one line, or into silence, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                if sys.stdout is not None:
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
            click.echo(f"vaecodec: {message_of(error)}", err=True)
            ctx.exit(Exit.FILE_SYSTEM)


def _silence_stdout() -> None:
    """Drop what is left in the buffer of standard output."""
    if sys.stdout is None:
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> NoReturn:
    """Run the command line and leave the process with one of the exit codes of ``Exit``."""
    _occupy_closed_streams()
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


def _occupy_closed_streams() -> None:
    """Where a standard stream is closed, its number would be given to the next file opened, and be written into."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > _LAST_STREAM:
            os.close(descriptor)
            return


@click.group(
    cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}, epilog=_EPILOG
)
@click.version_option(vaecodec.__version__, prog_name="vaecodec")
def cli() -> None:
    """Photographs far smaller than JPEG, as .vaec files.

    \b
    vaecodec compress photo.jpg            makes photo.vaec
    vaecodec decompress photo.vaec         makes photo.png
    vaecodec compress -r photos -o small   a whole folder, its tree mirrored
    """


for _command in (compress, decompress, info, verify, view, compare, web, train, export, pack, doctor):
    cli.add_command(_command)
