"""Gradients, stripes, checkerboards, noise, flat colours, arrays of extremes, and images of few pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from checks.hostile.canvas import Image, Random, colour, size, two_colours

Shares = NDArray[np.float64]
"""[H, W], 0..1: how much of the second colour."""
LONGEST = 300
"""Pixels of a line of one pixel's width."""


def _mixed(rng: Random, shares: Shares) -> Image:
    """Between two colours; gray in a third of the cases."""
    first, second = (np.array(rgb, np.float64) for rgb in two_colours(rng))
    if rng.random() < 1 / 3:
        first, second = first[:1], second[:1]
    mixed = (first + (second - first) * shares[:, :, None]).round().astype(np.uint8)
    return mixed if mixed.shape[2] == 3 else mixed[:, :, 0]


def _grid(rng: Random) -> tuple[Shares, Shares]:
    """Rows and columns, counted from a random place and turned by a random angle in half of the cases."""
    height, width = size(rng)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else 0.0
    rows, columns = rows + rng.integers(0, 64), columns + rng.integers(0, 64)
    return rows * np.cos(angle) + columns * np.sin(angle), columns * np.cos(angle) - rows * np.sin(angle)


def gradient(rng: Random) -> Image:
    """Linear, round, or both ways at once; repeated in half of the cases, banded in some."""
    rows, columns = _grid(rng)
    shares = (rows, np.hypot(rows, columns), rows * columns)[rng.integers(0, 3)]
    shares = (shares - shares.min()) / max(1e-9, float(np.ptp(shares)))
    if rng.random() < 0.5:
        shares = shares * rng.integers(2, 30) % 1
    if rng.random() < 0.3:
        shares = (shares * 7).round() / 7
    return _mixed(rng, shares)


def stripes(rng: Random) -> Image:
    """Stripes of 1 to 64 pixels, of any share of the period, sharp or sine; sweeps of the frequency, too."""
    rows, _ = _grid(rng)
    period = 2 ** rng.uniform(1, 7)
    phase = rows / period if rng.random() < 0.7 else (rows / rows.max()) ** 2 * len(rows) / 4
    wave = phase % 1
    return _mixed(
        rng,
        (wave < rng.uniform(0.1, 0.9)).astype(np.float64) if rng.random() < 0.7 else (1 + np.sin(2 * np.pi * wave)) / 2,
    )


def checkerboard(rng: Random) -> Image:
    """Cells of 1 to 32 pixels, of unequal sides in half of the cases."""
    rows, columns = _grid(rng)
    sides = rng.choice([1, 1, 2, 3, 4, 5, 7, 8, 16, 32], 2)
    across = sides[1] if rng.random() < 0.5 else sides[0]
    return _mixed(rng, (rows // sides[0] + columns // across) % 2)


def noise(rng: Random) -> Image:
    """Uniform, normal, sparse, or smooth; gray or each colour for itself."""
    height, width = size(rng)
    shape = (height, width, 3) if rng.random() < 0.6 else (height, width)
    kind = rng.integers(0, 4)
    if kind == 0:
        return rng.integers(0, 256, shape, np.uint8)
    if kind == 1:
        return rng.normal(rng.uniform(0, 255), 2 ** rng.uniform(0, 7), shape).round().clip(0, 255).astype(np.uint8)
    if kind == 2:
        return np.where(
            rng.random(shape) < rng.uniform(0.001, 0.3), rng.integers(0, 256, shape), rng.integers(0, 256)
        ).astype(np.uint8)
    walk = rng.normal(0, 1, shape).cumsum(0).cumsum(1)
    return (255 * (walk - walk.min()) / np.ptp(walk)).round().astype(np.uint8)


def flat(rng: Random) -> Image:
    """One colour, or two halves, or one with a single other pixel."""
    height, width = size(rng)
    image = np.full((height, width, 3), colour(rng), np.uint8)
    kind = rng.integers(0, 3)
    if kind == 1:
        image[:, int(rng.integers(0, width)) :] = colour(rng)
    elif kind == 2:
        image[rng.integers(0, height), rng.integers(0, width)] = colour(rng)
    return image


def extremes(rng: Random) -> Image:
    """0 and 255 only: at random, in squares, or the signs of waves, for each colour."""
    height, width = size(rng)
    channels, side, kind = int(rng.choice([1, 3])), int(rng.choice([1, 1, 2, 3, 4, 8])), rng.integers(0, 2)
    if kind == 0:
        shape = (-(-height // side), -(-width // side), channels)
        bits = rng.random(shape).repeat(side, 0).repeat(side, 1)[:height, :width] < rng.uniform(0.02, 0.98)
    else:
        rows, columns = np.mgrid[:height, :width]
        waves = rng.normal(0, 1, (2, 8, channels))
        total = np.sin(rows[:, :, None, None] * waves[0] + columns[:, :, None, None] * waves[1]).sum(2)
        bits = total > 0
    image: Image = (255 * bits).astype(np.uint8)
    return image if channels == 3 else image[:, :, 0]


def few_pixels(rng: Random) -> Image:
    """1 x 1, 1 x N, N x 1, and sides of 1 to 9; any content, extremes in half of the cases."""
    kind = rng.integers(0, 4)
    small, long = (int(side) for side in (rng.integers(1, 10), rng.integers(1, LONGEST)))
    height, width = ((1, 1), (1, long), (long, 1), (small, int(rng.integers(1, 10))))[kind]
    shape = (height, width, 3) if rng.random() < 0.5 else (height, width)
    image = rng.integers(0, 256, shape, np.uint8)
    return image if rng.random() < 0.5 else (image // 128 * 255).astype(np.uint8)
