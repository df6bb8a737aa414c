"""How many lanes, and where each lane's states and words lie in a payload."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import CorruptStream, InputError, Truncated
from vaecodec.rans.tables import COST_BITS, CdfTables

RANS_L = 1 << 16
"""Lower bound of a state after every symbol; also the state in which each lane starts and must end."""
GROUP_LANES = 32
"""Lanes come in groups of at most this many; a group has one word stream and maps onto one GPU program."""
MAX_LANES = 1 << 13
STATE_BYTES = 4
WORD_BYTES = 2
BITS_PER_LANE = 16_000
"""Of the payload, at least. A lane costs 24 bits beyond the symbols' own, on average (32 bits of state, of which about
8 are used), so the lanes cost 0.15 % at most. The promise is 0.5 % in all, and with 16-bit probabilities in a state of
at least 16 bits the coder itself costs 0.2 to 0.28 % on the Kodak images."""
BITS_FOR_ENDS = 8_000
"""Of the payload, not to be spent on lanes: in a small one, the last word and skewed tables take a larger share."""


def choose_lanes(cost: int) -> int:
    """Lanes (a power of two, 1..8192) for symbols of this `total_cost`: as many as cost at most 0.15 % of it.

    Integers decide, so that every coder on every machine chooses alike, also where one bit makes the difference.
    """
    affordable = max(0, cost - (BITS_FOR_ENDS << COST_BITS)) // (BITS_PER_LANE << COST_BITS)
    return min(MAX_LANES, 1 << max(0, affordable.bit_length() - 1))


def check_lanes(lanes: int) -> None:
    """Raises InputError unless `lanes` is a power of two, 1..8192."""
    if not 1 <= lanes <= MAX_LANES or lanes & (lanes - 1):
        message = f"lanes is {lanes}; it must be a power of two, 1..{MAX_LANES}"
        raise InputError(message)


def group_count(lanes: int) -> int:
    """Number of lane groups."""
    return max(1, lanes // GROUP_LANES)


def total_cost(symbols: NDArray[np.uint16], table_index: NDArray[np.uint8], tables: CdfTables) -> int:
    """Ideal content in fixed point: the sum of `tables.costs`."""
    flat = table_index.astype(np.int64) * tables.costs.shape[1] + symbols
    return int(tables.costs.reshape(-1)[flat].sum(dtype=np.int64))


def information(symbols: NDArray[np.uint16], table_index: NDArray[np.uint8], tables: CdfTables) -> float:
    """Ideal content in bits: the sum of -log2 of the table probabilities."""
    return bits_of(total_cost(symbols, table_index, tables))


def bits_of(cost: int) -> float:
    """A cost in bits."""
    return cost / (1 << COST_BITS)


def pack_payload(states: NDArray[np.uint32], words: Sequence[NDArray[np.uint16]]) -> bytes:
    """Payload: word counts of all groups but the last (uint32), then per group its lane states and its words.

    states [lanes] and the words of each group in the order in which a decoder reads them; all little-endian.
    """
    per_group = min(len(states), GROUP_LANES)
    counts = np.array([len(w) for w in words[:-1]], "<u4")
    parts = [counts.tobytes()]
    for group, stream in enumerate(words):
        parts.append(states[group * per_group : (group + 1) * per_group].astype("<u4").tobytes())
        parts.append(stream.astype("<u2").tobytes())
    return b"".join(parts)


def group_bounds(payload: bytes | memoryview, lanes: int) -> tuple[list[int], list[int]]:
    """Where each lane group's states begin and where its words end in a payload, in 16-bit words.

    Raises Truncated when the lengths don't fit the payload.
    """
    check_lanes(lanes)
    groups, per_group = group_count(lanes), min(lanes, GROUP_LANES)
    fixed = 4 * (groups - 1) + STATE_BYTES * lanes
    if len(payload) < fixed or (len(payload) - fixed) % WORD_BYTES:
        message = f"payload of {len(payload)} bytes for {lanes} lanes; it must be {fixed} and a multiple of 2 more"
        raise Truncated(message)
    total = (len(payload) - fixed) // WORD_BYTES
    if groups == 1:
        return [0], [len(payload) // WORD_BYTES]
    counts = np.frombuffer(payload, "<u4", groups - 1).astype(np.int64)
    if int(counts.sum()) > total:
        message = f"payload: groups claim {int(counts.sum())} words; the data holds {total}"
        raise Truncated(message)
    sizes = np.append(counts, total - counts.sum()) + per_group * STATE_BYTES // WORD_BYTES
    ends = 4 * (groups - 1) // WORD_BYTES + np.cumsum(sizes)
    return (ends - sizes).tolist(), ends.tolist()


def unpack_payload(
    data: bytes | memoryview, lanes: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.int64]]:
    """A payload's states [lanes], all words one after the other, and bounds [groups + 1] of each group's words.

    Raises Truncated when the lengths don't fit the data, CorruptStream for a state below 2^16.
    """
    starts, ends = group_bounds(data, lanes)
    units, width = np.frombuffer(data, "<u2"), min(lanes, GROUP_LANES) * STATE_BYTES // WORD_BYTES
    states = np.concatenate([units[start : start + width] for start in starts]).view("<u4").astype(np.uint32)
    words = np.concatenate([units[start + width : end] for start, end in zip(starts, ends, strict=True)])
    bounds = np.cumsum([0, *(end - start - width for start, end in zip(starts, ends, strict=True))])
    if int(states.min()) < RANS_L:
        message = f"rANS lane {int(states.argmin())} starts in state {states.min()}; it must be {RANS_L} or more"
        raise CorruptStream(message)
    return states, words.astype(np.uint16), bounds.astype(np.int64)
