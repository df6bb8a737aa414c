"""What a run says while it works: lines on standard output, notes and errors on standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

import click

from vaecodec.cli.exits import Exit


@dataclass
class Console:
    """Where lines go. Safe to share between threads; a line is out when the call returns, also into a pipe or file.

    quiet: only errors. verbose: details as well. as_json: no lines, since one JSON document takes their place.
    lines_to_stderr: standard output is taken by a file.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    lines_to_stderr: bool = False
    above_bar: Callable[[str], None] | None = None
    """How a progress bar has a line printed above itself; set while there is one."""
    lost: int = 0
    """Lines for a standard output that is closed."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _own: list[TextIO] = field(default_factory=list)
    """Standard output, while `alone_on_stdout` keeps it from others."""

    @contextlib.contextmanager
    def alone_on_stdout(self) -> Iterator[None]:
        """What a library prints meanwhile goes to standard error: standard output may be a document."""
        self._own = [sys.stdout]
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            self._own = []

    def line(self, text: str) -> None:
        """Say what was done."""
        if not (self.as_json or self.quiet):
            self._print(text, to_stderr=self.lines_to_stderr)

    def detail(self, text: str) -> None:
        """Say what only --verbose asks for."""
        if self.verbose:
            self._print(f"vaecodec: {text}", to_stderr=True)

    def note(self, text: str) -> None:
        """Say what the user should know about a file that was made."""
        if not self.quiet:
            self._print(f"vaecodec: note: {text}", to_stderr=True)

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._print(f"vaecodec: {text}", to_stderr=True)

    def document(self, text: str) -> None:
        """Print the JSON document."""
        if sys.stdout is None:
            self.lost += 1
        else:
            click.echo(text)

    def close(self) -> Exit:
        """Say at the end what could not be said; FILE_SYSTEM if that was something, else OK."""
        if self.lost == 0:
            return Exit.OK
        self.error(
            f"standard output is closed: {self.lost} {'line was' if self.lost == 1 else 'lines were'} not printed"
        )
        return Exit.FILE_SYSTEM

    def _print(self, text: str, *, to_stderr: bool) -> None:
        stream = sys.stderr if to_stderr else self._own[0] if self._own else sys.stdout
        with self._lock:
            if stream is None:
                self.lost += not to_stderr
            elif self.above_bar is not None and stream.isatty():
                self.above_bar(printable(text, stream.encoding))
            else:
                click.echo(printable(text, getattr(stream, "encoding", None)), file=stream)


def printable(text: str, encoding: str | None) -> str:
    """The text as one line that the stream can take: what a file name may hold beside letters is escaped."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return line.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")
