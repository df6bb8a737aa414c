"""The .vaec file around the coded bytes. Standard library only: no torch, no NumPy, no model, no pixels."""

from __future__ import annotations

from vaecodec.container.alpha import pack_alpha, unpack_alpha
from vaecodec.container.header import (
    LOSSLESS_VERSION,
    MAGIC,
    MAX_SIDE,
    MODEL_HASH_BYTES,
    VERSION,
    VERSIONS,
    Header,
    Mode,
    check_size,
)
from vaecodec.container.lossless import MAX_TILE, MIN_TILE, Tile, pack_tiles, parse_tiles, tile_places
from vaecodec.container.outliers import pack_outliers, parse_outliers
from vaecodec.container.postfilter import OFFSETS, REACH, PostFilter, pack_postfilter, parse_postfilter, weight_bits
from vaecodec.container.salvage import Salvaged, salvage
from vaecodec.container.sections import (
    MAX_HEADER_BYTES,
    MAX_METADATA,
    METADATA,
    File,
    Section,
    Tag,
    pack,
    parse,
    parse_header,
    read_all,
    read_section,
    tag_name,
)
from vaecodec.container.varint import pack_varint, parse_varint

__all__ = [
    "LOSSLESS_VERSION",
    "MAGIC",
    "MAX_HEADER_BYTES",
    "MAX_METADATA",
    "MAX_SIDE",
    "MAX_TILE",
    "METADATA",
    "MIN_TILE",
    "MODEL_HASH_BYTES",
    "OFFSETS",
    "REACH",
    "VERSION",
    "VERSIONS",
    "File",
    "Header",
    "Mode",
    "PostFilter",
    "Salvaged",
    "Section",
    "Tag",
    "Tile",
    "check_size",
    "pack",
    "pack_alpha",
    "pack_outliers",
    "pack_postfilter",
    "pack_tiles",
    "pack_varint",
    "parse",
    "parse_header",
    "parse_outliers",
    "parse_postfilter",
    "parse_tiles",
    "parse_varint",
    "read_all",
    "read_section",
    "salvage",
    "tag_name",
    "tile_places",
    "unpack_alpha",
    "weight_bits",
]
