"""The loop over files, one at a time or several: a failure is kept for the end and does not stop the rest."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from vaecodec.cli.exits import EXPECTED, Exit, exit_of, message_of
from vaecodec.cli.paths import Job
from vaecodec.cli.progress import Progress, progress_of
from vaecodec.cli.results import Outcome, Record, Results

if TYPE_CHECKING:
    from concurrent.futures import Future

Work = Callable[[Job], Record]


def run(
    jobs: Sequence[Job],
    work: Work,
    verb: str,
    *,
    workers: int = 1,
    skip: Callable[[Job], bool] = lambda _: False,
    results: Results | None = None,
) -> Results:
    """Do ``work`` on every job. ``verb`` labels the progress bar, which a terminal gets and a pipe does not.

    workers: jobs at a time, in threads. skip: jobs that need no work. results: filled as the work goes on, for a
    caller who wants to know after an interruption.
    """
    results = Results() if results is None else results
    with progress_of(verb, jobs) as progress, _kept_warnings() as notes:
        runner = _Runner(work, skip, progress, notes, results)
        chains = _chains(jobs)
        if workers == 1 or len(chains) < 2:
            for chain in chains:
                runner.run_chain(chain)
        else:
            _run_parallel(runner, chains, workers)
    return results


def _chains(jobs: Sequence[Job]) -> list[list[tuple[int, Job]]]:
    """Jobs with their numbers; those with the same output (photo.jpg and photo.png in one folder) in one chain."""
    chains: dict[object, list[tuple[int, Job]]] = {}
    for number, job in enumerate(jobs):
        chains.setdefault(number if job.output is None else job.output, []).append((number, job))
    return list(chains.values())


def _run_parallel(runner: _Runner, chains: Sequence[list[tuple[int, Job]]], workers: int) -> None:
    """When something stops the run, jobs under way are finished (a file is whole or absent) and no more are begun."""
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(workers)
    try:
        pending: set[Future[None]] = {pool.submit(runner.run_chain, chain) for chain in chains}
        while pending:
            # With a timeout, so that Ctrl-C is noticed on every system.
            done, pending = wait(pending, timeout=1, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
    finally:
        runner.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Runner:
    work: Work
    skip: Callable[[Job], bool]
    progress: Progress
    notes: threading.local
    results: Results
    stopped: threading.Event = field(default_factory=threading.Event)

    def run_chain(self, chain: Sequence[tuple[int, Job]]) -> None:
        """The first success of a chain makes its output; what follows would replace it."""
        made_from = ""
        for number, job in chain:
            if self.stopped.is_set():
                return
            self.progress.begin(job)
            if made_from:
                outcome = Outcome(job, failure=(Exit.EXISTS, f"{job.output} is already made from {made_from}"))
            else:
                outcome = self._run_one(job)
            if outcome.record is not None and job.output is not None:
                made_from = job.name
            self.results.outcomes[number] = outcome
            self.progress.end(job, outcome.record if not outcome.skipped else None)

    def _run_one(self, job: Job) -> Outcome:
        if self.skip(job):
            return Outcome(job, {"source": job.name, "output": job.output}, skipped=True)
        caught: list[tuple[str, type[Warning]]] = []
        self.notes.caught = caught
        start = time.perf_counter()
        try:
            record = self.work(job)
        except BrokenPipeError:
            raise  # the reader of our output has gone: there is nobody left to work for
        except EXPECTED as error:
            return Outcome(job, failure=(exit_of(error), message_of(error)))
        seconds = round(time.perf_counter() - start, 3)
        outcome = Outcome(job, {"source": job.name, **record, "seconds": seconds})
        # Only what is said to users: a dependency's DeprecationWarning is not theirs to mend.
        outcome.notes = [
            f"{job.name}: {text}" for text, kind in caught if issubclass(kind, (UserWarning, RuntimeWarning))
        ]
        return outcome


@contextlib.contextmanager
def _kept_warnings() -> Iterator[threading.local]:
    """Warnings go to `caught` of the thread in which they are given: (text, category)."""
    notes = threading.local()

    def keep(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        getattr(notes, "caught", []).append((str(message), category))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = keep
        yield notes


def finish(results: Results, lines: Sequence[str], *, as_json: bool, to_stderr: bool = False) -> None:
    """Print what was done, then what failed, and leave with the exit code."""
    if as_json:
        click.echo(results.as_json())
    else:
        for line in lines:
            click.echo(line, err=to_stderr)
    for note in results.notes:
        click.echo(f"vaecodec: note: {note}", err=True)
    for name, _, message in results.failures:
        line = message if message.startswith(name) else f"{name}: {message}"
        click.echo(f"vaecodec: {line}", err=True)
    click.get_current_context().exit(results.exit_code)
