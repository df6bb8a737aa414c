"""Targets: the search alone on curves of many shapes, then the codec (of a tiny model) for sizes, PSNR and bpp."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from vaecodec.codec import Codec
from vaecodec.errors import InputError, TargetError
from vaecodec.metrics import psnr
from vaecodec.targets import MOST_TRIALS, Goal, Search, Trial, bytes_of_bpp, meet

SAMPLES = Path(__file__).parents[1] / "samples"
LEVELS = 64


def _size(level: int, strength: float, *, base: float, growth: float, take: float) -> int:
    return round(base * math.exp(growth * level) * (1 - take * strength**0.7))


curves = st.fixed_dictionaries(
    {"base": st.floats(300, 1e6), "growth": st.floats(0.02, 0.12), "take": st.floats(0.2, 0.8)}
)


@settings(max_examples=200)
@given(curve=curves, share=st.floats(0, 1))
def test_sizes_are_met_from_below(curve: dict[str, float], share: float) -> None:
    """Anywhere between the smallest and the largest file: never exceeded, 98.5 % used, in a handful of trials."""
    low, high = math.log(_size(0, 1, **curve)), math.log(_size(63, 0, **curve))
    target = math.ceil(math.exp(low + share * (high - low)))
    search = Search(lambda *knobs: Trial(math.log(size := _size(*knobs, **curve)), size), Goal.of_bytes(target), LEVELS)
    trial = search.run(32)
    assert trial is not None
    assert 0.985 * target - 1 <= trial.content <= target
    assert len(search.seen) <= 16


@settings(max_examples=200)
@example(start=20.0, growth=1 / 3, take=1.09765625, share=0.125)  # 14 trials, where 13 were once taken for the most
@given(start=st.floats(20, 35), growth=st.floats(0.1, 0.5), take=st.floats(1, 6), share=st.floats(0, 1))
def test_psnr_is_met_from_above(start: float, growth: float, take: float, share: float) -> None:
    def measure(level: int, strength: float) -> Trial[None]:
        return Trial(start + growth * level - take * strength**0.8, None)

    low, high = start - take, start + growth * 63
    target = low + share * (high - low)
    search = Search(measure, Goal.of_psnr(target), LEVELS)
    trial = search.run(32)
    assert trial is not None
    assert target <= trial.value <= target + 0.05
    assert len(search.seen) <= 16


def test_typical_goals_take_few_trials() -> None:
    counts = []
    for target in range(3000, 60000, 997):
        curve = {"base": 2000, "growth": 0.06, "take": 0.5}
        search = Search(lambda *knobs: Trial(math.log(_size(*knobs, **curve)), None), Goal.of_bytes(target), LEVELS)  # noqa: B023
        search.run(32)
        counts.append(len(search.seen))
    assert np.mean(counts) < 6


@given(seed=st.integers(0, 1000))
def test_a_ladder_that_runs_up_and_down_breaks_no_promise(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1000, 5000, LEVELS)
    goal = Goal.of_bytes(2500)
    search = Search(lambda level, s: Trial(math.log(sizes[level] * (1 - 0.3 * s)), int(sizes[level])), goal, LEVELS)
    trial = search.run(32)
    assert trial is None or trial.value <= goal.high
    assert len(search.seen) <= MOST_TRIALS


def test_what_is_above_the_range() -> None:
    """A size is a ceiling, so the best there is meets it; a PSNR is a floor, so it can't be met."""

    def size(level: int, strength: float) -> Trial[int]:
        return Trial(math.log(1000 + 10 * level - 100 * strength), level)

    assert meet(size, Goal.of_bytes(10**6), LEVELS).content == 63
    with pytest.raises(TargetError, match=r"target_bytes is 500: this picture reaches 900 bytes to 1630 bytes"):
        meet(size, Goal.of_bytes(500), LEVELS)

    def measure(level: int, strength: float) -> Trial[tuple[int, float]]:
        return Trial(30 + level / 10 - strength, (level, strength))

    assert meet(measure, Goal.of_psnr(20), LEVELS).content == (0, 1.0)
    with pytest.raises(TargetError, match=r"target_psnr is 50 dB: this picture reaches 29\.00 dB to 36\.30 dB"):
        meet(measure, Goal.of_psnr(50), LEVELS)


