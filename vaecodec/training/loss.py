"""The training objective: rate + lambda * distortion, the negative ELBO of the VAE.

With a uniform posterior of width 1 (additive noise) the KL term is the rate in bits, and the squared error is the
negative log likelihood of a Gaussian observation; lambda sets its variance (the beta of a beta-VAE, inverted).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaecodec.intnet.fixedpoint import SCALE_INDICES, Z_MAX, Z_MIN
from vaecodec.levels import LAMBDA_MAX, LAMBDA_MIN
from vaecodec.networks.network import CodecNetwork
from vaecodec.networks.quantizers import clamp_through, ste_round
from vaecodec.networks.ssimulacra2 import SQUARED_ERROR_OF_ONE, ssimulacra2
from vaecodec.training.likelihood import logistic_bits, scale_of_index

MS_SSIM_WEIGHT = 1 / 28
"""Squared error (pixels 0..1) that weighs like 1 - MS-SSIM: on held-out photographs one grows with the other almost in
proportion (exponents 1.02 to 1.05), as it does with SSIMULACRA2 (`SQUARED_ERROR_OF_ONE`). So whatever the shares are, a
level costs about as many bits."""


@dataclass(frozen=True)
class Mix:
    """Shares of 1 - MS-SSIM and of SSIMULACRA2's sum in the distortion, 0..1; squared error has the rest."""

    ms_ssim: float = 0.0
    ssimulacra2: float = 0.0

    @property
    def mse(self) -> float:
        """The share of squared error."""
        return 1 - self.ms_ssim - self.ssimulacra2


SQUARED_ERROR = Mix()


ORDINARY_LOSS = 5.0
"""Photographs have balanced losses of 1 to 4, whatever the level."""


@dataclass(frozen=True)
class Terms:
    """Per image of a batch, float32 [B]: bits per pixel of y and z, the mean squared error (pixels 0..1), and the
    distortion that the loss counts, in units of the squared error."""

    bpp_y: Tensor
    bpp_z: Tensor
    mse: Tensor
    distortion: Tensor


def _dissimilarity(x_hat: Tensor, x: Tensor) -> Tensor:
    """1 - MS-SSIM (Wang et al. 2003) of each image, [B]."""
    from pytorch_msssim import ms_ssim

    with torch.autocast(x.device.type, enabled=False):
        similarity: Tensor = ms_ssim(x_hat.float(), x.float(), data_range=1.0, size_average=False)
    return 1 - similarity


def distortion_of(x_hat: Tensor, x: Tensor, mse: Tensor, mix: Mix) -> Tensor:
    """[B], in units of the squared error: its share of `mse` and the other shares of `mix`."""
    distortion = mse if mix.mse == 1 else mix.mse * mse
    if mix.ms_ssim > 0:
        distortion = distortion + mix.ms_ssim * MS_SSIM_WEIGHT * _dissimilarity(x_hat, x)
    if mix.ssimulacra2 > 0:
        distortion = distortion + mix.ssimulacra2 * SQUARED_ERROR_OF_ONE * ssimulacra2(x, x_hat).dissimilarity
    return distortion


def lambda_of(t: Tensor) -> Tensor:
    """t = level / 63 in 0..1 -> lambda."""
    return LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** t


def _noise(x: Tensor) -> Tensor:
    return torch.rand_like(x) - 0.5


