"""Ways to damage a .vaec file, each reproducible from the number of the case.

Some leave the checksums wrong, as storage and transport do; others make them right again, as an attacker does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vaecodec import container
from vaecodec.container import MAGIC, Header
from vaecodec.errors import FormatError

SEED = 20
SIDES = (0, 1, 2, 63, 64, 65, 127, 129, 640, 4096, 12_000, 16_384, 65_535, 65_536, 2**32 - 1)
LENGTHS = (0, 1, 127, 128, 65_535, 2**24, 2**24 + 1, 2**31, 2**32 - 1)
MOST_FLIPS = 8
LONGEST_INSERTION = 64

Generator = np.random.Generator


@dataclass(frozen=True)
class Raw:
    """A file in parts that need not be legal: `version` and `mode` any byte, rows of the section table any numbers."""

    version: int
    flags: int
    model_id: int
    model_hash: bytes
    level: int
    mode: int
    width: int
    height: int
    rows: tuple[tuple[int, int, int], ...]  # tag, length, CRC
    contents: tuple[bytes, ...]
    count: int

    @classmethod
    def of(cls, data: bytes) -> Raw:
        """Take a good file apart."""
        file = container.parse(data)
        contents = container.read_all(data, file)
        rows = tuple((int(s.tag), s.length, s.crc) for s in file.sections.values())
        h: Header = file.header
        return cls(
            h.version, h.flags, h.model_id, h.model_hash, h.level, int(h.mode), h.width, h.height, rows,
            tuple(contents.values()), len(rows),
        )  # fmt: skip

    def pack(self) -> bytes:
        """The bytes, with the header CRC right whatever they say."""
        head = MAGIC + bytes([self.version, self.flags]) + _varint(self.model_id) + self.model_hash
        head += bytes([self.level, self.mode]) + _varint(self.width) + _varint(self.height) + bytes([self.count])
        for tag, length, crc in self.rows:
            head += bytes([tag]) + _varint(length) + struct.pack("<I", crc)
        return head + struct.pack("<I", zlib.crc32(head)) + b"".join(self.contents)

    def with_content(self, number: int, content: bytes) -> Raw:
        """Another content of a section, its length and CRC right."""
        contents = (*self.contents[:number], content, *self.contents[number + 1 :])
        row = (self.rows[number][0], len(content), zlib.crc32(content))
        return replace(self, contents=contents, rows=(*self.rows[:number], row, *self.rows[number + 1 :]))


def _varint(value: int) -> bytes:
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def _any(rng: Generator, values: Sequence[int]) -> int:
    return int(values[int(rng.integers(len(values)))])


def flip(rng: Generator, data: bytes) -> bytes:
    """1 to 8 different bits anywhere."""
    damaged = bytearray(data)
    count = min(8 * len(data), int(rng.integers(1, MOST_FLIPS + 1)))
    for at in rng.choice(8 * len(data), size=count, replace=False).tolist():
        damaged[at // 8] ^= 1 << at % 8
    return bytes(damaged)


def cut(rng: Generator, data: bytes) -> bytes:
    """The end, the start or a part in the middle is missing: at least a byte, of what has one."""
    if not data:
        return data
    first, last = sorted(rng.choice(len(data) + 1, size=2, replace=False).tolist())
    return (data[:first], data[last:], data[:first] + data[last:])[int(rng.integers(3))]


def insert(rng: Generator, data: bytes) -> bytes:
    """Bytes too many, somewhere or at the end."""
    at = int(rng.integers(len(data) + 1)) if rng.random() < 0.7 else len(data)
    return data[:at] + rng.bytes(int(rng.integers(1, LONGEST_INSERTION))) + data[at:]


def noise(rng: Generator, data: bytes) -> bytes:
    """Random bytes behind a good start."""
    kept = int(rng.integers(len(MAGIC), 40))
    return data[:kept] + rng.bytes(int(rng.integers(0, 2 * len(data))))


def splice(rng: Generator, data: bytes, other: bytes) -> bytes:
    """The start of one file, the end of another."""
    return data[: int(rng.integers(len(data) + 1))] + other[int(rng.integers(len(other) + 1)) :]


def graft(rng: Generator, data: bytes, other: bytes) -> bytes:
    """A section of another file, all checksums right."""
    host, donor = Raw.of(data), Raw.of(other)
    number = int(rng.integers(len(host.rows)))
    return host.with_content(number, donor.contents[int(rng.integers(len(donor.contents)))]).pack()


def edit_header(rng: Generator, data: bytes) -> bytes:
    """1 or 2 fields with other values, header CRC right."""
    raw = Raw.of(data)
    for _ in range(int(rng.integers(1, 3))):
        raw = _EDITS[int(rng.integers(len(_EDITS)))](rng, raw)
    return raw.pack()


def _side(rng: Generator, old: int) -> int:
    choice = rng.random()
    if choice < 0.4:
        return _any(rng, SIDES)
    return max(0, old + int(rng.integers(-70, 71))) if choice < 0.8 else int(rng.integers(1, 65_536))


def _edit_size(rng: Generator, raw: Raw) -> Raw:
    if rng.random() < 0.3:  # close to the pixel limit, from both sides
        width = int(rng.integers(2700, 65_536))
        return replace(raw, width=width, height=int(178_956_970 * rng.uniform(0.5, 1.01)) // width)
    return replace(raw, width=_side(rng, raw.width), height=_side(rng, raw.height))


def _edit_row(rng: Generator, raw: Raw) -> Raw:
    if not raw.rows:
        return raw
    number, field = int(rng.integers(len(raw.rows))), int(rng.integers(3))
    row = list(raw.rows[number])
    row[field] = (
        int(rng.integers(256)),
        _any(rng, (*LENGTHS, row[1] + 1, max(0, row[1] - 1))),
        int(rng.integers(2**32)),
    )[field]
    return replace(raw, rows=(*raw.rows[:number], (row[0], row[1], row[2]), *raw.rows[number + 1 :]))


def _edit_table(rng: Generator, raw: Raw) -> Raw:
    """Rows in another order, twice, or missing; contents go with them or stay."""
    order = rng.integers(len(raw.rows), size=int(rng.integers(0, 2 * len(raw.rows) + 1))).tolist() if raw.rows else []
    rows = tuple(raw.rows[i] for i in order)
    contents = raw.contents
    if rng.random() < 0.7 and contents:  # fewer than rows where the table was edited before
        contents = tuple(contents[i % len(contents)] for i in order)
    return replace(raw, rows=rows, contents=contents, count=len(rows))


_EDITS: tuple[Callable[[Generator, Raw], Raw], ...] = (
    _edit_size,
    _edit_size,
    _edit_size,
    lambda rng, raw: replace(raw, level=int(rng.integers(256))),
    lambda rng, raw: replace(raw, level=int(rng.integers(64))),
    lambda rng, raw: replace(raw, mode=int(rng.integers(6))),
    lambda rng, raw: replace(raw, mode=int(rng.integers(256))),
    lambda rng, raw: replace(raw, version=int(rng.integers(256))),
    lambda rng, raw: replace(raw, flags=int(rng.integers(256))),
    lambda rng, raw: replace(raw, model_id=int(rng.integers(2**32)) >> int(rng.integers(32))),
    lambda rng, raw: replace(raw, model_hash=rng.bytes(4)),
    lambda rng, raw: replace(raw, count=int(rng.integers(256))),
    _edit_row,
    _edit_row,
    _edit_table,
)


def edit_section(rng: Generator, data: bytes) -> bytes:
    """Damage inside a section, with its CRC and the header's right."""
    raw = Raw.of(data)
    # Half of them in the latents, where most of the logic is.
    number = 0 if rng.random() < 0.5 else int(rng.integers(len(raw.rows)))
    kinds: tuple[Callable[[Generator, bytes], bytes], ...] = (
        flip, flip, cut, insert, _scramble, _extreme, _first_byte, _tile_size,
    )  # fmt: skip
    content = kinds[int(rng.integers(len(kinds)))](rng, raw.contents[number])
    return raw.with_content(number, content).pack()


