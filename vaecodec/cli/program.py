"""The program with its commands. What is slow is imported where it is used: ``info`` starts without numpy and torch."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import click

import vaecodec
from vaecodec.cli.exits import MEANINGS, Exit, Fatal, message_of
from vaecodec.cli.help import WIDTH
from vaecodec.cli.startup import leave, pause_collector, resume_collector

_LAST_STREAM = 2
"""The number of standard error."""
_EPILOG = (
    "\b\nExit codes:\n"
    + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())
    + """
Shell completion (bash; zsh and fish alike): eval "$(_VAECODEC_COMPLETE=bash_source vaecodec)"
"""
)


COMMANDS = (
    "compress", "decompress", "info", "verify", "view", "compare", "web", "train", "export", "pack", "doctor",
)  # fmt: skip
"""Each in the module of its name, in the order of the help page."""
LATENT_COMMANDS = ("index", "search", "duplicates", "anomaly", "map", "morph", "sample")
"""Those that work with the latent space: the help page names them in one row."""
SHORT = ("compress", "decompress", "info", "verify")
"""Those that are often done after one file, without the garbage collector."""


class _Program(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [*COMMANDS, *LATENT_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in (*COMMANDS, *LATENT_COMMANDS):
            return None
        command = cast(click.Command, getattr(importlib.import_module(f"vaecodec.cli.{cmd_name}"), cmd_name))
        if cmd_name not in SHORT:
            resume_collector()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(WIDTH - 16)) for name, command in self._commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
            formatter.write_text(f"of the latent space: {' '.join(LATENT_COMMANDS)}")

    def _commands(self, ctx: click.Context) -> list[tuple[str, click.Command]]:
        commands = ((name, self.get_command(ctx, name)) for name in COMMANDS)
        return [(name, command) for name, command in commands if command is not None]

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _ended_in_a_line():  # the help page is written here
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _ended_in_a_line():
            return super().invoke(ctx)


@contextlib.contextmanager
def _ended_in_a_line() -> Iterator[None]:
    """What stops a run is said in one line, or not at all, and ends it with an exit code."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except Fatal as error:
        click.echo(f"vaecodec: {error}", err=True)
        raise click.exceptions.Exit(error.exit_code) from error
    except BrokenPipeError as error:
        # `vaecodec info * | head -1`: nothing more can be said; without this Python would complain at exit.
        _silence_stdout()
        raise click.exceptions.Exit(Exit.BROKEN_PIPE) from error
    except OSError as error:  # the report itself cannot be written, as on a full disk
        _silence_stdout()
        click.echo(f"vaecodec: {message_of(error)}", err=True)
        raise click.exceptions.Exit(Exit.FILE_SYSTEM) from error


def _silence_stdout() -> None:
    """Drop what is left in the buffer of standard output."""
    if sys.stdout is None:
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> NoReturn:
    """Run the command line and leave the process with one of the exit codes of ``Exit``."""
    pause_collector()
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
    """\b
    Photographs far smaller than JPEG, as .vaec files.
    vaecodec compress photo.jpg            makes photo.vaec
    vaecodec decompress photo.vaec         makes photo.png
    """
