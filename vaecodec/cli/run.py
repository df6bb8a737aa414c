"""The loop over files: one failure is kept for the end and does not stop the rest."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import click

from vaecodec.cli.exits import EXPECTED, Exit, exit_of, message_of
from vaecodec.cli.paths import Job

Record = dict[str, object]


@dataclass
class Results:
    """What became of the files: a record for each that worked, an exit code and a line for each that did not."""

    records: list[Record] = field(default_factory=list)
    failures: list[tuple[str, Exit, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> Exit:
        codes = {code for _, code, _ in self.failures}
        if len(codes) > 1:
            return Exit.SEVERAL
        return codes.pop() if codes else Exit.OK

    def as_json(self) -> str:
        failed = [
            {"source": name, "error": {"kind": code.name.lower(), "exit_code": int(code), "message": message}}
            for name, code, message in self.failures
        ]
        return json.dumps({"files": self.records, "failed": failed}, indent=2)


def run(jobs: Sequence[Job], work: Callable[[Job], Record], verb: str) -> Results:
    """Do ``work`` on every job. ``verb`` labels the progress bar, which a terminal gets and a pipe does not."""
    results = Results()
    made: dict[str, str] = {}  # output -> the source it was made from
    with _progress(verb, len(jobs)) as advance:
        for job in jobs:
            advance(job.name)
            _run_one(job, work, made, results)
    return results


def _run_one(job: Job, work: Callable[[Job], Record], made: dict[str, str], results: Results) -> None:
    if job.output in made:  # photo.jpg and photo.png in one folder
        results.failures.append((job.name, Exit.EXISTS, f"{job.output} is already made from {made[job.output]}"))
        return
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            record = work(job)
    except BrokenPipeError:
        raise  # the reader of our output has gone: there is nobody left to work for
    except EXPECTED as error:
        results.failures.append((job.name, exit_of(error), message_of(error)))
        return
    if job.output is not None:
        made[job.output] = job.name
    results.records.append({"source": job.name, **record})
    # Only what is said to users: a dependency's DeprecationWarning is not theirs to mend.
    results.notes += [
        f"{job.name}: {w.message}" for w in caught if issubclass(w.category, (UserWarning, RuntimeWarning))
    ]


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
        told = message if message.startswith(name) else f"{name}: {message}"
        click.echo(f"vaecodec: {told}", err=True)
    click.get_current_context().exit(results.exit_code)


@contextlib.contextmanager
def _progress(verb: str, total: int) -> Iterator[Callable[[str], None]]:
    """A function to call before each file; it draws a bar on standard error where that is a terminal."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(verb, total=total, completed=-1, name="")
        yield lambda name: progress.update(task, advance=1, name=name)
