"""The .vaec file around the coded bytes. Standard library only: no torch, no NumPy, no model, no pixels."""

from __future__ import annotations

from vaecodec.container.alpha import pack_alpha, unpack_alpha
from vaecodec.container.header import (
    MAGIC,
    MAX_SIDE,
    MODEL_HASH_BYTES,
    VERSION,
    Header,
    Mode,
    check_size,
)
from vaecodec.container.outliers import pack_outliers, parse_outliers
from vaecodec.container.salvage import Salvaged, salvage
from vaecodec.container.sections import (
    MAX_HEADER_BYTES,
    MAX_METADATA,
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
    "MAGIC",
    "MAX_HEADER_BYTES",
    "MAX_METADATA",
    "MAX_SIDE",
    "MODEL_HASH_BYTES",
    "VERSION",
    "File",
    "Header",
    "Mode",
    "Salvaged",
    "Section",
    "Tag",
    "check_size",
    "pack",
    "pack_alpha",
    "pack_outliers",
    "pack_varint",
    "parse",
    "parse_header",
    "parse_outliers",
    "parse_varint",
    "read_all",
    "read_section",
    "salvage",
    "tag_name",
    "unpack_alpha",
]
