"""Bjontegaard deltas of measured codecs: how many bytes a codec saves against an anchor at equal quality.

The formula is `vaecodec.metrics.bd_rate`. Convention: a mean curve holds, per quality setting, the mean of bpp and the
mean of the metric over the images (MS-SSIM: the mean of its values, then in dB), as published curves do; `bd_rate` of
two mean curves is the number quoted in papers. The mean of the per-image BD-rates is another number; reports give both.

In a table all codecs stand over one interval of quality (`INTERVALS`): over whatever each pair of curves covers, a
codec that starts lower is compared where others never are, and one with fewer settings elsewhere than with more.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from vaecodec import metrics
from vaecodec.metrics import BdRate, Point, ms_ssim_db, rising

# Below this share of its range a BD-rate says little about the rest of it.
SMALL_OVERLAP = 0.5

INTERVALS = {"psnr": (28.5, 41.0), "ms-ssim": (13.0, 25.0), "ssimulacra2": (35.0, 85.0), "butteraugli": (-3.5, -0.6)}
"""The quality over which codecs are compared, from files that look poor to such as look like the image: dB, dB, points,
distance. Of the Kodak images all curves cover it but one, that of `fast-perceptual`, which ends at 38.4 dB."""


def interval_text(metric: str, interval: Sequence[float]) -> str:
    """An interval as tables name it; a distance without the sign that makes more of it better."""
    low, high = map(abs, interval)
    return f"{low:g} to {high:g}{' dB' if metric in ('psnr', 'ms-ssim') else ''}"


class SmallOverlapWarning(UserWarning):
    """The curves share only a small part of their quality range."""


def bd_rate(anchor_points: Sequence[Point], test_points: Sequence[Point]) -> float:
    """The percentage of `metrics.bd_rate`; warns (SmallOverlapWarning) where the overlap is small."""
    result = metrics.bd_rate(anchor_points, test_points)
    if result.overlap < SMALL_OVERLAP:
        text = f"the curves share {result.overlap:.0%} of their range ({result.low:.2f} to {result.high:.2f})"
        warnings.warn(text, SmallOverlapWarning, stacklevel=2)
    return result.percent


def bd_rate_within(anchor: Sequence[Point], test: Sequence[Point], interval: tuple[float, float]) -> BdRate:
    """`metrics.bd_rate` over what an interval of quality and both curves have in common; `overlap` is its share of the
    interval. Raises ValueError as that does."""
    from scipy.interpolate import PchipInterpolator

    whole = metrics.bd_rate(anchor, test)
    low, high = max(interval[0], whole.low), min(interval[1], whole.high)
    if not low < high:
        return BdRate(math.nan, low, high, 0.0)
    integrals = []
    for points in (anchor, test):
        rates, qualities = zip(*rising(points), strict=True)
        integrals.append(PchipInterpolator(qualities, [math.log10(rate) for rate in rates]).integrate(low, high))
    percent = 100 * (10 ** float((integrals[1] - integrals[0]) / (high - low)) - 1)
    return BdRate(percent, low, high, (high - low) / (interval[1] - interval[0]))


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
    curves = [_values(images[name], pixels[name], metric) for name in names]
    if not curves:
        return []
    shared = [quality for quality in curves[0] if all(quality in curve for curve in curves)]
    means = []
    for quality in shared:
        rates, values = zip(*(curve[quality] for curve in curves), strict=True)
        means.append((fmean(rates), scale(metric, fmean(values))))
    return means


def image_points(columns: Mapping[str, Sequence[float | None]], pixels: int, metric: str) -> dict[float, Point]:
    """One image's points by quality setting, higher is better; points without a finite metric are left out."""
    values = _values(columns, pixels, metric)
    return {quality: (rate, scale(metric, value)) for quality, (rate, value) in values.items()}


def _values(columns: Mapping[str, Sequence[float | None]], pixels: int, metric: str) -> dict[float, Point]:
    """One image's points with the metric as it was measured."""
    points = {}
    for quality, size, value in zip(columns["quality"], columns["bytes"], columns[metric], strict=True):
        if quality is None or size is None or value is None:
            continue
        points[quality] = (8 * size / pixels, value)
    return points


def scale(metric: str, value: float) -> float:
    """A metric as curves show it: MS-SSIM in dB, Butteraugli's distance negative."""
    if metric == "ms-ssim":
        return ms_ssim_db(value)
    return -value if metric == "butteraugli" else value
