"""Bjontegaard deltas: how many bytes a codec saves against an anchor at equal quality.

Method: `bjontegaard` package, PCHIP interpolation of log10(rate) over the metric (dB for MS-SSIM),
integrated over the metric interval that both curves cover. Points that cost more and look no better
than another point of the same curve are left out first, as interpolation needs a rising curve.

Convention: a mean curve holds, per quality setting, the mean of bpp and the mean of the metric over the
images (what published curves show); `bd_rate` of two mean curves is the number quoted in papers. The mean
of the per-image BD-rates is another number; reports give both.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.metrics import ms_ssim_db

Point = tuple[float, float]  # (bits per pixel, metric)

METHOD = "pchip"
# Below this share of the joint metric range a BD-rate says little about the rest of the curve.
SMALL_OVERLAP = 0.5


class SmallOverlapWarning(UserWarning):
    """The curves share only a small part of their quality range."""


@dataclass(frozen=True)
class BdRate:
    """A BD-rate in percent (negative: the test codec needs fewer bytes) and what it rests on."""

    percent: float  # NaN where the curves do not overlap
    low: float  # the metric interval integrated over
    high: float
    overlap: float  # that interval over the joint interval of both curves, 0..1
    method: str = METHOD


def rising(points: Iterable[Point]) -> list[Point]:
    """Sort by rate and keep the points that look better than every cheaper one."""
    kept: list[Point] = []
    for rate, quality in sorted(points):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    return kept


def compare(anchor: Sequence[Point], test: Sequence[Point]) -> BdRate:
    """Return the BD-rate of `test` against `anchor`, both as (bpp, metric) points with bpp > 0.

    Raises ValueError when a curve has fewer than four usable points.
    """
    import bjontegaard

    curves = [rising(points) for points in (anchor, test)]
    for name, curve in zip(("anchor", "test"), curves, strict=True):
        if len(curve) < 4:
            message = f"{name}: {len(curve)} usable points, a BD-rate needs at least 4"
            raise ValueError(message)
    low = max(curve[0][1] for curve in curves)
    high = min(curve[-1][1] for curve in curves)
    joint = max(curve[-1][1] for curve in curves) - min(curve[0][1] for curve in curves)
    if high <= low:
        return BdRate(math.nan, low, high, 0.0)
    (anchor_rate, anchor_metric), (test_rate, test_metric) = (zip(*curve, strict=True) for curve in curves)
    percent = bjontegaard.bd_rate(
        anchor_rate, anchor_metric, test_rate, test_metric, METHOD, require_matching_points=False, min_overlap=0
    )
    return BdRate(float(percent), low, high, (high - low) / joint)


def bd_rate(anchor_points: Sequence[Point], test_points: Sequence[Point]) -> float:
    """Return `compare(...).percent`; warns (SmallOverlapWarning) where the overlap is small."""
    result = compare(anchor_points, test_points)
    if result.overlap < SMALL_OVERLAP:
        text = f"the curves share {result.overlap:.0%} of their range ({result.low:.2f} to {result.high:.2f})"
        warnings.warn(text, SmallOverlapWarning, stacklevel=2)
    return result.percent


def mean_curve(
    images: Mapping[str, Mapping[str, Sequence[float | None]]],
    pixels: Mapping[str, int],
    metric: str = "psnr",
    only: Iterable[str] | None = None,
) -> list[Point]:
    """Average (bpp, metric) over images for every quality setting that all of them have.

    `images`: image name -> columns (`quality`, `bytes`, metrics), as the files in bench/results hold them;
    `pixels`: image name -> width * height; `only`: restrict the mean to these images.
    """
    names = sorted(images if only is None else set(images) & set(only))
    curves = [image_points(images[name], pixels[name], metric) for name in names]
    if not curves:
        return []
    shared = [quality for quality in curves[0] if all(quality in curve for curve in curves)]
    means = []
    for quality in shared:
        rates, values = zip(*(curve[quality] for curve in curves), strict=True)
        means.append((fmean(rates), fmean(values)))
    return means


def image_points(columns: Mapping[str, Sequence[float | None]], pixels: int, metric: str) -> dict[float, Point]:
    """One image's points by quality setting; MS-SSIM in dB; points without a finite metric are left out."""
    points = {}
    for quality, size, value in zip(columns["quality"], columns["bytes"], columns[metric], strict=True):
        if quality is None or size is None or value is None:
            continue
        points[quality] = (8 * size / pixels, ms_ssim_db(value) if metric == "ms-ssim" else value)
    return points
