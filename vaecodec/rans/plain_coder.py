"""rANS in plain Python integers: the same words as `coder`, the reference.

For the few symbols of a small picture: it needs nothing loaded or compiled, so it has long finished when numba would be
ready to begin. A symbol costs about half a microsecond, whatever the number of lanes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import Truncated
from vaecodec.rans.coder import Segment, check_end, check_index, check_segment
from vaecodec.rans.lanes import GROUP_LANES, RANS_L, check_lanes, group_count, pack_payload, unpack_payload
from vaecodec.rans.tables import CdfTables


def encode(segments: Sequence[Segment], lanes: int) -> bytes:
    """The payload of some segments, the same as `coder.encode` gives."""
    check_lanes(lanes)
    states = [RANS_L] * lanes
    written: list[list[int]] = [[] for _ in range(group_count(lanes))]
    for symbols, table_index, tables in reversed(segments):
        check_segment(symbols, table_index, tables)
        starts = tables.quantized_cdf[table_index, symbols].astype(np.int64)
        frequencies = tables.quantized_cdf[table_index, symbols + np.uint16(1)] - starts
        _encode_segment(starts.tolist(), frequencies.tolist(), states, written)
    words = [np.array(group[::-1], np.uint16) for group in written]
    return pack_payload(np.array(states, np.uint32), words)


def _encode_segment(starts: list[int], frequencies: list[int], states: list[int], written: list[list[int]]) -> None:
    lanes = len(states)
    for at in range(len(starts) - 1, -1, -1):
        lane, frequency = at % lanes, frequencies[at]
        x = states[lane]
        if x >= frequency << 16:
            written[lane // GROUP_LANES].append(x & 0xFFFF)
            x >>= 16
        states[lane] = (x // frequency << 16) + x % frequency + starts[at]


class Decoder:
    """A decoder of one payload, equal to `coder.Decoder`."""

    def __init__(self, data: bytes | memoryview, lanes: int) -> None:
        """Raises Truncated when the lengths in the payload don't fit it, CorruptStream for an impossible state."""
        states, words, self._bounds = unpack_payload(data, lanes)
        self._states: list[int] = states.tolist()
        self._words: list[int] = words.tolist()
        self._next: list[int] = self._bounds[:-1].tolist()

    def decode(self, table_index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.uint16]:
        """The next segment: table_index uint8 [n] -> symbols uint16 [n]. Raises Truncated when words run out."""
        check_index(table_index, tables)
        rows: dict[int, list[int]] = {t: tables.quantized_cdf[t].tolist() for t in np.unique(table_index).tolist()}
        states, words, following, ends = self._states, self._words, self._next, self._bounds[1:].tolist()
        symbols, lane = [], 0
        for table in table_index.tolist():
            x, row = states[lane], rows[table]
            slot = x & 0xFFFF
            symbol = bisect_right(row, slot) - 1
            start = row[symbol]
            x = (row[symbol + 1] - start) * (x >> 16) + slot - start
            if x < RANS_L:
                group = lane // GROUP_LANES
                at = following[group]
                if at == ends[group]:
                    message = f"rANS group {group}: the words end in the middle of the symbols"
                    raise Truncated(message)
                x = x << 16 | words[at]
                following[group] = at + 1
            states[lane] = x
            symbols.append(symbol)
            lane = lane + 1 if lane + 1 < len(states) else 0
        return np.array(symbols, np.uint16)

    def finish(self) -> None:
        """Raises CorruptStream unless every lane is back in its start state and every word was used."""
        check_end(np.array(self._states, np.uint32), np.array(self._next, np.int64), self._bounds)
