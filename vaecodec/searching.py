"""The neural file that meets a target: `targets` says what to try next, the networks try it."""

from __future__ import annotations

from collections.abc import Callable

from vaecodec.entropy.coding import CodedLatents
from vaecodec.levels import LEVELS
from vaecodec.picture_file import Source
from vaecodec.runtime.interface import Pipeline
from vaecodec.targets import Goal, Trial, meet


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
