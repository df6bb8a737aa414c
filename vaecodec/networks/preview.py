"""The preview head: y_hat -> the picture at 1/8, without the blocks of g_s.

A 3x3 convolution, fitted when a model is exported: linear least squares against what g_s makes of the same y_hat. It is
no part of training, a weights file may lack it, and files don't depend on it.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vaecodec.networks.config import PATCH, ModelConfig

PREVIEW_REDUCTION = PATCH
"""1/8 of the picture: 2x2 of its pixels at every position of y."""
PREVIEW_FACTOR = 2
_OUTPUTS = 3 * PREVIEW_FACTOR**2
_SIDE = 3
_RIDGE = 1e-6
"""Of the mean square of an input; for channels that are always zero."""


def make_preview_head(config: ModelConfig) -> nn.Conv2d:
    """A preview head, untrained. Its input has one more position around; its output is x_hat - 0.5, unshuffled."""
    return nn.Conv2d(config.M, _OUTPUTS, _SIDE)


class PreviewFit:
    """The normal equations of the head, in float64."""

    def __init__(self, config: ModelConfig) -> None:
        inputs = config.M * _SIDE**2 + 1  # and the bias
        self._channels = config.M
        self._products = torch.zeros(inputs, inputs, dtype=torch.float64)
        self._wanted = torch.zeros(inputs, _OUTPUTS, dtype=torch.float64)

    def add(self, y_hat: Tensor, x_hat: Tensor) -> None:
        """y_hat [1, M, h, w] and what g_s makes of it. Positions at the edge, which lack neighbours, are left out."""
        rows = F.unfold(y_hat.cpu(), _SIDE)[0].T.double()
        rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], 1)
        means = F.pixel_unshuffle(F.avg_pool2d(x_hat.cpu(), PREVIEW_REDUCTION) - 0.5, 2)[0, :, 1:-1, 1:-1]
        self._products.addmm_(rows.T, rows)
        self._wanted.addmm_(rows.T, means.flatten(1).T.double())

    def solve(self) -> dict[str, NDArray[np.float32]]:
        """Weight and bias of the head."""
        ridge = _RIDGE * self._products.diagonal().mean() * torch.eye(len(self._products), dtype=torch.float64)
        solution = torch.linalg.solve(self._products + ridge, self._wanted).T.float()
        weight = solution[:, :-1].reshape(_OUTPUTS, self._channels, _SIDE, _SIDE)
        return {"weight": weight.contiguous().numpy(), "bias": solution[:, -1].contiguous().numpy()}
