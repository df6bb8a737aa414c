"""Building blocks of the codec network (float side)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.networks.config import PRODUCT_MAX, STREAM_MAX
from vaecodec.networks.quantizers import clamp_through

ANCHORS = 8
"""Per-level vectors are interpolated between this many learned anchors: every level is seen in every few steps,
and neighbouring levels can't drift apart into a visible step."""


LARGEST_HALF = torch.finfo(torch.float16).max


class RowBlock(nn.Module, ABC):
    """A residual block in two halves: between them a depthwise convolution, the only layer that needs other rows.

    [B, C, H, W] -> [B, C, H, W], in place: the input is overwritten.
    """

    depthwise: nn.Conv2d
    at_once = False
    """Whether a picture that is one band goes through `forward`: where that is faster than through both halves."""

    @abstractmethod
    def enter(self, x: Tensor) -> Tensor:
        """What the depthwise convolution sees, see `streaming`."""

    @abstractmethod
    def leave(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The rest of the block, in place on x; `mixed`: what the depthwise convolution made."""

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(x, self.depthwise(self.enter(x)))


def in_type(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in a type, finite if x is: beyond 65504, the largest number of float16, it would be infinite there."""
    if dtype is torch.float16:
        x = x.clamp(-LARGEST_HALF, LARGEST_HALF)
    return x.to(dtype)


class GatedBlock(RowBlock):
    """The halves of a block of 1x1 convolutions with SiLU and a gated feed-forward."""

    conv_in: nn.Conv2d
    conv_out: nn.Conv2d
    ffn_in: nn.Conv2d
    ffn_out: nn.Conv2d

    def enter(self, x: Tensor) -> Tensor:
        return F.silu(self.conv_in(in_type(x, self.conv_in.weight.dtype)), inplace=True)

    def leave(self, x: Tensor, mixed: Tensor) -> Tensor:
        x += self.conv_out(mixed)
        dtype = self.ffn_in.weight.dtype
        # A gate of minus infinity would make no number of SiLU.
        gate, value = in_type(self.ffn_in(in_type(x, dtype)), dtype).chunk(2, 1)
        x += self.ffn_out(F.silu(gate).mul_(value).clamp_(-PRODUCT_MAX, PRODUCT_MAX))
        return x.clamp_(-STREAM_MAX, STREAM_MAX)


class DepthConvBlock(GatedBlock):
    """1x1, SiLU, depthwise 3x3, 1x1, residual; then a gated 1x1 feed-forward, residual; both bounded (`config`).

    The block of DCVC-RT (Jia et al. 2025, arXiv 2502.20762, MIT). [B, C, H, W] -> [B, C, H, W].
    Without gradients it works in place: the input is overwritten. Its weights may be bfloat16 or float16 while x stays
    float32: the sums of the residual path then keep their precision.
    """

    def __init__(self, channels: int, ffn_ratio: int = 2) -> None:
        super().__init__()
        hidden = channels * ffn_ratio
        self.conv_in = nn.Conv2d(channels, channels, 1)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.conv_out = nn.Conv2d(channels, channels, 1)
        self.ffn_in = nn.Conv2d(channels, 2 * hidden, 1)
        self.ffn_out = nn.Conv2d(hidden, channels, 1)
        # Residual branches start at zero: the whole stack then begins as the identity.
        with torch.no_grad():
            for conv in (self.conv_out, self.ffn_out):
                conv.weight.zero_()
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            x = x + self.conv_out(self.depthwise(F.silu(self.conv_in(x))))
            gate, value = self.ffn_in(x).chunk(2, 1)
            product = clamp_through(F.silu(gate) * value, -PRODUCT_MAX, PRODUCT_MAX)
            return clamp_through(x + self.ffn_out(product), -STREAM_MAX, STREAM_MAX)
        return super().forward(x)


class SideBySide(nn.Conv2d):
    """A 1x1 convolution of tensors side by side. [B, C_i, H, W] each -> [B, C_out, H, W]."""

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__(sum(in_channels), out_channels, 1)
        self.widths = tuple(in_channels)

    def forward(self, *parts: Tensor) -> Tensor:
        return super().forward(torch.cat(parts, 1))


class Unshuffle(nn.PixelUnshuffle):
    """[B, C, H, W] -> [B, C f^2, H/f, W/f], f the factor: channel c, row i, column j of a square at c f^2 + i f + j."""

    def of_rows(self, rows: Tensor) -> Tensor:
        """This unshuffle of an image with channels last: [B, H, W, C] -> [B, H/f, W/f, C f^2]."""
        return self.squares(rows).permute(0, 1, 2, 5, 3, 4).flatten(3)

    def squares(self, rows: Tensor) -> Tensor:
        """A view of [B, H, W, C] as [B, H/f, W/f, f, f, C]."""
        factor = self.downscale_factor
        batch, height, width, channels = rows.shape
        return rows.reshape(batch, height // factor, factor, width // factor, factor, channels).transpose(2, 3)


class Downsample(nn.Sequential):
    """[B, C_in, H, W] -> [B, C_out, H/2, W/2]: a 2x2 convolution of stride 2, written as unshuffle and 1x1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(Unshuffle(2), nn.Conv2d(4 * in_channels, out_channels, 1))

    @property
    def conv(self) -> nn.Conv2d:
        """The 1x1 convolution of this layer."""
        return cast(nn.Conv2d, self[1])


class Upsample(nn.Sequential):
    """[B, C_in, H, W] -> [B, C_out, 2H, 2W]: sub-pixel convolution (Shi et al. 2016)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, 4 * out_channels, 1), nn.PixelShuffle(2))

    @property
    def conv(self) -> nn.Conv2d:
        """The 1x1 convolution of this layer."""
        return cast(nn.Conv2d, self[0])


class LevelTable(nn.Module):
    """A learned vector per quality level, linear between anchors (gain units: Cui et al. 2021, arXiv 2003.02012)."""

    def __init__(self, channels: int, start: float = 0.0, end: float = 0.0, unit: float = 1.0) -> None:
        """The vector runs from `start` to `end`. unit: what a parameter of 1 stands for; Adam moves every parameter
        by about its learning rate, so values of a wide range need a large unit to get anywhere."""
        super().__init__()
        self.unit = unit
        ramp = torch.linspace(start, end, ANCHORS) / unit
        self.anchors = nn.Parameter(ramp[:, None].repeat(1, channels))  # [ANCHORS, channels]

    def forward(self, t: Tensor) -> Tensor:
        """t = level / 63, [B] -> [B, channels, 1, 1]."""
        position = t * (ANCHORS - 1)
        low = position.floor().clamp(0, ANCHORS - 2).long()
        weight = (position - low)[:, None]
        vector = torch.lerp(self.anchors[low], self.anchors[low + 1], weight) * self.unit
        return vector[:, :, None, None]
