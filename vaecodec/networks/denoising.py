"""A denoising encoder: another g_a for a trained model, whose decoder stays what everyone has.

It sees a noisy image and the level of its noise, and gives y of the clean one: noise is not worth bits. Denoising and
compressing in one: Ranjbar Alvar et al. 2022 (Frontiers in Signal Processing 2:932873), Brummer and De Vleeschouwer
2023 (arXiv 2307.06233); there the decoder is trained as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vaecodec.networks.config import NOISE_MAX, ModelConfig, denoiser_config
from vaecodec.networks.layers import LevelTable
from vaecodec.networks.network import CodecNetwork

TRAINED = ("g_a.", "log_q_enc.", "shift_enc.", "noise_")
"""Parameters of a denoising encoder, by the beginnings of their names. All others are the model's."""


def noise_position(sigma: Tensor) -> Tensor:
    """Standard deviation of the noise in shades 0..255 -> s in 0..1: fine steps where there is little noise."""
    return (sigma / NOISE_MAX).clamp(0, 1).sqrt()


class DenoisingNetwork(CodecNetwork):
    """A model with a g_a of more blocks, and two tables over the level of noise: a shift of what enters the blocks, and
    the logarithm of a factor on what leaves them. Nothing else learns."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(denoiser_config(config))
        self.noise_shift = LevelTable(config.C)
        self.noise_log_gain = LevelTable(config.C)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINED))

    def analyse_noisy(self, x: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 3, H, W] in 0..1, noisy; t = level / 63 and s = `noise_position`, [B] -> y of the clean image and its z
        (not rounded), float32."""
        features = self.g_a.blocks(self.g_a.enter(x, self.shift_enc(t) + self.noise_shift(s)))
        y = self.g_a.leave(features, (self.log_q_enc(t) + self.noise_log_gain(s)).exp())
        return y.float(), self.hyper_analyse(y, t)

    def start_from_model(self, weights: Mapping[str, Tensor]) -> None:
        """Begin as the encoder of a trained model: the tables and the blocks that it lacks change nothing at first."""
        self.load_state_dict({**self.state_dict(), **weights})
