"""`python -m bench latents denoising PHOTOS`: what the denoising encoder saves on noisy photographs.

Every photograph gets noise of each kind (a seed an image and kind). Rows of the record are means over the photographs
at one setting: bits per pixel, and PSNR against the clean photograph. Compared are

- `plain`: `base` on the noisy photograph,
- `denoise`: `base` with its denoising encoder, told the noise; `estimated`: left to estimate it,
- `nlm+avif`: OpenCV's non-local means (Buades et al. 2005), then AVIF (speed 6, tuned for PSNR),
- `bm3d+avif`: BM3D (Dabov et al. 2007, the package bm3d), then the same AVIF; for one kind of noise, as it takes the
  better part of a minute an image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from bench import records
from vaecodec.codec import shared_codec
from vaecodec.levels import LEVELS
from vaecodec.metrics import psnr
from vaecodec.weights.manifest import denoiser_of

Pixels = NDArray[np.uint8]

RESULT = records.RESULTS / "latents" / "denoising.json"
WORK = records.ROOT / "build" / "denoising"
MODEL = "base"
LEVEL_STEP = 9
AVIF_QUALITIES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
BM3D_KIND = "gaussian 25"
NLM_STRENGTH, NLM_PATCH, NLM_WINDOW = 0.8, 7, 21
"""Of the noise; chosen on held-out photographs."""
READ_SHARE = 0.3
GRID = 50


@dataclass(frozen=True)
class Noise:
    """Standard deviation in shades of 255; of a sensor (is_shot) at middle gray."""

    sigma: float
    is_shot: bool = False

    @property
    def kind(self) -> str:
        """The name in the record."""
        return f"{'sensor' if self.is_shot else 'gaussian'} {self.sigma:g}"

    def added_to(self, clean: Pixels, seed: int) -> Pixels:
        """The noisy photograph, as 8 bits keep it."""
        rng = np.random.default_rng((seed, int(self.sigma), self.is_shot))
        light = clean / 255
        variance = READ_SHARE**2 + 2 * (1 - READ_SHARE**2) * light if self.is_shot else np.ones_like(light)
        noisy = np.round(clean + self.sigma * np.sqrt(variance) * rng.normal(size=clean.shape))
        return np.clip(noisy, 0, 255).astype(np.uint8)


NOISES = (Noise(10), Noise(15), Noise(25), Noise(50), Noise(25, is_shot=True))


@click.command("denoising")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", type=int, default=None, metavar="N", help="Take so many of PHOTOS.")
@click.option("--bm3d/--no-bm3d", default=True, show_default=True, help=f"Beside BM3D, for {BM3D_KIND}.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Photographs at the same time.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(photos: Path, most: int | None, bm3d: bool, jobs: int, output: Path) -> None:
    """Measure size against quality of noisy photographs, coded plainly, by the denoising encoder, and by classics."""
    paths = photographs(photos, most)
    options = {"photos": len(paths), "bm3d": bm3d, "denoiser": denoiser_of(MODEL).sha256[:8]}
    record = records.header() | {"options": options, "rows": [], "summary": []}
    for noise in NOISES:
        curves = measure(paths, noise, jobs, with_bm3d=bm3d and noise.kind == BM3D_KIND)
        record["rows"] += [{"noise": noise.kind, **row} for rows in curves.values() for row in rows]
        record["summary"].append({"noise": noise.kind, **summary(curves)})
        click.echo(record["summary"][-1])
    records.save(output, record)


Row = dict[str, Any]
Points = dict[tuple[str, int], tuple[float, float]]
"""Bits per pixel and PSNR of one photograph by way and setting."""
Coded = tuple[str, int, int, Pixels]
"""A way, its setting, bytes, and what is decoded."""


def photographs(folder: Path, most: int | None) -> list[Path]:
    """The first of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".png", ".avif"))[:most]


def measure(paths: list[Path], noise: Noise, jobs: int, *, with_bm3d: bool) -> dict[str, list[Row]]:
    """The curve of every way, as rows."""
    ways = partial(_all_ways, noise=noise, with_bm3d=with_bm3d)
    return mean_curves(partial(points_of, noise=noise, ways=ways), paths, jobs, noise.kind)


def mean_curves(task: Callable[[int, Path], Points], paths: list[Path], jobs: int, title: str) -> dict[str, list[Row]]:
    """The means over photographs of what a task, given number and path, finds in each: a way's rows."""
    totals: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for number, points in enumerate(pool.map(task, range(len(paths)), paths)):
            for key, point in points.items():
                totals.setdefault(key, []).append(point)
            click.echo(f"{title}: {number + 1}/{len(paths)}", err=True)
    curves: dict[str, list[Row]] = {}
    for (way, setting), points_of_way in totals.items():
        bpp, quality = np.mean(points_of_way, axis=0).tolist()
        curves.setdefault(way, []).append({"way": way, "setting": setting, "bpp": bpp, "psnr": quality})
    return curves


