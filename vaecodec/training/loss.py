"""The training objective: rate + lambda * distortion, the negative ELBO of the VAE.

With a uniform posterior of width 1 (additive noise) the KL term is the rate in bits, and the squared error is the
negative log likelihood of a Gaussian observation; lambda sets its variance (the beta of a beta-VAE, inverted).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaecodec.intnet.fixedpoint import SCALES, Z_MAX, Z_MIN
from vaecodec.models.config import LAMBDA_MAX, LAMBDA_MIN
from vaecodec.models.likelihood import logistic_bits, scale_of_index
from vaecodec.models.network import CodecNetwork
from vaecodec.models.quantizers import clamp_through, ste_round


@dataclass(frozen=True)
class Terms:
    """Per image of a batch, float32 [B]: bits per pixel of y and z, and the mean squared error (pixels 0..1)."""

    bpp_y: Tensor
    bpp_z: Tensor
    mse: Tensor


def lambda_of(t: Tensor) -> Tensor:
    """t = level / 63 in 0..1 -> lambda."""
    return LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** t


def _noise(x: Tensor) -> Tensor:
    return torch.rand_like(x) - 0.5


def forward_terms(network: CodecNetwork, x: Tensor, t: Tensor, *, rounded_rate: bool = False) -> Terms:
    """One training pass. x [B, 3, H, W] in 0..1 (H, W multiples of 64), t [B] in 0..1.

    The synthesis sees rounded values (straight-through), the rate sees additive uniform noise (Balle et al. 2018),
    or, with `rounded_rate`, the rounded values too.
    """
    pixels = x.shape[-1] * x.shape[-2]
    gain = network.log_gain(t).exp()
    y, z = network.analyse(x, t)
    z_hat = clamp_through(ste_round(z), Z_MIN, Z_MAX)
    index = network.h_scale(z_hat, t)
    p = network.prior(z_hat, t)

    result = network.run_context(p, gain, lambda mu: ste_round(gain * (y - mu)))
    exact = gain * (y - result.mu)
    y_value = ste_round(exact) if rounded_rate else exact + _noise(exact)
    z_value = z_hat if rounded_rate else z + _noise(z)
    bits_y = logistic_bits(y_value, scale_of_index(index))
    z_index = clamp_through(network.z_index(t), 0, SCALES - 1)
    bits_z = logistic_bits(z_value, scale_of_index(z_index))
    x_hat = network.synthesize(result.y_hat, t)
    return Terms(bits_y.sum((1, 2, 3)) / pixels, bits_z.sum((1, 2, 3)) / pixels, (x_hat - x).square().mean((1, 2, 3)))


def balanced_loss(terms: Terms, t: Tensor) -> Tensor:
    """Mean of (bpp + lambda * 255^2 * MSE) / sqrt(lambda / lambda_min).

    The optimal rate grows about with sqrt(lambda), so this weighs every level's relative rate alike, as BD-rate does.
    """
    lmbda = lambda_of(t)
    loss = terms.bpp_y + terms.bpp_z + lmbda * 255**2 * terms.mse
    return (loss * (LAMBDA_MIN / lmbda).sqrt()).mean() * 10


class Objective(nn.Module):
    """Network and loss as one module, the unit that torch.compile and DistributedDataParallel work on."""

    def __init__(self, network: CodecNetwork, *, rounded_rate: bool = False, bf16: bool = True) -> None:
        super().__init__()
        self.network, self.rounded_rate, self.bf16 = network, rounded_rate, bf16

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 3, H, W] in 0..1, t [B] -> the loss, and means over the batch [3]: bpp of y, bpp of z, PSNR in dB."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            terms = forward_terms(self.network, x, t, rounded_rate=self.rounded_rate)
        means = torch.stack([terms.bpp_y.mean(), terms.bpp_z.mean(), terms.mse.log10().mean() * -10])
        return balanced_loss(terms, t), means.detach()
