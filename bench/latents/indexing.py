"""`python -m bench latents index PHOTOS`: processor seconds of `vaecodec index` for small files and for photographs.

Whole commands, each in a fresh process; what one takes for a single file is taken off. One core. And how long a search
takes, in an index of random images.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

import vaecodec
from bench import records
from bench.latents.folders import images_of
from vaecodec.latents.index import Entry, ImageIndex

RESULT = records.RESULTS / "latents" / "index.json"
BATCH = 1024
SIDES = {"thumbnails of 64 pixels": 64, "thumbnails of 128 pixels": 128, "photographs of 768 pixels": 768}


@click.command("index")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", type=int, default=50, show_default=True, metavar="N", help="Take so many of PHOTOS.")
@click.option("--copies", type=int, default=6, show_default=True, metavar="N", help="Files of each that is small.")
@click.option("--searched", type=int, default=20_000, show_default=True, metavar="N", help="Images that are searched.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(photos: Path, most: int, copies: int, searched: int, output: Path) -> None:
    """Measure how long it takes to index .vaec files of PHOTOS."""
    codec = vaecodec.Codec()
    paths = images_of(photos)[:most]
    rows = []
    for title, side in SIDES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name, "files")
            folder.mkdir()
            times = copies if side < 256 else 1
            for path in paths:
                data = codec.encode(_reduced(path, side), 60, mode="neural")
                for copy in range(times):
                    (folder / f"{path.stem}-{copy}.vaec").write_bytes(data)
            rows.append({"files": title} | _measured(folder, Path(name)))
        click.echo(f"{title}: {rows[-1]['files_per_s']:.0f} files a second")
    search = {"images": searched, "seconds": _searched(searched)}
    click.echo(f"a search of {searched} images: {search['seconds']:.2f} s")
    records.save(output, records.header() | {"model": codec.model, "rows": rows, "search": search})


def _reduced(path: Path, side: int) -> Image.Image:
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    photo.thumbnail((side, side), Image.Resampling.LANCZOS)
    return photo


def _measured(folder: Path, place: Path) -> records.Record:
    files = sorted(folder.iterdir())
    _indexed([folder], place / "warm")  # compiles what is not
    start, whole = _indexed([files[0]], place / "one"), _indexed([folder], place / "all")
    return {"count": len(files), "start_s": start, "whole_s": whole, "files_per_s": (len(files) - 1) / (whole - start)}


def _indexed(sources: list[Path], index: Path) -> float:
    """Processor seconds of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "vaecodec", "index", *map(str, sources), "-o", str(index), "--threads", "1"]
    subprocess.run([*command, "--quiet"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _searched(images: int) -> float:
    """Processor seconds of a search, the least of three."""
    rng, times = np.random.default_rng(1), []
    with tempfile.TemporaryDirectory() as name, ImageIndex(Path(name, "index"), create=True) as index:
        for start in range(0, images, BATCH):
            numbers = range(start, min(images, start + BATCH))
            thumbnails = rng.integers(0, 256, (len(numbers), 32, 32, 3)).astype(np.uint8)
            index.add(Entry(str(n), 1, 1, 64, 64, small, b"") for n, small in zip(numbers, thumbnails, strict=True))
        asked = index.entry(1).thumbnail
        for _ in range(3):
            before = time.process_time()
            index.search(asked)
            times.append(time.process_time() - before)
    return min(times)
