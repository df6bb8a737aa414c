"""Samples from the priors, as integers, files and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from vaecodec.codec import Codec
from vaecodec.entropy.quantize import to_symbols
from vaecodec.errors import InputError
from vaecodec.intnet.layers import scale_index
from vaecodec.latents.sampling import _symbols, draw, redraw


def test_a_sample_is_a_file_that_decodes_to_it(codec: Codec) -> None:
    latents = draw(codec.loaded_model().entropy, (90, 61), 30, np.random.default_rng(1))
    data = codec.from_latents(latents, (90, 61))
    decoded = codec.decode_latents(data)
    assert (decoded.z_hat == latents.z_hat).all()
    assert (decoded.r == latents.r).all()
    assert codec.decode(data).size == (90, 61)


def test_equal_seeds_give_equal_samples_and_others_do_not(codec: Codec) -> None:
    entropy = codec.loaded_model().entropy
    first, again, other = (draw(entropy, (128, 128), 30, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.r == again.r).all()
    assert (first.r != other.r).any()


def test_symbols_are_drawn_as_their_table_says(codec: Codec) -> None:
    tables = codec.loaded_model().entropy.y_tables
    index = np.full(200_000, 40, np.uint8)
    drawn = np.bincount(_symbols(tables, index, np.random.default_rng(0), 1.0), minlength=8)[:8] / len(index)
    assert drawn == pytest.approx(np.exp2(-tables.bits[40, :8]), abs=0.005)


def test_bits_of_a_sample_are_the_entropy_of_its_tables(codec: Codec) -> None:
    entropy = codec.loaded_model().entropy
    latents = draw(entropy, (512, 512), 30, np.random.default_rng(1))
    index = scale_index(latents.z_hat, 30, entropy.layers)
    bits = entropy.y_tables.bits[index, to_symbols(latents.r)][index > 0].sum()
    p = np.exp2(-entropy.y_tables.bits)
    of_table = np.where(p > 0, p * np.where(p > 0, entropy.y_tables.bits, 0), 0).sum(axis=1)
    assert bits == pytest.approx(of_table[index][index > 0].sum(), rel=0.05)


def test_temperature_0_is_what_is_likeliest(codec: Codec, photo: NDArray[np.uint8]) -> None:
    latents = codec.latents(photo)
    coldest = redraw(latents.entropy, latents.integers, np.random.default_rng(0), 0)
    bits = latents.entropy.y_tables.bits[latents.scale_index, to_symbols(coldest.r)]
    assert (bits == latents.entropy.y_tables.bits.min(axis=1)[latents.scale_index]).all()
    assert (coldest.z_hat == latents.integers.z_hat).all()
    spread = [
        np.abs(redraw(latents.entropy, latents.integers, np.random.default_rng(0), t).r).sum() for t in (0.5, 1, 2)
    ]
    assert spread == sorted(spread)
    assert spread[0] < spread[2]


def test_a_share_of_0_changes_nothing(codec: Codec, photo: NDArray[np.uint8]) -> None:
    latents = codec.latents(photo)
    assert (redraw(latents.entropy, latents.integers, np.random.default_rng(0), share=0).r == latents.integers.r).all()


def test_temperatures_and_shares_beyond_their_range_are_refused(codec: Codec) -> None:
    entropy, rng = codec.loaded_model().entropy, np.random.default_rng(0)
    with pytest.raises(InputError, match="temperature is 5"):
        draw(entropy, (64, 64), 30, rng, 5)
    with pytest.raises(InputError, match="level is 64"):
        draw(entropy, (64, 64), 64, rng)
    with pytest.raises(InputError, match="share is 2"):
        redraw(entropy, draw(entropy, (64, 64), 30, rng), rng, share=2)


def test_the_command_writes_images_and_files(
    command: Command, tiny_model: Path, tmp_path: Path, photo: NDArray[np.uint8]
) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    model = ("--model", str(tiny_model))
    assert command("sample", "-o", "out", "--size", "100x70", "-n", "2", *model).code == 0
    with Image.open(tmp_path / "out" / "sample-0001.png") as image:
        assert image.size == (100, 70)
    assert command("sample", "-o", "out", "--size", "100x70", *model).code == 6
    done = command("sample", "-o", "like", "--like", "photo.png", "--files", "-n", "1", "--share", "0.5", *model)
    assert done.code == 0
    info = vaecodec.inspect((tmp_path / "like" / "sample-0000.vaec").read_bytes())
    assert (info.width, info.height) == (90, 61)
    assert command("sample", "-o", "out2", "--size", "huge").code == 2
