"""`python -m checks deleting`: `compress --delete-original`, killed at random moments, loses no photo.

After each kill every photo is still there, byte for byte, or its .vaec file is there, whole, and shows it. In the end
all photos are gone and all files there.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench import records
from bench.records import ROOT
from checks.folders import SAMPLES, SUFFIXES, environment, make_photos

TINY = ROOT / "tests" / "golden" / "tiny-v1.safetensors"
SIDES = "40 to 600 pixels"


@dataclass(frozen=True)
class Outcome:
    """What became of the runs: how many were killed, what they had deleted before each kill, what is lost or wrong."""

    kills: int
    deleted_before_each_kill: list[int]
    both_after_a_kill: int
    """Photos that were there beside their .vaec file after a kill, over all kills: what a resumed run deletes."""
    problems: list[str]
    seconds: float


@click.command()
@click.option("--photos", default=200, show_default=True, help="How many, of mixed sizes.")
@click.option("--kills", default=50, show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option(
    "--model", default=str(TINY), help="A shipped model or a .safetensors file; the tests' tiny one, for speed."
)
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=records.RESULTS / "deleting.json", show_default=True)
def main(photos: int, kills: int, jobs: int, model: str, seed: int, out: Path) -> None:
    """Kill a run that deletes its photos, at random moments: is any photo lost?"""
    with tempfile.TemporaryDirectory() as folder:
        originals = Path(folder) / "originals"
        make_photos(originals, photos, seed, sorted(p for p in SAMPLES.iterdir() if p.suffix in SUFFIXES))
        outcome = run_with_kills(originals, Path(folder), kills=kills, jobs=jobs, model=model, seed=seed)
    options = {"photos": photos, "kills": kills, "jobs": jobs, "model": Path(model).name, "seed": seed, "sides": SIDES}
    records.save(out, records.header() | {"options": options, **asdict(outcome)})
    print(f"{photos} photos, {outcome.kills} kills, {outcome.seconds:.0f} s; deleted before each kill:")
    print(*outcome.deleted_before_each_kill)
    print(*outcome.problems, sep="\n")
    if outcome.problems:
        raise SystemExit(1)
    print("no photo was lost")


def run_with_kills(originals: Path, folder: Path, *, kills: int, jobs: int, model: str, seed: int) -> Outcome:
    """Compress a copy of the photos with --delete-original, killed `kills` times and resumed, then to its end."""
    rng, start, problems = random.Random(seed), time.perf_counter(), []
    photos, out = folder / "photos", folder / "out"
    shutil.copytree(originals, photos)
    total, deleted, both = _count(photos), [], 0
    options = ["-o", str(out), "-j", str(jobs), "--resume", "--delete-original", "--model", model]
    command = [sys.executable, "-m", "vaecodec", "compress", "-r", str(photos), *options]
    for kill in range(kills):
        if not _count(photos):
            break
        _run_until(command, photos, _count(photos) - rng.randint(0, max(1, 2 * _count(photos) // (kills - kill))), rng)
        lost, there_twice = _lost(originals, photos, out, model)
        problems += lost
        both += there_twice
        deleted.append(total - _count(photos))
    if _count(photos):
        ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if ended.returncode:
            problems.append(f"the last run ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    problems += _lost(originals, photos, out, model)[0]
    problems += [f"{path.name} was not deleted" for path in photos.rglob("*.jpg")]
    problems += [f"{path.name} stayed" for path in out.rglob("*.tmp")]
    return Outcome(len(deleted), deleted, both, problems, round(time.perf_counter() - start, 1))


def _run_until(command: list[str], photos: Path, left: int, rng: random.Random) -> None:
    """Run until so many photos are left, and up to 0.1 s more; then kill it as a power failure would."""
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and _count(photos) > left:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()


def _count(photos: Path) -> int:
    return sum(1 for _ in photos.rglob("*.jpg"))


def _lost(originals: Path, photos: Path, out: Path, model: str) -> tuple[list[str], int]:
    """What is lost of the originals, a line for each; and how many photos are there beside their .vaec file."""
    from PIL import Image

    from vaecodec.cli.deleting import compare_pictures
    from vaecodec.codec import shared_codec
    from vaecodec.errors import VaecodecError
    from vaecodec.image import to_picture

    lost, both = [], 0
    for original in originals.rglob("*.jpg"):
        photo, file = (
            photos / original.relative_to(originals),
            out / original.relative_to(originals).with_suffix(".vaec"),
        )
        if photo.exists():
            both += file.exists()
            if photo.read_bytes() != original.read_bytes():
                lost.append(f"{photo.name} has changed")
            continue
        try:
            with Image.open(original) as image:
                compare_pictures(to_picture(image), to_picture(shared_codec(model, "cpu").decode(file)))
        except (VaecodecError, OSError) as error:
            lost.append(f"{photo.name} is lost: {error}")
    return lost, both


if __name__ == "__main__":
    main()
