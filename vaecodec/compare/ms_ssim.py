"""MS-SSIM in PyTorch: how like a decoded image is to its original, at five scales."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

Pixels = NDArray[np.uint8]  # [H, W, 3] RGB

# Wang, Simoncelli and Bovik 2003: the weights of the five scales; the window and constants of SSIM (2004).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SHORTEST_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1


def ms_ssim(original: Pixels, decoded: Pixels) -> float | None:
    """Multi-scale SSIM over RGB, 0..1, mean of the three planes; None where a side is below 161 pixels."""
    if min(original.shape[:2]) < SHORTEST_SIDE:
        return None
    x, y = (torch.from_numpy(p.astype(np.float32)).permute(2, 0, 1)[:, None] for p in (original, decoded))
    result = torch.ones(3)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        last = scale == len(SCALE_WEIGHTS) - 1
        luminance, structure = _ssim_terms(x, y)
        term = (luminance * structure if last else structure).mean(dim=(1, 2, 3))
        result *= term.clamp(min=0) ** weight
        if not last:
            padding = [side % 2 for side in x.shape[2:]]
            x, y = (avg_pool2d(plane, 2, padding=padding) for plane in (x, y))
    return float(result.mean())


def _ssim_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM's luminance term and its contrast-and-structure term, each [3, 1, H - 10, W - 10]."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance, (2 * covariance + C2) / (var_x + var_y + C2)


def _blur(planes: Tensor) -> Tensor:
    """Gaussian window, no padding."""
    at = torch.arange(WINDOW, dtype=torch.float32) - WINDOW // 2
    window = torch.exp(-(at**2) / (2 * SIGMA**2))
    window = window / window.sum()
    return conv2d(conv2d(planes, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
