"""Feedback: what it gains on images that are no photographs, and that photographs do without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import vaecodec
from tests.sections import without
from vaecodec import auto, feedback, numpy_codec
from vaecodec.codec import Codec
from vaecodec.container import Tag
from vaecodec.levels import level_lambda, level_to_quality
from vaecodec.metrics import psnr
from vaecodec.picture_file import make_source
from vaecodec.runtime.choice import Plan, choose_brief, choose_reference
from vaecodec.runtime.memory import Memory, bytes_per_band_pixel, bytes_per_pixel

SAMPLES = Path(__file__).parents[1] / "samples"
LEVEL = 50
LOW_QUALITY = level_to_quality(feedback.LEAST_LEVEL - 1)
QUALITY = level_to_quality(LEVEL)


def _text(mode: str = "RGB") -> NDArray[np.uint8]:
    """Words in black on white, 200 x 120."""
    image = Image.new("RGB", (200, 120), "white")
    draw = ImageDraw.Draw(image)
    for line in range(9):
        draw.text((4, 4 + 12 * line), f"line {line} of a page of text, {line * 7919 % 1000}", fill="black")
    return np.array(image.convert(mode))


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec("base", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    with Image.open(SAMPLES / "mountain-lake.jpg") as opened:
        return np.array(opened.convert("RGB").crop((300, 300, 620, 540)))


def _objective(codec: Codec, image: NDArray[np.uint8], data: bytes) -> float:
    """Bits of the file and lambda times the squared error, the mean of the colours of each pixel."""
    error = (image.astype(float) - codec.decode(data, as_array=True)) ** 2
    level = vaecodec.inspect(data).level
    assert level is not None
    return 8 * len(data) + level_lambda(level) * float(error.mean()) * float(image.shape[0] * image.shape[1])


def test_text_comes_back_better_in_about_as_many_bytes(codec: Codec) -> None:
    image = _text()
    once, again = (codec.encode(image, QUALITY, mode="neural", effort=effort) for effort in (3, 4))
    gain = psnr(image, codec.decode(again, as_array=True)) - psnr(image, codec.decode(once, as_array=True))
    assert gain > 1
    assert len(again) < 1.1 * len(once)
    assert _objective(codec, image, again) < 0.95 * _objective(codec, image, once)


@pytest.mark.parametrize("mode", ["auto", "neural"])
def test_photographs_do_without(codec: Codec, photo: NDArray[np.uint8], mode: vaecodec.Mode) -> None:
    assert codec.encode(photo, 95, mode=mode, effort=3) == codec.encode(photo, 95, mode=mode)


def test_low_levels_do_without(codec: Codec) -> None:
    """But for the post filter."""
    once, again = (codec.encode(_text(), LOW_QUALITY, mode="neural", effort=effort) for effort in (3, 4))
    np.testing.assert_array_equal(codec.decode_latents(once).r, codec.decode_latents(again).r)
    assert set(vaecodec.inspect(again).sections) == {*vaecodec.inspect(once).sections, "postfilter"}
    assert _objective(codec, _text(), again) < _objective(codec, _text(), once)


@pytest.mark.parametrize("model", ["base", "fast-perceptual"])
@pytest.mark.parametrize("effort", [4, 5])
def test_there_is_a_post_filter_for_any_model(model: str, effort: int) -> None:
    codec, image = Codec(model), _text()
    data = codec.encode(image, QUALITY, mode="neural", effort=effort)
    assert "postfilter" in vaecodec.inspect(data).sections
    assert _objective(codec, image, data) < _objective(codec, image, without(data, Tag.POSTFILTER))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_never_the_worse_bargain(codec: Codec, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (40 + 30 * seed, 90, 3), np.uint8) // 128 * 255
    assert not auto.look(image).is_photograph
    once, again = (codec.encode(image, QUALITY, mode="neural", effort=effort) for effort in (3, 4))
    assert _objective(codec, image, again) <= _objective(codec, image, once) + 16  # a word of the entropy coder


def test_gray_images_and_transparency(codec: Codec) -> None:
    gray = _text("L")
    with_alpha = np.dstack([_text(), 255 - gray])
    for image in (gray, with_alpha):
        data = codec.encode(image, QUALITY, mode="neural")
        assert data != codec.encode(image, QUALITY, mode="neural", effort=3)
        assert codec.decode(data, as_array=True).shape == image.shape


def test_batches_are_like_single_images(codec: Codec, photo: NDArray[np.uint8]) -> None:
    images = [_text(), photo, _text()[::-1].copy(), _text("L")]
    for mode in ("neural", "auto"):
        files = codec.encode_batch(images, QUALITY, mode=mode)
        assert files == [codec.encode(image, QUALITY, mode=mode) for image in images]


def test_the_integers_are_those_of_the_file(codec: Codec) -> None:
    encoded = codec.encode_with_latents(_text(), QUALITY)
    assert encoded.data == codec.encode(_text(), QUALITY, mode="neural", verify=True)
    np.testing.assert_array_equal(codec.decode_latents(encoded.data).r, encoded.latents.r)
    for quality in (QUALITY, LOW_QUALITY):
        assert codec.encode(_text(), quality, verify=True) == codec.encode(_text(), quality)


def test_refinement_begins_where_feedback_ends(codec: Codec) -> None:
    image = _text()
    again, refined = (codec.encode(image, QUALITY, mode="neural", effort=effort) for effort in (4, 5))
    assert _objective(codec, image, refined) < _objective(codec, image, again)


def test_without_the_memory_for_it_there_is_one_pass() -> None:
    config = Codec("base", device="cpu", dtype="float32").loaded_model().config
    image = np.tile(_text(), (8, 4, 1))
    pixels = 960 * 832  # once padded
    between = (bytes_per_pixel(config, "encode") + bytes_per_pixel(config, "feedback")) / 2
    limit = round(between * pixels + bytes_per_band_pixel(config) * 100_000)
    assert not Memory(limit, "cpu", 1).allows(config, pixels, "feedback")
    narrow = Codec("base", device="cpu", dtype="float32", max_memory=limit)
    once = Codec("base", device="cpu", dtype="float32").encode(image, QUALITY, mode="neural", effort=3)
    assert narrow.encode(image, QUALITY, mode="neural") == once


def test_auto_asks_for_it_only_where_the_lossless_file_is_larger(codec: Codec, photo: NDArray[np.uint8]) -> None:
    asked: list[str] = []

    def choose(name: str, image: NDArray[np.uint8], quality: int) -> bytes:
        data = codec.encode(image, quality, mode="neural", effort=3)
        level = vaecodec.inspect(data).level
        assert level is not None

        def improve() -> bytes:
            asked.append(name)
            return data

        return auto.choose(make_source(image, strip=False), level, data, lambda _: image, improve)

    assert vaecodec.inspect(choose("text", _text(), 95)).lossless
    choose("photograph", photo, 95)
    noise = np.random.default_rng(1).integers(0, 256, (90, 90, 3), np.uint8)
    choose("noise", noise, 60)
    assert asked == ["noise"]


def test_a_lossless_file_is_taken_that_is_not_larger_than_the_improved_one(
    codec: Codec, photo: NDArray[np.uint8]
) -> None:
    image = (photo[:80, :80] // 32 * 32).repeat(4, 0).repeat(4, 1)
    assert not auto.look(image).is_photograph
    small, improved = (codec.encode(image, quality, mode="neural", effort=3) for quality in (5, 95))
    lossless = vaecodec.encode(image, lossless=True)
    assert len(small) < len(lossless) <= len(improved)
    chosen = auto.choose(make_source(image, strip=False), 3, small, lambda _: image, lambda: improved)
    assert vaecodec.inspect(chosen).lossless


@pytest.mark.parametrize("plan", [choose_brief(), choose_reference()], ids=["numpy", "pytorch"])
def test_it_gains_as_much_without_numba_and_in_pytorch(codec: Codec, plan: Plan) -> None:
    image, other = _text(), Codec("base", plan=plan)
    data = other.encode(image, QUALITY, mode="neural")
    assert len(data) == pytest.approx(len(codec.encode(image, QUALITY, mode="neural")), rel=0.005)
    gain = psnr(image, other.decode(data, as_array=True)) - psnr(image, _once(other, image))
    assert gain > 1


def _once(codec: Codec, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = codec.decode(codec.encode(image, QUALITY, mode="neural", effort=3), as_array=True)
    return pixels


def test_one_small_image_on_the_command_line_has_its_effort() -> None:
    files = [numpy_codec.encode(_text(), QUALITY, model="base", mode="neural", effort=effort) for effort in (3, 4)]
    assert files[0] != files[1]


def test_targets_are_met_with_it_in_fewer_bytes(codec: Codec) -> None:
    image = _text()
    once, again = (codec.encode(image, target_psnr=36.0, mode="neural", effort=effort) for effort in (3, 4))
    assert 36.0 <= psnr(image, codec.decode(again, as_array=True)) <= 36.06
    assert len(again) < 0.95 * len(once)
    most = len(again)
    data = codec.encode(image, target_bytes=most, mode="neural")
    assert 0.97 * most <= len(data) <= most
    better = psnr(image, codec.decode(data, as_array=True))
    assert better > 0.5 + psnr(
        image, codec.decode(codec.encode(image, target_bytes=most, mode="neural", effort=3), as_array=True)
    )


def test_targets_of_photographs_do_without(codec: Codec, photo: NDArray[np.uint8]) -> None:
    once, again = (codec.encode(photo, target_bytes=9000, effort=effort) for effort in (3, 4))
    assert once == again


def test_latents_of_an_image_are_those_of_its_file(codec: Codec) -> None:
    encoded = codec.encode_with_latents(_text(), QUALITY)
    np.testing.assert_array_equal(codec.latents(_text(), QUALITY).integers.r, encoded.latents.r)
