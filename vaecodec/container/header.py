"""The header of a .vaec file: what the picture is and which model decodes it. FORMAT.md is the specification."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from vaecodec.container.varint import VARINT_MAX, pack_varint, parse_varint
from vaecodec.errors import BadMagic, FormatError, InputError, LimitExceeded, Truncated, UnsupportedVersion
from vaecodec.levels import MAX_LEVEL

# The first byte is no ASCII and no UTF-8 lead: text mode damage and text files are told apart at once.
MAGIC = b"\x8fVAC"
VERSION = 1
"""Latents of a model."""
LOSSLESS_VERSION = 2
"""The pixels themselves; no model."""
VERSIONS = (VERSION, LOSSLESS_VERSION)
MODEL_HASH_BYTES = 4
MAX_SIDE = 65_535
NO_MODEL = 0
NO_HASH = bytes(MODEL_HASH_BYTES)


class Mode(IntEnum):
    """What the decoder returns; the network always codes RGB. Wire values."""

    RGB = 1
    L = 2
    RGBA = 3
    LA = 4

    @property
    def has_alpha(self) -> bool:
        """Whether files of this mode have an alpha section."""
        return self in (Mode.RGBA, Mode.LA)


@dataclass(frozen=True)
class Header:
    """The fixed fields of a file.

    model_id: 1..2^32-1. model_hash: first 4 bytes of the SHA-256 of the model's tensors.
    level: quality level 0..63. width, height: pixels of the picture as shown, 1..65535.
    version: 1, or 2 for a lossless file, which has model id 0, model hash 0 and level 63. flags: 0.
    """

    model_id: int
    model_hash: bytes
    level: int
    mode: Mode
    width: int
    height: int
    version: int = VERSION
    flags: int = 0

    @classmethod
    def of_lossless(cls, mode: Mode, width: int, height: int) -> Header:
        """The header of a lossless file."""
        return cls(NO_MODEL, NO_HASH, MAX_LEVEL, mode, width, height, LOSSLESS_VERSION)

    @property
    def is_lossless(self) -> bool:
        """Whether the file holds the pixels themselves."""
        return self.version == LOSSLESS_VERSION


# version, flags | model id (varint) | model hash, level, mode | width, height (varints)
_START = struct.Struct("<BB")
_MODEL = struct.Struct(f"<{MODEL_HASH_BYTES}sBB")


def pack_fields(header: Header) -> bytes:
    """Magic and fixed fields; `header` is valid (`violation` returned None)."""
    return b"".join(
        (
            MAGIC,
            _START.pack(header.version, header.flags),
            pack_varint(header.model_id),
            _MODEL.pack(header.model_hash, header.level, header.mode),
            pack_varint(header.width),
            pack_varint(header.height),
        )
    )


def take(data: memoryview, offset: int, count: int, field: str) -> memoryview:
    """`count` bytes at `offset`. Raises Truncated naming `field`."""
    if offset + count > len(data):
        message = f"{field}: needs bytes {offset}..{offset + count - 1}, the data have {len(data)}"
        raise Truncated(message)
    return data[offset : offset + count]


def check_start(data: memoryview) -> None:
    """Check magic and version. Raises BadMagic, Truncated, UnsupportedVersion."""
    start = bytes(data[: len(MAGIC)])
    if not MAGIC.startswith(start) or not start:
        message = f"magic is {start.hex(' ') or 'empty'}; a .vaec file starts with {MAGIC.hex(' ')}"
        raise BadMagic(message)
    version = take(data, 0, len(MAGIC) + 1, "version")[len(MAGIC)]
    if version not in VERSIONS:
        message = f"version is {version}; this release reads versions {VERSION} and {LOSSLESS_VERSION}"
        raise UnsupportedVersion(message)


def parse_fields(data: memoryview) -> tuple[Header, int, int]:
    """Read the fixed fields, not yet checked; returns (header, raw mode byte, offset behind them).

    The mode byte may be illegal, and ranges are only judged once the checksum is known to be right: `Header.mode`
    is RGB then, and `check_ranges` refuses it.
    """
    offset = len(MAGIC)
    version, flags = _START.unpack(take(data, offset, _START.size, "flags"))
    model_id, offset = parse_varint(data, offset + _START.size, "model id")
    model_hash, level, mode = _MODEL.unpack(take(data, offset, _MODEL.size, "model hash, level, mode"))
    width, offset = parse_varint(data, offset + _MODEL.size, "width")
    height, offset = parse_varint(data, offset, "height")
    known = Mode(mode) if mode in Mode.__members__.values() else Mode.RGB
    return Header(model_id, model_hash, level, known, width, height, version, flags), mode, offset


def check_ranges(header: Header, mode: int) -> None:
    """Raise FormatError or LimitExceeded when a field is outside its legal range."""
    if mode not in Mode.__members__.values():
        message = f"mode is {mode}; it must be one of {', '.join(f'{m} ({m.name})' for m in Mode)}"
        raise FormatError(message)
    fault = violation(header)
    if fault is not None:
        kind, message = fault
        raise kind(message)


def violation(header: Header) -> tuple[type[FormatError], str] | None:
    """The first field outside its legal range, as (error class for a file, message), or None."""
    if header.version not in VERSIONS:
        return UnsupportedVersion, f"version is {header.version}; it must be {VERSION} or {LOSSLESS_VERSION}"
    if header.flags != 0:
        return FormatError, f"flags is {header.flags:#04x}; it must be 0, all bits are reserved"
    broken = _lossless_violation(header) if header.is_lossless else _model_violation(header)
    if broken is not None:
        return broken
    message = _side_violation(header.width, header.height)
    return None if message is None else (LimitExceeded, message)


def _model_violation(header: Header) -> tuple[type[FormatError], str] | None:
    if not 1 <= header.model_id <= VARINT_MAX:
        return FormatError, f"model id is {header.model_id}; it must be 1..{VARINT_MAX}"
    if len(header.model_hash) != MODEL_HASH_BYTES:
        return FormatError, f"model hash has {len(header.model_hash)} bytes; it must have {MODEL_HASH_BYTES}"
    if not 0 <= header.level <= MAX_LEVEL:
        return LimitExceeded, f"level is {header.level}; it must be 0..{MAX_LEVEL}"
    return None


def _lossless_violation(header: Header) -> tuple[type[FormatError], str] | None:
    if (header.model_id, header.model_hash, header.level) == (NO_MODEL, NO_HASH, MAX_LEVEL):
        return None
    return FormatError, (
        f"model id, model hash and level are {header.model_id}, {header.model_hash.hex()} and {header.level}; "
        f"they must be {NO_MODEL}, {NO_HASH.hex()} and {MAX_LEVEL} in version {LOSSLESS_VERSION}"
    )


def check_size(width: int, height: int) -> None:
    """Check the sides of a picture before it is encoded. Raises InputError outside of 1..65535 pixels."""
    message = _side_violation(width, height)
    if message is not None:
        raise InputError(message)


def _side_violation(width: int, height: int) -> str | None:
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= MAX_SIDE:
            return f"{name} is {side}; it must be 1..{MAX_SIDE}"
    return None
