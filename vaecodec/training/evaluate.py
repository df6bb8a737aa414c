"""Held-out evaluation: the codec's operating points with rounded latents, rates from the model's own law."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec.models.config import ALIGNMENT, LEVELS
from vaecodec.models.network import CodecNetwork
from vaecodec.training.loss import forward_terms

EVAL_LEVELS = (0, 9, 18, 27, 36, 45, 54, 63)


@dataclass(frozen=True)
class Point:
    """Mean over images at one level: bits per pixel and PSNR (mean of the images' PSNR, dB)."""

    level: int
    bpp: float
    psnr: float


def centre_crop(image: Tensor, side: int) -> Tensor:
    """uint8 [H, W, 3] -> uint8 [3, h, w], the centre, at most `side`, sides multiples of 64."""
    height = min(image.shape[0], side) // ALIGNMENT * ALIGNMENT
    width = min(image.shape[1], side) // ALIGNMENT * ALIGNMENT
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width].permute(2, 0, 1)


@torch.no_grad()
def evaluate(network: CodecNetwork, images: list[Tensor], levels: tuple[int, ...] = EVAL_LEVELS) -> list[Point]:
    """Operating points of `network` on uint8 images [3, H, W] (sides multiples of 64)."""
    device = next(network.parameters()).device
    points = []
    for level in levels:
        bpps, psnrs = [], []
        for image in images:
            x = image[None].to(device).float() / 255
            t = torch.full((1,), level / (LEVELS - 1), device=device)
            terms = forward_terms(network, x, t, rounded_rate=True)
            bpps.append((terms.bpp_y + terms.bpp_z).item())
            psnrs.append(-10 * torch.log10(terms.mse).item())
        points.append(Point(level, sum(bpps) / len(bpps), sum(psnrs) / len(psnrs)))
    return points
