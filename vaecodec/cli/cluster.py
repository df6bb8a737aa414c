"""`compress --engine ray`: the files of a run are made by actors of a Ray cluster, and told of here as they come."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

import vaecodec
from vaecodec.cli.console import Console
from vaecodec.cli.exits import EXPECTED, Exit, Fatal
from vaecodec.cli.jobs import STDIO, Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.progress import progress_of
from vaecodec.cli.results import Outcome, Record, Results
from vaecodec.cli.run import Runner, Task, attempt, chains_of, kept_warnings, outcomes_of
from vaecodec.errors import BackendError, InputError
from vaecodec.files import is_special
from vaecodec.urls import is_url

Chain = Sequence[tuple[int, Job]]
"""Jobs with their numbers that have one output."""

SHARES = 16
"""Parts of the work that each CPU gets, about: the last ones are small, so that all end at the same time."""
MOST_PIXELS = 200_000_000
"""Pixels of several images that are given away at once: what a worker that dies has to be made again."""
BYTES_TO_PIXELS = 4
"""Pixels a byte of a photograph, about: of an object its size alone is known before it is read."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster. address: of one that runs; None: what RAY_ADDRESS names, or one of this machine's cores.

    most_actors: None: as many as there are CPUs (or GPUs) for, also of nodes that are added during the run.
    """

    address: str | None = None
    most_actors: int | None = None

    @classmethod
    def of_options(cls, engine: str, address: str | None) -> Cluster | None:
        """The cluster of these options; None for the engine "local". Raises UsageError."""
        if engine == "local":
            if address is not None:
                message = "--address is that of a cluster: give --engine ray, too."
                raise click.UsageError(message)
            return None
        context = click.get_current_context()
        is_given = context.get_parameter_source("jobs") is not click.core.ParameterSource.DEFAULT
        return cls(address, context.params["jobs"] if is_given else None)

    @staticmethod
    def check(jobs: Sequence[Job], *, deletes: bool) -> None:
        """Raises UsageError for what cannot be done elsewhere."""
        if deletes:
            message = "--delete-original and --engine ray cannot be combined."
            raise click.UsageError(message)
        if any(STDIO in (job.source, job.output) for job in jobs):
            message = "--engine ray reads and writes files and URLs, not '-'."
            raise click.UsageError(message)

    @staticmethod
    def machine(machine: Machine) -> Machine:
        """What an actor runs on: one thread, where nothing else is said."""
        return replace(machine, threads=machine.threads or 1)

    def run(
        self, jobs: Sequence[Job], task: Task, console: Console, machine: Machine, *, overwrite: bool = False
    ) -> Results:
        """Do the work on every job as `run.run` does, in actors. Raises Fatal where there is no cluster."""
        results = Results(len(jobs))
        with (
            console.alone_on_stdout(),
            progress_of(task.verb, jobs, console) as progress,
            kept_warnings() as notes,
            self._connected(),
        ):
            runner = Runner(task, console, progress, notes, results)
            try:
                waiting = [rest for rest in (_not_made(chain, runner, overwrite) for chain in chains_of(jobs)) if rest]
                for number, outcome in self._outcomes(waiting, task.work, machine):
                    if number not in results.outcomes:
                        runner.finish(number, outcome)
                message = "the workers that had it died or failed, Ray's logs say why; --resume tries again"
                for number, job in ((number, job) for chain in waiting for number, job in chain):
                    if number not in results.outcomes:
                        runner.finish(number, Outcome(job, failure=(Exit.BACKEND, message)))
            except KeyboardInterrupt:
                results.stop = Exit.INTERRUPTED
            except SystemExit as stop:
                results.stop = Exit(int(stop.code or 0))
        return results

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Joins the cluster, or starts one. Raises Fatal."""
        try:
            import ray
        except ImportError as error:
            message = "--engine ray needs Ray: pip install 'vaecodec[ray]'"
            raise Fatal(BackendError(message)) from error
        if ray.is_initialized():
            yield
            return
        options: dict[str, Any] = {} if self.address or "RAY_ADDRESS" in os.environ else {"include_dashboard": False}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Ray's words to its own developers
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (OSError, ValueError, RuntimeError) as error:
            message = f"no Ray cluster at {self.address or 'this machine'}: {error}"
            raise Fatal(BackendError(message)) from error
        try:
            yield
        finally:
            ray.shutdown()

    def _outcomes(
        self, chains: Sequence[Chain], work: Callable[[Job], Record], machine: Machine
    ) -> Iterator[tuple[int, Outcome]]:
        if not chains:
            return
        import ray

        from vaecodec.ray import MOST_RETRIES, actors

        weights = [sum(_pixels(job) for _, job in chain) for chain in chains]
        room = _room(ray.cluster_resources(), machine)
        parts = bundles(weights, room)
        jobs = {number: job for chain in chains for number, job in chain}
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what dies and what is lost is said by the run
        blocks = ray.data.from_arrow([_table([chains[number] for number in part]) for part in parts])
        blocks.context.max_errored_blocks = -1
        is_local = any(not is_url(name) for job in jobs.values() for name in (job.source, str(job.output)))
        settings = {"work": work, "folder": str(Path.cwd()) if is_local else None, "version": vaecodec.__version__}
        results = blocks.map_batches(
            Actor, fn_constructor_kwargs=settings, batch_format="pyarrow", batch_size=None,
            compute=actors(None if self.most_actors is None else (1, self.most_actors), first=min(room, len(parts))),
            num_cpus=machine.threads, num_gpus=1 if machine.device.startswith("cuda") else 0,
            max_task_retries=MOST_RETRIES,
        )  # fmt: skip
        try:
            for table in results.iter_batches(batch_format="pyarrow", batch_size=None, prefetch_batches=0):
                for row in table.to_pylist():
                    yield row["number"], _outcome(jobs[row["number"]], json.loads(row["outcome"]))
        except ray.exceptions.RayError as error:
            raise Fatal(BackendError(f"the Ray cluster failed: {_first_line(error)}")) from error


