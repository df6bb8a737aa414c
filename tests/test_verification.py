"""encode(verify=True): what is not what went in fails loudly, with the place; sound files pass."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from vaecodec import auto, container, numpy_codec
from vaecodec.codec import Codec, shared_codec
from vaecodec.container import Tag
from vaecodec.errors import CodingError, FormatError
from vaecodec.levels import LEVELS
from vaecodec.picture_file import make_source
from vaecodec.verification import check_file, check_y_hat

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def fast() -> Codec:
    return shared_codec("fast-perceptual", "cpu")


@pytest.fixture(scope="module")
def lake() -> Image.Image:
    with Image.open(SAMPLES / "mountain-lake.jpg") as opened:
        return opened.convert("RGB").crop((300, 300, 460, 420))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
@pytest.mark.parametrize("coding", ["neural", "lossless", "auto"])
def test_sound_files_pass(fast: Codec, lake: Image.Image, mode: str, coding: Any) -> None:
    image = lake.convert(mode)
    image.info["xmp"] = b"<x/>"
    options: dict[str, Any] = {"mode": coding}
    assert fast.encode(image, 60, verify=True, **options) == fast.encode(image, 60, **options)
    assert vaecodec.encode(image, 60, model="fast-perceptual", device="cpu", verify=True, **options)
    assert fast.encode(image, 60, verify=True, strip=True, **options)


def test_every_level_and_target_passes(fast: Codec, lake: Image.Image) -> None:
    for level in (0, 20, 40, LEVELS - 1):
        fast.encode(lake, level=level, verify=True)
    assert len(fast.encode(lake, target_bytes=3000, verify=True)) <= 3000
    fast.encode(lake, target_psnr=30.0, verify=True)
    assert numpy_codec.encode(lake, 60, model="fast-perceptual", verify=True)


@pytest.fixture(scope="module")
def parts(fast: Codec, lake: Image.Image) -> tuple[bytes, Any, Any]:
    """A sound file, its source, and what the encoder meant to write."""
    image = lake.convert("RGBA")
    image.info["xmp"] = b"<x/>"
    encoded = fast.encode_with_latents(image, 60)
    return encoded.data, make_source(image, strip=False), encoded.latents


def _check(fast: Codec, parts: tuple[bytes, Any, Any], **changed: Any) -> None:
    data, source, latents = parts
    arguments: dict[str, Any] = {
        "data": data, "source": source, "decode": lambda data: fast.decode(data, as_array=True),
        "decode_latents": fast.decode_latents, "latents": latents,
    }  # fmt: skip
    check_file(**(arguments | changed))


def test_other_integers_are_named_with_their_place(fast: Codec, parts: tuple[bytes, Any, Any]) -> None:
    _check(fast, parts)
    for name, place in (("z_hat", (3, 1, 0)), ("r", (5, 2, 4))):
        values = getattr(parts[2], name).copy()
        values[place] += 1
        with pytest.raises(CodingError, match=rf"{name} is -?\d+ at \({place[0]}, {place[1]}, {place[2]}\)"):
            _check(fast, parts, latents=dataclasses.replace(parts[2], **{name: values}))
    with pytest.raises(CodingError, match="the level is"):
        _check(fast, parts, latents=dataclasses.replace(parts[2], level=1))


def test_a_bad_block_is_named_with_its_place(fast: Codec, parts: tuple[bytes, Any, Any]) -> None:
    sound = fast.decode(parts[0], as_array=True)
    broken = sound.copy()
    broken[48:64, 32:48, :3] = 255 - broken[48:64, 32:48, :3]
    with pytest.raises(CodingError, match=r"the block at x 32, y 48 has a mean squared error of \d+; level 38 allows"):
        _check(fast, parts, decode=lambda _: broken)
    for name, changed in (("alpha", (..., 3)),):
        other = sound.copy()
        other[changed] = 7
        with pytest.raises(CodingError, match=f"{name} differs"):
            _check(fast, parts, decode=lambda _, other=other: other)


def test_other_metadata_are_noticed(fast: Codec, parts: tuple[bytes, Any, Any]) -> None:
    data, source, _ = parts
    with pytest.raises(CodingError, match="the metadata differ"):
        _check(fast, parts, source=dataclasses.replace(source, metadata=[(Tag.XMP, b"<y/>")]))
    file = container.parse(data)
    contents = {tag: content for tag, content in container.read_all(data, file).items() if tag is not Tag.XMP}
    with pytest.raises(CodingError, match="the metadata differ"):
        _check(fast, parts, data=container.pack(file.header, list(contents.items())))
    with pytest.raises(FormatError):
        _check(fast, parts, data=data[:-1])


def test_a_lossless_file_must_be_equal(fast: Codec, lake: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    other = lake.copy()
    other.putpixel((5, 5), (1, 2, 3))
    data = vaecodec.encode(other, lossless=True)
    monkeypatch.setattr("vaecodec.lossless.encode", lambda *_, **__: data)
    for encode in (fast.encode, vaecodec.encode):
        with pytest.raises(CodingError, match="pixels of a lossless file differ"):
            encode(lake, lossless=True, verify=True)  # type: ignore[operator]


def test_what_the_networks_break_is_found(fast: Codec, lake: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that gives another picture; without verify nobody sees it."""
    monkeypatch.setattr(Codec, "decode", lambda *_, **__: np.zeros((120, 160, 3), np.uint8))
    fast.encode(lake, 60, mode="neural")
    with pytest.raises(CodingError, match="the finished file does not hold the image: the block at"):
        fast.encode(lake, 60, mode="neural", verify=True)


# y_hat


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", pytest.param("float16", marks=pytest.mark.reference)])
def test_encoder_and_decoder_state_the_same_arithmetic(
    lake: Image.Image, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Compared by every encoding of a process with VAECODEC_DEBUG=1."""
    monkeypatch.setenv("VAECODEC_DEBUG", "1")
    codec = Codec("fast-perceptual", device="cpu", dtype=dtype)
    for level in (0, 40, 63):
        codec.encode(lake, level=level)


def test_another_y_hat_is_named_with_its_place(lake: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec("fast-perceptual", device="cpu", dtype="float32")
    pipeline = type(codec._pipeline())
    y_hat = pipeline.y_hat

    def changed(self: Any, latents: Any) -> Any:
        values = y_hat(self, latents).copy()
        values[1, 2, 3] += 5
        return values

    monkeypatch.setattr(pipeline, "y_hat", changed)
    codec.encode(lake, 60)
    monkeypatch.setenv("VAECODEC_DEBUG", "1")
    with pytest.raises(CodingError, match=r"y_hat is .* at \(1, 2, 3\) of the decoder"):
        codec.encode(lake, 60, mode="neural")
    with pytest.raises(CodingError, match="y_hat is nan"):
        check_y_hat(np.zeros((1, 1, 2), np.float32), np.array([[[0, np.nan]]], np.float32))


# The limits


def test_the_limits_hold_for_photographs(fast: Codec) -> None:
    """Of the samples, which they were not derived from."""
    for name in ("osprey.jpg", "handwriting.jpg"):
        with Image.open(SAMPLES / name) as opened:
            photo: NDArray[np.uint8] = np.array(opened.convert("RGB").crop((440, 140, 700, 340)))
        for level in (0, 27, 63):
            fast.encode(photo, level=level, mode="neural", verify=True)
    assert len(auto.BLOCK_LIMITS) == len(auto.LIMIT_LEVELS) == len(auto.IMAGE_LIMITS)
