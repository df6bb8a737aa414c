"""Right checksums for wrong bytes: without this a fuzzer would hardly ever get past the first CRC."""

from __future__ import annotations

import struct
import zlib

_CRC = struct.Struct("<I")
_FIXED = 6
"""Magic, version, flags."""


def seal(data: bytes) -> bytes:
    """The bytes with the header's CRC and, where contents lie inside the data, their CRCs made right.

    Reads the header as a lenient parser would; whatever has no complete header comes back as it is.
    """
    sealed = bytearray(data)
    try:
        at, rows = _walk(sealed)
    except IndexError:
        return data
    if at + _CRC.size > len(sealed):
        return data
    content = at + _CRC.size
    for crc_at, length in rows:
        _CRC.pack_into(sealed, crc_at, zlib.crc32(sealed[content : content + length]))
        content += length
    _CRC.pack_into(sealed, at, zlib.crc32(sealed[:at]))
    return bytes(sealed)


def _walk(data: bytearray) -> tuple[int, list[tuple[int, int]]]:
    """Offset of the header CRC, and for every section (offset of its CRC, length). Raises IndexError at the end."""
    _, at = _varint(data, _FIXED)
    at += 6  # model hash, level, mode
    for _ in range(2):
        _, at = _varint(data, at)
    count, at = data[at], at + 1
    rows = []
    for _ in range(count):
        length, at = _varint(data, at + 1)
        rows.append((at, length))
        at += _CRC.size
        if at > len(data):
            raise IndexError
    return at, rows


def _varint(data: bytearray, at: int) -> tuple[int, int]:
    value = 0
    for index in range(5):
        value |= (data[at] & 0x7F) << 7 * index
        at += 1
        if data[at - 1] < 0x80:
            break
    return value, at
