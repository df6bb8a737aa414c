"""Feedback: the encoder looks at what the decoder would make of its y, and adds to y what is missing there. No PyTorch.

    y <- y + STEP * (g_a(x) - g_a(g_s(y))),   from y = g_a(x)

For photographs g_a is nearly the inverse of g_s that it was trained to be, and nothing is gained but at the highest
levels. On text, scans and drawings it loses much that g_s could show: there the same bits buy up to 5 dB (the iteration
is van Cittert's of 1931, for a blur that is known from its effect alone). It takes about eight times as long as one
pass, so images that look like photographs (`auto.look`) do without. What the decoder makes of the outcome is kept: a
post filter is fitted to it (`vaecodec.postfilter`), which on such images gains a decibel and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaecodec.entropy.coding import CodedLatents
from vaecodec.levels import level_lambda
from vaecodec.networks.config import LATENT_MAX
from vaecodec.picture_file import Source
from vaecodec.runtime.interface import Pipeline, Quantized
from vaecodec.runtime.windows import Pixels

LEAST_EFFORT = 4
LEAST_LEVEL = 24
"""Below, rounding costs more than g_a loses: at level 18 there is 1 % to gain, at 50 10 %."""
STEP = 0.75
STEPS = 3
"""More steps gain little on most images, and lose on some."""


@dataclass(frozen=True)
class Attempt:
    """y of an image with what it becomes: what goes into the file, its bytes, the objective of training in bits, and
    the decoded image, uint8 [H, W, 3]."""

    y: Any
    quantized: Quantized
    coded: CodedLatents
    cost: float
    shown: Pixels


def fed_back(pipeline: Pipeline, source: Source, level: int) -> Attempt:
    """What feedback makes of an image, or one pass where that is the better bargain of bits and squared error, as it is
    at low levels. Raises CodingError as `Pipeline.encode`."""
    rgb = source.picture.rgb
    single = pipeline.analyse(rgb, level)
    best, y = _attempt(pipeline, source, single, level), single
    if level < LEAST_LEVEL:
        return best
    for _ in range(STEPS):
        shown = np.concatenate(list(pipeline.pixel_rows(y, level)))
        y = (y + STEP * (single - pipeline.analyse(shown, level))).clip(-LATENT_MAX, LATENT_MAX)
    return min(best, _attempt(pipeline, source, y, level), key=lambda attempt: attempt.cost)


def _attempt(pipeline: Pipeline, source: Source, y: Any, level: int) -> Attempt:
    quantized = pipeline.quantize_y(y, level)
    [coded] = pipeline.encode(quantized)
    shown = source.gathered(pipeline.decoded_rows(quantized, level))
    cost = coded.information + level_lambda(level) * source.squared_error([shown])
    return Attempt(y, quantized, coded, cost, shown)
