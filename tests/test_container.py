"""The .vaec container: round trips, every kind of damage, limits before allocation, FORMAT.md's worked example."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaecodec import container
from vaecodec.container import Header, Mode, Tag, pack_varint
from vaecodec.errors import (
    BadMagic,
    ChecksumMismatch,
    CorruptStream,
    FormatError,
    InputError,
    LimitExceeded,
    Truncated,
    UnsupportedVersion,
)

HEADER = Header(model_id=1, model_hash=b"\x0b\xad\xca\xfe", level=38, mode=Mode.RGB, width=768, height=512)
SECTIONS = [(Tag.LATENTS, b"\0abc"), (Tag.ICC, b"profile"), (Tag.EXIF, b"exif"), (Tag.XMP, b"<x/>")]

headers = st.builds(
    Header,
    model_id=st.integers(1, 2**32 - 1),
    model_hash=st.binary(min_size=4, max_size=4),
    level=st.integers(0, 63),
    mode=st.sampled_from(Mode),
    width=st.integers(1, 65_535),
    height=st.integers(1, 65_535),
)


@st.composite
def files(draw: st.DrawFn) -> tuple[Header, dict[Tag, bytes]]:
    """A legal header with legal sections of arbitrary content."""
    header = draw(headers)
    tags = {Tag.LATENTS, *draw(st.sets(st.sampled_from((Tag.OUTLIERS, Tag.ICC, Tag.EXIF, Tag.XMP))))}
    if header.mode.has_alpha:
        tags.add(Tag.ALPHA)
    return header, {tag: draw(st.binary(min_size=1, max_size=300)) for tag in sorted(tags)}


def header_size(data: bytes) -> int:
    """Bytes before the first section's content."""
    return min(section.offset for section in container.parse(data).sections.values())


def forge(fields: bytes, rows: list[tuple[int, int]], *, contents: bytes = b"") -> bytes:
    """A file with a right header CRC around `fields` (version ... height) and rows (tag, length), legal or not."""
    table = b"".join(bytes([tag]) + pack_varint(length) + bytes(4) for tag, length in rows)
    head = container.MAGIC + fields + bytes([len(rows)]) + table
    return head + struct.pack("<I", zlib.crc32(head)) + contents


def fields(version: int = 1, flags: int = 0, model_id: int = 1, level: int = 0, mode: int = 1, *sides: int) -> bytes:
    width, height = sides or (8, 8)
    start = bytes([version, flags]) + pack_varint(model_id) + b"hash" + bytes([level, mode])
    return start + pack_varint(width) + pack_varint(height)


LOSSLESS = b"\2\0\0" + bytes(4) + b"\x3f\1\x08\x08"
"""Fields of a lossless file."""


# Round trips


@given(files())
def test_parse_inverts_pack(drawn: tuple[Header, dict[Tag, bytes]]) -> None:
    header, sections = drawn
    data = container.pack(header, list(sections.items()))
    file = container.parse(data)
    assert file.header == header
    assert file.size == len(data)
    assert list(file.sections) == list(sections)
    assert container.read_all(data, file) == sections


@given(files())
def test_the_header_alone_tells_the_same(drawn: tuple[Header, dict[Tag, bytes]]) -> None:
    data = container.pack(drawn[0], list(drawn[1].items()))
    prefix = data[: header_size(data)]
    assert container.parse_header(prefix) == container.parse(data) == container.parse_header(prefix, len(data))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_will_do(kind: type) -> None:
    data = kind(container.pack(HEADER, SECTIONS))
    assert container.read_section(data, container.parse(data), Tag.XMP) == b"<x/>"


def test_sections_are_written_in_ascending_order() -> None:
    assert container.pack(HEADER, SECTIONS[::-1]) == container.pack(HEADER, SECTIONS)


@pytest.mark.parametrize(("payload", "overhead"), [(1000, 29), (16_383, 29), (16_384, 30), (2 << 20, 31)])
def test_a_plain_picture_pays_at_most_31_bytes(payload: int, overhead: int) -> None:
    header = replace(HEADER, width=16_383, height=16_383)
    assert len(container.pack(header, [(Tag.LATENTS, bytes(payload))])) - payload == overhead


