"""Golden files: what a format version once meant, it means forever. tests/golden/make.py says how they were made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vaecodec
from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.container import Tag
from vaecodec.entropy import coding
from vaecodec.runtime.choice import choose
from vaecodec.weights.store import read_model

FOLDER = Path(__file__).parent / "golden"
FILES: dict[str, Any] = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))["files"]
LOSSLESS: dict[str, Any] = json.loads((FOLDER / "golden-lossless.json").read_text(encoding="utf-8"))["files"]
MODEL_SHA256 = "8ce373f3570cd27ba6876d466d3d135c503cbb14044005d59885d5e3638ca5a1"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(FOLDER / "tiny-v1.safetensors", device="cpu", dtype="float32")


def _data(name: str) -> bytes:
    return (FOLDER / f"{name}-v1.vaec").read_bytes()


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def _check_latents(latents: coding.Latents, expected: dict[str, Any]) -> None:
    assert latents.level == expected["level"]
    assert latents.z_hat.dtype == np.int8
    assert latents.r.dtype == np.int32
    for name, array in (("z_hat", latents.z_hat), ("r", latents.r)):
        assert list(array.shape) == expected[name]["shape"]
        assert _digest(array) == expected[name]["sha256"]


def test_the_files_are_the_ones_that_were_made() -> None:
    assert len(FILES) >= 2
    assert read_model(FOLDER / "tiny-v1.safetensors").sha256 == MODEL_SHA256
    for name, expected in FILES.items():
        assert hashlib.sha256(_data(name)).hexdigest() == expected["sha256"], name


@pytest.fixture(scope="module")
def references() -> Codec:
    plan = replace(choose("cpu", "float32"), loops="numpy", integer_product="reference")
    return Codec(FOLDER / "tiny-v1.safetensors", plan=plan)


@pytest.mark.parametrize("name", FILES)
def test_latents(codec: Codec, name: str) -> None:
    _check_latents(codec.decode_latents(_data(name)), FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_latents_through_the_references(references: Codec, name: str) -> None:
    """The specification, NumPy rANS and the scale network in integers, finds the same numbers."""
    _check_latents(references.decode_latents(_data(name)), FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_picture(codec: Codec, name: str) -> None:
    """Pixels within one level of those that were made, two if filtered; alpha and metadata exactly."""
    decoded, expected = codec.decode(_data(name)), FILES[name]
    assert (decoded.mode, list(decoded.size)) == (expected["mode"], expected["size"])
    with Image.open(FOLDER / f"{name}-v1.png") as image:
        pixels, pixels_made = np.asarray(decoded).astype(int), np.asarray(image).astype(int)
    assert pixels.shape == pixels_made.shape
    assert np.abs(pixels - pixels_made).max() <= (2 if name == "filtered" else 1)
    if decoded.mode in ("RGBA", "LA"):
        assert np.array_equal(pixels[..., -1], pixels_made[..., -1])
    metadata = {key: bytes.fromhex(value) for key, value in expected["metadata"].items()}
    assert {key: value.removeprefix(b"Exif\0\0") for key, value in decoded.info.items()} == metadata


def test_the_files_cover_the_format() -> None:
    """Every mode, one and several lane groups, outliers, metadata, a post filter, an unknown optional section."""
    files = {name: container.parse(_data(name)) for name in FILES}
    assert {file.header.mode.name for file in files.values()} == {"RGB", "L", "RGBA", "LA"}
    assert {FILES[name]["lanes"] > 32 for name in FILES} == {True, False}
    assert set(Tag) - {Tag.LOSSLESS} == {tag for file in files.values() for tag in file.sections}
    assert b"from the future" in _data("gray")


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_of_version_2(name: str) -> None:
    """The bytes are those that were made, the pixels those of then, exactly; no model is asked for."""
    expected = LOSSLESS[name]
    data = (FOLDER / f"{name}-v2.vaec").read_bytes()
    assert hashlib.sha256(data).hexdigest() == expected["sha256"]
    decoded = vaecodec.decode(data)
    assert (decoded.mode, decoded.info) == (expected["mode"], {"xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"})
    assert _digest(np.asarray(decoded)) == expected["pixels"]
    with Image.open(FOLDER / f"{name}-v2.png") as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(decoded))
    assert container.parse(data).header.version == 2
