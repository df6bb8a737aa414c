"""The LOSSLESS section: the pixels in tiles, each a WebP file of its own.

    codec u8 = 1 | tile width varint | tile height varint | per tile, row by row: length varint, WebP file

WebP (RFC 9649) holds at most 16383 pixels a side; tiles hold any picture, and bound the memory that decoding takes.
A tile is the simple lossless form, nothing else: no animation, no metadata, no lossy picture. All of this is read
here, sizes included, before anything decodes a pixel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vaecodec.container.header import Header
from vaecodec.container.varint import pack_varint, parse_varint
from vaecodec.errors import CorruptStream, InputError, Truncated

WEBP = 1
"""The only codec there is; others get numbers of their own, in a new version."""
MIN_TILE, MAX_TILE = 256, 16_383
"""Sides of a tile: the larger is WebP's limit, the smaller keeps hostile files from having tiles without number."""

# "RIFF" size "WEBP" | "VP8L" size, signature, then a u32: width - 1, height - 1 (14 bits each), alpha_is_used, version
_VP8L = struct.Struct("<4sI4s4sIBI")
_SIGNATURE = 0x2F
_RIFF_HEAD, _CHUNK_HEAD = 8, 8


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture, in pixels, and the WebP file that holds it."""

    left: int
    top: int
    width: int
    height: int
    webp: bytes


def tile_places(width: int, height: int, tile_width: int, tile_height: int) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width and height of each tile of a picture, row by row; the last ones may be smaller."""
    for top in range(0, height, tile_height):
        for left in range(0, width, tile_width):
            yield left, top, min(tile_width, width - left), min(tile_height, height - top)


def pack_tiles(tile_width: int, tile_height: int, webps: Sequence[bytes]) -> bytes:
    """The content of the section; `webps` in the order of `tile_places`. Raises InputError for sides out of range."""
    for name, side in (("width", tile_width), ("height", tile_height)):
        if not 1 <= side <= MAX_TILE:
            message = f"tile {name} is {side}; it must be 1..{MAX_TILE}"
            raise InputError(message)
    head = bytes([WEBP]) + pack_varint(tile_width) + pack_varint(tile_height)
    return head + b"".join(pack_varint(len(webp)) + webp for webp in webps)


def parse_tiles(content: bytes, header: Header) -> list[Tile]:
    """The tiles of a file's section, their sizes checked against the header; no pixel is decoded.

    Every tile is paid for with bytes of `content`. Raises CorruptStream, Truncated and FormatError.
    """
    if content[0] != WEBP:
        message = f"lossless codec is {content[0]}; it must be {WEBP} (WebP)"
        raise CorruptStream(message)
    tile_width, offset = parse_varint(content, 1, "tile width")
    tile_height, offset = parse_varint(content, offset, "tile height")
    for name, side, whole in (("width", tile_width, header.width), ("height", tile_height, header.height)):
        if not min(MIN_TILE, whole) <= side <= min(MAX_TILE, whole):
            message = f"tile {name} is {side}; it must be {min(MIN_TILE, whole)}..{min(MAX_TILE, whole)}"
            raise CorruptStream(message)
    tiles = []
    for left, top, width, height in tile_places(header.width, header.height, tile_width, tile_height):
        name = f"tile at {left}, {top}"
        length, offset = parse_varint(content, offset, f"length of the {name}")
        if offset + length > len(content):
            message = f"{name}: needs bytes {offset}..{offset + length - 1}, the section has {len(content)}"
            raise Truncated(message)
        tile = Tile(left, top, width, height, content[offset : offset + length])
        _check_webp(tile, header, name)
        tiles.append(tile)
        offset += length
    if offset != len(content):
        message = f"section LOSSLESS has {len(content)} bytes; its tiles end at {offset}"
        raise CorruptStream(message)
    return tiles


def _check_webp(tile: Tile, header: Header, name: str) -> None:
    """That it is a lossless WebP file of the simple form, of this size, and has alpha only where the mode has."""
    size = len(tile.webp)
    if size < _VP8L.size:
        message = f"{name}: {size} bytes; a lossless WebP file has {_VP8L.size} or more"
        raise Truncated(message)
    riff, riff_size, form, chunk, chunk_size, signature, bits = _VP8L.unpack_from(tile.webp)
    if (riff, form, chunk, signature) != (b"RIFF", b"WEBP", b"VP8L", _SIGNATURE):
        message = f"{name}: starts with {tile.webp[:21].hex(' ')}; it must be a lossless WebP image and nothing else"
        raise CorruptStream(message)
    padded = chunk_size + chunk_size % 2
    if riff_size != size - _RIFF_HEAD or padded != size - _RIFF_HEAD - len(form) - _CHUNK_HEAD:
        message = f"{name}: has {size} bytes, but states {riff_size} and {chunk_size} for the RIFF file and its chunk"
        raise CorruptStream(message)
    width, height, alpha, version = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1, bits >> 29
    if (width, height) != (tile.width, tile.height):
        message = f"{name}: the WebP file is {width} x {height}; it must be {tile.width} x {tile.height}"
        raise CorruptStream(message)
    if version != 0 or (alpha and not header.mode.has_alpha):
        message = f"{name}: alpha is {alpha} in mode {header.mode.name}, WebP version {version}; it must be 0"
        raise CorruptStream(message)
