"""rANS compiled by numba: the same words as `coder`, the reference.

Compiled code is cached on disk and releases the GIL. Bounds of every read and write are checked here or proven before:
table indices against the tables, symbols against their table, words against the group's end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import Truncated
from vaecodec.rans.coder import Segment, check_end, check_index, check_segment
from vaecodec.rans.lanes import GROUP_LANES, RANS_L, check_lanes, group_count, pack_payload, unpack_payload
from vaecodec.rans.tables import CdfTables


@numba.njit(nogil=True, cache=True)
def _encode_segment(symbols, table_index, cdf, stride, states, buffer, free):  # type: ignore[no-untyped-def]
    """Backwards over rows and lanes. `free[g]` is the first used place of group g's buffer, moving down."""
    lanes = states.size
    per_group = min(lanes, GROUP_LANES)
    count = symbols.size
    for row in range((count + lanes - 1) // lanes - 1, -1, -1):
        base = row * lanes
        width = min(lanes, count - base)
        for group in range((width - 1) // per_group, -1, -1):
            first = group * per_group
            at = free[group]
            for lane in range(min(first + per_group, width) - 1, first - 1, -1):
                entry = np.uint64(table_index[base + lane]) * np.uint64(stride) + np.uint64(symbols[base + lane])
                start = cdf[entry]
                frequency = np.uint32(cdf[entry + np.uint64(1)] - start)
                x = states[lane]
                if np.uint64(x) >= np.uint64(frequency) << np.uint64(16):
                    at -= 1
                    buffer[group, at] = np.uint16(x & np.uint32(0xFFFF))
                    x = np.uint32(x >> np.uint32(16))
                quotient = np.uint32(x // frequency)
                states[lane] = np.uint32((quotient << np.uint32(16)) + (x - quotient * frequency) + start)
            free[group] = at


@numba.njit(nogil=True, cache=True)
def _decode_segment(table_index, cdf, stride, states, words, following, ends, symbols):  # type: ignore[no-untyped-def]
    """Forwards over rows and lanes. Returns the group whose words ran out, or -1."""
    lanes = states.size
    per_group = min(lanes, GROUP_LANES)
    count = symbols.size
    for row in range((count + lanes - 1) // lanes):
        base = row * lanes
        width = min(lanes, count - base)
        for group in range((width + per_group - 1) // per_group):
            first = group * per_group
            at = following[group]
            end = ends[group]
            for lane in range(first, min(first + per_group, width)):
                entry = np.uint64(table_index[base + lane]) * np.uint64(stride)
                x = states[lane]
                slot = np.uint32(x & np.uint32(0xFFFF))
                bottom = entry
                # Most-likely-first symbols: the search nearly always ends within two steps. The row's last entry
                # is 65536, above every slot.
                while cdf[entry + np.uint64(1)] <= slot:
                    entry += np.uint64(1)
                start = cdf[entry]
                x = np.uint32((cdf[entry + np.uint64(1)] - start) * np.uint32(x >> np.uint32(16)) + slot - start)
                symbols[base + lane] = np.uint16(entry - bottom)
                if x < np.uint32(RANS_L):
                    if at >= end:
                        return group
                    x = np.uint32((x << np.uint32(16)) | np.uint32(words[at]))
                    at += 1
                states[lane] = x
            following[group] = at
    return -1


def encode(segments: Sequence[Segment], lanes: int) -> bytes:
    """Code segments of (symbols uint16 [n], table_index uint8 [n], tables) -> payload bytes."""
    check_lanes(lanes)
    groups, per_group = group_count(lanes), min(lanes, GROUP_LANES)
    capacity = sum(-(-len(symbols) // lanes) for symbols, _, _ in segments) * per_group
    buffer = np.empty((groups, capacity), np.uint16)
    free = np.full(groups, capacity, np.int64)
    states = np.full(lanes, RANS_L, np.uint32)
    for symbols, table_index, tables in reversed(segments):
        check_segment(symbols, table_index, tables)
        contiguous = (np.ascontiguousarray(symbols), np.ascontiguousarray(table_index))
        _encode_segment(*contiguous, tables.flat, tables.stride, states, buffer, free)
    return pack_payload(states, [row[start:] for row, start in zip(buffer, free, strict=True)])


class Decoder:
    """As `coder.Decoder`."""

    def __init__(self, data: bytes, lanes: int) -> None:
        """Raises Truncated when the lengths in the payload don't fit it."""
        self._states, self._words, self._bounds = unpack_payload(data, lanes)
        self._next = self._bounds[:-1].copy()

    def decode(self, table_index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.uint16]:
        """The next segment: table_index uint8 [n] -> symbols uint16 [n]. Raises Truncated when words run out."""
        check_index(table_index, tables)
        index = np.ascontiguousarray(table_index)
        symbols = np.empty(index.shape, np.uint16)
        group = _decode_segment(
            index, tables.flat, tables.stride, self._states, self._words, self._next, self._bounds[1:], symbols
        )
        if group >= 0:
            message = f"rANS group {group}: the words end in the middle of the symbols"
            raise Truncated(message)
        return symbols

    def finish(self) -> None:
        """Raises CorruptStream unless every lane is back in its start state and every word was used."""
        check_end(self._states, self._next, self._bounds)
