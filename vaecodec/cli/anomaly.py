"""`vaecodec anomaly`: what is unlike the normal images of a part or surface, and where."""

from __future__ import annotations

import dataclasses
import heapq
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from vaecodec.cli import options, report
from vaecodec.cli.console import Console
from vaecodec.cli.exits import EXPECTED, Fatal
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import extra_job, find_jobs
from vaecodec.cli.results import Record, Results
from vaecodec.cli.run import Task, finish, run, run_page
from vaecodec.cli.sources import Selection
from vaecodec.cli.startup import codec_maker, limit_threads
from vaecodec.levels import DEFAULT_QUALITY, QUALITY_MAX, QUALITY_MIN, quality_to_level
from vaecodec.weights.manifest import DEFAULT_MODEL, manifest

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec import Codec
    from vaecodec.latents.anomalies import AnomalyModel, Fitting, Score
    from vaecodec.latents.anomaly_page import Scored


@click.command(cls=Command)
@click.argument("action", type=click.Choice(["fit", "score"]), metavar="fit|score")
@options.selection("FILE")
@click.option("-o", "--output", metavar="MODEL", help="fit: the model of what is normal, a new file.")
@click.option("--model", "model_name", metavar="MODEL", help="score: the model that fit has made.")
@click.option("--html", metavar="PAGE", help="score: write a page of the images, with maps over them.")
@click.option(
    "--false-alarms", type=options.Number(0, 0.5, closed=True), metavar="R",
    help="fit: the share of normal images that may be above the threshold; 0.05 by default.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(["combined", "distance", "bits", "error"]), metavar="NAME",
    help="fit: combined (default), distance, bits or error; see docs/latents.md.",
)  # fmt: skip
@options.rare(
    "-q", "--quality", type=options.Number(QUALITY_MIN, QUALITY_MAX, closed=True), metavar="Q",
    help=f"fit: at which photos are encoded, {DEFAULT_QUALITY} by default; .vaec files have their own.",
)  # fmt: skip
@options.rare("--weights", metavar="FILE", type=click.Path(path_type=Path), help="Weights of your own, of the codec.")
@options.combined(options.overwrite, options.jobs, options.machine, options.console)
def anomaly(
    action: str,
    selection: Selection,
    output: str | None,
    model_name: str | None,
    html: str | None,
    false_alarms: float | None,
    method: str | None,
    quality: float | None,
    weights: Path | None,
    overwrite: bool,
    jobs: int,
    machine: Machine,
    console: Console,
) -> None:
    """Find what is unlike normal images of a part or surface, and where.

    fit learns from normal images only; score judges others. Both take photos or .vaec files (of one quality), and
    folders with those below. What cannot be read is said and left out.

    \b
    vaecodec anomaly fit good/ -o part.anomaly
    vaecodec anomaly score new/ --model part.anomaly --html page.html
    """
    of_fit = {"-o": output, "--false-alarms": false_alarms, "--method": method, "--quality": quality}
    of_score = {"--model": model_name, "--html": html}
    _refuse(of_score if action == "fit" else of_fit, action)
    needed = _needed(action, output, model_name)
    from vaecodec.cli.indexing import index_suffixes

    sources = find_jobs(dataclasses.replace(selection, recursive=True), index_suffixes())
    limit_threads(machine.threads)
    if action == "fit":
        target = extra_job(needed, "-o", sources, overwrite=overwrite)
        make_codec = codec_maker(weights or DEFAULT_MODEL, machine, jobs=jobs)
        level = quality_to_level(DEFAULT_QUALITY if quality is None else quality)
        fitting = _fitting(method or "combined", level, false_alarms)
        _Fit(sources, fitting, make_codec, overwrite).run(target, jobs, console)
    else:
        page = extra_job(html, "--html", [*sources, Job(needed)], overwrite=overwrite)
        model = _read(needed)
        make_codec = codec_maker(weights or _weights_of(model), machine, jobs=jobs)
        _Scoring(model, make_codec, overwrite, page).run(sources, jobs, console)


def _needed(action: str, output: str | None, model_name: str | None) -> str:
    """The file that an action writes, or takes. Raises UsageError."""
    if action == "fit":
        needed, option = output, "-o MODEL, the file to write"
    else:
        needed, option = model_name, "--model MODEL, a file that fit has made"
    if needed is None:
        message = f"{action} needs {option}."
        raise click.UsageError(message)
    return needed


def _refuse(options: Mapping[str, object], action: str) -> None:
    for option, value in options.items():
        if value is not None:
            message = f"{option} is not for {action}."
            raise click.UsageError(message)


def _fitting(method: str, level: int, false_alarms: float | None) -> Fitting:
    """Raises Fatal for what cannot be fitted."""
    from vaecodec.latents.anomalies import Fitting

    try:
        return Fitting(method, level, false_alarms)
    except EXPECTED as error:
        raise Fatal(error) from error


