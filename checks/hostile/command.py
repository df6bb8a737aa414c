"""`python -m checks hostile`: thousands of images that are no plain photographs, through all models.

Work goes in chunks of images, each with one model, in as many processes as told; a chunk that is done is kept in
--work, and not done again by the same code with the same weights. The record is written every minute: a run that is
cut off leaves one of what it covered.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
from PIL import Image as PillowImage
from PIL import ImageDraw
from rich.progress import Progress

from bench.records import RESULTS, ROOT, Record, header, load, save
from checks.hostile.canvas import MissingError
from checks.hostile.edited import Photographs
from checks.hostile.jpeg import JpegLadder
from checks.hostile.kinds import KINDS, SEED, Drawn, Gallery
from checks.hostile.measure import (
    COLUMNS,
    LARGEST_DIFFERENCE,
    LARGEST_LOSS,
    WEBP_ALLOWANCE,
    Row,
    decode_all,
    encode_all,
    measure,
)
from vaecodec.weights.manifest import entry_by_name, manifest

COUNT = 5_022
"""162 of each kind."""
QUALITIES = (5.0, 30.0, 60.0, 80.0, 95.0)
LEAST_GOOD = 0.95
"""Share that neural coding alone must bring to JPEG's quality."""
CHUNK = 62
CODE = ("vaecodec", "kernels", "checks/hostile")
WORST_SHOWN = 40
CELL = 260
BETWEEN_RECORDS = 60.0
"""Seconds."""


@dataclass(frozen=True)
class Task:
    """Some images with one model; `path` is where the rows go."""

    photographs: Path
    seed: int
    work: Path
    numbers: tuple[int, ...]
    model: str
    qualities: tuple[float, ...]

    @property
    def path(self) -> Path:
        return self.work / "rows" / f"{Path(self.model).stem}-{self.seed}-{self.numbers[0]:06}.json"

    @property
    def key(self) -> Record:
        """What the rows depend on."""
        weights = Path(self.model).name if self.model.endswith(".safetensors") else entry_by_name(self.model).sha256
        return {
            "code": code_digest(),
            "weights": weights,
            "numbers": list(self.numbers),
            "qualities": list(self.qualities),
        }

    def stored(self) -> list[Row] | None:
        record = load(self.path)
        return rows_of(record["rows"]) if record.get("key") == self.key else None


@functools.cache
def code_digest() -> str:
    """SHA-256 of all code that the rows depend on."""
    paths = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def run_task(task: Task) -> list[Row]:
    """Draw, measure, keep."""
    drawn = chunk_of(task.photographs, task.seed, task.work, task.numbers)
    images, ladders = [one for one, _ in drawn], [ladder for _, ladder in drawn]
    rows = [row for quality in task.qualities for row in measure(images, ladders, task.model, quality)]
    save(task.path, {"key": task.key, "rows": as_columns(rows)})
    return rows


@functools.lru_cache(maxsize=1)
def chunk_of(photographs: Path, seed: int, work: Path, numbers: tuple[int, ...]) -> list[tuple[Drawn, JpegLadder]]:
    """The images of a chunk: drawn once for all models."""
    gallery = Gallery(seed, Photographs(photographs), work / "sheets")
    drawn = [gallery.image(number) for number in numbers]
    return [(one, JpegLadder(one.pixels)) for one in drawn]


