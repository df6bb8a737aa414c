"""How noisy an image is, from its pixels alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

PATCH_SIDE = 8
MOST_PATCHES = 10_000
LEAST_PATCHES = 400
"""Twice the values of a patch: fewer say nothing about their covariance."""


def estimate_noise(rgb: NDArray[np.uint8]) -> float:
    """The standard deviation of the noise of uint8 [H, W, 3] in shades 0..255, if it is white; 0.0 for tiny images.

    Chen, Zhu and Heng 2015 (ICCV, "An Efficient Statistical Method for Image Noise Level Estimation"): what images show
    fills few of the dimensions of a small patch, noise fills all. So of the eigenvalues of the covariance the smallest
    ones scatter evenly around the variance of the noise: those whose mean is their median.
    """
    patches = _patches(rgb)
    if len(patches) < LEAST_PATCHES:
        return 0.0
    values = np.linalg.eigvalsh(np.cov(patches, rowvar=False))[::-1].clip(0)
    for first in range(len(values)):
        mean = float(values[first:].mean())
        if np.count_nonzero(values[first:] > mean) <= np.count_nonzero(values[first:] < mean):
            continue
        return math.sqrt(mean)
    return 0.0


def _patches(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Patches spread evenly over the image, float32 [count, 3 * PATCH_SIDE^2]."""
    height, width = (side - PATCH_SIDE + 1 for side in rgb.shape[:2])
    if height < 1 or width < 1:
        return np.empty((0, 3 * PATCH_SIDE**2), np.float32)
    count = min(MOST_PATCHES, height * width)
    places = np.linspace(0, height * width - 1, count).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(rgb, (PATCH_SIDE, PATCH_SIDE), axis=(0, 1))
    patches: NDArray[np.float32] = windows[places // width, places % width].reshape(count, -1).astype(np.float32)
    return patches
