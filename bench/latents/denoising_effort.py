"""`python -m bench latents denoising-effort PHOTOS`: what refinement adds to the denoising encoder.

Photographs and noise as in `denoising`, of one kind; compared at the best PSNR that plain coding reaches are

- `denoise`: one pass of the denoising encoder of `base`, told the noise,
- `refined`: its integers refined towards what comes back at the best level.

Only the lowest levels are measured: they lie around that PSNR.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
from PIL import Image

from bench import records
from bench.latents.denoising import LEVEL_STEP, MODEL, Noise, Row, fewer_bytes
from vaecodec.codec import shared_codec
from vaecodec.levels import LEVELS
from vaecodec.metrics import psnr
from vaecodec.refine import PASSES
from vaecodec.weights.manifest import denoiser_of

RESULT = records.RESULTS / "latents" / "denoising-effort.json"
NOISE = Noise(25)
DENOISED_LEVELS = (0, 9, 18)
Point = tuple[str, int, float, float]
"""A way, its level, bits per pixel, PSNR."""


@click.command("denoising-effort")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", type=int, default=None, metavar="N", help="Take so many of PHOTOS.")
@click.option("--effort", type=click.IntRange(min(PASSES), max(PASSES)), default=max(PASSES), show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Photographs at the same time.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(photos: Path, most: int | None, effort: int, jobs: int, output: Path) -> None:
    """Measure what an effort saves on noisy photographs beside one pass of the denoising encoder."""
    paths = sorted(path for path in photos.iterdir() if path.suffix in (".png", ".avif"))[:most]
    options = {"photos": len(paths), "noise": NOISE.kind, "effort": effort, "denoiser": denoiser_of(MODEL).sha256[:8]}
    totals: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for number, points in enumerate(pool.map(partial(_points, effort=effort), range(len(paths)), paths)):
            for way, level, bpp, quality in points:
                totals.setdefault((way, level), []).append((bpp, quality))
            click.echo(f"{number + 1}/{len(paths)}", err=True)
    rows = [_row(way, level, *np.mean(points, axis=0).tolist()) for (way, level), points in totals.items()]
    record = records.header() | {"options": options, "rows": rows, "summary": summary(rows)}
    click.echo(record["summary"])
    records.save(output, record)


def _row(way: str, level: int, bpp: float, quality: float) -> Row:
    return {"way": way, "setting": level, "bpp": bpp, "psnr": quality}


def _points(number: int, path: Path, effort: int) -> list[Point]:
    with Image.open(path) as opened:
        clean = np.asarray(opened.convert("RGB"))
    noisy, codec = NOISE.added_to(clean, number), shared_codec(MODEL)

    def coded() -> Iterator[tuple[str, int, bytes]]:
        for level in range(0, LEVELS, LEVEL_STEP):
            yield "plain", level, codec.encode(noisy, level=level, mode="neural")
        for level in DENOISED_LEVELS:
            yield "denoise", level, codec.encode(noisy, level=level, denoise=NOISE.sigma)
            yield "refined", level, codec.encode(noisy, level=level, denoise=NOISE.sigma, effort=effort)

    pixels = clean.shape[0] * clean.shape[1]
    return [
        (way, level, 8 * len(data) / pixels, psnr(clean, codec.decode(data, as_array=True)))
        for way, level, data in coded()
    ]


def summary(rows: list[Row]) -> Row:
    """Percent of the bytes that each way saves at the best PSNR of plain coding."""
    best = max((row for row in rows if row["way"] == "plain"), key=lambda row: float(row["psnr"]))
    saved = {way: fewer_bytes([row for row in rows if row["way"] == way], best) for way in ("denoise", "refined")}
    return {"plain_best": {"bpp": best["bpp"], "psnr": best["psnr"]}, "fewer_bytes": saved}
