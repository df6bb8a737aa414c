"""Convolutions whose float32 stays float32, whatever PyTorch is set to.

On NVIDIA GPUs PyTorch rounds what goes into a float32 convolution to 10 bits of mantissa (TF32) unless
`torch.backends.cudnn.allow_tf32` is off; it is on by default. Here every call says no for itself: the caller's settings
stay as they are, and other threads don't notice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FORWARD = (False, [0, 0])
"""Not transposed, so without padding of the output."""


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, padding: Sequence[int] = (0, 0), groups: int = 1
) -> Tensor:
    """A convolution of stride 1, as torch.nn.functional.conv2d, without TF32."""
    cudnn = torch.backends.cudnn
    settings = (cudnn.benchmark, cudnn.deterministic, cudnn.enabled, False)
    return torch._convolution(x, weight, bias, [1, 1], list(padding), [1, 1], *FORWARD, groups, *settings)


class ExactConv(nn.Conv2d):
    """A convolution of stride 1 that shares weight and bias with another one."""

    def __init__(self, conv: nn.Conv2d) -> None:
        sizes = (conv.in_channels, conv.out_channels, conv.kernel_size)
        super().__init__(*sizes, padding=conv.padding, groups=conv.groups, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, *parts: Tensor) -> Tensor:
        """parts: side by side, see `layers.SideBySide`."""
        x = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        padding = (self.padding, self.padding) if isinstance(self.padding, int) else self.padding
        return convolve(x, self.weight, self.bias, padding=padding, groups=self.groups)  # type: ignore[arg-type]


def make_exact(module: nn.Module) -> None:
    """Replace all convolutions of stride 1 in a module that aren't exact yet."""
    for name, child in module.named_children():
        if isinstance(child, ExactConv):
            continue
        if isinstance(child, nn.Conv2d):
            if child.stride == (1, 1) and child.dilation == (1, 1):
                setattr(module, name, ExactConv(child))
        else:
            make_exact(child)
