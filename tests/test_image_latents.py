"""The latents of files and images without pixels, as tokens, and back to files."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import with_other_words
from vaecodec.codec import Codec
from vaecodec.entropy.coding import Latents
from vaecodec.errors import BadMagic, FormatError, HashMismatch, InputError, InputTypeError
from vaecodec.image_latents import ImageLatents
from vaecodec.intnet.layers import scale_index

Photo = NDArray[np.uint8]


def test_a_file_and_its_image_have_the_same_latents(codec: Codec, photo: Photo) -> None:
    data = codec.encode(photo, 40, mode="neural")
    of_file, of_image = codec.latents(data), codec.latents(photo, 40)
    assert of_file.header == of_image.header
    assert (of_file.integers.r == of_image.integers.r).all()
    assert (of_file.integers.z_hat == of_image.integers.z_hat).all()
    assert (of_file.y_hat == of_image.y_hat).all()


def test_shapes_are_those_of_the_padded_image(codec: Codec, photo: Photo) -> None:
    latents = codec.latents(photo)
    M = latents.entropy.M
    assert (latents.y_hat.dtype, latents.y_hat.shape) == (np.float32, (M, 4, 8))  # 61 x 90 pixels: 1 x 2 cells
    assert (latents.scale_index.dtype, latents.scale_index.shape) == (np.uint8, (M, 4, 8))
    assert latents.bits.shape == (4, 8)
    assert latents.inside(latents.y_hat).shape == (M, 4, 6)


def test_pixels_come_from_y_hat_alone(codec: Codec, photo: Photo) -> None:
    data = codec.encode(photo, 40, mode="neural")
    rows = np.concatenate(
        list(codec._pipeline().pixel_rows(codec.latents(data).y_hat, codec.latents(data).header.level))
    )
    assert np.abs(rows[:61, :90].astype(int) - codec.decode(data, as_array=True)).max() <= 1


def test_bits_of_all_positions_are_the_content_of_the_file(codec: Codec, photo: Photo) -> None:
    encoded = codec.encode_with_latents(photo, 60)
    assert codec.latents(encoded.data).bits.sum() == pytest.approx(encoded.coded.information, rel=1e-4)


def test_a_path_and_an_open_file_are_files(codec: Codec, photo: Photo, tmp_path: Path) -> None:
    path = tmp_path / "photo.vaec"
    path.write_bytes(codec.encode(photo, mode="neural"))
    with path.open("rb") as file:
        assert (codec.latents(file).y_hat == codec.latents(path).y_hat).all()


def test_tokens_become_the_file_that_they_were(codec: Codec, photo: Photo) -> None:
    data = codec.encode(photo, 40, mode="neural")
    latents = codec.latents(data)
    assert (latents.tokens.dtype, latents.tokens.shape) == (
        np.int16,
        (1, 2, latents.entropy.N + 16 * latents.entropy.M),
    )
    assert codec.from_latents(latents.tokens, (90, 61), level=latents.header.level) == data
    assert codec.from_latents(latents.integers, (90, 61)) == data
    assert codec.from_latents(latents) == data


def test_tokens_are_in_the_documented_order(codec: Codec, photo: Photo) -> None:
    latents = codec.latents(photo)
    N, M, cell = latents.entropy.N, latents.entropy.M, latents.tokens[0, 1]
    assert (cell[:N] == latents.integers.z_hat[:, 0, 1]).all()
    row, column = 2, 3  # of the position in its cell
    start = N + (4 * row + column) * M
    assert (cell[start : start + M] == latents.integers.r[:, row, 4 + column]).all()


def test_a_gray_image_stays_gray_and_alpha_is_left_out(codec: Codec, photo: Photo) -> None:
    gray = codec.from_latents(codec.latents(photo[..., 0]))
    assert vaecodec.inspect(gray).mode == "L"
    with_alpha = np.dstack([photo, photo[..., :1]])
    assert vaecodec.inspect(codec.from_latents(codec.latents(with_alpha))).mode == "RGB"


def test_changed_integers_decode_to_another_image(codec: Codec, photo: Photo) -> None:
    latents = codec.latents(photo)
    fewer = replace(latents.integers, r=np.zeros_like(latents.integers.r))
    data = codec.from_latents(replace(latents, integers=fewer))
    assert codec.decode(data, as_array=True).shape == (61, 90, 3)
    assert len(data) < len(codec.from_latents(latents))


def test_a_batch_keeps_the_errors_in_their_places(codec: Codec, photo: Photo) -> None:
    data = codec.encode(photo, mode="neural")
    first, broken, image = codec.latents_batch([data, b"broken", Image.fromarray(photo)], on_error="collect")
    assert isinstance(first, ImageLatents)
    assert isinstance(broken, BadMagic)
    assert isinstance(image, ImageLatents)
    with pytest.raises(BadMagic):
        codec.latents_batch([data, b"broken"])


@pytest.mark.parametrize("max_memory", [None, 1 << 30])
def test_latents_of_a_batch_are_those_of_each(photo: Photo, max_memory: int | None) -> None:
    """Several of one size and level, which go through the networks together, others between them, and bad ones."""
    fast = Codec("fast-perceptual", device="cpu", max_memory=max_memory)
    images = [np.roll(photo, shift, 1) for shift in range(4)] + [photo[:30, :40], photo[::-1]]
    files = [fast.encode(image, 20 if n == 3 else 60, mode="neural") for n, image in enumerate(images)]
    bad = with_other_words(files[1], -1)
    items = [files[0], bad, *files[1:], Image.fromarray(photo), files[2][:-1], fast.encode(photo, lossless=True)]
    together = fast.latents_batch(items, on_error="collect")
    for item, outcome in zip(items, together, strict=True):
        try:
            alone = fast.latents(item)
        except vaecodec.VaecodecError as error:
            assert (type(outcome), str(outcome)) == (type(error), str(error))  # noqa: PT017 (of the batch)
            continue
        assert isinstance(outcome, ImageLatents)
        assert outcome.header == alone.header
        for of_batch, of_one in (
            (outcome.integers.r, alone.integers.r),
            (outcome.integers.z_hat, alone.integers.z_hat),
            (outcome.y_hat, alone.y_hat),
        ):
            assert np.array_equal(of_batch, of_one)
    assert sum(isinstance(each, ImageLatents) for each in together) == 7
    with pytest.raises(FormatError):
        fast.latents_batch([files[0], bad, files[1]])


def test_a_lossless_file_has_no_latents(codec: Codec, photo: Photo) -> None:
    with pytest.raises(InputError, match="lossless"):
        codec.latents(codec.encode(photo, lossless=True))


def test_latents_pickle(codec: Codec, photo: Photo) -> None:
    latents = codec.latents(photo)
    assert (pickle.loads(pickle.dumps(latents)).bits == latents.bits).all()  # noqa: S301


def test_what_no_file_can_hold_is_refused(codec: Codec, photo: Photo) -> None:
    latents = codec.latents(photo)
    tokens, integers = latents.tokens, latents.integers
    with pytest.raises(InputError, match="level is None"):
        codec.from_latents(tokens, (90, 61))
    with pytest.raises(InputError, match="size is None"):
        codec.from_latents(tokens, level=30)
    with pytest.raises(InputError, match="size is"):
        codec.from_latents(latents, (90, 61))
    with pytest.raises(InputError, match="level is 3"):
        codec.from_latents(integers, (90, 61), level=3)
    with pytest.raises(InputError, match=r"z_hat has shape .*; 9 x 9 pixels have"):
        codec.from_latents(tokens, (9, 9), level=30)
    with pytest.raises(InputError, match="tokens have shape"):
        codec.from_latents(tokens[..., 1:], (90, 61), level=30)
    with pytest.raises(InputTypeError, match="tokens are float32"):
        codec.from_latents(tokens.astype(np.float32), (90, 61), level=30)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"z_hat reaches .*1000"):
        codec.from_latents(np.full_like(tokens, 1000), (90, 61), level=30)


def test_r_is_refused_where_the_decoder_knows_it_to_be_zero(codec: Codec) -> None:
    entropy, rng = codec.loaded_model().entropy, np.random.default_rng(0)
    z_hat = rng.integers(-128, 128, (entropy.N, 1, 1)).astype(np.int8)
    coded = scale_index(z_hat, 0, entropy.layers) > 0
    assert not coded.all()
    assert codec.from_latents(Latents(0, z_hat, coded.astype(np.int32)), (64, 64))
    with pytest.raises(InputError, match="where the scale index is 0"):
        codec.from_latents(Latents(0, z_hat, np.ones(coded.shape, np.int32)), (64, 64))


def test_r_beyond_int16_has_no_tokens(codec: Codec, photo: Photo) -> None:
    latents = codec.latents(photo)
    huge = Latents(latents.integers.level, latents.integers.z_hat, np.full_like(latents.integers.r, 40_000))
    with pytest.raises(InputError, match="r reaches 40000"):
        _ = replace(latents, integers=huge).tokens


def test_latents_of_another_model_are_refused(codec: Codec, photo: Photo) -> None:
    latents = codec.latents(photo)
    other = replace(latents, header=replace(latents.header, model_hash=b"none"))
    with pytest.raises(HashMismatch, match="6e6f6e65"):
        codec.from_latents(other)


def test_numbers_of_any_type_make_the_same_file(codec: Codec, photo: Photo) -> None:
    """Or are refused: a number of 64 bits is not cut to 32."""
    latents = codec.latents(photo, 40)
    level, tokens = latents.header.level, latents.tokens.astype(np.int64)
    wide = replace(latents.integers, r=latents.integers.r.astype(np.int64))
    assert codec.from_latents(tokens, (90, 61), level=level) == codec.from_latents(wide, (90, 61))
    tokens[0, 0, -1] += 1 << 32
    with pytest.raises(InputError, match=r"r reaches .*; it must be above"):
        codec.from_latents(tokens, (90, 61), level=level)
    with pytest.raises(InputError, match="level is 64"):
        codec.from_latents(replace(latents.integers, level=64), (90, 61))
    for size in ((90, 61, 3), 90):
        with pytest.raises(InputError, match="size is"):
            codec.from_latents(latents.integers, size)  # type: ignore[arg-type]
