"""What a container's sections are made of: varints, the outlier list, lossless alpha."""

from __future__ import annotations

import random
import re
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaecodec import container
from vaecodec.container import pack_varint, parse_varint
from vaecodec.errors import CorruptStream, FormatError, InputError, Truncated

# Varints


@given(st.integers(0, 2**32 - 1), st.binary(max_size=3))
def test_varint_round_trip(value: int, before: bytes) -> None:
    packed = before + pack_varint(value) + b"\xff"
    assert parse_varint(packed, len(before), "x") == (value, len(packed) - 1)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", Truncated), (b"\x80", Truncated), (b"\x80\x00", FormatError), (b"\xff\x80\x00", FormatError),
     (b"\xff\xff\xff\xff\x10", FormatError), (b"\x80\x80\x80\x80\x80\x01", FormatError)],
)  # fmt: skip
def test_only_canonical_varints_are_legal(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(FormatError, match=r"^width") as caught:
        parse_varint(data, 0, "width")
    assert caught.type is error


@pytest.mark.parametrize("value", [-1, 2**32])
def test_varints_have_32_bits(value: int) -> None:
    with pytest.raises(InputError, match=r"0\.\.4294967295"):
        pack_varint(value)


# Outliers


@given(st.dictionaries(st.integers(0, 2**20), st.integers(-(2**31), 2**31 - 1), max_size=50))
def test_outliers_round_trip(drawn: dict[int, int]) -> None:
    pairs = sorted(drawn.items())
    content = container.pack_outliers([p for p, _ in pairs], [v for _, v in pairs])
    n_symbols = pairs[-1][0] + 1 if pairs else 0
    assert list(zip(*container.parse_outliers(content, n_symbols), strict=True)) == pairs
    assert len(content) >= 2 * len(pairs)
    if pairs:
        with pytest.raises(CorruptStream, match=f"position is {n_symbols - 1}; it must be below the {n_symbols - 1} "):
            container.parse_outliers(content, n_symbols - 1)


@given(st.binary(max_size=100), st.integers(0, 2**20))
def test_arbitrary_outliers_ascend_or_raise(content: bytes, n_symbols: int) -> None:
    try:
        positions, values = map(list, container.parse_outliers(content, n_symbols))
    except FormatError:
        return
    assert positions == sorted(set(positions))
    assert all(0 <= position < n_symbols for position in positions)
    assert container.pack_outliers(positions, values) == content


@pytest.mark.parametrize(
    ("positions", "values"),
    [([1], []), ([3, 3], [1, 1]), ([3, 2], [1, 1]), ([-1], [1]), ([0], [2**31]), ([0], [-(2**31) - 1])],
)
def test_outliers_that_cannot_be_packed(positions: list[int], values: list[int]) -> None:
    with pytest.raises(InputError, match="outlier"):
        container.pack_outliers(positions, values)


# Alpha


def filtered(kind: int, alpha: bytes, width: int) -> bytes:
    """The filters of FORMAT.md, written out byte by byte."""

    def neighbour(at: int) -> int:
        if kind == 1:
            return alpha[at - 1] if at % width else 0
        return alpha[at - width] if kind == 2 and at >= width else 0

    return bytes((alpha[at] - neighbour(at)) % 256 for at in range(len(alpha)))


@st.composite
def alphas(draw: st.DrawFn) -> tuple[bytes, int, int]:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    return draw(st.binary(min_size=width * height, max_size=width * height)), width, height


@given(alphas())
def test_alpha_round_trip(drawn: tuple[bytes, int, int]) -> None:
    alpha, width, height = drawn
    packed = container.pack_alpha(alpha, width, height)
    assert zlib.decompress(packed[1:]) == filtered(packed[0], alpha, width)
    assert container.unpack_alpha(packed, width, height) == alpha


@given(alphas(), st.sampled_from((0, 1, 2)), st.integers(0, 9))
def test_any_filter_at_any_zlib_level_is_legal(drawn: tuple[bytes, int, int], kind: int, level: int) -> None:
    alpha, width, height = drawn
    content = bytes([kind]) + zlib.compress(filtered(kind, alpha, width), level)
    assert container.unpack_alpha(content, width, height) == alpha


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_best_filter_is_chosen(kind: int) -> None:
    rows = [bytes((7 * x) ** 2 // 3 % 256 for x in range(200))] * 40  # equal rows: "up" leaves zeros
    if kind == 1:  # straight ramps that start anywhere: "sub" leaves one value
        rows = [bytes((x + 97 * y * y) % 256 for x in range(200)) for y in range(40)]
    if kind == 0:  # two values without order: a filter would make three of them
        rows = [bytes(random.Random(y).choices((0, 255), k=200)) for y in range(40)]
    assert container.pack_alpha(b"".join(rows), 200, 40)[0] == kind


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", Truncated, "alpha: the section is empty"),
        (b"\3" + zlib.compress(bytes(6)), CorruptStream, "alpha filter is 3; it must be 0 (NONE), 1 (SUB), 2 (UP)"),
        (b"\0garbage", CorruptStream, "alpha: Error -3"),
        (b"\0" + zlib.compress(bytes(6))[:-1], Truncated, "unfinished"),
        (b"\0" + zlib.compress(bytes(5)), CorruptStream, "alpha: 5 bytes"),
        (b"\0" + zlib.compress(bytes(7)), CorruptStream, "alpha: more than the 6 bytes of the picture"),
        (b"\0" + zlib.compress(bytes(6)) + b"x", CorruptStream, "1 behind the stream"),
    ],
)
def test_bad_alpha_is_named(content: bytes, error: type[FormatError], message: str) -> None:
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        container.unpack_alpha(content, 3, 2)
    assert caught.type is error


def test_an_alpha_bomb_stays_small() -> None:
    bomb = b"\0" + zlib.compress(bytes(50_000_000), 9)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptStream, match="more than the 10000 bytes"):
            container.unpack_alpha(bomb, 100, 100)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("size", "width", "height"), [(5, 3, 2), (7, 3, 2), (0, 0, 0)])
def test_alpha_that_cannot_be_packed(size: int, width: int, height: int) -> None:
    with pytest.raises(InputError, match=f"alpha has {size} bytes"):
        container.pack_alpha(bytes(size), width, height)