def _scramble(rng: Generator, data: bytes) -> bytes:
    """Random bytes from some place on, or all of it."""
    kept = int(rng.integers(len(data) + 1))
    return data[:kept] + rng.bytes(len(data) - kept)


def _extreme(rng: Generator, data: bytes) -> bytes:
    """A few bytes at 0 or 255."""
    at, count = int(rng.integers(len(data) + 1)), int(rng.integers(1, 9))
    return data[:at] + (b"\0", b"\xff")[int(rng.integers(2))] * count + data[at + count :]


def _first_byte(rng: Generator, data: bytes) -> bytes:
    """log2(lanes), the alpha filter or the codec of lossless pixels."""
    return bytes([int(rng.integers(16))]) + data[1:]


def _tile_size(rng: Generator, data: bytes) -> bytes:
    """Other sizes in front of, or in, the first WebP file of lossless pixels."""
    at = int(rng.integers(1, 5)) if rng.random() < 0.5 else int(rng.integers(8, 32))
    return data[:at] + rng.bytes(min(int(rng.integers(1, 5)), max(0, len(data) - at))) + data[at + 4 :]


KINDS: Mapping[str, Callable[[Generator, bytes, bytes], bytes]] = {
    "flip": lambda rng, data, _: flip(rng, data),
    "cut": lambda rng, data, _: cut(rng, data),
    "insert": lambda rng, data, _: insert(rng, data),
    "noise": lambda rng, data, _: noise(rng, data),
    "splice": splice,
    "graft": graft,
    "header": lambda rng, data, _: edit_header(rng, data),
    "section": lambda rng, data, _: edit_section(rng, data),
}
SHARES = {
    "flip": 0.15, "cut": 0.1, "insert": 0.05, "noise": 0.05, "splice": 0.1, "graft": 0.1, "header": 0.2, "section": 0.25
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One damaged file; `base`: the number of the good file it was made from."""

    number: int
    kind: str
    base: int
    data: bytes


SEEN_BY_CHECKSUMS = frozenset({"flip", "cut", "insert", "noise", "splice"})
"""Damage that must never go unnoticed: all checksums are those of the good file."""


def make_case(number: int, good: Sequence[bytes], seed: int = SEED) -> Case:
    """Case `number` of `seed`, always the same for the same good files."""
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    base, other = (int(i) for i in rng.integers(len(good), size=2))
    return Case(number, kind, base, KINDS[kind](rng, good[base], good[other]))


def model_is_edited(data: bytes, good: bytes) -> bool:
    """Whether the header parses and names another model than the good file: weights may be missing then."""
    try:
        ours, theirs = container.parse_header(data).header, container.parse_header(good).header
    except FormatError:
        return False
    return (ours.model_id, ours.model_hash) != (theirs.model_id, theirs.model_hash)
