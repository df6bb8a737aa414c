"""The kernels of the float networks, for the forms that run them (`runtime.cuda`, `runtime.triton_steps`)."""

from __future__ import annotations

import torch
from torch import Tensor

from vaecodec_kernels import depthwise as _depthwise
from vaecodec_kernels.depthwise import DepthwiseWeights
from vaecodec_kernels.depthwise import make_weights as depthwise_weights
from vaecodec_kernels.quantize import dequantize_step, quantize_step

__all__ = [
    "DEPTHWISE_TYPES",
    "DepthwiseWeights",
    "depthwise",
    "depthwise_weights",
    "dequantize_step",
    "quantize_step",
]

DEPTHWISE_TYPES = (torch.float32, torch.bfloat16, torch.float16)
"""For which weights the depthwise kernel takes the place of PyTorch's convolution."""


def depthwise(x: Tensor, weights: DepthwiseWeights) -> Tensor:
    """depthwise3x3(silu(x + before)) + after, [B, C, h, w] in channels-last memory."""
    x = x.contiguous(memory_format=torch.channels_last)
    out = torch.empty_like(x)
    _depthwise.depthwise(x, weights, out)
    return out
