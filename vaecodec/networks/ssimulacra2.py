"""SSIMULACRA2 as a loss: the metric of Sneyers (2022, github.com/cloudinary/ssimulacra2, BSD-3), differentiable.

Both images become XYB (a perceptual color space: a red-green, a luma and a blue channel) at six scales, each half as
large as the one before. Maps of local dissimilarity (SSIM), of edges that were added and of edges that were lost are
averaged in two norms (1 and 4), and the averages are summed with the published weights. Weights below 0.01 are left out
here, and with them the last scale and the colors of the first ones, where nothing else is: they never move a score by
0.01 points, and the loss takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_SIDE = 128
"""Pixels that an image needs on each side: the fifth scale still has 8. (The metric itself gives an image with a side
of 224 pixels or less fewer scales, and the others weights that were fitted for their neighbours; not here.)"""

SQUARED_ERROR_OF_ONE = 1 / 6500
"""Squared error (pixels 0..1) that weighs like a dissimilarity of 1: on held-out photographs one grows with the other
almost in proportion (exponent 1.06 to 1.08) from the lowest level to the highest."""

_OPSIN = ((0.30, 0.622, 0.078), (0.23, 0.692, 0.078), (0.24342268924547819, 0.20476744424496821, 0.5518098665095536))
_OPSIN_BIAS = 0.0037930732552754493
_X, _Y, _B = range(3)

# Scale -> channel -> weights of (SSIM, norm 1), (SSIM, 4), (edges added, 1), (added, 4), (edges lost, 1), (lost, 4).
_WEIGHTS: tuple[dict[int, tuple[float, float, float, float, float, float]], ...] = (
    {_Y: (0, 7.466890328078848, 0, 0, 0, 17.445833984131262)},
    {
        _X: (0, 1.1041726426657346, 0, 0, 0, 0),
        _Y: (0, 6.683678146179332, 0, 0, 0, 1.027889937768264),
    },
    {
        _X: (0, 1.8422455520539298, 0, 11.441172603757666, 0, 0),
        _Y: (225.20515300849274, 19.213238186143016, 0, 0, 0, 0),
    },
    {
        _X: (0, 1.8787594979546387, 0, 10.94906990605142, 0, 0),
        _Y: (176.39317598450694, 24.43300999870476, 0, 0.28520802612117757, 0, 0),
        _B: (0, 8.826982764996862, 0, 23.19243343998926, 0, 0),
    },
    {
        _X: (0, 0, 0.9677937080626833, 0.9981766977854967, 0, 0),
        _Y: (0, 34.77906344483772, 0, 44.835625328877896, 0, 0),
        _B: (95.1080498811086, 0, 0.9863978034400682, 171.2667255897307, 0.9834382792465353, 0.9807858872435379),
    },
)

_C2 = 0.0009
_SIGMA, _RADIUS = 1.5, 5
_TINY = 1e-28
"""Added to a mean of fourth powers: its root has no gradient at zero."""


@dataclass(frozen=True)
class Ssimulacra2:
    """Per image of a batch, float32 [B]: the weighted sum of the averages, 0 for equal images, and the score made of it
    (100 for equal images, 90 visually lossless, 30 low quality). A loss uses the sum: the score is a curve on it."""

    dissimilarity: Tensor
    score: Tensor


def ssimulacra2(x: Tensor, x_hat: Tensor) -> Ssimulacra2:
    """SSIMULACRA2 of x_hat against x, [B, 3, H, W] sRGB in 0..1 each (values outside are clamped: the metric is one of
    bytes, and clamped pixels get no gradient), sides at least `LEAST_SIDE`. Gradients flow to both."""
    if min(x.shape[-2:]) < LEAST_SIDE:
        message = f"SSIMULACRA2 needs sides of at least {LEAST_SIDE} pixels, not {x.shape[-1]} x {x.shape[-2]}"
        raise ValueError(message)
    with torch.autocast(x.device.type, enabled=False):
        light = [_linear(image.float().clamp(0, 1)) for image in (x, x_hat)]  # apart: x rarely needs a gradient
        total = torch.zeros(x.shape[0], device=x.device)
        for number, weights in enumerate(_WEIGHTS):
            if number > 0:
                light = [F.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False) for image in light]
            a, b = (_positive_xyb(image, list(weights)) for image in light)
            total = total + _scale(a, b, weights)
        return Ssimulacra2(total, _score(total))


def _score(total: Tensor) -> Tensor:
    """The published curve from the sum to the score."""
    s = total * 0.9562382616834844
    curved = 2.326765642916932 * s - 0.020884521182843837 * s**2 + 6.248496625763138e-05 * s**3
    return 100 - 10 * curved.clamp(min=1e-12) ** 0.6276336467831387


def _linear(srgb: Tensor) -> Tensor:
    """sRGB in 0..1 -> linear light. The power sees no value near zero: its branch is not taken there, and a gradient
    that is infinite in a branch not taken would be NaN."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)


