"""The codec network: a hyperprior VAE with an integer scale path and context for the means.

Hyperprior: Balle et al. 2018 (arXiv 1802.01436); means and context: Minnen et al. 2018 (1809.02736); four-step context
and blocks: Jia et al. 2025 (DCVC-RT, 2502.20762); gains per level: Cui et al. 2021 (2003.02012).

    x --unshuffle 8--> g_a (* q_enc[level]) --> y [B, M, H/16, W/16] --> h_a --> z [B, N, H/64, W/64]
                                                                                |  round, clamp to int8
    x_hat <--shuffle 8-- g_s (* q_dec[level]) <-- y_hat                       z_hat
                                                   ^                         /     \\
               r = round(gain*(y - mu))            |          h_scale (integers)   h_mean (float)
               y_hat = mu + r/gain                 |                  |                 |
                     ^                             |             scale index       prior features p
                     +--- mu of step k = context(p, y_hat of steps < k), k = 0..3 ------+

y, mu and y_hat live in one domain for all levels; r, the coded integers, are scaled by gain[level]. What enters the
blocks of g_a and of g_s, and p, are shifted by a vector of the level: so the layers after it know the level, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.levels import MAX_LEVEL
from vaecodec.networks.config import LATENT_MAX, PATCH, PRIOR_MAX, SHIFT_UNIT, STEPS, ModelConfig, step_positions
from vaecodec.networks.exact import convolve
from vaecodec.networks.layers import DepthConvBlock, Downsample, LevelTable, SideBySide, Unshuffle, Upsample
from vaecodec.networks.quantizers import clamp_through
from vaecodec.networks.scale_network import ScaleNetwork

Z_INDEX_UNIT = 32.0
"""What a parameter of 1 stands for in `CodecNetwork.z_index`, in scale indices."""


def step_mask(step: int, channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """1 where step `step` codes, else 0: float32 [1, channels, height, width]."""
    cells = torch.zeros(1, STEPS, 2, 2, device=device)
    for group, (row, column) in enumerate(step_positions(step)):
        cells[0, group, row, column] = 1
    cells = cells.repeat_interleave(channels // STEPS, 1)
    return cells.repeat(1, 1, (height + 1) // 2, (width + 1) // 2)[:, :, :height, :width].contiguous()


class Analysis(nn.Module):
    """g_a: x [B, 3, H, W] in 0..1 -> y [B, M, H/16, W/16]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.unshuffle = Unshuffle(PATCH)
        self.stem = nn.Conv2d(3 * PATCH**2, config.C, 1)
        self.blocks = nn.Sequential(*(DepthConvBlock(config.C, config.ffn) for _ in range(config.blocks_a)))
        self.down = Downsample(config.C, config.M)

    def forward(self, x: Tensor, q_enc: Tensor, shift: Tensor) -> Tensor:
        return self.leave(self.blocks(self.enter(x, shift)), q_enc)

    def enter(self, x: Tensor, shift: Tensor) -> Tensor:
        """x -> features [B, C, H/8, W/8] for the blocks; shift [B, C, 1, 1]."""
        features: Tensor = self.stem(self.unshuffle(x - 0.5))
        return features + shift.to(features.dtype)

    def enter_pixels(self, pixels: Tensor, shift: Tensor) -> Tensor:
        """What `enter` makes of pixels / 255; uint8 [B, H, W, 3]. Four times as fast: bytes are moved, not floats."""
        rows = self.unshuffle.of_rows(pixels).float()
        features: Tensor = self.stem(rows.sub_(127.5).div_(255).permute(0, 3, 1, 2))
        return features.add_(shift)

    def leave(self, features: Tensor, q_enc: Tensor) -> Tensor:
        """Features -> y."""
        y: Tensor = self.down(features * q_enc.to(features.dtype))
        return bounded(y, LATENT_MAX)


