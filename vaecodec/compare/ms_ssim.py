"""MS-SSIM in NumPy: how like a decoded image is to its original, at five scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec.image import Pixels

Plane = NDArray[np.float32]  # [H, W]

# Wang, Simoncelli and Bovik 2003: the weights of the five scales; the window and constants of SSIM (2004).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
C1, C2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
SHORTEST_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1


def ms_ssim(original: Pixels, decoded: Pixels) -> float | None:
    """Multi-scale SSIM over RGB, 0..1, mean of the three planes; None where a side is below 161 pixels."""
    if min(original.shape[:2]) < SHORTEST_SIDE:
        return None
    planes = ((original[..., c].astype(np.float32), decoded[..., c].astype(np.float32)) for c in range(3))
    return float(np.mean([_of_planes(x, y) for x, y in planes]))


def _of_planes(x: Plane, y: Plane) -> float:
    result = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        last = scale == len(SCALE_WEIGHTS) - 1
        luminance, structure = _ssim_terms(x, y)
        term = float(np.mean(luminance * structure if last else structure, dtype=np.float64))
        result *= max(term, 0.0) ** weight
        if not last:
            x, y = _halved(x), _halved(y)
    return result


def _ssim_terms(x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """SSIM's luminance term and its contrast-and-structure term, each [H - 10, W - 10]."""
    mean_x, mean_y = _blur(x), _blur(y)
    square_x, square_y, product = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    var_x, var_y, covariance = _blur(x * x) - square_x, _blur(y * y) - square_y, _blur(x * y) - product
    luminance: Plane = (2 * product + C1) / (square_x + square_y + C1)
    structure: Plane = (2 * covariance + C2) / (var_x + var_y + C2)
    return luminance, structure


def _blur(plane: Plane) -> Plane:
    """Gaussian window, no padding."""
    blurred: Plane = _blur_rows(_blur_rows(plane).T).T
    return blurred


def _blur_rows(plane: Plane) -> Plane:
    """The window over the first axis: the two rows at a distance from its middle have one weight."""
    middle, count = WINDOW // 2, len(plane) - WINDOW + 1
    window = np.exp(-(np.arange(-middle, middle + 1) ** 2) / (2 * SIGMA**2))
    weights = (window / window.sum()).astype(np.float32)
    blurred: Plane = plane[middle : middle + count] * weights[middle]
    for k in range(middle):
        pair = plane[k : k + count] + plane[WINDOW - 1 - k : WINDOW - 1 - k + count]
        pair *= weights[k]
        blurred += pair
    return blurred


def _halved(plane: Plane) -> Plane:
    """The means of squares of 2 x 2; a zero before the first row or column of an odd side, as is usual."""
    height, width = plane.shape
    plane = np.pad(plane, ((height % 2, 0), (width % 2, 0)))
    means: Plane = (plane[0::2, 0::2] + plane[1::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 1::2]) * np.float32(0.25)
    return means
