"""Variable-length unsigned integers: LEB128, little-endian groups of 7 bits, at most 5 bytes and 32 bits.

    300 = 0b10_0101100 -> AC 02        (bit 7 set: another byte follows)

Only the shortest form is legal, so every number has exactly one encoding.
"""

from __future__ import annotations

from vaecodec.errors import FormatError, InputError, Truncated

VARINT_MAX = (1 << 32) - 1
VARINT_MAX_BYTES = 5


def pack_varint(value: int) -> bytes:
    """Encode 0..2^32-1. Raises InputError outside of it."""
    if not 0 <= value <= VARINT_MAX:
        message = f"varint {value}; it must be 0..{VARINT_MAX}"
        raise InputError(message)
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def parse_varint(data: bytes | memoryview, offset: int, field: str) -> tuple[int, int]:
    """Decode the varint at `offset` of `data` (items are bytes); returns (value, offset behind it).

    Raises Truncated at the end of the data and FormatError for more than 32 bits or a padded form, naming `field`.
    """
    value = 0
    for index in range(VARINT_MAX_BYTES):
        if offset + index >= len(data):
            message = f"{field}: the data end at byte {len(data)}, inside the number at byte {offset}"
            raise Truncated(message)
        byte = data[offset + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            _check_form(value, byte, index, field)
            return value, offset + index + 1
    message = f"{field}: the number at byte {offset} has more than {VARINT_MAX_BYTES} bytes"
    raise FormatError(message)


def _check_form(value: int, last: int, index: int, field: str) -> None:
    if value > VARINT_MAX:
        message = f"{field} is {value}; it must be 0..{VARINT_MAX}"
        raise FormatError(message)
    if last == 0 and index > 0:
        message = f"{field}: {value} takes {index + 1} bytes; only the shortest form is legal"
        raise FormatError(message)