def test_the_longest_header_fits_its_limit() -> None:
    wide = Header(model_id=2**32 - 1, model_hash=b"abcd", level=63, mode=Mode.RGB, width=65_535, height=65_535)
    optional = [(tag, b"x") for tag in range(0x80, 0x100)]
    data = container.pack(wide, [*SECTIONS, (Tag.OUTLIERS, b"x"), *optional])
    assert header_size(data) <= container.MAX_HEADER_BYTES <= 65_536


# Damage


@given(files())
@settings(max_examples=20)
def test_every_truncation_raises(drawn: tuple[Header, dict[Tag, bytes]]) -> None:
    data = container.pack(drawn[0], list(drawn[1].items()))
    for size in range(len(data)):
        with pytest.raises(FormatError):
            container.parse(data[:size])
    for size in range(1, header_size(data)):
        with pytest.raises(Truncated):
            container.parse_header(data[:size])


@given(files())
@settings(max_examples=20)
def test_every_flipped_bit_of_the_header_raises(drawn: tuple[Header, dict[Tag, bytes]]) -> None:
    data = container.pack(drawn[0], list(drawn[1].items()))
    for bit in range(8 * header_size(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            container.parse(damaged)


def test_every_flipped_bit_of_a_section_is_noticed() -> None:
    data = container.pack(HEADER, SECTIONS)
    for bit in range(8 * header_size(data), 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        file = container.parse(damaged)
        bad = [tag for tag, s in file.sections.items() if s.offset <= bit // 8 < s.offset + s.length]
        with pytest.raises(ChecksumMismatch, match=f"section {bad[0].name} CRC"):
            container.read_section(damaged, file, bad[0])


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_raise_format_errors_only(noise: bytes, with_magic: bool) -> None:
    with pytest.raises(FormatError):
        container.parse(container.MAGIC + b"\1" + noise if with_magic else noise)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", BadMagic, "magic is empty; a .vaec file starts with 8f 56 41 43"),
        (b"\x89PNG\r\n\x1a\n", BadMagic, "magic is 89 50 4e 47"),
        (container.MAGIC, Truncated, "version: needs bytes 0..4, the data have 4"),
        (forge(fields(3), [(1, 1)]), UnsupportedVersion, "version is 3; this release reads versions 1 and 2"),
        (forge(fields(2), [(4, 1)]), FormatError, "1, 68617368 and 0; they must be 0, 00000000 and 63 in version 2"),
        (forge(LOSSLESS, [(16, 1)]), FormatError, "section tags are [16]; 4 (LOSSLESS) is mandatory"),
        (forge(LOSSLESS, [(1, 1), (4, 1)]), FormatError, "section LATENTS is present in version 2; it takes 1"),
        (forge(LOSSLESS, [(2, 1), (4, 1)]), FormatError, "section OUTLIERS is present in version 2; it takes 1"),
        (forge(LOSSLESS, [(3, 1), (4, 1)]), FormatError, "section ALPHA is present in version 2; it takes 1"),
        (forge(fields(1, 1), [(1, 1)]), FormatError, "flags is 0x01; it must be 0"),
        (forge(fields(1, 0, 0), [(1, 1)]), FormatError, "model id is 0; it must be 1..4294967295"),
        (forge(fields(1, 0, 1, 64), [(1, 1)]), LimitExceeded, "level is 64; it must be 0..63"),
        (forge(fields(1, 0, 1, 0, 0), [(1, 1)]), FormatError, "mode is 0; it must be one of 1 (RGB), 2 (L)"),
        (forge(fields(1, 0, 1, 0, 5), [(1, 1)]), FormatError, "mode is 5; it must be one of"),
        (forge(fields(1, 0, 1, 0, 1, 0, 8), [(1, 1)]), LimitExceeded, "width is 0; it must be 1..65535"),
        (forge(fields(1, 0, 1, 0, 1, 8, 65_536), [(1, 1)]), LimitExceeded, "height is 65536; it must be 1..65535"),
        (forge(fields(), []), FormatError, "1 (LATENTS) is mandatory"),
        (forge(fields(), [(2, 1)]), FormatError, "1 (LATENTS) is mandatory"),
        (forge(fields(), [(1, 0)]), FormatError, "section LATENTS has 0 bytes; it must have 1..4294967295"),
        (forge(fields(), [(1, 1), (5, 1)]), FormatError, "section tag is 5; it must be one of 1 (LATENTS)"),
        (forge(fields(), [(1, 1), (4, 1)]), FormatError, "section LOSSLESS is present in version 1; it takes 2"),
        (forge(fields(), [(0, 1), (1, 1)]), FormatError, "section tag is 0; it must be one of"),
        (forge(fields(), [(1, 1), (1, 1)]), FormatError, "section tag 1 follows 1; tags must ascend"),
        (forge(fields(), [(1, 1), (16, 1), (2, 1)]), FormatError, "section tag 2 follows 16; tags must ascend"),
        (forge(fields(), [(1, 1), (16, (16 << 20) + 1)]), LimitExceeded, "ICC has 16777217 bytes; the limit is"),
        (forge(fields(), [(1, 1), (3, 1)]), FormatError, "section ALPHA is present in mode RGB"),
        (forge(fields(1, 0, 1, 0, 4), [(1, 1)]), FormatError, "section ALPHA is missing in mode LA"),
        (forge(fields(), [(1, 2)], contents=b"x"), Truncated, "file has 27 bytes; header and sections have 28"),
    ],
)  # fmt: skip
def test_a_bad_header_is_named(data: bytes, error: type[FormatError], message: str) -> None:
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        container.parse(data)
    assert caught.type is error


def test_nothing_may_follow() -> None:
    with pytest.raises(FormatError, match="nothing may follow"):
        container.parse(container.pack(HEADER, SECTIONS) + b"\0")


def test_a_wrong_header_crc_is_told_before_ranges() -> None:
    data = bytearray(container.pack(HEADER, SECTIONS))
    data[11] = 200  # level
    with pytest.raises(ChecksumMismatch, match=r"header CRC is 0x[0-9a-f]{8}; the file states 0x[0-9a-f]{8}"):
        container.parse(data)


def test_a_section_that_is_not_there() -> None:
    data = container.pack(HEADER, SECTIONS)
    with pytest.raises(InputError, match="section ALPHA is not in this file; it has LATENTS, ICC, EXIF, XMP"):
        container.read_section(data, container.parse(data), Tag.ALPHA)


def test_unknown_optional_sections_are_skipped() -> None:
    data = container.pack(HEADER, [*SECTIONS, (0x80, b"later"), (0xFF, b"much later")])
    file = container.parse(data)
    assert list(file.sections) == [tag for tag, _ in SECTIONS]
    assert file.size == len(data)
    assert container.read_section(data, file, Tag.XMP) == b"<x/>"


# Limits


def test_the_pixel_limit() -> None:
    data = container.pack(HEADER, SECTIONS)
    assert container.parse(data, max_pixels=768 * 512)
    with pytest.raises(LimitExceeded, match="768 x 512 = 393216 pixels; the limit is 393215"):
        container.parse(data, max_pixels=768 * 512 - 1)


def test_a_huge_claim_allocates_nothing() -> None:
    header = replace(HEADER, mode=Mode.LA, width=65_535, height=65_535)
    alpha = b"\2" + zlib.compress(bytes(1000))
    data = container.pack(header, [(Tag.LATENTS, b"\0"), (Tag.ALPHA, alpha)])
    claims_lengths = forge(fields(1, 0, 1, 0, 1, 65_535, 65_535), [(1, 2**32 - 1), (2, 2**32 - 1)])
    tracemalloc.start()
    try:
        file = container.parse(data)
        with pytest.raises(CorruptStream):
            container.unpack_alpha(container.read_section(data, file, Tag.ALPHA), 65_535, 65_535)
        with pytest.raises(Truncated):
            container.parse(claims_lengths)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (65_535, 65_535)])