def _positive_xyb(light: Tensor, channels: list[int]) -> Tensor:
    """Linear RGB [B, 3, H, W] -> channels of XYB, shifted and stretched to be positive, as the metric wants it."""
    matrix = torch.tensor(_OPSIN if _B in channels else _OPSIN[:2], device=light.device)
    mixed = F.conv2d(light, matrix[..., None, None]) + _OPSIN_BIAS
    cones = (mixed.log() / 3).exp() - _OPSIN_BIAS ** (1 / 3)  # the cube root, three times as fast as a power
    long, medium = cones[:, 0], cones[:, 1]
    y = (long + medium) / 2
    planes = {_X: 7 * (long - medium) + 0.42, _Y: y + 0.01}
    if _B in channels:
        planes[_B] = cones[:, 2] - y + 0.55
    return torch.stack([planes[channel] for channel in channels], 1)


def _scale(a: Tensor, b: Tensor, weights: Mapping[int, tuple[float, ...]]) -> Tensor:
    """What one scale adds to the sum, [B]. a, b: the channels of `weights`, [B, c, h, w]."""
    mu_a = _blur(a)
    mu_b, squares, product = _blur(torch.cat([b, a * a + b * b, a * b], 1)).chunk(3, 1)
    covariance = 2 * (product - mu_a * mu_b) + _C2
    variances = squares - mu_a * mu_a - mu_b * mu_b + _C2
    ssim = 1 - (1 - (mu_a - mu_b).square()) * covariance / variances
    edges = (1 + (b - mu_b).abs()) / (1 + (a - mu_a).abs()) - 1
    maps = torch.stack([ssim, edges, -edges], 1).clamp(min=0)  # [B, 3, c, h, w]
    fourth = maps.square().square().mean((-1, -2))
    norms = torch.stack([maps.mean((-1, -2)), (fourth + _TINY) ** 0.25], -1)  # [B, 3, c, 2]
    table = torch.tensor(list(weights.values()), device=a.device).view(-1, 3, 2).transpose(0, 1)
    return (norms * table).sum((1, 2, 3))


def _blur(x: Tensor) -> Tensor:
    """A Gaussian of 11 taps, [B, C, H, W]; zeros beyond the left and right edge, mirrored rows above and below (of the
    package `ssimulacra2` 0.3, against which this is tested)."""
    channels = x.shape[1]
    taps = torch.exp(-0.5 * (torch.arange(-_RADIUS, _RADIUS + 1, device=x.device) / _SIGMA) ** 2)
    taps = (taps / taps.sum()).expand(channels, 1, -1)
    x = x.contiguous(memory_format=torch.channels_last)  # depthwise convolutions run four times as fast so
    x = F.conv2d(x, taps[:, :, None], padding=(0, _RADIUS), groups=channels)
    x = torch.cat([x[:, :, :_RADIUS].flip(2), x, x[:, :, -_RADIUS:].flip(2)], 2)
    return F.conv2d(x, taps[..., None], groups=channels)
