"""Bjontegaard deltas of measured codecs: how many bytes a codec saves against an anchor at equal quality.

The formula is `vaecodec.metrics.bd_rate`. Convention: a mean curve holds, per quality setting, the mean of bpp and the
mean of the metric (dB for MS-SSIM) over the images, as published curves do; `bd_rate` of two mean curves is the number
quoted in papers. The mean of the per-image BD-rates is another number; reports give both.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from vaecodec import metrics
from vaecodec.metrics import Point, ms_ssim_db

# Below this share of the joint metric range a BD-rate says little about the rest of the curve.
SMALL_OVERLAP = 0.5


class SmallOverlapWarning(UserWarning):
    """The curves share only a small part of their quality range."""


def bd_rate(anchor_points: Sequence[Point], test_points: Sequence[Point]) -> float:
    """The percentage of `metrics.bd_rate`; warns (SmallOverlapWarning) where the overlap is small."""
    result = metrics.bd_rate(anchor_points, test_points)
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
    """One image's points by quality setting, higher is better; points without a finite metric are left out."""
    points = {}
    for quality, size, value in zip(columns["quality"], columns["bytes"], columns[metric], strict=True):
        if quality is None or size is None or value is None:
            continue
        points[quality] = (8 * size / pixels, scale(metric, value))
    return points


def scale(metric: str, value: float) -> float:
    """A metric as curves show it: MS-SSIM in dB, Butteraugli's distance negative."""
    if metric == "ms-ssim":
        return ms_ssim_db(value)
    return -value if metric == "butteraugli" else value
