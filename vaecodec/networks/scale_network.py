"""h_scale in training: the integer network with fake quantization (straight-through), equal to what ships.

The forward pass computes the very integers of `vaecodec.intnet` (in float32, all values far below 2^24 in practice);
gradients pass the rounding. z_hat at 1/64 -> scale index at 1/16.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.intnet.fixedpoint import LAYER_FORMATS, WEIGHT_MAX, LayerFormat
from vaecodec.networks.config import ModelConfig
from vaecodec.networks.layers import LevelTable
from vaecodec.networks.quantizers import clamp_through, ste_round


class FakeQuantConv(nn.Module):
    """One integer layer: int8 weights, an int32 bias per level, rounding shift, clamp. Integers held in float32."""

    def __init__(self, in_channels: int, out_channels: int, form: LayerFormat) -> None:
        super().__init__()
        self.form = form
        weight = torch.empty(out_channels, in_channels, form.kernel, form.kernel)
        if not weight.is_meta:  # PyTorch imports its compiler for this on the meta device: 1.4 s at every start
            nn.init.kaiming_normal_(weight, nonlinearity="linear")
        self.weight = nn.Parameter(weight)
        self.bias = LevelTable(out_channels)

    def integer_weight(self) -> Tensor:
        """The weight as int8 would hold it, in float; gradients pass straight through."""
        scaled = self.weight * float(2**self.form.weight_bits)
        return ste_round(clamp_through(scaled, -WEIGHT_MAX, WEIGHT_MAX))

    def integer_bias(self, t: Tensor) -> Tensor:
        """[B] -> [B, out_channels, 1, 1]."""
        return ste_round(self.bias(t) * float(2**self.form.accumulator_bits))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x: integers as float32 [B, C_in, h, w] -> accumulators, shifted but neither floored nor clamped."""
        accumulator = F.conv2d(x, self.integer_weight(), padding=self.form.kernel // 2) + self.integer_bias(t)
        shifted: Tensor = accumulator / float(2**self.form.shift)
        return shifted


def _round_half_up(x: Tensor) -> Tensor:
    return x + ((x + 0.5).floor() - x).detach()


class ScaleNetwork(nn.Module):
    """z_hat [B, N, h, w], t = level / 63 [B] -> scale index as float32 integers 0..63 [B, M, 4h, 4w]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = [(config.N, config.H1), (config.H1, 4 * config.H2), (config.H2, config.H2), (config.H2, 4 * config.M)]
        layers = [FakeQuantConv(*w, form) for w, form in zip(widths, LAYER_FORMATS, strict=True)]
        self.layers = nn.ModuleList(layers)
        last = layers[-1]
        with torch.no_grad():
            last.weight.mul_(0.3)
            # Indices start around 16 at the lowest level and 40 at the highest, as the gains do.
            last.bias.anchors.copy_(
                torch.linspace(4.0, 10.0, len(last.bias.anchors))[:, None].expand_as(last.bias.anchors)
            )

    def typed_layers(self) -> list[FakeQuantConv]:
        """The layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, FakeQuantConv)]

    def forward(self, z_hat: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(z_hat.device.type, enabled=False):
            x = z_hat.float()
            for number, layer in enumerate(self.typed_layers()):
                x = clamp_through(layer(x, t), 0, layer.form.output_max)
                x = _round_half_up(x)
                if number in (1, 3):
                    x = F.pixel_shuffle(x, 2)
        return x