def run_all(chunks: Sequence[Sequence[Task]], jobs: int) -> Iterator[list[Row]]:
    """The rows of each task, in any order; chunks are shared among processes."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        futures = [pool.submit(run_chunk, chunk) for chunk in chunks]
        try:
            for future in as_completed(futures):
                yield from future.result()
        finally:  # interrupted, it would else go on to the end
            pool.shutdown(cancel_futures=True)


def run_chunk(tasks: Sequence[Task]) -> list[list[Row]]:
    """The rows of the same images with each model."""
    return [task.stored() or run_task(task) for task in tasks]


def as_columns(rows: Sequence[Row]) -> Record:
    return {name: [getattr(row, name) for row in rows] for name in COLUMNS}


def rows_of(columns: Record) -> list[Row]:
    return [Row(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


# Verdicts


def verdicts(rows: Sequence[Row]) -> dict[str, tuple[bool, str]]:
    """Each promise: whether it holds, and the figures."""
    good = [row for row in rows if not row.failure]
    compared = [row for row in good if row.margin is not None]
    held = 1 - _count(rows, "is_bad", failed=True) / max(1, len(rows))
    without = 1 - _count(rows, "is_bad_without_tables", failed=True) / max(1, len(rows))
    most = max((row.difference for row in good), default=0)
    promises = {
        "decodable": (len(good) == len(rows), f"{len(rows) - len(good)} of {len(rows)} are not"),
        "finite": (all(row.finite for row in rows), f"{sum(not row.finite for row in rows)} of {len(rows)} are not"),
        f"float32 and bfloat16 within {LARGEST_DIFFERENCE} levels": (
            most <= LARGEST_DIFFERENCE,
            f"{sum(row.difference > LARGEST_DIFFERENCE for row in good)} are not; the largest difference is {most}",
        ),
        f"neural alone at most {LARGEST_LOSS:g} dB below JPEG for {LEAST_GOOD:.0%}": (
            held >= LEAST_GOOD,
            f"{held:.2%}; no JPEG was as small as {len(good) - len(compared)} files; "
            f"{without:.2%} if JPEG's headers and tables cost nothing",
        ),
    }
    bad, large = _count(rows, "is_bad_in_auto", failed=True), _count(rows, "is_larger_than_webp")
    promises[f"auto at most {LARGEST_LOSS:g} dB below JPEG for all"] = (
        bad == 0,
        f"{bad} of {len(rows)} are further below",
    )
    promises[f"auto at most {WEBP_ALLOWANCE} bytes above lossless WebP"] = (
        large == 0,
        f"{large} of {len(rows)} are larger",
    )
    return promises


def _count(rows: Sequence[Row], name: str, *, failed: bool = False) -> int:
    return sum(bool(getattr(row, name)) or (failed and bool(row.failure)) for row in rows)


def table(rows: Sequence[Row], by: str) -> list[str]:
    """One line for each kind, model or quality."""
    lines = [
        f"| {by} | files | undecodable | not finite | over {LARGEST_DIFFERENCE} levels (most) | below JPEG "
        "| (tables free) | auto below JPEG | worst margin | worst block |",
        "|---" * 10 + "|",
    ]
    groups = list(dict.fromkeys(getattr(row, by) for row in rows))
    for group in sorted(groups, key=lambda name: KINDS.index(name) if by == "kind" else groups.index(name)):
        of = [row for row in rows if getattr(row, by) == group]
        good = [row for row in of if not row.failure]
        margins = [row.margin for row in good if row.margin is not None]
        over = sum(row.difference > LARGEST_DIFFERENCE for row in good)
        auto = f"{_count(of, 'is_bad_in_auto')}" if any(row.auto_size is not None for row in of) else "-"
        worst = f"{min(margins):.1f} dB" if margins else "-"
        block = max((row.worst_block for row in good), default=0.0)
        cells = [
            group, len(of), len(of) - len(good), sum(not row.finite for row in of),
            f"{over} ({max((row.difference for row in good), default=0)})", _count(good, "is_bad"),
            _count(good, "is_bad_without_tables"), auto, worst, f"{block:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def coverage(rows: Sequence[Row], files: int) -> Record:
    """What the rows are of. files: how many were to be."""
    return {
        "images": len({row.number for row in rows}),
        "models": len({row.model for row in rows}),
        "qualities": len({row.quality for row in rows}),
        "files": len(rows),
        "complete": len(rows) == files,
    }


def as_record(rows: Sequence[Row], options: dict[str, Any], files: int) -> Record:
    """The verdicts, the tables' figures and the worst files, with what was run on which machine.

    files: how many a whole run has; fewer did not pass.
    """
    promises, covered = verdicts(rows), coverage(rows, files)
    worst = sorted(rows, key=_badness)[:WORST_SHOWN]
    return {
        **header(),
        **options,
        "covered": covered,
        "passed": covered["complete"] and all(holds for holds, _ in promises.values()),
        "verdicts": {name: {"holds": holds, "figures": figures} for name, (holds, figures) in promises.items()},
        "by kind": table(rows, "kind"),
        "by model": table(rows, "model"),
        "by quality": table(rows, "quality"),
        "worst": [dict(vars(row)) for row in worst],
    }


def _badness(row: Row) -> tuple[bool, bool, float, float]:
    return not row.failure, row.finite, row.margin if row.margin is not None else 0.0, -row.worst_block


def contact_sheet(rows: Sequence[Row], tasks: Sequence[Task], path: Path) -> None:
    """The worst files: the image, what is decoded of it, and what it is."""
    worst, task = sorted(rows, key=_badness)[:WORST_SHOWN], tasks[0]
    gallery = Gallery(task.seed, Photographs(task.photographs), task.work / "sheets")
    sheet = PillowImage.new("RGB", (4 * CELL, (CELL + 16) * -(-len(worst) // 2)), "gray")
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(worst):
        left, top = 2 * CELL * (place % 2), (CELL + 16) * (place // 2)
        image = gallery.image(row.number).pixels
        [decoded] = decode_all(row.model, "float32", encode_all(row.model, "float32", [image], row.quality))
        for column, pixels in enumerate((image, decoded.value)):
            if pixels is not None:
                sheet.paste(PillowImage.fromarray(pixels), (left + column * CELL, top + 16))
        caption = row.failure or f"{row.psnr:.1f} dB, {row.margin if row.margin is not None else 0:+.1f} to JPEG"
        draw.text((left, top), f"{row.number} {row.kind} {row.model} q{row.quality:g}: {caption}"[:80])
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def shipped() -> tuple[str, ...]:
    """All models."""
    return tuple(entry.name for entry in manifest())


@click.command("hostile")
@click.argument("photographs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--count", default=COUNT, show_default=True, type=click.IntRange(1), help="Images; the kinds take turns.")
@click.option("--model", "models", multiple=True, help="A shipped name or the path of a weights file; default: all.")
@click.option("--quality", "qualities", multiple=True, type=float, default=QUALITIES, show_default=True)
@click.option("--seed", default=SEED, show_default=True, type=click.IntRange(0))
@click.option("--jobs", default=os.cpu_count(), show_default="one a core", type=click.IntRange(1))
@click.option(
    "--work", default=str(ROOT / "build" / "hostile"), show_default="build/hostile", type=click.Path(path_type=Path)
)
@click.option(
    "--out",
    default=str(RESULTS / "hostile.json"),
    show_default="bench/results/hostile.json",
    type=click.Path(path_type=Path),
)
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write an image of the worst ones here.")
def main(
    photographs: Path,
    count: int,
    models: tuple[str, ...],
    qualities: tuple[float, ...],
    seed: int,
    jobs: int,
    work: Path,
    out: Path,
    sheet: Path | None,
) -> None:
    """Code text, screens, drawings, codes, patterns, noise and edited PHOTOGRAPHS; exit code 1 for a broken promise.

    Every file must decode, to finite numbers, alike in float32 and bfloat16, and be no worse than JPEG of its size.
    """
    models = models or shipped()
    numbers = [tuple(range(first, min(first + CHUNK, count))) for first in range(0, count, CHUNK)]
    chunks = [[Task(photographs, seed, work, chunk, model, qualities) for model in models] for chunk in numbers]
    options = {"count": count, "seed": seed, "models": list(models), "qualities": list(qualities)}
    files = count * len(models) * len(qualities)
    rows: list[Row] = []

    def keep() -> Record:
        rows.sort(key=lambda row: (row.number, models.index(row.model), row.quality))
        record = as_record(rows, options, files)
        save(out, record)
        return record

    written = time.monotonic()
    try:
        with Progress(disable=not sys.stderr.isatty()) as progress:
            bar = progress.add_task("hostile", total=len(chunks) * len(models))
            for part in run_all(chunks, jobs):
                rows += part
                progress.advance(bar)
                if time.monotonic() > written + BETWEEN_RECORDS:
                    keep()
                    written = time.monotonic()
    except MissingError as error:
        raise click.ClickException(str(error)) from error
    record = keep()
    for by in ("kind", "model", "quality"):
        click.echo("\n".join([*table(rows, by), ""]))
    for name, verdict in record["verdicts"].items():
        click.echo(f"{'holds ' if verdict['holds'] else 'BROKEN'} {name}: {verdict['figures']}")
    covered = record["covered"]
    click.echo(f"{covered['images']} images, {covered['models']} models, {covered['qualities']} qualities")
    if sheet is not None:
        contact_sheet(rows, chunks[0], sheet)
    sys.exit(0 if record["passed"] else 1)


if __name__ == "__main__":
    main(prog_name="python -m checks hostile")