@dataclass(frozen=True)
class _Fit:
    """The work of `fit`: every image is read, then each is held back, then the model is written."""

    sources: Sequence[Job]
    fitting: Fitting
    make_codec: Callable[[], Codec]
    overwrite: bool

    def run(self, target: Job | None, jobs: int, console: Console) -> NoReturn:
        """Do it all, and leave with the exit code."""
        results = run(self.sources, Task(self._add, "reading"), console, workers=jobs)
        if target is not None and results.stop is None:
            self._hold_back_all(results, jobs, console)
        lines: list[str] = []
        if target is not None and results.stop is None:
            lines = _fit_lines(run_page(target, Task(self._write, "fitting"), console, results))
        finish(results, console, lines)

    def _hold_back_all(self, results: Results, jobs: int, console: Console) -> None:
        added = [outcome.job for outcome in results.ordered if outcome.record is not None]
        if len(added) > 1:
            results.stop = run(added, Task(self._hold_back, "holding back"), console, workers=jobs).stop

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {job.source: number for number, job in enumerate(self.sources)}

    def _add(self, job: Job) -> Record:
        from vaecodec.cli.indexing import opened
        from vaecodec.latents.anomalies import describe

        method, level = self.fitting.method, self.fitting.level
        described = self.fitting.add(
            self._numbers[job.source], lambda: describe(opened(job), self.make_codec(), method, level)
        )
        return {"width": described.size[0], "height": described.size[1]}

    def _hold_back(self, job: Job) -> Record:
        self.fitting.hold_back(self._numbers[job.source])
        return {}

    def _write(self, job: Job) -> Record:
        model = self.fitting.model()
        content = model.to_bytes()
        job.write(content, overwrite=self.overwrite, shown=self.sources)
        return {
            "output": job.output,
            "bytes": len(content),
            "images": len(model.normal),
            "threshold": round(model.threshold, 4),
            "false_alarms": round(model.false_alarms, 4),
        }


def _fit_lines(record: Record | None) -> list[str]:
    if record is None:
        return []
    rate = 100 * float(str(record["false_alarms"]))
    return [
        f"{record['output']}: {record['images']} normal images, threshold {record['threshold']}; "
        f"of normal images to come {rate:.3g} % at most are above it"
    ]


@dataclass(frozen=True)
class _Scoring:
    """The work of `score`. highest: what the page shows, a heap of (score, path, number, image); order: numbers, since
    two entries of one file cannot be compared."""

    model: AnomalyModel
    make_codec: Callable[[], Codec]
    overwrite: bool
    page: Job | None
    highest: list[tuple[float, str, int, Scored]] = field(default_factory=list)
    order: Iterator[int] = field(default_factory=count)

    def run(self, sources: Sequence[Job], jobs: int, console: Console) -> NoReturn:
        """Do it all, and leave with the exit code."""
        results = run(sources, Task(self._work, "scoring", lines=_score_lines), console, workers=jobs)
        lines = [self._summary(results.records)]
        if self.page is not None and results.records and results.stop is None:
            lines += report.page_lines(run_page(self.page, Task(self._make_page, "page"), console, results))
        finish(results, console, lines)

    def _summary(self, records: Sequence[Record]) -> str:
        anomalous = sum(bool(record["anomalous"]) for record in records)
        return (
            f"{anomalous} of {len(records)} images anomalous: above {self.model.threshold:.4g}, "
            f"as {100 * self.model.false_alarms:.3g} % of normal ones are at most"
        )

    def _work(self, job: Job) -> Record:
        from vaecodec.cli.indexing import opened

        item, codec = opened(job), self.make_codec()
        score = self.model.score(item, codec)
        if self.page is not None:
            self._keep(job, score, _picture(item, codec))
        return {
            "score": round(score.value, 4),
            "threshold": round(score.threshold, 4),
            "anomalous": score.is_anomalous,
            "chance": round(score.chance, 4),
            "width": score.size[0],
            "height": score.size[1],
        }

    def _keep(self, job: Job, score: Score, picture: bytes) -> None:
        """For the page, if the score is among the highest."""
        from vaecodec.latents.anomaly_page import MOST, Scored

        path = os.path.abspath(job.source)  # noqa: PTH100 (links stay links)
        entry = (score.value, path, next(self.order), Scored(path, score, picture))
        (heapq.heappush if len(self.highest) < MOST else heapq.heappushpop)(self.highest, entry)

    def _make_page(self, job: Job) -> Record:
        from vaecodec.latents.anomaly_page import anomalies_page

        note = (
            f"Threshold {self.model.threshold:.2f}, from {len(self.model.normal)} normal images: of normal images "
            f"{100 * self.model.false_alarms:.3g} % at most are above it. Red is what is above it; the highest score "
            "first."
        )
        content = anomalies_page("Unlike normal", note, [entry[-1] for entry in self.highest]).encode()
        job.write(content, overwrite=self.overwrite, shown=[Job(entry[1]) for entry in self.highest])
        return {"output": job.output, "bytes": len(content), "images": len(self.highest)}


def _score_lines(record: Record) -> list[str]:
    verdict = "anomalous" if record["anomalous"] else "normal"
    return [f"{record['score']:8.2f}  {verdict:9}  {record['source']}"]


def _read(name: str) -> AnomalyModel:
    from vaecodec.latents.anomalies import read_model

    try:
        return read_model(name)
    except EXPECTED as error:
        raise Fatal(error) from error


def _weights_of(model: AnomalyModel) -> str:
    """The shipped weights whose latents an anomaly model is of; the default where it is none of them."""
    wire_hash = model.model_hash.hex()
    return next((entry.name for entry in manifest() if entry.sha256.startswith(wire_hash)), DEFAULT_MODEL)


def _picture(item: bytes | Image.Image, codec: Codec) -> bytes:
    """A small image for the page; of a .vaec file decoded at the size that is needed."""
    from vaecodec.container import parse_header
    from vaecodec.latents.anomaly_page import PICTURE_SIDE, picture_of

    if not isinstance(item, bytes):
        return picture_of(item)
    header = parse_header(item).header
    longest = max(header.width, header.height)
    reduction = next((each for each in (8, 4, 2) if longest >= each * PICTURE_SIDE), 1)
    return picture_of(codec.decode(item, reduction=reduction))
