"""The progress bar of long runs: files, bytes saved so far, time left."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import click

from vaecodec.cli.console import Console, printable
from vaecodec.cli.jobs import STDIO, Job
from vaecodec.cli.sizes import format_size

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar


_CLEAR, _UP_AND_CLEAR = "\r\x1b[2K", "\x1b[1A\x1b[2K"
_MOST_LETTERS = 24
"""Of a name beside the bar, on a line of 80."""


class Progress(Protocol):
    """What a run tells while it works; may be called from several threads."""

    def begin(self, job: Job) -> None:
        """Show that a job has begun."""

    def end(self, job: Job, record: Mapping[str, object] | None) -> None:
        """record: of a file that was made; None for one that failed or was skipped."""


class _Silent:
    def begin(self, job: Job) -> None: ...

    def end(self, job: Job, record: Mapping[str, object] | None) -> None: ...


@contextlib.contextmanager
def bar(
    verb: str, length: int, show: Callable[[str | None], str | None] = lambda item: item
) -> Iterator[ProgressBar[str | None]]:
    """A bar on standard error, a terminal; its line is gone at the end."""
    with click.progressbar(length=length, label=verb, item_show_func=show, file=sys.stderr, width=20) as shown:
        yield shown
    click.echo(_UP_AND_CLEAR, nl=False, err=True)


class _Bar:
    """Time is judged by the bytes that were read: photographs of one folder may differ a hundredfold."""

    def __init__(self, shown: ProgressBar[str | None], verb: str, jobs: Sequence[Job]) -> None:
        self._shown, self._verb, self._files, self._lock = shown, verb, len(jobs), threading.Lock()
        self._weights = {job: _weight(job) for job in jobs}
        self._done = self._saved = 0
        shown.length = sum(self._weights.values())
        self._count()

    def begin(self, job: Job) -> None:
        with self._lock:
            self._shown.current_item = job.name
            self._shown.render_progress()

    def end(self, job: Job, record: Mapping[str, object] | None) -> None:
        with self._lock:
            self._done += 1
            if record is not None and "bytes" in record and "source_bytes" in record:
                self._saved += cast(int, record["source_bytes"]) - cast(int, record["bytes"])
            self._count()
            self._shown.update(self._weights[job])

    def above(self, text: str) -> None:
        """Print a line in place of the bar, which comes back below it with the next file."""
        with self._lock:
            click.echo(f"{_CLEAR}{text}", err=True)

    def _count(self) -> None:
        saved = f", {format_size(self._saved)} saved" if self._saved > 0 else ""
        self._shown.label = f"{self._verb} {self._done}/{self._files}{saved}"


def _short(name: str | None) -> str | None:
    """The end of a name, as much as is sure to stay on one line."""
    shown = None if name is None else printable(name, "utf-8")
    return shown if shown is None or len(shown) <= _MOST_LETTERS else f"...{shown[3 - _MOST_LETTERS :]}"


def _weight(job: Job) -> int:
    """Bytes of the source; 1 more, so that what cannot be read counts, too."""
    if job.source_state is not None:
        return 1 + job.source_state.size
    with contextlib.suppress(OSError):
        if job.source != STDIO:
            return 1 + Path(job.source).stat().st_size
    return 1


@contextlib.contextmanager
def steps_of(verb: str, steps: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error for so many steps, each told by a line, where that is a terminal; else silence."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with bar(verb, steps, _short) as shown:
        yield lambda line: shown.update(1, line)


@contextlib.contextmanager
def share_of(verb: str, *, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error for one long step, told how much is done of how much, on a terminal; else None."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    with bar(verb, 1) as drawn:

        def tell(done: int, total: int) -> None:
            drawn.length = total
            drawn.update(done - drawn.pos)

        yield tell


@contextlib.contextmanager
def progress_of(verb: str, jobs: Sequence[Job], console: Console) -> Iterator[Progress]:
    """A bar on standard error for several jobs, where that is a terminal; else silence."""
    if len(jobs) < 2 or console.quiet or sys.stderr is None or not sys.stderr.isatty():
        yield _Silent()
        return
    with bar(verb, 1, _short) as shown:
        progress = _Bar(shown, verb, jobs)
        console.above_bar = progress.above
        try:
            yield progress
        finally:
            console.above_bar = None
