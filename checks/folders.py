"""`python -m checks folders`: a folder of photographs, its run killed at random moments and resumed until it is done.

In the end every output must decode, none may be partial, none may have been made twice, and no temporary file may stay.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image

from bench import records
from bench.records import ROOT

SAMPLES = ROOT / "samples"
SIDES = (40, 600)
SUFFIXES = (".avif", ".jpg", ".png")


@dataclass(frozen=True)
class Outcome:
    """What became of a run with interruptions: processes that were killed, outputs, what went wrong."""

    kills: int
    outputs: int
    seconds: float
    problems: list[str]
    made_before_each_kill: list[int]


@click.command()
@click.option("--photos", default=500, show_default=True, help="How many, of mixed sizes.")
@click.option("--kills", default=10, show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option("--model", default="base", show_default=True, help="A shipped model or a .safetensors file.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--from", "origin", type=click.Path(exists=True, file_okay=False, path_type=Path), default=SAMPLES,
    help="A folder of photographs to cut from; the samples unless given.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=records.RESULTS / "folders.json", show_default=True)
def main(photos: int, kills: int, jobs: int, model: str, seed: int, origin: Path, out: Path) -> None:
    """A folder run, killed at random moments and resumed: is everything there, whole, and made once?"""
    with tempfile.TemporaryDirectory() as folder:
        source, out_folder = Path(folder) / "photos", Path(folder) / "out"
        make_photos(source, photos, seed, sorted(path for path in origin.iterdir() if path.suffix in SUFFIXES))
        outcome = run_with_kills(source, out_folder, kills=kills, jobs=jobs, model=model, seed=seed)
    options = {"photos": photos, "kills": kills, "jobs": jobs, "model": model, "seed": seed}
    record = {"options": options, "sides": SIDES, **asdict(outcome)}
    records.save(out, records.header() | record)
    print(f"{outcome.outputs} of {photos} files after {outcome.kills} kills, {outcome.seconds:.0f} s")
    for problem in outcome.problems:
        print(problem)
    if outcome.problems or outcome.outputs != photos:
        raise SystemExit(1)
    print("all decode, none is partial, none was made twice")


def make_photos(
    folder: Path, count: int, seed: int, sources: Sequence[Path] = (SAMPLES / "mountain-lake.jpg",)
) -> None:
    """JPEGs of mixed sizes, cut from the sources in turn, in a tree of folders."""
    rng = random.Random(seed)
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as photo:
            source = photo.convert("RGB")
        width, height = (min(int(np.exp(rng.uniform(*np.log(SIDES)))), side) for side in source.size)
        left, top = rng.randint(0, source.width - width), rng.randint(0, source.height - height)
        path = folder / f"album{number % 7}" / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        source.crop((left, top, left + width, top + height)).save(path, quality=90)


def run_with_kills(source: Path, out: Path, *, kills: int, jobs: int, model: str, seed: int) -> Outcome:
    """Kill the run `kills` times, each time after some more files, then let it end."""
    rng, start, problems = random.Random(seed), time.perf_counter(), []
    total = sum(1 for _ in source.rglob("*.jpg"))
    command = ["compress", "-r", str(source), "-o", str(out), "-j", str(jobs), "--resume", "--model", model]
    done: dict[Path, tuple[int, int]] = {}
    counts: list[int] = []
    for kill in range(kills):
        more = rng.randint(1, max(1, 2 * (total - len(done)) // (kills - kill + 1)))
        _run_until(command, out, len(done) + more, rng.uniform(0, 0.05))
        outputs = states(out)
        problems += [f"{path.name} was made twice" for path, state in done.items() if outputs.get(path) != state]
        counts.append(len(outputs))
        done = outputs
    ended = subprocess.run([sys.executable, "-m", "vaecodec", *command], env=environment(), check=False)
    if ended.returncode:
        problems.append(f"the last run ended with {ended.returncode}")
    outputs = states(out)
    problems += [f"{path.name} was made twice" for path, state in done.items() if outputs.get(path) != state]
    problems += [f"{path.name} stayed" for path in out.rglob("*.tmp")]
    problems += _undecodable(outputs, model)
    return Outcome(kills, len(outputs), round(time.perf_counter() - start, 1), problems, counts)


def _run_until(command: list[str], out: Path, count: int, seconds: float) -> None:
    """Run until there are `count` outputs and some time more, then kill it as a power failure would."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vaecodec", *command], env=environment(), stdout=subprocess.DEVNULL
    )
    while process.poll() is None and len(states(out)) < count:
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()


def states(out: Path) -> dict[Path, tuple[int, int]]:
    """The outputs, and what would change if one were written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*.vaec")}


def _undecodable(paths: dict[Path, tuple[int, int]], model: str) -> list[str]:
    from vaecodec.errors import VaecodecError
    from vaecodec.inspection import verify

    weights, problems = Path(model) if model.endswith(".safetensors") else None, []
    for path in paths:
        try:
            verify(path, model=weights)
        except VaecodecError as error:
            problems.append(f"{path.name}: {error}")
    return problems


def environment() -> dict[str, str]:
    paths = [str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


if __name__ == "__main__":
    main()
