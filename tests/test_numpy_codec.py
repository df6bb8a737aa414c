"""Coding without numba: the same files and images, and only where it is sooner done."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from vaecodec import numpy_codec
from vaecodec.codec import Codec
from vaecodec.errors import FormatError, InputError, UnknownModel
from vaecodec.levels import LEVELS, level_to_quality
from vaecodec.weights.manifest import DEFAULT_MODEL, manifest

SHIPPED = [entry.name for entry in manifest()]


@pytest.fixture(scope="module", params=SHIPPED)
def exact(request: pytest.FixtureRequest) -> Codec:
    return Codec(request.param, device="cpu", dtype="float32")


@pytest.mark.parametrize("level", [0, 31, LEVELS - 1])
def test_images_equal_the_compiled_ones(exact: Codec, photo: NDArray[np.uint8], level: int) -> None:
    data = exact.encode(photo, level=level, mode="neural")
    pixels = np.asarray(numpy_codec.decode(data)).astype(int)
    expected = exact.decode(data, as_array=True)
    assert pixels.shape == photo.shape
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels != expected).mean() < 1e-3
    assert len(np.unique(pixels)) > 50


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (65, 33), (64, 130)])
def test_all_that_rides_along(mode: str, size: tuple[int, int]) -> None:
    values = np.random.default_rng(3).integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    picture = Image.fromarray(values.squeeze(2) if mode == "L" else values, mode).convert(mode)
    exif = Image.Exif()
    exif[0x010E] = "a note"
    stored = BytesIO()
    picture.save(stored, "PNG", exif=exif, icc_profile=b"a profile of colours")
    codec = Codec("fast-perceptual", device="cpu", dtype="float32")
    data = codec.encode(Image.open(stored), 30, mode="neural")
    decoded, expected = numpy_codec.decode(data), codec.decode(data)
    assert (decoded.mode, decoded.size) == (expected.mode, expected.size) == (mode, size)
    assert decoded.info["icc_profile"] == b"a profile of colours"
    assert decoded.getexif()[0x010E] == "a note"
    difference = np.abs(np.asarray(decoded).astype(int) - np.asarray(expected))
    assert difference.max() <= 1
    if mode != "L":
        assert difference[..., -1].max() == 0


def test_crops(photo: NDArray[np.uint8]) -> None:
    data = vaecodec.encode(photo, 40, model="fast-perceptual", mode="neural")
    whole = np.asarray(numpy_codec.decode(data))
    assert np.array_equal(np.asarray(numpy_codec.decode(data, crop=(7, 9, 30, 20))), whole[9:29, 7:37])
    with pytest.raises(InputError, match="crop is x 0, y 0"):
        numpy_codec.decode(data, crop=(0, 0, 10_000, 1))


def test_bad_files(photo: NDArray[np.uint8]) -> None:
    data = vaecodec.encode(photo, 40, model="fast-perceptual", mode="neural")
    for damaged in (b"", data[:-3], data[:40] + bytes([data[40] ^ 1]) + data[41:]):
        with pytest.raises(FormatError):
            numpy_codec.decode(damaged)
    tiny = Codec(Path(__file__).parent / "golden" / "tiny-v1.safetensors", device="cpu")
    with pytest.raises(UnknownModel):
        numpy_codec.decode(tiny.encode(photo, 40, mode="neural"))


@pytest.mark.parametrize("level", [0, 31, LEVELS - 1])
def test_files_are_the_compiled_ones_but_for_rounding(exact: Codec, photo: NDArray[np.uint8], level: int) -> None:
    data = numpy_codec.encode(photo, level_to_quality(level), model=str(exact.model), mode="neural")
    ours, theirs = exact.decode_latents(data), exact.encode_with_latents(photo, level=level).latents
    assert vaecodec.inspect(data).level == level
    assert (ours.z_hat != theirs.z_hat).mean() < 1e-3
    assert (ours.r != theirs.r).mean() < 2e-3
    assert np.abs(theirs.r).max() > 0


@pytest.mark.parametrize("size", [(1, 1), (65, 33)])
def test_files_hold_all_that_rides_along(size: tuple[int, int]) -> None:
    values = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    data = numpy_codec.encode(Image.fromarray(values), 80, model="fast-perceptual", mode="neural")
    assert vaecodec.inspect(data).model == "fast-perceptual"
    decoded = vaecodec.decode(data)
    assert (decoded.mode, decoded.size) == ("RGBA", size)
    assert np.array_equal(np.asarray(decoded)[..., 3], values[..., 3])


def test_what_cannot_be_encoded() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(InputError, match=r"quality is 101; it must be 1\.\.100"):
        numpy_codec.encode(picture, 101, model="fast-perceptual", mode="neural")
    with pytest.raises(UnknownModel, match="is not shipped"):
        numpy_codec.encode(picture, 50, model="none", mode="neural")
    with pytest.raises(InputError):
        numpy_codec.encode(np.zeros((0, 8, 3), np.uint8), 50, model="fast-perceptual", mode="neural")


def _loads_numba(folder: Path, command: str, *arguments: object) -> bool:
    """Whether `vaecodec COMMAND` does, where nothing is compiled."""
    line = [sys.executable, "-X", "importtime", "-m", "vaecodec", command, *map(str, arguments), "--overwrite"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(line, capture_output=True, timeout=120, check=True, text=True, env=environment)
    return any(line.endswith(" numba") for line in done.stderr.splitlines())


@pytest.mark.slow
def test_where_nothing_is_compiled_the_first_picture_is_not_waited_for(
    tmp_path: Path, photo: NDArray[np.uint8]
) -> None:
    small = tmp_path / "small.vaec"
    small.write_bytes(vaecodec.encode(photo, 40, model="fast-perceptual", mode="neural"))
    assert not _loads_numba(tmp_path, "decompress", small)
    with Image.open(tmp_path / "small.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(numpy_codec.decode(small.read_bytes())))
    assert not _loads_numba(tmp_path, "decompress", small, "--crop", "0,0,9,9")
    assert not _loads_numba(tmp_path, "compress", tmp_path / "small.png")
    assert small.read_bytes() == numpy_codec.encode(
        Image.open(tmp_path / "small.png"), 60, model=DEFAULT_MODEL, mode="neural"
    )
    assert _loads_numba(tmp_path, "decompress", small, "--scale", "2")


def test_what_the_module_loads() -> None:
    code = "import sys, vaecodec.numpy_codec; print([n for n in ('torch', 'numba', 'triton') if n in sys.modules])"
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