def test_a_picture_without_error_is_good_enough() -> None:
    """One colour, say: the smallest file is as good as any."""
    assert meet(lambda level, _: Trial(math.inf, level), Goal.of_psnr(40), LEVELS).content == 0


# The codec


@pytest.fixture(scope="module")
def lake() -> NDArray[np.uint8]:
    with Image.open(SAMPLES / "mountain-lake.jpg") as photo:
        return np.asarray(photo.convert("RGB").resize((200, 150), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.97])
def test_target_bytes(codec: Codec, lake: NDArray[np.uint8], share: float) -> None:
    smallest, largest = (len(codec.encode(lake, level=level, mode="neural")) for level in (0, 63))
    target = round(smallest + share * (largest - smallest))
    data = codec.encode(lake, target_bytes=target, mode="neural")
    assert 0.97 * target <= len(data) <= target
    assert codec.decode(data).size == (200, 150)


def test_all_of_the_file_counts(codec: Codec, lake: NDArray[np.uint8]) -> None:
    image = Image.fromarray(lake)
    image.putalpha(Image.fromarray(lake[:, :, 0]))
    image.info["exif"] = b"MM\0*" + bytes(500)
    extra = len(codec.encode(image, level=20, mode="neural")) - len(codec.encode(lake, level=20, mode="neural"))
    target = extra + len(codec.encode(lake, level=33, mode="neural")) + 10
    data = codec.encode(image, target_bytes=target, mode="neural")
    assert extra > 10_000
    assert 0.97 * target <= len(data) <= target
    with pytest.raises(TargetError, match="this picture reaches"):
        codec.encode(image, target_bytes=extra, mode="neural")


def test_target_bpp(codec: Codec, lake: NDArray[np.uint8]) -> None:
    bpp = 8 * len(codec.encode(lake, level=30, mode="neural")) / lake[..., 0].size * 1.02
    reached = vaecodec.inspect(codec.encode(lake, target_bpp=bpp, mode="neural")).bpp
    assert 0.97 * bpp <= reached <= bpp


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_target_psnr(codec: Codec, lake: NDArray[np.uint8], mode: str) -> None:
    """Measured on the decoded picture, in its own mode."""
    source = np.asarray(Image.fromarray(lake).convert(mode))
    low, high = sorted(
        psnr(codec.decode(codec.encode(source, level=n, mode="neural"), as_array=True), source) for n in (3, 40)
    )
    target = (low + high) / 2
    reached = psnr(codec.decode(codec.encode(source, target_psnr=target, mode="neural"), as_array=True), source)
    assert target <= reached <= target + 0.05
    with pytest.raises(TargetError, match=r"reaches \d+\.\d\d dB to \d+\.\d\d dB"):
        codec.encode(source, target_psnr=80, mode="neural")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_bytes": 1000, "target_psnr": 30}, "target_bytes and target_psnr cannot be combined"),
        ({"target_bytes": 1000, "level": 3}, "target_bytes and level cannot be combined"),
        ({"target_bytes": 0}, "target_bytes is 0"),
        ({"target_bpp": -1}, "target_bpp is -1"),
        ({"target_psnr": math.nan}, "target_psnr is nan"),
        ({"target_bytes": 40}, "target_bytes is 40: this picture reaches"),
    ],
)
def test_goals_out_of_range(codec: Codec, lake: NDArray[np.uint8], options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        codec.encode(lake, **options, mode="neural")  # type: ignore[arg-type]


def test_bpp_rounds_down() -> None:
    assert bytes_of_bpp(0.5, 1000) == 62
    assert bytes_of_bpp(1e-9, 1000) == 1
