"""Neural files: what one is made of, and the one that meets a target (`targets` says what to try next)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vaecodec.entropy.coding import CodedLatents, Latents
from vaecodec.levels import LEVELS
from vaecodec.picture_file import Source
from vaecodec.runtime.interface import Pipeline
from vaecodec.targets import Goal, Trial, meet


@dataclass(frozen=True)
class Encoded:
    """A finished file with what went into it: latents, their coded form, and y_hat, of which g_s makes the image."""

    data: bytes
    latents: Latents
    coded: CodedLatents
    y_hat: Any


def encode_to(goal: Goal, source: Source, pipeline: Pipeline, pack: Callable[[CodedLatents, int], bytes]) -> bytes:
    """The file that meets `goal`; what doesn't depend on the level is computed once.

    pack: the file of latents coded at a level. Raises TargetError for a goal out of reach.
    """
    features = pipeline.features([source.picture.rgb])

    def measure(level: int, strength: float) -> Trial[bytes]:
        quantized = pipeline.quantize(features, level, dead_zone=strength)
        [coded] = pipeline.encode(quantized)
        data = pack(coded, level)
        if goal.bound == "high":
            return Trial(goal.value_of_bytes(len(data)), data)
        return Trial(source.psnr(pipeline.pixel_rows(quantized.y_hat[0], level)), data)

    return meet(measure, goal, LEVELS).content