def points_of(
    number: int, path: Path, noise: Noise, ways: Callable[[vaecodec.Codec, Pixels], Iterator[Coded]]
) -> Points:
    """What becomes of a photograph with noise, by all that `ways` makes of it."""
    with Image.open(path) as opened:
        clean = np.asarray(opened.convert("RGB"))
    noisy, pixels = noise.added_to(clean, number), clean.shape[0] * clean.shape[1]
    coded = ways(shared_codec(MODEL), noisy)
    return {(way, setting): (8 * size / pixels, psnr(clean, shown)) for way, setting, size, shown in coded}


def _all_ways(codec: vaecodec.Codec, noisy: Pixels, noise: Noise, *, with_bm3d: bool) -> Iterator[Coded]:
    for way, denoise in (("plain", None), ("denoise", noise.sigma), ("estimated", "auto")):
        for level in range(0, LEVELS, LEVEL_STEP):
            data = codec.encode(noisy, level=level, mode="neural", denoise=denoise)  # type: ignore[arg-type]
            yield way, level, len(data), codec.decode(data, as_array=True)
    yield from _avif("nlm+avif", _nlm(noisy, noise.sigma))
    if with_bm3d:
        yield from _avif("bm3d+avif", _kept("bm3d", noisy, noise.sigma, _bm3d))


def _avif(way: str, pixels: Pixels) -> Iterator[Coded]:
    for quality in AVIF_QUALITIES:
        out = BytesIO()
        Image.fromarray(pixels).save(out, "AVIF", quality=quality, speed=6, advanced={"tune": "psnr"})
        out.seek(0)
        with Image.open(out) as opened:
            yield way, quality, out.getbuffer().nbytes, np.asarray(opened.convert("RGB"))


def _nlm(noisy: Pixels, sigma: float) -> Pixels:
    import cv2  # opencv-python-headless

    strength = NLM_STRENGTH * sigma
    bgr = np.ascontiguousarray(noisy[..., ::-1])
    smooth: Pixels = cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, NLM_PATCH, NLM_WINDOW)
    return np.ascontiguousarray(smooth[..., ::-1])


def _bm3d(noisy: Pixels, sigma: float) -> Pixels:
    from bm3d import bm3d_rgb

    smooth = np.round(255 * bm3d_rgb(noisy / 255, sigma / 255))
    return np.clip(smooth, 0, 255).astype(np.uint8)


def _kept(name: str, noisy: Pixels, sigma: float, denoise: Callable[[Pixels, float], Pixels]) -> Pixels:
    """What is slow is kept in a folder, by what went in."""
    digest = hashlib.sha256(noisy.tobytes() + f"{noisy.shape} {sigma}".encode()).hexdigest()[:24]
    path = WORK / f"{name}-{digest}.png"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        Image.fromarray(denoise(noisy, sigma)).save(path)
    with Image.open(path) as opened:
        return np.asarray(opened)


def summary(curves: dict[str, list[Row]]) -> Row:
    """What is promised: fewer bytes than plainly at the best PSNR that this reaches, and decibels at equal bytes.

    fewer_bytes: percent, None where the PSNR is not reached. db_against: mean of the difference over the rates, evenly
    by their logarithm, that both ways cover.
    """
    ours, best = curves["denoise"], best_of(curves["plain"])
    others = [way for way in curves if way != "denoise"]
    return {
        "plain_best": best,
        "fewer_bytes": fewer_bytes(ours, best),
        "db_against": {way: _db_against(ours, curves[way]) for way in others},
    }


def best_of(curve: list[Row]) -> Row:
    """Bits per pixel and PSNR where the PSNR is highest."""
    best = max(curve, key=lambda row: float(row["psnr"]))
    return {"bpp": best["bpp"], "psnr": best["psnr"]}


def fewer_bytes(curve: list[Row], point: Row) -> float | None:
    """Percent of the bytes of a point that a curve saves at its PSNR; None where it does not get there."""
    rates, qualities = _rates_and_qualities(curve)
    top = int(np.argmax(qualities)) + 1
    if not qualities[0] <= point["psnr"] <= qualities[top - 1]:
        return 100 * (1 - curve[0]["bpp"] / point["bpp"]) if qualities[0] > point["psnr"] else None
    rate = np.exp(np.interp(point["psnr"], qualities[:top], rates[:top]))
    return float(100 * (1 - rate / point["bpp"]))


def _db_against(curve: list[Row], other: list[Row]) -> float:
    (rates, qualities), (other_rates, other_qualities) = (_rates_and_qualities(rows) for rows in (curve, other))
    grid = np.linspace(max(rates[0], other_rates[0]), min(rates[-1], other_rates[-1]), GRID)
    return float(np.mean(np.interp(grid, rates, qualities) - np.interp(grid, other_rates, other_qualities)))


def _rates_and_qualities(curve: list[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of bits per pixel, rising, and PSNR."""
    points = sorted((float(row["bpp"]), float(row["psnr"])) for row in curve)
    rates, qualities = np.array(points).T
    return np.log(rates), qualities