class Synthesis(nn.Module):
    """g_s: y_hat [B, M, h, w] -> x_hat [B, 3, 16h, 16w], about 0..1 (not clamped)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = Upsample(config.M, config.C)
        self.blocks = nn.Sequential(*(DepthConvBlock(config.C, config.ffn) for _ in range(config.blocks_s)))
        self.head = nn.Conv2d(config.C, 3 * PATCH**2, 1)
        self.shuffle = nn.PixelShuffle(PATCH)

    def forward(self, y_hat: Tensor, q_dec: Tensor, shift: Tensor) -> Tensor:
        return self.leave(self.blocks(self.enter(y_hat, q_dec, shift)))

    def enter(self, y_hat: Tensor, q_dec: Tensor, shift: Tensor) -> Tensor:
        """y_hat -> features [B, C, 2h, 2w] for the blocks; q_dec and shift [B, C, 1, 1]."""
        up: Tensor = self.up(y_hat)
        return up * q_dec.to(up.dtype) + shift.to(up.dtype)

    def leave(self, features: Tensor) -> Tensor:
        """Features -> x_hat."""
        x_hat: Tensor = self.shuffle(self.head(features))
        return x_hat + 0.5

    def shades(self, features: Tensor) -> Tensor:
        """Features -> 255 x_hat, not yet shuffled: [B, 192, H/8, W/8], float32."""
        return in_shades(self.head(features))


def bounded(x: Tensor, most: float) -> Tensor:
    """x clamped to -most..most, in place where no gradient is wanted; else learning leads back from outside."""
    return clamp_through(x, -most, most) if torch.is_grad_enabled() else x.clamp_(-most, most)


def in_shades(centred: Tensor) -> Tensor:
    """x_hat - 0.5 -> 255 x_hat, float32."""
    return centred.float().mul(255).add_(127.5)


class HyperAnalysis(nn.Sequential):
    """h_a: y [B, M, h, w] -> z before rounding [B, N, h/4, w/4]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(
            nn.Conv2d(config.M, config.P, 1),
            DepthConvBlock(config.P, 1),
            Downsample(config.P, config.P),
            DepthConvBlock(config.P, 1),
            Downsample(config.P, config.N),
        )


class HyperMean(nn.Sequential):
    """h_mean: z_hat [B, N, h, w] -> prior features p [B, P, 4h, 4w]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(
            Upsample(config.N, config.P),
            DepthConvBlock(config.P, 1),
            Upsample(config.P, config.P),
            DepthConvBlock(config.P, 1),
        )


class Context(nn.Module):
    """The means, in four steps: mu of step k from p and what steps before k decoded."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.adaptors = nn.ModuleList(SideBySide((config.P, config.M), config.P) for _ in range(STEPS - 1))
        self.trunk = nn.Sequential(*(DepthConvBlock(config.P, 1) for _ in range(config.blocks_context)))
        self.heads = nn.ModuleList(nn.Conv2d(config.P, config.M, 1) for _ in range(STEPS))
        with torch.no_grad():  # training starts with mu = 0
            for parameter in self.heads.parameters():
                parameter.zero_()

    def forward(self, step: int, p: Tensor, y_hat: Tensor) -> Tensor:
        """p [B, P, h, w], y_hat [B, M, h, w] (zero where not yet known) -> mu [B, M, h, w] (valid where step codes)."""
        features = p
        if step > 0:
            features = self.trunk(self.adaptors[step - 1](p, y_hat.to(p.dtype)))
        return bounded(self.heads[step](features), LATENT_MAX)

    def quarter(self, step: int, number: int, features: Tensor) -> Tensor:
        """What the head of a step makes of features [B, P, h, w] in one quarter of the channels: float32 [B, M/4, h, w]
        in channels-last memory."""
        head = cast(nn.Conv2d, self.heads[step])
        weight, bias = (parameter.chunk(STEPS)[number] for parameter in (head.weight, cast(Tensor, head.bias)))
        mu = bounded(convolve(features.to(weight.dtype), weight, bias), LATENT_MAX)
        return mu.float().contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class ContextResult:
    """mu, r [B, M, h, w] float32 (r = gain*(y - mu) quantized) and y_hat."""

    mu: Tensor
    r: Tensor
    y_hat: Tensor


