"""The POSTFILTER section: a small linear filter of the decoded pixels, chosen for one picture.

    kind u8 = 1 | shift u8, 4..9 | 108 weights in bits, first the highest of each byte; 0 to the end of the last byte

A weight w becomes 0, 1, -1, 2, -2, ... -> 1, 2, 3, 4, 5, ..., and that number u is written as many zeros as it has bits
behind its first 1, then u itself (the Exp-Golomb code of order 0, as in H.264 and HEVC): 0 is `1`, 1 `010`, -1 `011`.

The weights are those of [to Y, Co, Cg][from Y, Co, Cg][OFFSETS]. What they are of are second differences, so flat parts
of a picture stay what they are: for each offset o the pixel at p + o, plus that at p - o, minus twice that at p. As in
AV1's restoration and VVC's adaptive loop filter, a network's picture is closer to the original once what is special to
it, a lens, a sharpening, a missing chroma detail, has been told in a few bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from vaecodec.errors import FormatError, InputError, Truncated

KIND = 1
COLOURS = 3
REACH = 2
"""Rows and columns around a pixel that it depends on."""
OFFSETS = tuple(
    (down, right) for down in range(REACH + 1) for right in range(-REACH, REACH + 1) if (down, right) > (0, 0)
)
"""Half of the square around a pixel, as (rows down, columns to the right); the other half is opposite."""
WEIGHTS = COLOURS * COLOURS * len(OFFSETS)
SHIFT_MIN, SHIFT_MAX = 4, 9
WEIGHT_MAX = 511

# Y = (R + 2G + B) / 4, Co = (R - B) / 2, Cg = (2G - R - B) / 4; times 4. And back: R = Y + Co - Cg, ...
TO_YCOCG = ((1, 2, 1), (2, 0, -2), (-1, 2, -1))
TO_RGB = ((1, 1, -1), (1, 0, 1), (1, -1, -1))


@dataclass(frozen=True)
class PostFilter:
    """shift 4..9: weights count 2^-shift. weights: WEIGHTS whole numbers -511..511, in the order of the section."""

    shift: int
    weights: tuple[int, ...]

    @property
    def taps(self) -> list[list[list[int]]]:
        """[to R, G, B][from R, G, B][OFFSETS]: the same filter between these colours, in units of 2^-(shift + 2)."""
        size = len(OFFSETS)

        def weight(to: int, of: int, k: int) -> int:
            return self.weights[(COLOURS * to + of) * size + k]

        def tap(colour: int, source: int, k: int) -> int:
            pairs = ((a, b) for a in range(COLOURS) for b in range(COLOURS))
            return sum(TO_RGB[colour][a] * weight(a, b, k) * TO_YCOCG[b][source] for a, b in pairs)

        return [[[tap(c, d, k) for k in range(size)] for d in range(COLOURS)] for c in range(COLOURS)]

    @property
    def amplification(self) -> float:
        """The most by which a difference of decoded pixels can grow: the magnitudes that make up a colour, added."""
        unit = 2.0 ** -(self.shift + 2)

        def magnitude(colour: int, source: int, taps: list[int]) -> float:
            middle = (colour == source) - 2 * sum(taps) * unit
            return abs(middle) + 2 * sum(map(abs, taps)) * unit

        return max(
            sum(magnitude(colour, source, taps) for source, taps in enumerate(of))
            for colour, of in enumerate(self.taps)
        )


def weight_bits(weight: int) -> int:
    """How many bits a weight takes."""
    return 2 * _number(weight).bit_length() - 1


def pack_postfilter(postfilter: PostFilter) -> bytes:
    """The content of the section. Raises InputError for weights that it can't hold."""
    if len(postfilter.weights) != WEIGHTS:
        message = f"postfilter has {len(postfilter.weights)} weights; it must have {WEIGHTS}"
        raise InputError(message)
    if not SHIFT_MIN <= postfilter.shift <= SHIFT_MAX:
        message = f"postfilter shift is {postfilter.shift}; it must be {SHIFT_MIN}..{SHIFT_MAX}"
        raise InputError(message)
    for weight in postfilter.weights:
        if abs(weight) > WEIGHT_MAX:
            message = f"postfilter weight is {weight}; it must be {-WEIGHT_MAX}..{WEIGHT_MAX}"
            raise InputError(message)
    return bytes([KIND, postfilter.shift]) + _pack_bits("".join(_code(weight) for weight in postfilter.weights))


def parse_postfilter(content: bytes) -> PostFilter | None:
    """The filter of a section; None for one of another kind, which a reader skips, and where there are no bytes.

    Raises Truncated and FormatError for malformed ones.
    """
    if content[:1] != bytes([KIND]):
        return None
    if len(content) < 2:
        message = "POSTFILTER ends before its shift"
        raise Truncated(message)
    shift = content[1]
    if not SHIFT_MIN <= shift <= SHIFT_MAX:
        message = f"POSTFILTER shift is {shift}; it must be {SHIFT_MIN}..{SHIFT_MAX}"
        raise FormatError(message)
    bits = "".join(f"{byte:08b}" for byte in content[2:])
    weights, place = [], 0
    for number in range(WEIGHTS):
        weight, place = _parse_code(bits, place, number)
        weights.append(weight)
    if len(bits) - place >= 8 or "1" in bits[place:]:
        message = f"POSTFILTER has {len(bits) - place} bits behind its last weight; it must be fewer than 8, all 0"
        raise FormatError(message)
    return PostFilter(shift, tuple(weights))


def _number(weight: int) -> int:
    """0, 1, -1, 2, ... -> 1, 2, 3, 4, ..."""
    return 2 * weight if weight > 0 else 1 - 2 * weight


def _code(weight: int) -> str:
    digits = f"{_number(weight):b}"
    return "0" * (len(digits) - 1) + digits


def _parse_code(bits: str, place: int, number: int) -> tuple[int, int]:
    """The weight at a place, and the place behind it."""
    first = bits.find("1", place)
    end = 2 * first - place + 1
    if first < 0 or end > len(bits):
        message = f"POSTFILTER ends inside weight {number} of {WEIGHTS}"
        raise Truncated(message)
    if first - place >= _number(-WEIGHT_MAX).bit_length():
        message = f"POSTFILTER weight {number} has {first - place} bits; it must be {-WEIGHT_MAX}..{WEIGHT_MAX}"
        raise FormatError(message)
    value = int(bits[first:end], 2)
    return (value // 2 if value % 2 == 0 else -(value // 2)), end


def _pack_bits(bits: str) -> bytes:
    padded = f"{bits}{'0' * (-len(bits) % 8)}"
    return int(padded, 2).to_bytes(len(padded) // 8, "big")
