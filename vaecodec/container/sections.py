"""The section table and whole files: pack, parse, read one section. FORMAT.md is the specification.

Order of checks: magic, version, structure and header CRC, ranges, sum of lengths == file size, pixel limit. Nothing is
allocated that the file has not already paid for with bytes.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from vaecodec.container.header import (
    LOSSLESS_VERSION,
    VERSION,
    Header,
    check_ranges,
    check_start,
    pack_fields,
    parse_fields,
    take,
    violation,
)
from vaecodec.container.varint import VARINT_MAX, pack_varint, parse_varint
from vaecodec.errors import ChecksumMismatch, FormatError, InputError, LimitExceeded, Truncated

MAX_METADATA = 16 << 20
MAX_SECTIONS = 255
# Fixed fields, 255 sections and the CRC with every varint at its longest; a prefix of 64 KiB always holds it.
MAX_HEADER_BYTES = 4 + 2 + 5 + 6 + 5 + 5 + 1 + MAX_SECTIONS * (1 + 5 + 4) + 4


class Tag(IntEnum):
    """What a section holds. Wire values; bit 7 marks extensions that a reader may skip."""

    LATENTS = 1
    OUTLIERS = 2
    ALPHA = 3
    LOSSLESS = 4
    ICC = 16
    EXIF = 17
    XMP = 18
    POSTFILTER = 129


OPTIONAL_BIT = 0x80
METADATA = (Tag.ICC, Tag.EXIF, Tag.XMP)


@dataclass(frozen=True)
class Section:
    """One row of the section table: `length` bytes at `offset` of the file, with their CRC-32."""

    tag: Tag
    length: int
    crc: int
    offset: int


@dataclass(frozen=True)
class File:
    """A parsed header. sections: ascending, unknown optional ones left out; size: bytes of the whole file."""

    header: Header
    sections: Mapping[Tag, Section]
    size: int


_CRC = struct.Struct("<I")


def pack(header: Header, sections: Sequence[tuple[int, bytes]]) -> bytes:
    """Build a file; the sections may come in any order. Raises InputError for illegal fields, tags and sizes."""
    ordered = sorted(sections, key=lambda item: item[0])
    fault = violation(header) or section_violation(header, [(tag, len(content)) for tag, content in ordered])
    if fault is not None:
        raise InputError(fault[1])
    table = [bytes([tag]) + pack_varint(len(content)) + _CRC.pack(zlib.crc32(content)) for tag, content in ordered]
    head = pack_fields(header) + bytes([len(ordered)]) + b"".join(table)
    return b"".join((head, _CRC.pack(zlib.crc32(head)), *(content for _, content in ordered)))


def parse_header(prefix: bytes | bytearray | memoryview, file_size: int | None = None) -> File:
    """Read and check the header from the first bytes of a file; its first `MAX_HEADER_BYTES` always suffice.

    file_size: bytes of the whole file where known; then it must equal header + sections. Contents are not looked at.
    Raises FormatError and its subclasses.
    """
    data = memoryview(prefix).cast("B")
    check_start(data)
    header, mode, offset = parse_fields(data)
    rows, offset = _parse_table(data, offset)
    stored = _CRC.unpack(take(data, offset, _CRC.size, "header CRC"))[0]
    computed = zlib.crc32(data[:offset])
    if stored != computed:
        message = f"header CRC is {computed:#010x}; the file states {stored:#010x}"
        raise ChecksumMismatch(message)
    check_ranges(header, mode)
    fault = section_violation(header, [(tag, length) for tag, length, _ in rows])
    if fault is not None:
        kind, message = fault
        raise kind(message)
    return _lay_out(header, rows, offset + _CRC.size, file_size)


def parse(data: bytes | bytearray | memoryview, *, max_pixels: int | None = None) -> File:
    """Check a whole file except for the contents of its sections.

    max_pixels: largest legal width * height, None for no limit. Raises FormatError and its subclasses.
    """
    file = parse_header(data, memoryview(data).nbytes)
    pixels = file.header.width * file.header.height
    if max_pixels is not None and pixels > max_pixels:
        message = f"picture has {file.header.width} x {file.header.height} = {pixels} pixels; the limit is {max_pixels}"
        raise LimitExceeded(message)
    return file


def read_section(data: bytes | bytearray | memoryview, file: File, tag: Tag) -> bytes:
    """The content of a section of the file `data`, its CRC checked.

    Raises ChecksumMismatch, Truncated, and InputError when the file has no such section.
    """
    section = file.sections.get(tag)
    if section is None:
        message = f"section {tag_name(tag)} is not in this file; it has {', '.join(map(tag_name, file.sections))}"
        raise InputError(message)
    content = bytes(take(memoryview(data).cast("B"), section.offset, section.length, f"section {tag_name(tag)}"))
    computed = zlib.crc32(content)
    if computed != section.crc:
        message = f"section {tag_name(tag)} CRC is {computed:#010x}; the header states {section.crc:#010x}"
        raise ChecksumMismatch(message)
    return content


def read_all(data: bytes | bytearray | memoryview, file: File) -> dict[Tag, bytes]:
    """The contents of all sections that this release knows, each with its CRC checked."""
    return {tag: read_section(data, file, tag) for tag in file.sections}


def tag_name(tag: int) -> str:
    """LATENTS, ... or the number of a tag this release does not know."""
    return Tag(tag).name if tag in Tag.__members__.values() else str(tag)


def section_violation(header: Header, rows: Sequence[tuple[int, int]]) -> tuple[type[FormatError], str] | None:
    """The first broken rule of a section table of (tag, length), as (error class for a file, message), or None."""
    tags = [tag for tag, _ in rows]
    if len(tags) > MAX_SECTIONS:
        return LimitExceeded, f"section count is {len(tags)}; it must be 1..{MAX_SECTIONS}"
    for before, tag in itertools.pairwise(tags):
        if tag <= before:
            return FormatError, f"section tag {tag} follows {before}; tags must ascend, none may come twice"
    for tag, length in rows:
        fault = _row_violation(tag, length)
        if fault is not None:
            return fault
    if header.is_lossless:
        return _lossless_violation(tags)
    if Tag.LATENTS not in tags:
        return FormatError, f"section tags are {tags}; {Tag.LATENTS.value} (LATENTS) is mandatory"
    if Tag.LOSSLESS in tags:
        return FormatError, f"section LOSSLESS is present in version {header.version}; it takes {LOSSLESS_VERSION}"
    if (Tag.ALPHA in tags) != header.mode.has_alpha:
        state = "present" if Tag.ALPHA in tags else "missing"
        return FormatError, f"section ALPHA is {state} in mode {header.mode.name}; RGBA and LA have it, RGB and L not"
    return None


def _lossless_violation(tags: Sequence[int]) -> tuple[type[FormatError], str] | None:
    """In version 2 LOSSLESS holds all of the pixels, alpha among them."""
    if Tag.LOSSLESS not in tags:
        return FormatError, f"section tags are {tags}; {Tag.LOSSLESS.value} (LOSSLESS) is mandatory"
    for tag in (Tag.LATENTS, Tag.OUTLIERS, Tag.ALPHA, Tag.POSTFILTER):
        if tag in tags:
            return FormatError, f"section {tag.name} is present in version {LOSSLESS_VERSION}; it takes {VERSION}"
    return None


def _row_violation(tag: int, length: int) -> tuple[type[FormatError], str] | None:
    if tag not in Tag.__members__.values() and not OPTIONAL_BIT <= tag <= 0xFF:
        known = ", ".join(f"{t} ({t.name})" for t in Tag)
        return FormatError, f"section tag is {tag}; it must be one of {known}, or an optional one {OPTIONAL_BIT}..255"
    if not 1 <= length <= VARINT_MAX:
        return FormatError, f"section {tag_name(tag)} has {length} bytes; it must have 1..{VARINT_MAX}"
    if tag in METADATA and length > MAX_METADATA:
        return LimitExceeded, f"section {tag_name(tag)} has {length} bytes; the limit is {MAX_METADATA}"
    return None


def _parse_table(data: memoryview, offset: int) -> tuple[list[tuple[int, int, int]], int]:
    """Rows (tag, length, crc) and the offset behind them; nothing but their structure is checked."""
    count = take(data, offset, 1, "section count")[0]
    offset += 1
    rows = []
    for number in range(count):
        tag = take(data, offset, 1, f"tag of section {number}")[0]
        length, offset = parse_varint(data, offset + 1, f"length of section {number}")
        crc = _CRC.unpack(take(data, offset, _CRC.size, f"CRC of section {number}"))[0]
        offset += _CRC.size
        rows.append((tag, length, crc))
    return rows, offset


def _lay_out(header: Header, rows: list[tuple[int, int, int]], offset: int, file_size: int | None) -> File:
    """Give every section its offset; sections follow the header without gaps, up to the end of the file."""
    sections = {}
    for tag, length, crc in rows:
        if tag in Tag.__members__.values():
            sections[Tag(tag)] = Section(Tag(tag), length, crc, offset)
        offset += length
    if file_size is not None and file_size < offset:
        message = f"file has {file_size} bytes; header and sections have {offset}"
        raise Truncated(message)
    if file_size is not None and file_size > offset:
        message = f"file has {file_size} bytes; header and sections have {offset}, nothing may follow"
        raise FormatError(message)
    return File(header, sections, offset)