def test_sizes_that_can_be_encoded(width: int, height: int) -> None:
    container.check_size(width, height)


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [(0, 1, "width is 0; it must be 1..65535"), (1, 65_536, "height is 65536; it must be 1..65535")],
)
def test_sizes_that_cannot(width: int, height: int, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        container.check_size(width, height)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"flags": 1}, {"model_id": 0}, {"model_id": 2**32}, {"model_hash": b"abc"}, {"level": 64},
        {"level": -1}, {"width": 0}, {"height": 65_536}, {"mode": Mode.RGBA},
    ],
)  # fmt: skip
def test_pack_refuses_illegal_fields(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        container.pack(replace(HEADER, **change), SECTIONS)  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [[(Tag.ICC, b"")], [(Tag.XMP, b"twice")], [(99, b"x")], [(256, b"x")], [(-1, b"x")]])
def test_pack_refuses_illegal_sections(more: list[tuple[int, bytes]]) -> None:
    with pytest.raises(InputError, match="section"):
        container.pack(HEADER, [*SECTIONS, *more])


def test_pack_refuses_more_sections_than_a_byte_counts() -> None:
    with pytest.raises(InputError, match=r"section count is 256; it must be 1\.\.255"):
        container.pack(HEADER, [(Tag.LATENTS, b"\0")] * 256)


