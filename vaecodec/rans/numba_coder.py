"""rANS compiled by numba: the same words as `coder`, the reference.

Compiled on first use, kept on disk, free of the GIL (`compiling`). Bounds of every read and write are checked here or
proven before: table indices against the tables, symbols against their table, words against the group's end.

What makes it fast: lanes are independent, so the processor works on many at once as long as no branch is guessed
wrongly. Words are therefore read and written without a branch (always touch the next place, step on only when it
counts), and the search for a symbol starts from a table of 256 ranges of slots, where it nearly always ends, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import Truncated
from vaecodec.rans.coder import Segment, check_arrays, check_end, check_index, check_segment
from vaecodec.rans.compiling import compiled
from vaecodec.rans.lanes import GROUP_LANES, RANS_L, check_lanes, group_count, pack_payload, unpack_payload
from vaecodec.rans.tables import BUCKET_BITS, PROB_BITS, CdfTables

SLOT_SHIFT = np.uint64(PROB_BITS - BUCKET_BITS)
ONE, HALF_BITS, LOW_HALF = np.uint64(1), np.uint64(16), np.uint64(0xFFFF)
MOST_LANES, LEAST_STATE = np.uint64(GROUP_LANES), np.uint64(RANS_L)


# Places are uint64: of a signed one, numba asks at every access whether it counts from the end (two thirds more time).
# Types are spelled out because numba widens: uint32 + uint32 is uint64, and uint64 + int64 a float.


@compiled
def _first_bad_symbol(symbols, table_index, sizes):  # type: ignore[no-untyped-def]
    """Position of the first symbol outside of its table, or -1."""
    for at in range(symbols.size):
        if np.int64(symbols[at]) >= np.int64(sizes[table_index[at]]):
            return at
    return -1


@compiled
def _encode_segment(symbols, table_index, offsets, packed, states, buffer, free):  # type: ignore[no-untyped-def]
    """Backwards over rows and lanes. `free[g]` is the first used place of group g's buffer, moving down.

    The buffer of a group has a place for every symbol, so the place below `at` exists while a symbol is left.
    """
    lanes, count = np.uint64(states.size), np.uint64(symbols.size)
    per_group = min(lanes, MOST_LANES)
    for rows in range((count + lanes - ONE) // lanes, 0, -1):
        base = (np.uint64(rows) - ONE) * lanes
        width = min(lanes, count - base)
        for groups in range((width + per_group - ONE) // per_group, 0, -1):
            group = np.uint64(groups) - ONE
            first = group * per_group
            at = np.uint64(free[group])
            for above in range(min(first + per_group, width), first, -1):
                lane = np.uint64(above) - ONE
                entry = packed[np.uint64(offsets[table_index[base + lane]]) + np.uint64(symbols[base + lane])]
                frequency = np.uint32((entry >> np.uint32(16)) + np.uint32(1))
                x = states[lane]
                high = np.uint32(x >> np.uint32(16))
                full = high >= frequency
                buffer[group, at - ONE] = np.uint16(x & np.uint32(0xFFFF))
                at -= np.uint64(full)
                x = high if full else x
                quotient = np.uint32(x // frequency)
                rest = np.uint32(x - quotient * frequency)
                states[lane] = np.uint32((quotient << np.uint32(16)) + rest + (entry & np.uint32(0xFFFF)))
            free[group] = at


@compiled
def _decode_segment(table_index, offsets, packed, buckets, states, words, following, ends, symbols):  # type: ignore[no-untyped-def]
    """Forwards over rows and lanes. Returns the group whose words ran out, or -1.

    `words` has GROUP_LANES places more than there are words: as many may be looked at before the end is checked.
    """
    lanes, count = np.uint64(states.size), np.uint64(symbols.size)
    per_group = min(lanes, MOST_LANES)
    for row in range((count + lanes - ONE) // lanes):
        base = np.uint64(row) * lanes
        width = min(lanes, count - base)
        for group in range((width + per_group - ONE) // per_group):
            first = np.uint64(group) * per_group
            at = np.uint64(following[group])
            for lane in range(first, min(first + per_group, width)):
                table = np.uint64(table_index[base + lane])
                x = np.uint64(states[lane])
                slot = x & LOW_HALF
                symbol = np.uint64(buckets[table, slot >> SLOT_SHIFT])
                offset = np.uint64(offsets[table])
                entry = np.uint64(packed[offset + symbol])
                # Ends in the table: its last symbol reaches up to 65536, above every slot.
                while slot - (entry & LOW_HALF) > entry >> HALF_BITS:
                    symbol += ONE
                    entry = np.uint64(packed[offset + symbol])
                symbols[base + lane] = symbol
                x = ((entry >> HALF_BITS) + ONE) * (x >> HALF_BITS) + slot - (entry & LOW_HALF)
                hungry = x < LEAST_STATE
                refilled = (x << HALF_BITS) | np.uint64(words[at])
                states[lane] = refilled if hungry else x
                at += np.uint64(hungry)
            if at > np.uint64(ends[group]):
                return np.int64(group)
            following[group] = at
    return np.int64(-1)


def encode(segments: Sequence[Segment], lanes: int) -> bytes:
    """The payload of some segments, the same as `coder.encode` gives."""
    check_lanes(lanes)
    groups, per_group = group_count(lanes), min(lanes, GROUP_LANES)
    capacity = sum(-(-len(symbols) // lanes) for symbols, _, _ in segments) * per_group
    buffer = np.empty((groups, capacity), np.uint16)
    free = np.full(groups, capacity, np.int64)
    states = np.full(lanes, RANS_L, np.uint32)
    for symbols, table_index, tables in reversed(segments):
        check_arrays(symbols, table_index, tables)
        contiguous = (np.ascontiguousarray(symbols), np.ascontiguousarray(table_index))
        if _first_bad_symbol(*contiguous, tables.sizes) >= 0:
            check_segment(symbols, table_index, tables)
        _encode_segment(*contiguous, tables.offsets, tables.packed, states, buffer, free)
    return pack_payload(states, [row[start:] for row, start in zip(buffer, free, strict=True)])


class Decoder:
    """A decoder of one payload, equal to `coder.Decoder`."""

    def __init__(self, data: bytes | memoryview, lanes: int) -> None:
        """Raises Truncated when the lengths in the payload don't fit it, CorruptStream for an impossible state."""
        self._states, words, self._bounds = unpack_payload(data, lanes)
        self._words = np.concatenate([words, np.zeros(GROUP_LANES, np.uint16)])
        self._next = self._bounds[:-1].copy()

    def decode(self, table_index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.uint16]:
        """The next segment: table_index uint8 [n] -> symbols uint16 [n]. Raises Truncated when words run out."""
        check_index(table_index, tables)
        index = np.ascontiguousarray(table_index)
        symbols = np.empty(index.shape, np.uint16)
        search = (tables.offsets, tables.packed, tables.buckets)
        group = _decode_segment(index, *search, self._states, self._words, self._next, self._bounds[1:], symbols)
        if group >= 0:
            message = f"rANS group {group}: the words end in the middle of the symbols"
            raise Truncated(message)
        return symbols

    def finish(self) -> None:
        """Raises CorruptStream unless every lane is back in its start state and every word was used."""
        check_end(self._states, self._next, self._bounds)