def _room(resources: dict[str, float], machine: Machine) -> int:
    """How many actors the cluster has room for now."""
    if machine.device.startswith("cuda"):
        return max(1, int(resources.get("GPU", 1)))
    return max(1, int(resources.get("CPU", 1)) // (machine.threads or 1))


def _not_made(chain: Chain, runner: Runner, overwrite: bool) -> list[tuple[int, Job]]:
    """What of a chain is to be done elsewhere: an output that is there already, or cannot be made, is told of here."""

    def is_free(job: Job) -> Record:
        job.check_source()
        job.check_output(overwrite=overwrite)
        return {}

    local = replace(runner.task, work=is_free)
    for place, (number, outcome) in enumerate(outcomes_of(chain, lambda job: attempt(job, local, runner.notes))):
        if outcome.record is not None and not outcome.skipped:
            return list(chain[place:])
        runner.finish(number, outcome)
    return []


def _pixels(job: Job) -> int:
    """How much work an image is; 1 where that is not to be seen without reading it."""
    from vaecodec.cli.image_files import size_of

    if job.source_state is not None:
        return BYTES_TO_PIXELS * job.source_state.size
    if is_url(job.source) or is_special(Path(job.source)):
        return 1
    try:
        width, height = size_of(job.source)
    except EXPECTED:
        return 1  # the worker says why
    return width * height


def bundles(weights: Sequence[int], workers: int) -> list[list[int]]:
    """Numbers of things in bundles of about equal weight, the heaviest things first.

    A bundle of several things weighs at most a worker's share divided by `SHARES`, and at most `MOST_PIXELS`.
    """
    most = min(MOST_PIXELS, max(1, sum(weights) // (SHARES * max(1, workers))))
    parts: list[list[int]] = []
    room = 0
    for number in sorted(range(len(weights)), key=lambda number: -weights[number]):
        if not parts or weights[number] > room:
            parts.append([])
            room = most
        parts[-1].append(number)
        room -= weights[number]
    return parts


def _table(chains: Sequence[Chain]) -> Any:
    """The jobs of several chains as an Arrow table; names are bytes, since not all are text."""
    import pyarrow

    rows = [(number, place, job) for place, chain in enumerate(chains) for number, job in chain]
    return pyarrow.table(
        {
            "number": pyarrow.array([number for number, _, _ in rows], pyarrow.int64()),
            "chain": pyarrow.array([place for _, place, _ in rows], pyarrow.int64()),
            "source": pyarrow.array([os.fsencode(job.source) for *_, job in rows], pyarrow.binary()),
            "output": pyarrow.array([os.fsencode(str(job.output)) for *_, job in rows], pyarrow.binary()),
        }
    )


class Actor:
    """What runs in a worker: takes tables of jobs, returns tables of what became of them.

    work: of the task. folder: the one that names are relative to. version: of the vaecodec that asks.
    """

    def __init__(self, work: Callable[[Job], Record], folder: str | None, version: str) -> None:
        self._task = Task(work, "")
        self._fault = None if version == vaecodec.__version__ else f"it has vaecodec {vaecodec.__version__}"
        if folder is not None:
            try:
                os.chdir(folder)
            except OSError as error:
                self._fault = f"{folder}: {error.strerror}"

    def __call__(self, table: Any) -> Any:
        """Do the jobs of one table."""
        import pyarrow
        import ray

        worker = f"{ray.get_runtime_context().get_node_id()[:8]}/{os.getpid()}"
        chains: dict[int, list[tuple[int, Job]]] = {}
        for row in table.to_pylist():
            job = Job(os.fsdecode(row["source"]), os.fsdecode(row["output"]))
            chains.setdefault(row["chain"], []).append((row["number"], job))
        rows = [row for chain in chains.values() for row in self._rows(chain, worker)]
        numbers, outcomes = zip(*rows, strict=True)
        return pyarrow.table(
            {"number": pyarrow.array(numbers, pyarrow.int64()), "outcome": pyarrow.array(outcomes, pyarrow.string())}
        )

    def _rows(self, chain: Chain, worker: str) -> Iterator[tuple[int, str]]:
        if self._fault is not None:
            for number, _ in chain:
                yield number, json.dumps({"fatal": [int(Exit.BACKEND), f"worker {worker}: {self._fault}"]})
            return
        with kept_warnings() as notes:
            try:
                for number, outcome in outcomes_of(chain, lambda job: attempt(job, self._task, notes)):
                    record = None if outcome.record is None else {**outcome.record, "worker": worker}
                    facts = {"record": record, "failure": outcome.failure, "notes": outcome.notes}
                    yield number, json.dumps(facts)
            except Fatal as error:
                yield chain[0][0], json.dumps({"fatal": [int(error.exit_code), str(error)]})


def _outcome(job: Job, facts: dict[str, Any]) -> Outcome:
    """What a worker says of a job. Raises Fatal where that holds for all of them."""
    if "fatal" in facts:
        code, message = facts["fatal"]
        fatal = Fatal(InputError(message))
        fatal.exit_code = Exit(code)
        raise fatal
    failure = None if facts["failure"] is None else (Exit(facts["failure"][0]), facts["failure"][1])
    return Outcome(job, facts["record"], failure, notes=facts["notes"])


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
