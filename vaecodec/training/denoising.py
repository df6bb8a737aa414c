"""Training of a denoising encoder: noise is drawn anew for every crop, the distortion is that of the clean one."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vaecodec.networks.config import NOISE_MAX
from vaecodec.networks.denoising import DenoisingNetwork, noise_position
from vaecodec.training.evaluate import EVAL_LEVELS, Point, evaluate_terms
from vaecodec.training.loss import SQUARED_ERROR, Objective, Terms, coding_pass, terms_of

SHOT_SHARE = 0.3
"""Of the crops have noise that grows with the light, as a sensor's; the others have the same everywhere."""
READ_SHARE = 0.3
"""Of the standard deviation of such noise at middle gray, what is left in the dark."""
EVAL_SIGMA = 25.0
"""Of the noise of held-out images, in shades 0..255."""
EVAL_SEED = 25


def noisy(x: Tensor, sigma: Tensor, is_shot: Tensor, normal: Tensor) -> Tensor:
    """x [B, 3, H, W] in 0..1 with noise, as 8 bits keep it.

    sigma [B]: its standard deviation in shades 0..255, at middle gray where is_shot [B] bool. normal: of x's shape,
    standard normal.

    A sensor's noise is Poisson-Gaussian (Foi et al. 2008, IEEE TIP 17(10)): its variance is linear in the light.
    """
    shot_variance = READ_SHARE**2 + 2 * (1 - READ_SHARE**2) * x
    variance = torch.where(is_shot[:, None, None, None], shot_variance, torch.ones_like(x))
    shades = 255 * x + sigma[:, None, None, None] * variance.sqrt() * normal
    return shades.round().clamp(0, 255) / 255


def draw_noise(x: Tensor) -> tuple[Tensor, Tensor]:
    """x with noise of any strength up to NOISE_MAX, weak noise more often; and its `noise_position`, [B]."""
    s = torch.rand(len(x), device=x.device)
    is_shot = torch.rand(len(x), device=x.device) < SHOT_SHARE
    return noisy(x, NOISE_MAX * s**2, is_shot, torch.randn_like(x)), s


def denoising_pass(
    network: DenoisingNetwork, x: Tensor, t: Tensor, s: Tensor, *, rounded_rate: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """A noisy x -> what `network_pass` gives of the clean one."""
    y, z = network.analyse_noisy(x, t, s)
    return coding_pass(network, y, z, t, x.shape[-1] * x.shape[-2], rounded_rate=rounded_rate)


class DenoisingObjective(Objective):
    """The objective of a `DenoisingNetwork`: it sees noisy images, the loss is that of the clean ones."""

    passing = staticmethod(denoising_pass)

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 3, H, W] in 0..1, clean; t [B] -> as `Objective`."""
        degraded, s = draw_noise(x)
        return self.loss_of(x, degraded, t, s)


def evaluate_denoising(network: DenoisingNetwork, images: list[Tensor]) -> list[Point]:
    """Operating points on uint8 images [3, H, W] with Gaussian noise of EVAL_SIGMA, measured against the clean ones."""
    generator = torch.Generator().manual_seed(EVAL_SEED)
    noise = [torch.randn(1, *image.shape, generator=generator) for image in images]
    return evaluate_terms(partial(_noisy_terms, network), list(zip(images, noise, strict=True)), EVAL_LEVELS)


def _noisy_terms(network: DenoisingNetwork, image: tuple[Tensor, Tensor], t: Tensor) -> Terms:
    x, normal = image[0][None].to(t.device).float() / 255, image[1].to(t.device)
    sigma, is_shot = torch.full_like(t, EVAL_SIGMA), torch.zeros_like(t, dtype=torch.bool)
    degraded = noisy(x, sigma, is_shot, normal)
    outputs = denoising_pass(network, degraded, t, noise_position(sigma), rounded_rate=True)
    return terms_of(x, *outputs, SQUARED_ERROR)
