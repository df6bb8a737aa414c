"""Rate-distortion of every codec on a folder of pictures, from real files, resumable.

Each codec has one JSON file under OUT/DATASET; a picture that is already in it, made by the same
version of the codec from the same pixels, is not measured again. A picture that cannot be read fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import click

from bench import kodak
from bench import metrics as metric_module
from bench.codecs import Codec, make
from bench.measure import COLUMNS, FAILURES, Outcome, Row, Task, fingerprint, load_image, measure_image, start_worker
from bench.records import Record, command_line, environment, load, save

FORMAT = 1
EVERY_QUALITY = "all"  # in place of a quality, for what fails before one is tried
SUFFIXES = {".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".jxl", ".jpg", ".jpeg"}


@dataclass(frozen=True)
class Dataset:
    name: str
    paths: tuple[Path, ...]


def dataset_of(where: str) -> Dataset:
    """Return the pictures of a folder, or of the Kodak set for the word `kodak`."""
    folder = kodak.locate() if where == "kodak" else Path(where)
    if folder is None:
        raise click.ClickException(kodak.MISSING)
    if not folder.is_dir():
        message = f"{where}: not a folder (give a folder of pictures, or the word kodak)"
        raise click.ClickException(message)
    paths = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES))
    if not paths:
        message = f"{where}: no pictures in it ({', '.join(sorted(SUFFIXES))})"
        raise click.ClickException(message)
    return Dataset(folder.resolve().name, paths)


def record_path(out: Path, dataset: str, spec: str) -> Path:
    """`vaecodec:base` -> OUT/DATASET/vaecodec-base.json, `vaecodec:base@9` -> vaecodec-base-effort9.json; a path of
    weights gives its stem."""
    family, _, variant = spec.partition(":")
    variant, _, effort = variant.partition("@")
    name = f"{family}-{Path(variant).stem}" if variant else family
    name += f"-effort{effort}" if effort else ""
    return out / dataset / f"{name}.json"


def measure_codec(
    codec: Codec,
    dataset: Dataset,
    out: Path,
    metrics: Sequence[str],
    jobs: int = 1,
    qualities: Sequence[float] | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> Record:
    """Measure what is still missing of one codec and return its whole record.

    Metrics that the record already has are kept up, too. `advance(image name)` is called for every picture that is
    done, also for one found in the file.
    """
    path = record_path(out, dataset.name, codec.name)
    ladder = tuple(qualities or codec.qualities)
    old = load(path)
    metrics = [*metrics, *(name for name in metrics_of(old) if name not in metrics and metric_module.available(name))]
    record = begin(codec, dataset, old, ladder)
    todo = []
    for image in dataset.paths:
        if image.name in record["failures"]:  # cannot be read
            advance(image.name)
            continue
        missing = missing_qualities(record, image.name, ladder, metrics)
        if missing:
            todo.append(Task(codec.name, str(image), missing, tuple(metrics), codec.threads))
        else:
            advance(image.name)
    for task, outcome in run_tasks(todo, jobs):
        add(record, Path(task.path).name, outcome, metrics)
        record |= {"command": command_line(), "made": made_by(codec)}
        save(path, record)
        advance(Path(task.path).name)
    return record


def made_by(codec: Codec) -> Record:
    """The header of a record; other codecs do not depend on this project's weights."""
    header = environment()
    if not codec.name.startswith("vaecodec"):
        del header["weights"]
    return header


def metrics_of(record: Record) -> list[str]:
    """The metrics that some picture of the record was measured with."""
    columns = {name for columns in record.get("rows", {}).values() for name in columns}
    return [name for name in metric_module.TITLES if name in columns]


