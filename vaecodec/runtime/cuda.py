"""The networks on NVIDIA GPUs: float32 without TF32, and blocks of fewer and larger kernels.

A 1x1 convolution in half precision is a matrix product, whose bias cuBLAS adds; its SiLU, the depthwise convolution
behind it and that one's bias are one kernel (`vaecodec_kernels.depthwise`). PyTorch alone makes of it a convolution, a
bias by itself, a SiLU, and one of cuDNN's slower convolutions. Results equal those of the plain layers up to rounding.
`python -m bench kernels` shows what it is worth.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.gpu import kernels
from vaecodec.networks.exact import ExactConv, convolve, make_exact
from vaecodec.networks.layers import DepthConvBlock, GatedBlock, in_type
from vaecodec.networks.network import CodecNetwork


class GpuConv(ExactConv):
    """A 1x1 convolution. [B, C_in, H, W] -> [B, C_out, H, W], both in channels-last memory."""

    def forward(self, *parts: Tensor, with_bias: bool = True) -> Tensor:
        """One part, in the type of the weights."""
        (x,) = parts
        bias = self.bias if with_bias else None
        if x.dtype == torch.float32:  # a matrix product would follow the caller's setting for TF32
            return convolve(x, self.weight, bias)
        batch, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
        product = F.linear(rows, self.weight.flatten(1), bias)
        return product.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


class GpuBlock(GatedBlock):
    """A DepthConvBlock of a whole picture with the depthwise kernel; of bands with cuDNN."""

    at_once = True

    def __init__(self, block: DepthConvBlock) -> None:
        super().__init__()
        self.conv_in, self.conv_out = GpuConv(block.conv_in), GpuConv(block.conv_out)
        self.ffn_in, self.ffn_out = GpuConv(block.ffn_in), GpuConv(block.ffn_out)
        self.depthwise = ExactConv(block.depthwise)
        # Not registered with the module: made from its weights, for the kernel.
        self._fused = kernels.depthwise_weights(block.depthwise.weight, block.conv_in.bias, block.depthwise.bias)

    def forward(self, x: Tensor) -> Tensor:
        half = in_type(x, self.conv_in.weight.dtype)
        return self.leave(x, kernels.depthwise(self.conv_in(half, with_bias=False), self._fused))


def fit_to_gpu(network: CodecNetwork) -> None:
    """Replace the layers of a network in inference mode, on the device where it stays."""
    _fuse_blocks(network)
    make_exact(network)


def _fuse_blocks(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, DepthConvBlock):
            if child.depthwise.weight.dtype in kernels.DEPTHWISE_TYPES:
                setattr(module, name, GpuBlock(child))
        else:
            _fuse_blocks(child)
