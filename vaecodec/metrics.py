"""How far a decoded image is from its original, and what a codec saves against another: the formulas, once each.

MS-SSIM itself is in `compare.ms_ssim`; SSIMULACRA2 has a package (`bench.metrics`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PEAK = 255
ROWS_AT_ONCE = 64
"""Rows whose differences are held at a time, so that a large image takes no more memory than a small one."""

Point = tuple[float, float]
"""Bits per pixel (or bytes) and quality."""
METHOD = "pchip"
LEAST_POINTS = 4
"""Fewer points make no curve to interpolate."""


def squared_error(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> int:
    """The sum of the squared differences of two uint8 arrays of one shape, exact."""
    total = 0
    for top in range(0, len(original), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        difference = original[rows].astype(np.int32)
        difference -= decoded[rows]
        total += int(np.square(difference, out=difference).sum(dtype=np.int64))
    return total


def block_errors(original: NDArray[np.uint8], decoded: NDArray[np.uint8], block: int) -> NDArray[np.float64]:
    """Mean squared error of each block x block square of two uint8 arrays [H, W] or [H, W, C]: [rows, columns].

    Squares at the right and lower edge are what is left there.
    """
    height, width = original.shape[:2]
    columns = np.arange(0, width, block)
    widths = np.minimum(block, width - columns)
    errors = np.empty((-(-height // block), len(columns)))
    for row, top in enumerate(range(0, height, block)):
        difference = original[top : top + block].astype(np.int32)
        difference -= decoded[top : top + block]
        squares = np.square(difference, out=difference).reshape(*difference.shape[:2], -1)
        sums = np.add.reduceat(squares.sum(axis=(0, 2), dtype=np.int64), columns)
        errors[row] = sums / (widths * len(squares) * squares.shape[2])
    return errors


def psnr_of(error: float, samples: int) -> float:
    """The PSNR in dB of a sum of squared differences over so many samples of 0..255; infinite without an error."""
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 * samples / error)


def psnr(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> float:
    """The PSNR in dB of two uint8 arrays of one shape, over all their samples; infinite for equal ones."""
    return psnr_of(squared_error(original, decoded), original.size)


def ms_ssim_db(value: float) -> float:
    """MS-SSIM 0..1 on the usual logarithmic scale, -10 log10(1 - value), at most 120 dB."""
    return -10 * math.log10(max(1 - value, 1e-12))


@dataclass(frozen=True)
class BdRate:
    """A Bjontegaard delta rate in percent (negative: the test codec needs fewer bytes) and what it rests on.

    low, high: the interval of quality integrated over. overlap: its share, 0..1, of what both curves cover together.
    percent is NaN where the curves do not overlap.
    """

    percent: float
    low: float
    high: float
    overlap: float
    method: str = METHOD


def rising(points: Iterable[Point]) -> list[Point]:
    """The points by rate, without those that look no better than a cheaper one: interpolation needs a rising curve."""
    kept: list[Point] = []
    for rate, quality in sorted(points):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    return kept


def bd_rate(anchor: Sequence[Point], test: Sequence[Point]) -> BdRate:
    """The BD-rate of `test` against `anchor`, (rate, quality) points with rate > 0 (Bjontegaard 2001, VCEG-M33).

    The `bjontegaard` package integrates PCHIP interpolations of log10(rate) over the quality that both curves cover.
    Raises ValueError when a curve has fewer than four rising points, ImportError without the package.
    """
    import bjontegaard

    curves = [rising(points) for points in (anchor, test)]
    for name, curve in zip(("anchor", "test"), curves, strict=True):
        if len(curve) < LEAST_POINTS:
            message = f"{name}: {len(curve)} usable points, a BD-rate needs at least {LEAST_POINTS}"
            raise ValueError(message)
    low = max(curve[0][1] for curve in curves)
    high = min(curve[-1][1] for curve in curves)
    joint = max(curve[-1][1] for curve in curves) - min(curve[0][1] for curve in curves)
    if high <= low:
        return BdRate(math.nan, low, high, 0.0)
    (anchor_rate, anchor_quality), (test_rate, test_quality) = (zip(*curve, strict=True) for curve in curves)
    percent = bjontegaard.bd_rate(
        anchor_rate, anchor_quality, test_rate, test_quality, METHOD, require_matching_points=False, min_overlap=0
    )
    return BdRate(float(percent), low, high, (high - low) / joint)