class CodecNetwork(nn.Module):
    """All networks of one model, see the module's diagram."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.g_a = Analysis(config)
        self.g_s = Synthesis(config)
        self.h_a = HyperAnalysis(config)
        self.h_mean = HyperMean(config)
        self.h_scale = ScaleNetwork(config)
        self.context = Context(config)
        # Steps shrink with sqrt(lambda); log(sqrt(500)) = 3.1 is the whole range.
        self.log_gain = LevelTable(config.M, 0.0, 3.1)
        self.log_z_gain = LevelTable(config.N)
        self.log_q_enc = LevelTable(config.C)
        self.log_q_dec = LevelTable(config.C)
        self.log_q_prior = LevelTable(config.P)
        self.shift_enc = LevelTable(config.C, unit=SHIFT_UNIT)
        self.shift_dec = LevelTable(config.C, unit=SHIFT_UNIT)
        self.shift_prior = LevelTable(config.P, unit=SHIFT_UNIT)
        self.z_index = LevelTable(config.N, 24.0, 24.0, unit=Z_INDEX_UNIT)
        # Not trained, see `preview`: a weights file may bring it along.
        self.preview: nn.Conv2d | None = None

    def analyse(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 3, H, W] in 0..1, H and W multiples of 64; t = level / 63 [B] -> y, z (not rounded), float32."""
        y = self.g_a(x, self.log_q_enc(t).exp(), self.shift_enc(t))
        return y.float(), self.hyper_analyse(y, t)

    def hyper_analyse(self, y: Tensor, t: Tensor) -> Tensor:
        """y [B, M, h, w] -> z (not rounded) [B, N, h/4, w/4], float32."""
        z: Tensor = self.h_a(y).float() * self.log_z_gain(t).exp()
        return z

    def prior(self, z_hat: Tensor, t: Tensor) -> Tensor:
        """z_hat [B, N, h, w] -> prior features p [B, P, 4h, 4w]."""
        p: Tensor = self.h_mean(z_hat * (-self.log_z_gain(t)).exp())
        scale: Tensor = self.log_q_prior(t).exp()
        return bounded(p * scale.to(p.dtype) + self.shift_prior(t).to(p.dtype), PRIOR_MAX)

    def run_context(self, p: Tensor, gain: Tensor, residual: Callable[[Tensor], Tensor]) -> ContextResult:
        """The four steps. `residual(mu)` gives r, from y or from the file; only the step's positions count."""
        mask = step_mask(0, self.config.M, p.shape[-2], p.shape[-1], p.device)
        y_hat = torch.zeros(p.shape[0], *mask.shape[1:], device=p.device)
        all_mu, all_r = torch.zeros_like(y_hat), torch.zeros_like(y_hat)
        for step in range(STEPS):
            mask = step_mask(step, self.config.M, p.shape[-2], p.shape[-1], p.device)
            mu = self.context(step, p, y_hat).float()
            r = residual(mu)
            y_hat = y_hat + mask * (mu + r / gain)
            all_mu, all_r = all_mu + mask * mu, all_r + mask * r
        return ContextResult(all_mu, all_r, y_hat)

    def synthesize(self, y_hat: Tensor, t: Tensor) -> Tensor:
        """y_hat [B, M, h, w] -> x_hat [B, 3, 16h, 16w] float32, not clamped."""
        x_hat: Tensor = self.g_s(y_hat, self.log_q_dec(t).exp(), self.shift_dec(t))
        return x_hat.float()


def round_z(z: Tensor) -> Tensor:
    """z -> z_hat: round (ties to even), clamp to int8."""
    return z.round().clamp(Z_MIN, Z_MAX)


def level_position(level: Tensor) -> Tensor:
    """Level 0..63 -> t in 0..1."""
    return level.float() / MAX_LEVEL
