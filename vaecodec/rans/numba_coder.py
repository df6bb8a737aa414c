"""rANS in loops compiled by numba (`loops`): the same words as `coder`, the reference.

Bounds of every read and write are checked here or proven before: table indices against the tables, symbols against
their table, words against the group's end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import Truncated
from vaecodec.native.loops import Loops
from vaecodec.rans.coder import Segment, check_arrays, check_end, check_index, check_segment
from vaecodec.rans.lanes import GROUP_LANES, RANS_L, check_lanes, group_count, pack_payload, unpack_payload
from vaecodec.rans.tables import CdfTables

LOOPS = Loops("vaecodec.rans.loops", "vaecodec.rans.lanes", "vaecodec.rans.tables")
ENCODING, DECODING = ("first_bad_symbol", "encode_segment"), ("decode_segment",)
"""Which loops each takes."""


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
        if LOOPS.first_bad_symbol(*contiguous, tables.sizes) >= 0:
            check_segment(symbols, table_index, tables)
        LOOPS.encode_segment(*contiguous, tables.offsets, tables.packed, states, buffer, free)
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
        group = LOOPS.decode_segment(index, *search, self._states, self._words, self._next, self._bounds[1:], symbols)
        if group >= 0:
            message = f"rANS group {group}: the words end in the middle of the symbols"
            raise Truncated(message)
        return symbols

    def finish(self) -> None:
        """Raises CorruptStream unless every lane is back in its start state and every word was used."""
        check_end(self._states, self._next, self._bounds)
