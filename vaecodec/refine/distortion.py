"""What refinement makes smaller beside the bits: the distortion that a model was trained for, as far as it can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from vaecodec.networks.ssimulacra2 import LEAST_SIDE, SQUARED_ERROR_OF_ONE, ssimulacra2


@dataclass(frozen=True)
class Distortion:
    """Squared error, with a share 0..1 of SSIMULACRA2."""

    ssimulacra2: float = 0.0

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Distortion:
        """That of a model: its squared error and SSIMULACRA2 in the proportion of its training, half and half for a
        perceptual model that was trained for neither. MS-SSIM is left out: its package is none of the codec's."""
        settings = card.get("settings", {})
        if settings.get("tune", "psnr") != "perceptual":
            return cls()
        share = settings.get("ssimulacra2_share", 0.5)
        rest = 1 - share - settings.get("ms_ssim_share", 0.0)
        return cls(share / (share + rest) if share > 0 else 0.5)

    def __call__(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """x, x_hat [1, 3, H, W] in 0..1 -> the sum over the pixels, in units of the squared error (mean of colors)."""
        squared = (x_hat - x).square().sum() / 3
        if self.ssimulacra2 == 0:
            return squared
        height, width = x.shape[-2:]
        missing = (0, max(0, LEAST_SIDE - width), 0, max(0, LEAST_SIDE - height))
        padded = [F.pad(image, missing, mode="replicate") for image in (x, x_hat)]
        dissimilarity = ssimulacra2(*padded).dissimilarity.sum() * SQUARED_ERROR_OF_ONE * (height * width)
        return (1 - self.ssimulacra2) * squared + self.ssimulacra2 * dissimilarity
