"""rANS in NumPy: the normative reference, lanes as the vector axis.

READ ME FIRST
- Asymmetric numeral systems (Duda 2013, arXiv 1311.2540), interleaved as in Giesen 2014 (arXiv 1402.3392): 32-bit
  states in [2^16, 2^32), 16-bit words, 16-bit probabilities. One word at most is read or written per symbol.
- A stream holds segments, coded one after the other with the same lanes. Symbol j of a segment belongs to lane
  j mod L; symbols j, j+1, ... of L lanes form a row; the last row may be partial; each segment starts at lane 0.
- Lane l belongs to group l // 32. A group has one word stream. A decoder reads it in the order (segment, row, lane):
  within a row, the lanes of a group that need a word take the next words in order of lane.
- ANS is last in, first out: the encoder walks segments, rows and lanes backwards and writes each group's words
  backwards, so that the decoder reads forwards.
- Every lane starts (for the encoder) in state 2^16, and must be back there when the decoder has read everything; every
  word must be used. This checks the stream at no cost.

Decode step of a lane: slot = x mod 2^16; s with cdf[s] <= slot < cdf[s+1]; x = freq * (x >> 16) + slot - cdf[s];
if x < 2^16: x = x << 16 | next word.
Encode step: if x >= freq << 16: write x mod 2^16, x >>= 16; then x = (x // freq) << 16 | x mod freq + cdf[s].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import CorruptStream, InputError, Truncated
from vaecodec.rans.lanes import GROUP_LANES, RANS_L, check_lanes, group_count, pack_payload, unpack_payload
from vaecodec.rans.tables import PROB_BITS, PROB_TOTAL, CdfTables

Segment = tuple[NDArray[np.uint16], NDArray[np.uint8], CdfTables]


def check_segment(symbols: NDArray[np.uint16], table_index: NDArray[np.uint8], tables: CdfTables) -> None:
    """Raises InputError unless every index names a table and every symbol is in its table."""
    check_arrays(symbols, table_index, tables)
    bad = np.flatnonzero(symbols >= tables.sizes[table_index])
    if bad.size:
        at = int(bad[0])
        largest = tables.sizes[table_index[at]] - 1
        message = f"symbol {symbols[at]} at {at}; legal for table {table_index[at]} is 0..{largest}"
        raise InputError(message)


def check_arrays(symbols: NDArray[np.uint16], table_index: NDArray[np.uint8], tables: CdfTables) -> None:
    """Raises InputError unless types and shapes are right and every index names a table."""
    if symbols.dtype != np.uint16 or symbols.shape != table_index.shape:
        message = f"symbols are {symbols.dtype} {symbols.shape}; they must be uint16 {table_index.shape}"
        raise InputError(message)
    check_index(table_index, tables)


def check_index(table_index: NDArray[np.uint8], tables: CdfTables) -> None:
    """Raises InputError unless `table_index` is uint8 [n] and every index names a table."""
    if table_index.dtype != np.uint8 or table_index.ndim != 1:
        message = f"table_index is {table_index.dtype} {table_index.shape}; it must be uint8 [n]"
        raise InputError(message)
    if table_index.size and int(table_index.max()) >= len(tables.sizes):
        message = f"table_index reaches {table_index.max()}; it must be 0..{len(tables.sizes) - 1}"
        raise InputError(message)


def encode(segments: Sequence[Segment], lanes: int) -> bytes:
    """Code segments of (symbols uint16 [n], table_index uint8 [n], tables) with 1..8192 lanes -> payload bytes.

    Raises InputError for a number of lanes, an index or a symbol out of range.
    """
    check_lanes(lanes)
    states = np.full(lanes, RANS_L, np.uint64)
    written: list[list[NDArray[np.uint16]]] = [[] for _ in range(group_count(lanes))]
    for symbols, table_index, tables in reversed(segments):
        check_segment(symbols, table_index, tables)
        starts = tables.quantized_cdf[table_index, symbols].astype(np.uint64)
        frequencies = tables.quantized_cdf[table_index, symbols + np.uint16(1)].astype(np.uint64) - starts
        for row in reversed(range(0, len(symbols), lanes)):
            _encode_row(states, frequencies[row : row + lanes], starts[row : row + lanes], written)
    words = [np.concatenate([np.empty(0, np.uint16), *reversed(parts)]) for parts in written]
    return pack_payload(states.astype(np.uint32), words)


def _encode_row(
    states: NDArray[np.uint64],
    frequencies: NDArray[np.uint64],
    starts: NDArray[np.uint64],
    written: list[list[NDArray[np.uint16]]],
) -> None:
    x = states[: len(frequencies)]
    full = x >= frequencies << np.uint64(PROB_BITS)
    for group, parts in enumerate(written):
        lanes = slice(group * GROUP_LANES, (group + 1) * GROUP_LANES)
        parts.append((x[lanes][full[lanes]] & np.uint64(0xFFFF)).astype(np.uint16))
    x = np.where(full, x >> np.uint64(16), x)
    states[: len(frequencies)] = ((x // frequencies) << np.uint64(PROB_BITS)) + x % frequencies + starts


class Decoder:
    """Decodes one payload segment by segment; `finish` checks that everything was used."""

    def __init__(self, data: bytes | memoryview, lanes: int) -> None:
        """Raises Truncated when the lengths in the payload don't fit it, CorruptStream for an impossible state."""
        states, self._words, self._bounds = unpack_payload(data, lanes)
        self._states = states.astype(np.uint64)
        self._next = self._bounds[:-1].copy()

    def decode(self, table_index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.uint16]:
        """The next segment: table_index uint8 [n] -> symbols uint16 [n]. Raises Truncated when words run out."""
        check_index(table_index, tables)
        symbols = np.empty(table_index.shape, np.uint16)
        lanes = len(self._states)
        for row in range(0, len(symbols), lanes):
            symbols[row : row + lanes] = self._decode_row(table_index[row : row + lanes], tables)
        return symbols

    def _decode_row(self, index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.int64]:
        x = self._states[: len(index)]
        slots = x & np.uint64(PROB_TOTAL - 1)
        rows = tables.quantized_cdf[index]
        symbols: NDArray[np.int64] = (rows[:, 1:] <= slots[:, None]).sum(1)
        starts = np.take_along_axis(rows, symbols[:, None], 1)[:, 0].astype(np.uint64)
        ends = np.take_along_axis(rows, symbols[:, None] + 1, 1)[:, 0].astype(np.uint64)
        x = (ends - starts) * (x >> np.uint64(PROB_BITS)) + slots - starts
        self._states[: len(index)] = self._refill(x)
        return symbols

    def _refill(self, x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        hungry = np.flatnonzero(x < RANS_L)
        for group in np.unique(hungry // GROUP_LANES):
            lanes = hungry[hungry // GROUP_LANES == group]
            at = int(self._next[group])
            if at + len(lanes) > self._bounds[group + 1]:
                message = f"rANS group {group}: the words end in the middle of the symbols"
                raise Truncated(message)
            x[lanes] = (x[lanes] << np.uint64(16)) | self._words[at : at + len(lanes)]
            self._next[group] += len(lanes)
        return x

    def finish(self) -> None:
        """Raises CorruptStream unless every lane is back in its start state and every word was used."""
        check_end(self._states, self._next, self._bounds)


def check_end(states: NDArray[np.generic], used: NDArray[np.int64], bounds: NDArray[np.int64]) -> None:
    """The end-of-stream check of both coders."""
    if (used != bounds[1:]).any():
        group = int(np.argmax(used != bounds[1:]))
        message = f"rANS group {group}: {bounds[group + 1] - used[group]} words are left over; none may be"
        raise CorruptStream(message)
    if (states != RANS_L).any():
        lane = int(np.argmax(states != RANS_L))
        message = f"rANS lane {lane} ends in state {states[lane]}; it must be {RANS_L}"
        raise CorruptStream(message)
