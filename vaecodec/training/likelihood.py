"""Rate of training: bits of a value under a discretized logistic distribution.

A logistic law has heavier tails than a Gaussian, as residuals have whose scale is only known from z; its log
likelihood never underflows, so an outlier always has a gradient. The shipped tables are fitted at export.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vaecodec.entropy.scales import LOG_STEP, SCALE_MIN

_STD_TO_LOGISTIC = math.sqrt(3) / math.pi


def scale_of_index(index: Tensor) -> Tensor:
    """Scale index (float, 0..63) -> standard deviation."""
    return SCALE_MIN * torch.exp(LOG_STEP * index)


def logistic_bits(value: Tensor, scale: Tensor) -> Tensor:
    """-log2 of the mass of [value - 1/2, value + 1/2] under a zero-mean logistic law of standard deviation `scale`.

    With a = |value|, b = (1/2 - a) / s, c = (1/2 + a) / s:
    sigmoid(b) - sigmoid(-c) = sigmoid(b) * sigmoid(c) * (1 - exp(-1/s)).
    """
    inverse = 1 / (scale * _STD_TO_LOGISTIC)
    magnitude = value.abs()
    nats = (
        F.softplus((magnitude - 0.5) * inverse)
        + F.softplus((-0.5 - magnitude) * inverse)
        - torch.log(-torch.expm1(-inverse))
    )
    return nats / math.log(2)
