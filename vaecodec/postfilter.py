"""Which post filter a picture is worth: weights chosen together for the bits they take and the error they leave.

The error that is left is a quadratic form of the weights, known from the sums of products of second differences with
each other and with the error: least squares, as AV1 fits its Wiener filters. Weights are whole numbers and cost bits,
so from the rounded solution on each in turn becomes what makes bits plus worth * error least (coordinate descent).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaecodec.container import PostFilter, weight_bits
from vaecodec.container.postfilter import TO_RGB, TO_YCOCG, WEIGHT_MAX, WEIGHTS
from vaecodec.metrics import squared_error
from vaecodec.runtime.cpu.postfilter import bands, second_differences
from vaecodec.runtime.windows import Pixels

SHIFTS = (6, 7, 8)
"""Tried, finer for more bits."""
MOST_AMPLIFICATION = 4.0
"""Decoders that compute in other types differ by a level or two; a filter must not make many of them. At 4 nearly all
of the gain is left (at 3 images that are no photographs lose a third of it), and hostile files stay 3 levels apart."""
SHARES = (1.0, 0.8, 0.64, 0.5, 0.4, 0.32, 0.25, 0.2, 0.16)
"""Of the filter of least error: half of it takes three quarters of the error that the whole takes."""
SECTION_BITS = 8 * 9
"""What a section costs before its first weight."""
_SWEEPS = 8
_TINY = 1e-100


@dataclass(frozen=True)
class _LeastSquares:
    """The error that weights w [108] leave is that of none plus w products w - 2 aims w; `weights` leave the least."""

    products: NDArray[np.float64]
    aims: NDArray[np.float64]
    weights: NDArray[np.float64]


def fit_postfilter(
    original: Pixels, decoded: Pixels, worth: float, apply: Callable[[PostFilter], Pixels]
) -> PostFilter | None:
    """The filter that brings a decoded picture closest to the original, both uint8 [H, W, 3]; None where none pays.

    worth: bits that a unit of squared error, summed over pixels and colours, may cost. apply: filters `decoded`.
    """
    problem = _least_squares(original, decoded)
    filters = [_within(problem, worth, shift) for shift in SHIFTS]
    before, left = worth * squared_error(original, decoded), {}
    for postfilter in filters:
        bits = SECTION_BITS + sum(map(weight_bits, postfilter.weights))
        left[postfilter] = bits + worth * squared_error(original, apply(postfilter))
    best = min(filters, key=left.__getitem__)
    return best if left[best] < before else None


def _least_squares(original: Pixels, decoded: Pixels) -> _LeastSquares:
    colours = decoded.shape[2]
    to_ycocg, to_rgb = np.array(TO_YCOCG, np.float32), np.array(TO_RGB, np.float64)
    size = colours * second_differences(decoded, 0, 1).shape[1]
    d_d, d_e = np.zeros((size, size)), np.zeros((size, colours))  # second differences d, error e, over all pixels
    for start, stop in bands(decoded):
        bends = second_differences(decoded, start, stop).reshape(colours, -1).astype(np.float32)
        d = (to_ycocg @ bends).reshape(size, -1)
        e = (original[start:stop].astype(np.float32) - decoded[start:stop]).reshape(-1, colours)
        d_d += d @ d.T
        d_e += d @ e
    products, aims = np.kron(to_rgb.T @ to_rgb, d_d), (d_e @ to_rgb).T.ravel()
    ridge = (1e-9 * products.diagonal().mean() + _TINY) * np.eye(len(aims))  # of a flat picture all products are 0
    return _LeastSquares(products, aims, np.linalg.solve(products + ridge, aims))


def _within(problem: _LeastSquares, worth: float, shift: int) -> PostFilter:
    """The largest share of the filter of least error that amplifies no difference too much."""
    filters = (_cheapest(problem, worth, shift, share) for share in SHARES)
    nothing = PostFilter(shift, (0,) * WEIGHTS)
    return next((each for each in filters if each.amplification <= MOST_AMPLIFICATION), nothing)


def _cheapest(problem: _LeastSquares, worth: float, shift: int, share: float) -> PostFilter:
    """The weights at a shift that make bits + worth * squared error least, near a share of those of least error."""
    unit = 2.0 ** -(shift + 2)
    products, aims = problem.products * unit**2, problem.aims * unit * share
    costs = np.maximum(products.diagonal(), _TINY)
    weights = np.rint(problem.weights / unit * share).clip(-WEIGHT_MAX, WEIGHT_MAX).astype(int)
    slope = aims - products @ weights  # half of what a step of each weight takes from the error
    for _ in range(_SWEEPS):
        before = weights.copy()
        for place, weight in enumerate(weights):
            best = _best(int(weight), float(slope[place]), float(costs[place]), worth)
            slope -= products[:, place] * (best - weight)
            weights[place] = best
        if np.array_equal(weights, before):
            break
    return PostFilter(shift, tuple(map(int, weights)))


def _best(weight: int, slope: float, curvature: float, worth: float) -> int:
    """What a weight becomes, the others as they are: the error changes by step * (step * curvature - 2 * slope)."""
    nearest = round(weight + slope / curvature)
    near = (min(max(nearest + by, -WEIGHT_MAX), WEIGHT_MAX) for by in (-1, 0, 1))

    def cost(value: int) -> float:
        step = value - weight
        return weight_bits(value) + worth * step * (step * curvature - 2 * slope)

    return min(sorted({0, weight, *near}), key=cost)
