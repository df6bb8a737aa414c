"""The post filter: its section, its whole numbers, and that it is worth its bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.sections import without
from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.conformance import MODEL, expectations
from vaecodec.container import PostFilter, Tag, pack_postfilter, parse_postfilter, weight_bits
from vaecodec.container.postfilter import OFFSETS, WEIGHT_MAX, WEIGHTS
from vaecodec.errors import FormatError, InputError
from vaecodec.postfilter import MOST_AMPLIFICATION, fit_postfilter
from vaecodec.runtime.cpu.postfilter import filtered, second_differences

SAMPLES = Path(__file__).parents[1] / "samples"
NOTHING = PostFilter(6, (0,) * WEIGHTS)

weights = st.lists(st.integers(-WEIGHT_MAX, WEIGHT_MAX), min_size=WEIGHTS, max_size=WEIGHTS)


def _random(seed: int, most: int = WEIGHT_MAX, shift: int = 8) -> PostFilter:
    draw = np.random.default_rng(seed).integers(-most, most + 1, WEIGHTS)
    return PostFilter(shift, tuple(map(int, draw)))


def _noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _photo(size: int = 160) -> Image.Image:
    with Image.open(SAMPLES / "interior.png") as opened:
        return opened.convert("RGB").crop((0, 300, size, 300 + size))


def _squared(image: object, other: object) -> float:
    return float(((np.asarray(image, float) - np.asarray(other, float)) ** 2).mean())


@given(weights, st.integers(4, 9))
def test_a_section_holds_its_weights_in_the_bits_it_says(values: list[int], shift: int) -> None:
    postfilter = PostFilter(shift, tuple(values))
    content = pack_postfilter(postfilter)
    assert parse_postfilter(content) == postfilter
    assert len(content) == 2 + -(-sum(map(weight_bits, values)) // 8)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_filter_or_an_error(content: bytes) -> None:
    try:
        postfilter = parse_postfilter(content)
    except FormatError:
        return
    if postfilter is None:
        assert content[:1] != b"\x01"
    else:
        assert pack_postfilter(postfilter) == content


@pytest.mark.parametrize(
    ("postfilter", "field"),
    [
        (PostFilter(3, NOTHING.weights), "shift"),
        (PostFilter(10, NOTHING.weights), "shift"),
        (PostFilter(8, (512, *NOTHING.weights[1:])), "512"),
        (PostFilter(8, NOTHING.weights[1:]), str(WEIGHTS)),
    ],
)
def test_what_a_section_cannot_hold_is_refused(postfilter: PostFilter, field: str) -> None:
    with pytest.raises(InputError, match=field):
        pack_postfilter(postfilter)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (40, 33), (67, 130)])
@pytest.mark.parametrize("most", [20, WEIGHT_MAX])
def test_loops_do_what_numpy_does(size: tuple[int, int], most: int) -> None:
    for seed, shift in enumerate((4, 8, 9)):
        postfilter, rgb = _random(seed, most, shift), _noise(*size, seed)
        assert np.array_equal(filtered(rgb, postfilter, "compiled"), filtered(rgb, postfilter, "plain"))


def test_it_is_what_the_format_says() -> None:
    """Pixel by pixel, from the definition."""
    rgb, postfilter = _noise(6, 5), _random(3, 40)
    x = rgb.astype(int)
    expected = np.empty_like(x)
    for row, column in np.ndindex(6, 5):
        bends = []
        for down, right in OFFSETS:
            ahead = x[min(row + down, 5), min(max(column + right, 0), 4)]
            behind = x[max(row - down, 0), min(max(column - right, 0), 4)]
            bends.append(ahead + behind - 2 * x[row, column])
        red, green, blue = np.array(bends).T
        seen = (red + 2 * green + blue, 2 * red - 2 * blue, 2 * green - red - blue)
        table = np.array(postfilter.weights).reshape(3, 3, len(OFFSETS))
        luma, orange, green_ = (sum(int(table[a, b] @ seen[b]) for b in range(3)) for a in range(3))
        more = np.array([luma + orange - green_, luma + green_, luma - orange - green_])
        expected[row, column] = np.clip(x[row, column] + ((more + 512) >> 10), 0, 255)
    assert np.array_equal(filtered(rgb, postfilter, "plain"), expected)


def test_flat_parts_stay_what_they_are() -> None:
    flat = np.full((9, 9, 3), (3, 200, 255), np.uint8)
    assert np.array_equal(filtered(flat, _random(1), "plain"), flat)


def test_the_filter_that_was_applied_is_found_again() -> None:
    """A picture is what a filter makes of another: fitting it leaves next to nothing of the error."""
    decoded = np.asarray(_photo().resize((80, 80)))
    truth = PostFilter(8, tuple(12 * (place % 7 == 0) - 9 * (place % 11 == 0) for place in range(WEIGHTS)))
    original = filtered(decoded, truth, "plain")
    chosen = fit_postfilter(original, decoded, 1.0, lambda each: filtered(decoded, each, "plain"))
    assert chosen is not None
    left = _squared(filtered(decoded, chosen, "plain"), original)
    assert left < 0.02 * _squared(decoded, original)


def test_a_filter_amplifies_no_difference_too_much() -> None:
    """Not even where a strong one is what the picture is made of."""
    decoded = _noise(60, 60)
    strong = _random(2, 60)
    original = filtered(decoded, strong, "plain")
    chosen = fit_postfilter(original, decoded, 1.0, lambda each: filtered(decoded, each, "plain"))
    assert strong.amplification > 2 * MOST_AMPLIFICATION
    assert chosen is not None
    assert chosen.amplification <= MOST_AMPLIFICATION
    for sign in (1, -1):
        other = np.clip(decoded.astype(int) + sign * (np.indices(decoded.shape).sum(0) % 2), 0, 255).astype(np.uint8)
        apart = filtered(decoded, chosen, "plain").astype(int) - filtered(other, chosen, "plain")
        assert np.abs(apart).max() <= MOST_AMPLIFICATION + 1


@given(st.integers(0, 1000), st.integers(1, 60))
def test_amplification_is_what_differences_grow_by_at_most(seed: int, most: int) -> None:
    """Of mid-gray pixels, where nothing is cut off, one colour and place at a time."""
    postfilter, gray = _random(seed, most), np.full((9, 9, 3), 128, np.uint8)
    grown = np.zeros(3)
    for row, column, colour in np.ndindex(5, 5, 3):
        other = gray.copy()
        other[2 + row, 2 + column, colour] += 1
        grown += np.abs(_exactly(other, postfilter)[4, 4] - _exactly(gray, postfilter)[4, 4])
    assert postfilter.amplification == pytest.approx(float(grown.max()))


def _exactly(rgb: NDArray[np.uint8], postfilter: PostFilter) -> NDArray[np.float64]:
    """The filtered picture, not rounded."""
    taps = np.array(postfilter.taps, np.float64).reshape(3, -1) / 2 ** (postfilter.shift + 2)
    bends = second_differences(rgb, 0, len(rgb)).reshape(taps.shape[1], -1)
    return rgb + (taps @ bends).reshape(3, *rgb.shape[:2]).transpose(1, 2, 0)


def test_no_filter_where_none_pays() -> None:
    rgb, noise = np.asarray(_photo(40)), np.random.default_rng(1).normal(0, 3, (40, 40, 3))
    decoded = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    assert fit_postfilter(rgb, decoded, 1e-9, lambda each: filtered(decoded, each, "plain")) is None
    assert fit_postfilter(rgb, rgb, 1.0, lambda each: filtered(rgb, each, "plain")) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 3), (20, 20)])
def test_small_flat_and_gray_pictures_have_a_filter_or_none(size: tuple[int, int]) -> None:
    noise = _noise(*size)
    gray, flat = noise[..., :1].repeat(3, 2), np.full_like(noise, 7)
    for original in (noise, gray, flat):
        for decoded in (flat, gray, np.clip(original.astype(int) + 3, 0, 255).astype(np.uint8)):
            chosen = fit_postfilter(original, decoded, 10.0, lambda each, to=decoded: filtered(to, each, "plain"))
            if chosen is not None:
                assert _squared(filtered(decoded, chosen, "plain"), original) < _squared(decoded, original)


@pytest.fixture(scope="module")
def refined() -> tuple[Codec, Image.Image, bytes]:
    codec, photo = Codec("base"), _photo(192)
    return codec, photo, codec.encode(photo, 80, effort=5, mode="neural")


def test_a_refined_file_has_one_that_pays(refined: tuple[Codec, Image.Image, bytes]) -> None:
    codec, photo, data = refined
    plain = without(data, Tag.POSTFILTER)
    assert Tag.POSTFILTER in container.parse(data).sections
    assert len(data) - len(plain) < 0.02 * len(plain)
    assert _squared(codec.decode(data), photo) < 0.98 * _squared(codec.decode(plain), photo)
    assert "postfilter" in vaecodec.inspect(data).sections


def test_every_way_to_decode_filters(refined: tuple[Codec, Image.Image, bytes]) -> None:
    codec, _, data = refined
    whole = codec.decode(data, as_array=True)
    other = codec.encode(_photo(190), 80, mode="neural")  # as large once padded: they share a pass
    assert np.array_equal(codec.decode_batch([other, data, data], as_array=True)[1], whole)
    for x, y, width, height in ((0, 0, 1, 1), (191, 191, 1, 1), (5, 60, 70, 3), (0, 100, 192, 92)):
        part = codec.decode(data, crop=(x, y, width, height), as_array=True)
        assert np.abs(part.astype(int) - whole[y : y + height, x : x + width]).max() <= 1


def test_a_reduced_picture_is_not_filtered(refined: tuple[Codec, Image.Image, bytes]) -> None:
    codec, _, data = refined
    plain = without(data, Tag.POSTFILTER)
    for reduction in (2, 8):
        ours = codec.decode(data, reduction=reduction, as_array=True)
        assert np.array_equal(ours, codec.decode(plain, reduction=reduction, as_array=True))


def test_a_file_without_the_section_is_the_same_picture_unfiltered(refined: tuple[Codec, Image.Image, bytes]) -> None:
    codec, _, data = refined
    section = container.read_section(data, container.parse(data), Tag.POSTFILTER)
    postfilter = parse_postfilter(section)
    assert postfilter is not None
    plain = codec.decode(without(data, Tag.POSTFILTER), as_array=True)
    assert np.array_equal(codec.decode(data, as_array=True), filtered(plain, postfilter, "plain"))


def test_a_target_counts_the_filter() -> None:
    codec, photo = Codec("base"), _photo(256)
    data = codec.encode(photo, target_psnr=41.0, effort=5, mode="neural")
    assert Tag.POSTFILTER in container.parse(data).sections
    assert 41.0 <= 10 * np.log10(255**2 / _squared(codec.decode(data), photo)) <= 41.25
    small = codec.encode(photo, target_bytes=7500, effort=5, mode="neural")
    assert len(small) <= 7500


def test_a_perceptual_model_has_none() -> None:
    data = Codec("fast-perceptual").encode(_photo(96), 80, effort=5, mode="neural")
    assert Tag.POSTFILTER not in container.parse(data).sections


def test_a_malformed_section_is_refused_by_all_readers() -> None:
    [bad] = [each for each in expectations() if each.name == "refuse-postfilter-cut"]
    with pytest.raises(FormatError, match="POSTFILTER"):
        Codec(MODEL).decode(bad.data)
    with pytest.raises(FormatError, match="POSTFILTER"):
        vaecodec.verify(bad.data, model=MODEL)