def test_metadata_has_a_limit() -> None:
    with pytest.raises(InputError, match="section EXIF has 16777217 bytes; the limit is 16777216"):
        container.pack(HEADER, [(Tag.LATENTS, b"\0"), (Tag.EXIF, bytes((16 << 20) + 1))])


# The page and the boundary


def worked_example(number: int = 0) -> bytes:
    """The bytes of a code block under FORMAT.md's last heading, left of its bars."""
    page = Path(container.__file__).with_name("FORMAT.md").read_text(encoding="utf-8")
    lines = page.rpartition("## Worked examples")[2].split("```")[2 * number + 1].strip().splitlines()
    return bytes.fromhex("".join(line.partition("|")[0] for line in lines))


def test_the_worked_example_of_the_format_page() -> None:
    data = worked_example()
    file = container.parse(data)
    contents = {tag: container.read_section(data, file, tag) for tag in file.sections}
    assert file.header == replace(HEADER, mode=Mode.RGBA, width=3, height=2)
    assert contents[Tag.LATENTS] == b"\0" + struct.pack("<I", 1 << 16)
    positions, values = container.parse_outliers(contents[Tag.OUTLIERS], 301)
    assert (list(positions), list(values)) == ([2, 300], [-70, 65])
    assert container.pack_outliers([2, 300], [-70, 65]) == contents[Tag.OUTLIERS]
    assert container.unpack_alpha(contents[Tag.ALPHA], 3, 2) == bytes([255, 128, 0] * 2)
    assert container.pack(file.header, [*contents.items(), (0x80, b"hello")]) == data


def test_the_lossless_example_of_the_format_page() -> None:
    data = worked_example(1)
    file = container.parse(data)
    assert file.header == Header.of_lossless(Mode.L, 3, 1)
    assert (file.header.version, file.header.model_id, file.header.model_hash, file.header.level) == (
        2,
        0,
        bytes(4),
        63,
    )
    [tile] = container.parse_tiles(container.read_section(data, file, Tag.LOSSLESS), file.header)
    assert (tile.left, tile.top, tile.width, tile.height) == (0, 0, 3, 1)
    content = container.pack_tiles(3, 1, [tile.webp])
    assert container.pack(file.header, [(Tag.LOSSLESS, content)]) == data


def test_wire_values_are_those_of_the_page() -> None:
    assert {mode.name: mode.value for mode in Mode} == {"RGB": 1, "L": 2, "RGBA": 3, "LA": 4}
    wire = {"LATENTS": 1, "OUTLIERS": 2, "ALPHA": 3, "LOSSLESS": 4, "ICC": 16, "EXIF": 17, "XMP": 18, "POSTFILTER": 129}
    assert {tag.name: tag.value for tag in Tag} == wire


def test_it_needs_the_standard_library_only() -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'PIL', 'numba', 'triton', 'safetensors'): sys.modules[name] = None\n"
        "from vaecodec import container\n"
        "data = bytes.fromhex(sys.argv[1])\n"
        "file = container.parse(data)\n"
        "print(container.unpack_alpha(container.read_section(data, file, container.Tag.ALPHA), 3, 2).hex())\n"
    )
    root = Path(container.__file__).parents[2]
    command = [sys.executable, "-c", script, worked_example().hex()]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "ff8000ff8000"), done.stderr
