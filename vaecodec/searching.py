"""Neural files: what one is made of, and the one that meets a target (`targets` says what to try next)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.collecting import raised
from vaecodec.entropy.coding import CodedLatents, Latents, StoredLatents
from vaecodec.levels import LEVELS
from vaecodec.picture_file import Source
from vaecodec.refine.search import meet_refined
from vaecodec.runtime.interface import Pipeline
from vaecodec.runtime.windows import Window
from vaecodec.targets import Goal, Knobs, Trial, meet, place_of


@dataclass(frozen=True)
class Encoded:
    """A finished file with what went into it: latents, their coded form, and y_hat, of which g_s makes the image."""

    data: bytes
    latents: Latents
    coded: CodedLatents
    y_hat: Any


Refine = Callable[[Source, Latents, float], tuple[Latents, CodedLatents]]
"""An image, the integers of a single pass, and the balance between bits and distortion (1 for that of the level) ->
better integers, and these coded."""


@dataclass(frozen=True)
class Care:
    """What an effort does beyond one pass: feed the decoder's image back (see `feedback`) and refine the integers."""

    feeds_back: bool
    refine: Refine | None = None


def encode_to(
    goal: Goal,
    source: Source,
    pipeline: Pipeline,
    pack: Callable[[CodedLatents, int], bytes],
    refine: Refine | None = None,
) -> bytes:
    """The file that meets `goal`; what doesn't depend on the level is computed once.

    pack: the file of latents coded at a level. refine: what makes it better, if anything. Raises TargetError for a goal
    out of reach.
    """
    features = pipeline.features([source.picture.rgb])

    def measure(level: int, strength: float) -> Trial[tuple[bytes, Knobs]]:
        quantized = pipeline.quantize(features, level, dead_zone=strength)
        [coded] = pipeline.encode(quantized)
        content = pack(coded, level), (level, strength)
        if goal.bound == "high":
            return Trial(goal.value_of_bytes(len(content[0])), content)
        return Trial(source.psnr(pipeline.decoded_rows(quantized, level)), content)

    def measure_refined(refine: Refine, level: int, balance: float) -> Trial[bytes]:
        latents, coded = refine(source, pipeline.quantize(features, level).latents_of(0), balance)
        data = pack(coded, level)
        if goal.bound == "high":
            return Trial(goal.value_of_bytes(len(data)), data)
        return Trial(source.psnr([decoded(pipeline, source, latents, coded)]), data)

    data, knobs = meet(measure, goal, LEVELS).content
    if refine is None:
        return data
    better = meet_refined(goal, place_of(knobs, goal), partial(measure_refined, refine))
    return data if better is None else better.content


def decoded(pipeline: Pipeline, source: Source, latents: Latents, coded: CodedLatents) -> NDArray[np.uint8]:
    """The pixels that a decoder makes of coded latents, uint8 [H, W, 3]."""
    height, width = latents.z_hat.shape[1:]
    stored = StoredLatents(latents.level, (height, width), coded.payload, coded.outliers)
    [pixels] = pipeline.pixels([stored], Window(0, source.picture.height, 0, source.picture.width))
    return raised(pixels)
