"""Neural files: what one is made of, and the one that meets a target (`targets` says what to try next)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

from vaecodec import feedback
from vaecodec.collecting import raised
from vaecodec.container import parse_postfilter
from vaecodec.entropy.coding import CodedLatents, Latents, StoredLatents
from vaecodec.levels import LEVELS
from vaecodec.picture_file import Source
from vaecodec.refine.search import meet_refined
from vaecodec.runtime.cpu.postfilter import Loops, filtered
from vaecodec.runtime.interface import Pipeline, Quantized
from vaecodec.runtime.windows import Pixels, Window
from vaecodec.targets import Goal, Knobs, Trial, meet, place_of

Content = TypeVar("Content")


@dataclass(frozen=True)
class Encoded:
    """A finished file with what went into it: latents, their coded form, and y_hat, of which g_s makes the image."""

    data: bytes
    latents: Latents
    coded: CodedLatents
    y_hat: Any


@dataclass(frozen=True)
class Refined:
    """Better integers, their coded form, and the section of a post filter for them, empty where none pays."""

    latents: Latents
    coded: CodedLatents
    postfilter: bytes


Refine = Callable[[Source, Latents, float], Refined]
"""An image, the integers of a single pass, and the balance between bits and distortion (1 for that of the level)."""

Restore = Callable[[Source, Pixels, int], bytes]
"""An image, what the decoder makes of it, and the level -> the section of a post filter, empty where none pays."""


@dataclass(frozen=True)
class Care:
    """What an effort does beyond one pass: feed the decoder's image back (see `feedback`), refine the integers, and fit
    a post filter to what was fed back; refined integers bring their own."""

    feeds_back: bool
    refine: Refine | None = None
    restore: Restore | None = None


def encode_to(
    goal: Goal,
    source: Source,
    pipeline: Pipeline,
    pack: Callable[..., bytes],
    care: Care,
    loops: Loops,
) -> bytes:
    """The file that meets `goal`.

    pack: the file of latents coded at a level, with the section of a post filter. care: with feedback, where the level
    is high enough, and refinement; the image should be no photograph for the former. loops: by which a post filter is
    applied. Raises TargetError for a goal out of reach.
    """

    @lru_cache(maxsize=2)  # between two levels the strength of the dead zone is all that changes
    def better_y(level: int) -> Any:
        return feedback.fed_back(pipeline, source, level).y

    def quantize(level: int, strength: float) -> Quantized:
        feeds_back = care.feeds_back and level >= feedback.LEAST_LEVEL
        quantized: Quantized = (
            pipeline.quantize_y(better_y(level), level, dead_zone=strength)
            if feeds_back
            else pipeline.quantize([source.picture.rgb], level, dead_zone=strength)
        )
        return quantized

    def judged(data: bytes, content: Content, rows: Callable[[], Iterator[Pixels]]) -> Trial[Content]:
        """rows: the decoded image, where the goal asks for it."""
        return Trial(goal.value_of_bytes(len(data)) if goal.bound == "high" else source.psnr(rows()), content)

    def measure(level: int, strength: float) -> Trial[tuple[bytes, Knobs]]:
        quantized = quantize(level, strength)
        [coded] = pipeline.encode(quantized)
        rows, postfilter = partial(pipeline.decoded_rows, quantized, level), b""
        if care.restore is not None:
            shown = source.gathered(rows())
            postfilter = care.restore(source, shown, level)
            rows = partial(_restored, shown, postfilter, loops)
        data = pack(coded, level, postfilter)
        return judged(data, (data, (level, strength)), rows)

    def measure_refined(refine: Refine, level: int, balance: float) -> Trial[bytes]:
        refined = refine(source, quantize(level, 0.0).latents_of(0), balance)
        data = pack(refined.coded, level, refined.postfilter)

        def rows() -> Iterator[Pixels]:
            shown = decoded(pipeline, source, refined.latents, refined.coded)
            return _restored(shown, refined.postfilter, loops)

        return judged(data, data, rows)

    data, knobs = meet(measure, goal, LEVELS).content
    if care.refine is None:
        return data
    better = meet_refined(goal, place_of(knobs, goal), partial(measure_refined, care.refine))
    return data if better is None else better.content


def _restored(shown: Pixels, postfilter: bytes, loops: Loops) -> Iterator[Pixels]:
    """The image that a decoder shows, from the pixels of g_s and the section of a post filter, as one band of rows."""
    parsed = parse_postfilter(postfilter)
    return iter([shown if parsed is None else filtered(shown, parsed, loops)])


def decoded(pipeline: Pipeline, source: Source, latents: Latents, coded: CodedLatents) -> Pixels:
    """The pixels that a decoder makes of coded latents, uint8 [H, W, 3]."""
    height, width = latents.z_hat.shape[1:]
    stored = StoredLatents(latents.level, (height, width), coded.payload, coded.outliers)
    [pixels] = pipeline.pixels([stored], Window(0, source.picture.height, 0, source.picture.width))
    return raised(pixels)
