"""Blends and morphs: sums of latents and what g_s makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from vaecodec.codec import Codec
from vaecodec.errors import InputError, InputTypeError
from vaecodec.latents import blending

Photo = NDArray[np.uint8]


@pytest.fixture
def files(codec: Codec, photo: Photo) -> tuple[bytes, bytes]:
    """Two .vaec files of one size."""
    return codec.encode(photo, mode="neural"), codec.encode(np.ascontiguousarray(photo[::-1, ::-1]), mode="neural")


def test_a_blend_of_one_is_the_decoded_image(codec: Codec, files: tuple[bytes, bytes]) -> None:
    image = vaecodec.blend([(1, files[0])], codec=codec)
    decoded = codec.decode(files[0], as_array=True)
    assert np.abs(np.asarray(image).astype(int) - decoded).max() <= 1


def test_a_blend_is_what_the_sum_of_the_latents_decodes_to(codec: Codec, files: tuple[bytes, bytes]) -> None:
    first, second = (codec.latents(data) for data in files)
    expected = codec.synthesize(first, 0.25 * first.y_hat + 0.75 * second.y_hat)
    assert vaecodec.blend([(0.25, files[0]), (0.75, files[1])], codec=codec) == expected


def test_arithmetic_takes_away_what_it_adds(codec: Codec, files: tuple[bytes, bytes]) -> None:
    image = vaecodec.blend([(1, files[0]), (1, files[1]), (-1, files[1])], codec=codec)
    assert np.abs(np.asarray(image).astype(int) - codec.decode(files[0], as_array=True)).max() <= 1


def test_the_others_are_brought_to_the_size_of_the_first(codec: Codec, files: tuple[bytes, bytes]) -> None:
    large = Image.new("RGB", (300, 200), "red")
    lossless = codec.encode(np.asarray(large), lossless=True)
    assert vaecodec.blend([(0.5, files[0]), (0.25, large), (0.25, lossless)], codec=codec).size == (90, 61)


def test_paths_of_files_and_of_photos_are_opened(codec: Codec, files: tuple[bytes, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.vaec").write_bytes(files[0])
    Image.new("RGB", (90, 61), "red").save(tmp_path / "b.png")
    items = [(0.5, str(tmp_path / "a.vaec")), (0.5, tmp_path / "b.png")]
    assert vaecodec.blend(items, codec=codec).size == (90, 61)


def test_bad_weights_and_shapes_are_refused(codec: Codec, files: tuple[bytes, bytes]) -> None:
    with pytest.raises(InputError, match="empty"):
        vaecodec.blend([])
    with pytest.raises(InputError, match="finite"):
        vaecodec.blend([(float("nan"), files[0])], codec=codec)
    with pytest.raises(InputTypeError, match="weight"):
        vaecodec.blend([("1", files[0])], codec=codec)  # type: ignore[list-item]
    latents = codec.latents(files[0])
    with pytest.raises(InputError, match="y_hat reaches"):
        vaecodec.blend([(1e6, files[0])], codec=codec)
    with pytest.raises(InputError, match="y_hat has shape"):
        codec.synthesize(latents, latents.y_hat[:, 1:])


def test_a_morph_begins_and_ends_with_its_images(codec: Codec, files: tuple[bytes, bytes]) -> None:
    frames = list(blending.morph(*files, 3, codec))
    assert len(frames) == 3
    for frame, data in zip(frames[::2], files, strict=True):
        assert np.abs(np.asarray(frame).astype(int) - codec.decode(data, as_array=True)).max() <= 1
    with pytest.raises(InputError, match="steps is 1"):
        next(blending.morph(*files, 1, codec))


def test_curves_begin_at_0_and_end_at_1() -> None:
    assert blending.times(3, "linear") == [0, 0.5, 1]
    assert blending.times(5, "smooth")[1] == pytest.approx(0.15625)
    with pytest.raises(InputError, match="curve is 'odd'"):
        blending.times(3, "odd")


@pytest.mark.parametrize("name", ["m.webp", "m.gif", "m.png"])
def test_morph_writes_animations(
    command: Command, files: tuple[bytes, bytes], tiny_model: Path, name: str, tmp_path: Path
) -> None:
    for path, data in zip(("a.vaec", "b.vaec"), files, strict=True):
        (tmp_path / path).write_bytes(data)
    options = ("--steps", "3", "--model", str(tiny_model), "--beside", "--back")
    done = command("morph", "a.vaec", "b.vaec", "-o", name, *options, "--json")
    assert done.code == 0
    assert json.loads(done.out)["files"][0]["frames"] == 3
    with Image.open(tmp_path / name) as animation:
        assert animation.size == (180, 61)
        assert getattr(animation, "n_frames", 1) == 4
    assert command("morph", "a.vaec", "b.vaec", "-o", name, *options).code == 6


def test_morph_writes_a_folder_of_frames(
    command: Command, files: tuple[bytes, bytes], tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.vaec").write_bytes(files[0])
    Image.new("RGB", (50, 50), "blue").save(tmp_path / "b.png")
    done = command("morph", "a.vaec", "b.png", "-o", "frames/", "--steps", "4", "--model", str(tiny_model))
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == [f"{n:04}.png" for n in range(4)]
    assert command("morph", "a.vaec", "b.png", "-o", "m.txt").code == 2
