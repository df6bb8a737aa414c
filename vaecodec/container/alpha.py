"""The ALPHA section: the transparency of every pixel, without loss.

    filter u8 | zlib stream of width * height filtered bytes, row by row

filter 0: the bytes themselves; 1 (sub): minus the left neighbour; 2 (up): minus the neighbour above; modulo 256,
neighbours outside the picture count as 0.

Bytes are added and subtracted many at once inside one large Python integer: carries are kept from crossing into the
next byte by handling bit 7 of each byte apart (Warren, Hacker's Delight, 2-18). So no NumPy is needed here.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

from vaecodec.errors import CorruptStream, InputError, Truncated

NOISE = 1 / 8
"""Alpha whose quick pass leaves more than this part of it is noise."""


class Filter(IntEnum):
    """Wire values."""

    NONE = 0
    SUB = 1
    UP = 2


def pack_alpha(alpha: bytes, width: int, height: int) -> bytes:
    """Code width * height bytes, row by row. Raises InputError when there are more or fewer.

    A quick pass chooses the filter, a thorough one codes; noise, on which that takes ten times as long for 2 % in
    size, is coded at the middle level. Any filter and level is legal in a file.
    """
    if len(alpha) != width * height or not alpha:
        message = f"alpha has {len(alpha)} bytes; {width} x {height} pixels must have {width * height}, at least 1"
        raise InputError(message)
    quick, kind = min((len(zlib.compress(_apply(kind, alpha, width), 1)), kind) for kind in Filter)
    level = 6 if quick > len(alpha) * NOISE else 9
    return bytes([kind]) + zlib.compress(_apply(kind, alpha, width), level)


def unpack_alpha(data: bytes, width: int, height: int) -> bytes:
    """Decode width * height bytes; memory grows with what is really decoded, never beyond that.

    Raises Truncated and CorruptStream.
    """
    if not data:
        message = "alpha: the section is empty; it starts with a filter byte"
        raise Truncated(message)
    if data[0] not in Filter.__members__.values():
        message = f"alpha filter is {data[0]}; it must be {', '.join(f'{f} ({f.name})' for f in Filter)}"
        raise CorruptStream(message)
    return _undo(Filter(data[0]), _decompress(memoryview(data)[1:], width * height), width)


def _decompress(data: memoryview, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, size)
        # With its output full the stream may still hold its checksum: ask for one more byte, which must not come.
        more = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        message = f"alpha: {error}"
        raise CorruptStream(message) from error
    if more:
        message = f"alpha: more than the {size} bytes of the picture"
        raise CorruptStream(message)
    if not stream.eof:
        message = f"alpha: the zlib stream ends after {len(raw)} of {size} bytes, unfinished"
        raise Truncated(message)
    if len(raw) != size or stream.unused_data:
        message = f"alpha: {len(raw)} bytes and {len(stream.unused_data)} behind the stream; it must be {size} and 0"
        raise CorruptStream(message)
    return raw


def _apply(kind: Filter, alpha: bytes, width: int) -> bytes:
    if kind is Filter.NONE:
        return alpha
    distance = 1 if kind is Filter.SUB else width
    neighbour = int.from_bytes(alpha, "little") << 8 * distance
    if kind is Filter.SUB:  # the first byte of a row has no left neighbour
        neighbour &= int.from_bytes((b"\0" + b"\xff" * (width - 1)) * (len(alpha) // width), "little")
    shifted = neighbour.to_bytes(len(alpha) + distance, "little")[: len(alpha)]
    return _subtract(alpha, shifted)


def _undo(kind: Filter, filtered: bytes, width: int) -> bytes:
    if kind is Filter.NONE:
        return filtered
    rows = [filtered[start : start + width] for start in range(0, len(filtered), width)]
    if kind is Filter.SUB:
        high = int.from_bytes(b"\x80" * width, "little")
        return b"".join(_running_sum(row, high) for row in rows)
    for number in range(1, len(rows)):
        rows[number] = _add(rows[number], rows[number - 1])
    return b"".join(rows)


def _running_sum(row: bytes, high: int) -> bytes:
    """Prefix sums by doubling: after each step a byte holds the sum of the last 2, 4, 8, ... bytes up to it."""
    low = high - (high >> 7)
    total, distance = int.from_bytes(row, "little"), 1
    while distance < len(row):
        earlier = (total << 8 * distance) & (high | low)
        total = ((total & low) + (earlier & low)) ^ ((total ^ earlier) & high)
        distance *= 2
    return total.to_bytes(len(row), "little")


def _add(a: bytes, b: bytes) -> bytes:
    """Bytewise a + b modulo 256, equal lengths."""
    x, y, high = _integers(a, b)
    low = (x & ~high) + (y & ~high)
    return (low ^ ((x ^ y) & high)).to_bytes(len(a), "little")


def _subtract(a: bytes, b: bytes) -> bytes:
    """Bytewise a - b modulo 256, equal lengths."""
    x, y, high = _integers(a, b)
    low = (x | high) - (y & ~high)
    return (low ^ ((x ^ ~y) & high)).to_bytes(len(a), "little")


def _integers(a: bytes, b: bytes) -> tuple[int, int, int]:
    return int.from_bytes(a, "little"), int.from_bytes(b, "little"), int.from_bytes(b"\x80" * len(a), "little")