def begin(codec: Codec, dataset: Dataset, old: Record, ladder: Sequence[float]) -> Record:
    """Return the record to go on with: the old one's pictures where codec and pixels are the same."""
    version = codec.version()
    record: Record = {
        "format": FORMAT,
        "codec": codec.name,
        "title": codec.title,
        "tuned_for": codec.tuned_for,
        "version": version,
        "threads": codec.threads,
        "dataset": dataset.name,
        "command": old.get("command", command_line()),
        "made": old.get("made", made_by(codec)),
        "images": {},
        "rows": {},
        "failures": {},
    }
    reusable = old.get("version") == version and old.get("format") == FORMAT
    for path in dataset.paths:
        try:
            digest = fingerprint(path)
            known = old.get("images", {}).get(path.name, {}) if reusable else {}
            if known.get("sha256") == digest:
                record["images"][path.name] = known
                record["rows"][path.name] = only_ladder(old["rows"].get(path.name, {}), ladder)
                continue
            height, width, _ = load_image(path).shape
        except FAILURES as error:
            record["failures"][path.name] = {EVERY_QUALITY: f"cannot be read: {type(error).__name__}: {error}"}
            continue
        record["images"][path.name] = {"width": width, "height": height, "sha256": digest}
        record["rows"][path.name] = {}
    return record


def only_ladder(columns: Record, ladder: Sequence[float]) -> Record:
    """Drop qualities that are no longer asked for, so that every picture has the same settings."""
    keep = [i for i, quality in enumerate(columns.get("quality", [])) if quality in ladder]
    return {name: [values[i] for i in keep] for name, values in columns.items()}


def missing_qualities(record: Record, name: str, ladder: Sequence[float], metrics: Sequence[str]) -> tuple[float, ...]:
    columns = record["rows"].get(name, {})
    if any(metric not in columns for metric in metrics):
        return tuple(ladder)
    return tuple(quality for quality in ladder if quality not in columns["quality"])


def run_tasks(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Outcome]]:
    """Run the tasks in `jobs` processes; a codec that kills its process fails its own picture only."""
    if not tasks:
        return
    pending = list(tasks)
    executor = pool(jobs, tasks[0].threads)
    try:
        futures = {executor.submit(measure_image, task): task for task in tasks}
        for future in as_completed(futures):
            outcome = future.result()
            pending.remove(futures[future])
            yield futures[future], outcome
    except BrokenProcessPool:
        yield from run_alone(pending)
    finally:
        executor.shutdown(cancel_futures=True)  # after an interruption no more pictures are begun


def run_alone(tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
    """After a crash: a process for each picture, so that the culprit is known by name."""
    for task in tasks:
        try:
            with pool(1, task.threads) as executor:
                yield task, executor.submit(measure_image, task).result()
        except BrokenProcessPool:
            yield task, Outcome(failures={f"{q:g}": "the codec's process died" for q in task.qualities})


def pool(jobs: int, threads: int) -> ProcessPoolExecutor:
    # spawn: torch and numba threads do not survive a fork
    return ProcessPoolExecutor(jobs, get_context("spawn"), initializer=start_worker, initargs=(threads,))


def add(record: Record, name: str, outcome: Outcome, metrics: Sequence[str]) -> None:
    """Merge new rows into a picture's columns, sorted by quality; old failures of the picture are forgotten."""
    columns = record["rows"].get(name, {})
    old: list[Row] = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    fresh = {row["quality"] for row in outcome.rows}
    rows = sorted([row for row in old if row["quality"] not in fresh] + outcome.rows, key=by_quality)
    names = [*COLUMNS, *dict.fromkeys([*(key for key in columns if key not in COLUMNS), *metrics])]
    record["rows"][name] = {key: [row.get(key) for row in rows] for key in names}
    record["failures"].pop(name, None)
    if outcome.failures:
        record["failures"][name] = outcome.failures


def by_quality(row: Row) -> float:
    return row["quality"] or 0.0


def absent(specs: Sequence[str]) -> tuple[list[Codec], dict[str, str]]:
    """Split the codecs into those that run here and those that do not, each with what it needs."""
    present, missing = [], {}
    for spec in specs:
        codec = make(spec)
        if codec.available():
            present.append(codec)
        else:
            missing[spec] = codec.requires
    return present, missing
