"""The progress bar of long runs: files, bytes saved so far, time left."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from vaecodec.cli.console import Console
from vaecodec.cli.jobs import STDIO, Job
from vaecodec.cli.sizes import format_size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """What a run tells while it works; may be called from several threads."""

    def begin(self, job: Job) -> None:
        """Show that a job has begun."""

    def end(self, job: Job, record: Mapping[str, object] | None) -> None:
        """record: of a file that was made; None for one that failed or was skipped."""


class _Silent:
    def begin(self, job: Job) -> None: ...

    def end(self, job: Job, record: Mapping[str, object] | None) -> None: ...


class _Bar:
    """Time is judged by the bytes that were read: photographs of one folder may differ a hundredfold."""

    def __init__(self, shown: RichProgress, verb: str, jobs: Sequence[Job]) -> None:
        self._shown, self._files, self._lock = shown, len(jobs), threading.Lock()
        self._weights = {job: _weight(job) for job in jobs}
        self._done = self._saved = 0
        self._task = shown.add_task(verb, total=sum(self._weights.values()), name="", counts="")
        self._show_counts()

    def begin(self, job: Job) -> None:
        self._shown.update(self._task, name=job.name)

    def end(self, job: Job, record: Mapping[str, object] | None) -> None:
        with self._lock:
            self._done += 1
            if record is not None and "bytes" in record and "source_bytes" in record:
                self._saved += cast(int, record["source_bytes"]) - cast(int, record["bytes"])
            self._shown.update(self._task, advance=self._weights[job])
            self._show_counts()

    def _show_counts(self) -> None:
        saved = f", {format_size(self._saved)} saved" if self._saved > 0 else ""
        self._shown.update(self._task, counts=f"{self._done}/{self._files}{saved}")


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
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    line = TextColumn("{task.fields[line]}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), line)
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(verb, total=steps, line="")
        yield lambda line: shown.update(task, advance=1, line=line)


@contextlib.contextmanager
def share_of(verb: str, *, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error for one long step, told how much is done of how much, on a terminal; else None."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with RichProgress(
        *columns, console=Terminal(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def progress_of(verb: str, jobs: Sequence[Job], console: Console) -> Iterator[Progress]:
    """A bar on standard error for several jobs, where that is a terminal; else silence."""
    if len(jobs) < 2 or console.quiet or sys.stderr is None or not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False),
    )
    terminal = Terminal(stderr=True)
    # Standard output may be a file: what is printed there must not go to the terminal instead.
    with RichProgress(
        *columns, console=terminal, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as shown:
        console.above_bar = lambda text: terminal.print(text, markup=False, highlight=False, soft_wrap=True)
        try:
            yield _Bar(shown, verb, jobs)
        finally:
            console.above_bar = None
