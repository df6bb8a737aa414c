"""Held-out evaluation: the codec's operating points with rounded latents, rates from the model's own law, against JPEG.

The law's rates leave out the header and the coder's loss, about 0.5 % together; `vaecodec export` measures real files.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vaecodec import metrics
from vaecodec.levels import MAX_LEVEL
from vaecodec.networks.config import ALIGNMENT
from vaecodec.networks.network import CodecNetwork
from vaecodec.training.loss import Terms, forward_terms

_Image = TypeVar("_Image")

EVAL_LEVELS = (0, 9, 18, 27, 36, 45, 54, 63)
PSNR_OF_EQUALS = 100.0
"""Counted for a crop that comes back unchanged, so that a mean stays finite."""
JPEG_QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 97)


@dataclass(frozen=True)
class Point:
    """Mean over images at one level (JPEG: quality): bits per pixel and PSNR (mean of the images' PSNR, dB)."""

    level: int
    bpp: float
    psnr: float


def centre_crop(image: Tensor, side: int) -> Tensor:
    """uint8 [H, W, 3] -> uint8 [3, h, w], the centre, at most `side`, sides multiples of 64."""
    height = min(image.shape[0], side) // ALIGNMENT * ALIGNMENT
    width = min(image.shape[1], side) // ALIGNMENT * ALIGNMENT
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width].permute(2, 0, 1)


def evaluate(network: CodecNetwork, images: list[Tensor], levels: tuple[int, ...] = EVAL_LEVELS) -> list[Point]:
    """Operating points of `network` on uint8 images [3, H, W] (sides multiples of 64)."""
    device = next(network.parameters()).device

    def terms(image: Tensor, t: Tensor) -> Terms:
        return forward_terms(network, image[None].to(device).float() / 255, t, rounded_rate=True)

    return evaluate_terms(terms, images, levels, device)


@torch.no_grad()
def evaluate_terms(
    terms_at: Callable[[_Image, Tensor], Terms],
    images: Sequence[_Image],
    levels: tuple[int, ...],
    device: torch.device | None = None,
) -> list[Point]:
    """Operating points from the terms of the loss. terms_at: those of an image at t [1], with rounded rates."""
    points = []
    for level in levels:
        bpps, psnrs = [], []
        for image in images:
            terms = terms_at(image, torch.full((1,), level / MAX_LEVEL, device=device))
            bpps.append((terms.bpp_y + terms.bpp_z).item())
            psnrs.append(-10 * torch.log10(terms.mse).item())
        points.append(Point(level, fmean(bpps), fmean(psnrs)))
    return points


def jpeg_points(images: Sequence[Tensor]) -> list[Point]:
    """The anchor: Pillow's JPEG (4:2:0, optimize) on uint8 images [3, H, W], whole files counted."""
    points = []
    for quality in JPEG_QUALITIES:
        bpps, psnrs = zip(*(_jpeg_point(image.permute(1, 2, 0).numpy(), quality) for image in images), strict=True)
        points.append(Point(quality, fmean(bpps), fmean(psnrs)))
    return points


def _jpeg_point(pixels: np.ndarray, quality: int) -> tuple[float, float]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
    decoded = np.asarray(Image.open(buffer))
    return 8 * buffer.getbuffer().nbytes / (pixels.size // 3), min(metrics.psnr(pixels, decoded), PSNR_OF_EQUALS)


def bd_rate(anchor: Sequence[Point], points: Sequence[Point]) -> float | None:
    """Bjontegaard delta rate against `anchor` in percent, negative is better, over the PSNR range that both cover.

    None where it can't be told: `bjontegaard` isn't installed, a curve has under four rising points, or they share no
    range. Over the mean curves, as published figures are made.
    """
    if importlib.util.find_spec("bjontegaard") is None:
        return None
    curves = [[(point.bpp, point.psnr) for point in curve] for curve in (anchor, points)]
    if min(len(metrics.rising(curve)) for curve in curves) < metrics.LEAST_POINTS:
        return None
    percent = metrics.bd_rate(*curves).percent
    return None if math.isnan(percent) else percent
