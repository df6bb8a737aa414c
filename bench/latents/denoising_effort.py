"""`python -m bench latents denoising-effort PHOTOS`: what refinement adds to the denoising encoder.

Photographs and noise as in `denoising`, of one kind; compared at the best PSNR that plain coding reaches are

- `denoise`: one pass of the denoising encoder of `base`, told the noise,
- `refined`: its integers refined towards what comes back at the best level.

Only the lowest levels are measured: they lie around that PSNR.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

import vaecodec
from bench import records
from bench.latents.denoising import (
    LEVEL_STEP,
    MODEL,
    Coded,
    Noise,
    Pixels,
    Row,
    best_of,
    fewer_bytes,
    mean_curves,
    photographs,
    points_of,
)
from vaecodec.levels import LEVELS
from vaecodec.refine import PASSES
from vaecodec.weights.manifest import denoiser_of

RESULT = records.RESULTS / "latents" / "denoising-effort.json"
NOISE = Noise(25)
DENOISED_LEVELS = (0, 9, 18)


@click.command("denoising-effort")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", type=int, default=None, metavar="N", help="Take so many of PHOTOS.")
@click.option("--effort", type=click.IntRange(min(PASSES), max(PASSES)), default=max(PASSES), show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Photographs at the same time.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(photos: Path, most: int | None, effort: int, jobs: int, output: Path) -> None:
    """Measure what an effort saves on noisy photographs beside one pass of the denoising encoder."""
    paths = photographs(photos, most)
    options = {"photos": len(paths), "noise": NOISE.kind, "effort": effort, "denoiser": denoiser_of(MODEL).sha256[:8]}
    task = partial(points_of, noise=NOISE, ways=partial(_ways, effort=effort))
    curves = mean_curves(task, paths, jobs, NOISE.kind)
    rows = [row for curve in curves.values() for row in curve]
    record = records.header() | {"options": options, "rows": rows, "summary": summary(curves)}
    click.echo(record["summary"])
    records.save(output, record)


def _ways(codec: vaecodec.Codec, noisy: Pixels, effort: int) -> Iterator[Coded]:
    def coded() -> Iterator[tuple[str, int, bytes]]:
        for level in range(0, LEVELS, LEVEL_STEP):
            yield "plain", level, codec.encode(noisy, level=level, mode="neural")
        for level in DENOISED_LEVELS:
            yield "denoise", level, codec.encode(noisy, level=level, denoise=NOISE.sigma)
            yield "refined", level, codec.encode(noisy, level=level, denoise=NOISE.sigma, effort=effort)

    for way, level, data in coded():
        yield way, level, len(data), codec.decode(data, as_array=True)


def summary(curves: dict[str, list[Row]]) -> Row:
    """Percent of the bytes that each way saves at the best PSNR of plain coding."""
    best = best_of(curves["plain"])
    return {"plain_best": best, "fewer_bytes": {way: fewer_bytes(curves[way], best) for way in ("denoise", "refined")}}
