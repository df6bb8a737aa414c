"""The loop over files, one at a time or several: a failure is said and does not stop the rest."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NoReturn

import click

from vaecodec.cli.console import Console
from vaecodec.cli.exits import EXPECTED, Exit, exit_of, message_of
from vaecodec.cli.jobs import Job
from vaecodec.cli.progress import Progress, progress_of
from vaecodec.cli.results import Outcome, Record, Results
from vaecodec.cli.startup import resume_collector

if TYPE_CHECKING:
    from concurrent.futures import Future

Work = Callable[[Job], Record]


@dataclass(frozen=True)
class Task:
    """What a command does with each file.

    verb: labels the progress bar, which a terminal gets and a pipe does not. skip: true for jobs that need no work.
    lines: what a person reads of a record, as soon as it is there. done: told of every outcome, one at a time.
    """

    work: Work
    verb: str
    skip: Callable[[Job], bool] = lambda _: False
    lines: Callable[[Record], Sequence[str]] = lambda _: ()
    done: Callable[[Outcome], None] = lambda _: None


def run(jobs: Sequence[Job], task: Task, console: Console, *, workers: int = 1) -> Results:
    """Do the work on every job, `workers` at a time in threads, and say what became of each as soon as it is known.

    Ctrl-C and SIGTERM end the run: files under way in threads are finished, and the results say what is left.
    """
    results = Results(len(jobs))
    with progress_of(task.verb, jobs, console) as progress, kept_warnings() as notes:
        runner = Runner(task, console, progress, notes, results)
        chains = chains_of(jobs)
        try:
            if workers == 1 or len(chains) < 2:
                for chain in chains:
                    runner.run_chain(chain)
            else:
                _run_parallel(runner, chains, workers)
        except KeyboardInterrupt:
            results.stop = Exit.INTERRUPTED
        except SystemExit as stop:
            results.stop = Exit(int(stop.code or 0))
    return results


def chains_of(jobs: Sequence[Job]) -> list[list[tuple[int, Job]]]:
    """Jobs with their numbers; those with one output (photo.jpg and photo.png in one folder) in one chain, also where
    it is named in two ways."""
    chains: dict[object, list[tuple[int, Job]]] = {}
    real_folder = cache(os.path.realpath)
    for number, job in enumerate(jobs):
        path, place = job.output_path, number if job.output is None else job.output
        if path is not None:
            is_link = os.path.islink(path)  # noqa: PTH114 (a name that the system refuses is none)
            place = os.path.realpath(path) if is_link else str(Path(real_folder(path.parent), path.name))
        chains.setdefault(place, []).append((number, job))
    return list(chains.values())


def _run_parallel(runner: Runner, chains: Sequence[list[tuple[int, Job]]], workers: int) -> None:
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
class Runner:
    """A run under way: what was asked for, who is told, and what has become of the jobs so far."""

    task: Task
    console: Console
    progress: Progress
    notes: threading.local
    results: Results
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run_chain(self, chain: Sequence[tuple[int, Job]]) -> None:
        """Do the jobs of a chain one after the other."""
        if self.stopped.is_set():
            return
        for number, outcome in outcomes_of(chain, self._run_one):
            self.finish(number, outcome)
            if self.stopped.is_set():
                return

    def finish(self, number: int, outcome: Outcome) -> None:
        """Keep and say what became of one job; several threads may."""
        with self.lock:
            self._finish(number, outcome)
        resume_collector()

    def _finish(self, number: int, outcome: Outcome) -> None:
        """Keep an outcome and say it, together: after an interruption nothing is done that was not said."""
        self.results.outcomes[number] = outcome
        self.task.done(outcome)
        self.progress.end(outcome.job, outcome.record if not outcome.skipped else None)
        if outcome.record is not None and not outcome.skipped:
            for line in self.task.lines(outcome.record):
                self.console.line(line)
            if "seconds" in outcome.record:
                self.console.detail(f"{outcome.job.name}: {outcome.record['seconds']} s")
        if outcome.skipped:
            self.console.detail(f"{outcome.job.name}: made before")
        say_outcome(self.console, outcome)

    def _run_one(self, job: Job) -> Outcome:
        self.progress.begin(job)
        return attempt(job, self.task, self.notes)


def outcomes_of(chain: Sequence[tuple[int, Job]], run_one: Callable[[Job], Outcome]) -> Iterator[tuple[int, Outcome]]:
    """The first job of a chain that has an output, new or old, owns it; what follows would replace it."""
    owner: Job | None = None
    for number, job in chain:
        if owner is not None:
            message = f"{job.output} is already made from {owner.name}"
            if PurePath(job.source).name != PurePath(owner.source).name:
                message += "; --keep-extension gives both a name of their own"
            outcome = Outcome(job, failure=(Exit.EXISTS, message))
        else:
            outcome = run_one(job)
        if outcome.record is not None or (outcome.failure is not None and outcome.failure[0] is Exit.EXISTS):
            owner = owner or job
        yield number, outcome


def attempt(job: Job, task: Task, notes: threading.local) -> Outcome:
    """What becomes of one job. notes: of `kept_warnings`."""
    caught: list[tuple[str, type[Warning]]] = []
    notes.caught = caught
    start = time.perf_counter()
    try:
        if task.skip(job):
            return Outcome(job, {"source": job.name, "output": job.output}, skipped=True)
        record = task.work(job)
    except BrokenPipeError:
        raise  # the reader of our output has gone: there is nobody left to work for
    except EXPECTED as error:
        return Outcome(job, failure=(exit_of(error), message_of(error)))
    seconds = round(time.perf_counter() - start, 3)
    outcome = Outcome(job, {"source": job.name, **record, "seconds": seconds})
    # Only what is said to users: a dependency's DeprecationWarning is not theirs to mend.
    outcome.notes = [f"{job.name}: {text}" for text, kind in caught if issubclass(kind, (UserWarning, RuntimeWarning))]
    return outcome


def say_outcome(console: Console, outcome: Outcome) -> None:
    """The notes and the failure of one file, if any."""
    for note in outcome.notes:
        console.note(note)
    if outcome.failure is not None:
        name, message = outcome.job.name, outcome.failure[1]
        console.error(message if message.startswith(name) else f"{name}: {message}")


@contextlib.contextmanager
def kept_warnings() -> Iterator[threading.local]:
    """Warnings go to `caught` of the thread in which they are given: (text, category); numeric ones are errors."""
    notes = threading.local()

    def keep(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        getattr(notes, "caught", []).append((str(message), category))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # NumPy's word for an overflow or for what is no number: whatever comes of it is wrong.
        warnings.filterwarnings("error", ".* encountered in ", RuntimeWarning)
        warnings.showwarning = keep
        yield notes


def run_page(page: Job, task: Task, console: Console, results: Results) -> Record | None:
    """Make one file of what the run has read, and keep in its results what became of it; the record, if it is made."""
    after = run([page], task, console)
    results.page, results.stop = after.outcomes.get(0), after.stop
    return None if results.page is None else results.page.record


def finish(results: Results, console: Console, summary: Sequence[str] = (), *, can_resume: bool = False) -> NoReturn:
    """Say what there is to say of all files together, and leave with the exit code."""
    if console.as_json:
        console.document(results.as_json())
    for line in summary:
        console.line(line)
    if results.failure_line is not None:
        console.error(results.failure_line)
    if results.stop_line is not None:
        console.error(results.stop_line + ("; the same command with --resume goes on" if can_resume else ""))
    closed = console.close()
    raise click.exceptions.Exit(results.exit_code or closed)
