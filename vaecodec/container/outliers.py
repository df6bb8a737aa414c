"""The OUTLIERS section: true values of the few symbols beyond their table's range.

    for each outlier:  varint position - previous position - 1 (the first: its position) | varint zigzag(value)

Positions ascend strictly because the gap cannot be negative. zigzag: 0, -1, 1, -2, ... -> 0, 1, 2, 3, ...
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from vaecodec.container.varint import pack_varint, parse_varint
from vaecodec.errors import CorruptStream, InputError

VALUE_MIN, VALUE_MAX = -(1 << 31), (1 << 31) - 1


def pack_outliers(positions: Sequence[int], values: Sequence[int]) -> bytes:
    """Code outliers: strictly ascending positions 0..2^32-1 with values of 32 bits. No outliers: no bytes.

    Raises InputError for positions that do not ascend, values out of range or lists of unequal length.
    """
    if len(positions) != len(values):
        message = f"outliers: {len(positions)} positions and {len(values)} values; as many of both are needed"
        raise InputError(message)
    packed = bytearray()
    previous = -1
    for position, value in zip(map(int, positions), map(int, values), strict=True):
        if position <= previous:
            message = f"outlier position {position} follows {previous}; positions must ascend from 0"
            raise InputError(message)
        if not VALUE_MIN <= value <= VALUE_MAX:
            message = f"outlier value is {value}; it must be {VALUE_MIN}..{VALUE_MAX}"
            raise InputError(message)
        packed += pack_varint(position - previous - 1) + pack_varint((value << 1) ^ (value >> 63))
        previous = position
    return bytes(packed)


def parse_outliers(content: bytes, n_symbols: int) -> tuple[array[int], array[int]]:
    """Decode positions, strictly ascending, and their values, int64 each: 16 bytes for at least 2 of `content`.

    n_symbols: number of coded symbols; every position is below it.
    Raises CorruptStream for a position beyond it, Truncated and FormatError for malformed numbers.
    """
    positions, values = array("q"), array("q")
    offset, position = 0, -1
    while offset < len(content):
        gap, offset = parse_varint(content, offset, "outlier position")
        zigzag, offset = parse_varint(content, offset, "outlier value")
        position += gap + 1
        if position >= n_symbols:
            message = f"outlier position is {position}; it must be below the {n_symbols} coded symbols"
            raise CorruptStream(message)
        positions.append(position)
        values.append((zigzag >> 1) ^ -(zigzag & 1))
    return positions, values
