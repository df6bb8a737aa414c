"""Start of training: principal components instead of random projections.

g_a begins as the best linear 16x16 block transform of the corpus and g_s as its transpose, the gains at the optimal
uniform steps of each lambda, and the scale network's biases at the components' standard deviations: step 0 is already
a linear transform codec, and training starts where JPEG stands instead of from noise.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.entropy.scales import LOG_STEP, SCALE_MIN
from vaecodec.levels import MAX_LEVEL, level_lambda
from vaecodec.networks.config import PATCH
from vaecodec.networks.layers import ANCHORS
from vaecodec.networks.network import CodecNetwork

_INDEX_PER_UNIT = 4.0  # of the last layer of h_scale, see intnet.fixedpoint


def _principal_components(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """values [n, d] -> the `count` leading components [count, d] and their standard deviations [count]."""
    second_moment = values.T @ values / len(values)
    variances, vectors = torch.linalg.eigh(second_moment.double())
    order = variances.argsort(descending=True)[:count]
    return vectors[:, order].T.float(), variances[order].clamp_min(0).sqrt().float()


def _as_rows(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _anchor_lambda(anchor: int) -> float:
    return level_lambda(MAX_LEVEL * anchor / (ANCHORS - 1))


def _optimal_gain(lmbda: float) -> float:
    """1 / step of the high-rate optimum: 3 coefficients a pixel, bits = -log2(D)/2 each, so D = 3 / (2 ln2 lambda)."""
    distortion = 3 / (2 * math.log(2) * lmbda)
    return 255 / math.sqrt(12 * distortion)


def _set(conv: nn.Conv2d, matrix: Tensor) -> None:
    conv.weight.copy_(matrix[:, :, None, None])
    if conv.bias is not None:
        conv.bias.zero_()


@torch.no_grad()
def initialize(network: CodecNetwork, x: Tensor) -> None:
    """Set the linear parts of `network` from sample images x [B, 3, H, W] in 0..1."""
    config = network.config
    patches = F.pixel_unshuffle(x - 0.5, PATCH)
    stem, _ = _principal_components(_as_rows(patches), config.C)
    _set(network.g_a.stem, stem)
    _set(network.g_s.head, stem.T)

    cells = F.pixel_unshuffle(F.conv2d(patches, stem[:, :, None, None]), 2)
    down, deviations = _principal_components(_as_rows(cells), config.M)
    # Spread over the four channel groups of the context, so that each holds strong and weak components.
    order = torch.arange(config.M).view(-1, 4).T.reshape(-1)
    down, deviations = down[order], deviations[order]
    _set(network.g_a.down.conv, down)
    _set(network.g_s.up.conv, down.T)

    gains = torch.tensor([_optimal_gain(_anchor_lambda(anchor)) for anchor in range(ANCHORS)])
    network.log_gain.anchors.copy_(gains.log()[:, None].expand(ANCHORS, config.M))
    scales = (gains[:, None] * deviations[None]).clamp_min(SCALE_MIN)
    index = (torch.log(scales / SCALE_MIN) / LOG_STEP).clamp(2, 60)
    network.h_scale.typed_layers()[-1].bias.anchors.copy_((index / _INDEX_PER_UNIT).repeat_interleave(4, 1))