def network_pass(
    network: CodecNetwork, x: Tensor, t: Tensor, *, rounded_rate: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """x [B, 3, H, W] in 0..1 (H, W multiples of 64), t [B] in 0..1 -> bits per pixel of y and of z [B], x_hat like x.

    The synthesis sees rounded values (straight-through), the rate sees additive uniform noise (Balle et al. 2018),
    or, with `rounded_rate`, the rounded values too.
    """
    return coding_pass(network, *network.analyse(x, t), t, x.shape[-1] * x.shape[-2], rounded_rate=rounded_rate)


def coding_pass(
    network: CodecNetwork, y: Tensor, z: Tensor, t: Tensor, pixels: int, *, rounded_rate: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """y and z of images of so many pixels -> what `network_pass` gives."""
    gain = network.log_gain(t).exp()
    z_hat = clamp_through(ste_round(z), Z_MIN, Z_MAX)
    index = network.h_scale(z_hat, t)
    p = network.prior(z_hat, t)

    result = network.run_context(p, gain, lambda mu: ste_round(gain * (y - mu)))
    exact = gain * (y - result.mu)
    y_value = ste_round(exact) if rounded_rate else exact + _noise(exact)
    z_value = z_hat if rounded_rate else z + _noise(z)
    bits_y = logistic_bits(y_value, scale_of_index(index))
    z_index = clamp_through(network.z_index(t), 0, SCALE_INDICES - 1)
    bits_z = logistic_bits(z_value, scale_of_index(z_index))
    x_hat = network.synthesize(result.y_hat, t)
    return bits_y.sum((1, 2, 3)) / pixels, bits_z.sum((1, 2, 3)) / pixels, x_hat


def forward_terms(
    network: CodecNetwork, x: Tensor, t: Tensor, *, rounded_rate: bool = False, mix: Mix = SQUARED_ERROR
) -> Terms:
    """The terms of the loss; the arguments are those of `network_pass`, and `mix` as in `distortion_of`."""
    return terms_of(x, *network_pass(network, x, t, rounded_rate=rounded_rate), mix)


def terms_of(x: Tensor, bpp_y: Tensor, bpp_z: Tensor, x_hat: Tensor, mix: Mix) -> Terms:
    """The terms of images x [B, 3, H, W] that came back as x_hat."""
    mse = (x_hat - x).square().mean((1, 2, 3))
    return Terms(bpp_y, bpp_z, mse, distortion_of(x_hat, x, mse, mix))


def balanced_loss(terms: Terms, t: Tensor) -> Tensor:
    """Mean of (bpp + lambda * 255^2 * distortion) / sqrt(lambda / lambda_min).

    The optimal rate grows about with sqrt(lambda), so this weighs every level's relative rate alike, as BD-rate does.
    """
    lmbda = lambda_of(t)
    loss = terms.bpp_y + terms.bpp_z + lmbda * 255**2 * terms.distortion
    return tempered(loss * (LAMBDA_MIN / lmbda).sqrt() * 10).mean()


def tempered(loss: Tensor) -> Tensor:
    """Losses [B] as they are up to ORDINARY_LOSS, beyond it their logarithm, without a step in value or slope.

    A crop of noise or of one-bit dots has a loss of 20 to 10,000. In the mean of a batch its gradient would be all that
    clipping leaves, and photographs, most of the crops, would teach nothing.
    """
    beyond = ORDINARY_LOSS * (1 + (loss / ORDINARY_LOSS).clamp_min(1).log())
    return torch.where(loss > ORDINARY_LOSS, beyond, loss)


class Objective(nn.Module):
    """Network and loss as one module, the unit that DistributedDataParallel works on.

    compiled: torch.compile for the network. Not for MS-SSIM, whose windows are made anew at every call, in Python.
    """

    passing: Callable[..., tuple[Tensor, Tensor, Tensor]] = staticmethod(network_pass)
    """What is compiled: the network and inputs -> bits of y and z, and x_hat."""

    def __init__(
        self,
        network: CodecNetwork,
        *,
        rounded_rate: bool = False,
        bf16: bool = True,
        mix: Mix = SQUARED_ERROR,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.rounded_rate, self.bf16, self.mix = network, rounded_rate, bf16, mix
        self._pass = torch.compile(self.passing) if compiled else self.passing

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, 3, H, W] in 0..1, t [B] -> the loss, and means over the batch [3]: bpp of y, bpp of z, PSNR in dB."""
        return self.loss_of(x, x, t)

    def loss_of(self, x: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives for images x from what the network sees: an image and t [B] at least."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            outputs = self._pass(self.network, *inputs, rounded_rate=self.rounded_rate)
        terms = terms_of(x, *outputs, self.mix)
        means = torch.stack([terms.bpp_y.mean(), terms.bpp_z.mean(), terms.mse.log10().mean() * -10])
        return balanced_loss(terms, inputs[1]), means.detach()
