"""`encode(denoise=...)`: what noise an image has, and what denoising goes together with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from vaecodec.arguments import check_real
from vaecodec.errors import InputError
from vaecodec.modes import Mode
from vaecodec.networks.config import NOISE_MAX
from vaecodec.noise import estimate_noise
from vaecodec.runtime.windows import Pixels, padded_size

Denoise = float | Literal["auto"]

LEAST_NOISE = 2.0
"""Shades: below it "auto" leaves an image to the usual encoder. Clean photographs are estimated at 0.3 to 1.8."""
NOISE_STEP = 0.5
"""Estimates are rounded to it: an encoder is kept for each strength."""

_VIEWS = ((0, 0), (5, 3), (3, 9), (11, 6), (8, 8), (2, 13), (13, 1), (6, 12))
"""Rows and columns that each of eight views of an image is moved by, against the networks' squares of 16 pixels."""


def check_denoise(denoise: object, mode: Mode, target_psnr: float | None) -> None:
    """Raise InputError for a strength that is none, and for what makes no sense with it."""
    if denoise != "auto" and not 0 < check_real("denoise", denoise) <= NOISE_MAX:
        message = f"denoise is {denoise}; it must be 'auto' or above 0, at most {NOISE_MAX:g} shades of 255"
        raise InputError(message)
    reasons = {
        "lossless": mode == "lossless",
        "target_psnr": target_psnr is not None,  # the noisy image is no reference
    }
    contradictions = [name for name, is_asked in reasons.items() if is_asked]
    if contradictions:
        message = f"denoise and {' and '.join(contradictions)} cannot be combined"
        raise InputError(message)


def strength_of(denoise: Denoise, rgb: Pixels) -> float | None:
    """Standard deviation of the noise to take away, in shades 0..255; None where "auto" sees hardly any."""
    if denoise != "auto":
        return float(denoise)
    sigma = estimate_noise(rgb)
    return None if sigma < LEAST_NOISE else min(round(sigma / NOISE_STEP) * NOISE_STEP, NOISE_MAX)


def mirrored(rgb: Pixels) -> Pixels:
    """An image mirrored at its right and lower edges up to the padded size of the networks.

    They would repeat the last row and column. Those of a noisy image are stripes and no noise, and what a denoising
    encoder makes of strong ones (50 shades) may be anything.
    """
    (height, width), (whole_height, whole_width) = rgb.shape[:2], padded_size(rgb)
    return np.pad(rgb, ((0, whole_height - height), (0, whole_width - width), (0, 0)), mode="symmetric")


def averaged(denoised: Callable[[Pixels], Pixels], rgb: Pixels) -> Pixels:
    """The mean of what a denoiser makes of eight views of an image uint8 [H, W, 3]: better than of one.

    The views are its four turns, plain and mirrored (the self-ensemble of Timofte et al. 2016, arXiv 1511.02228), each
    moved by some pixels. At 25 shades that is worth 0.25 dB, held out; eight more would add 0.02.
    """
    total = np.zeros(rgb.shape, np.uint16)
    for number, (down, right) in enumerate(_VIEWS):
        moved = np.pad(rgb, ((down, 0), (right, 0), (0, 0)), mode="reflect")
        mirror = slice(None, None, 1 if number < len(_VIEWS) // 2 else -1)
        result = denoised(np.ascontiguousarray(np.rot90(moved, number)[:, mirror]))
        total += np.rot90(result[:, mirror], -number)[down:, right:]
    return ((total + len(_VIEWS) // 2) // len(_VIEWS)).astype(np.uint8)
