"""The loops of the compiled rANS coder, see `native`. `numba_coder` calls them, and has checked what goes in.

What makes them fast: lanes are independent, so the processor works on many at once as long as no branch is guessed
wrongly. Words are therefore read and written without a branch (always touch the next place, step on only when it
counts), and the search for a symbol starts from a table of 256 ranges of slots, where it nearly always ends, too.
"""

from __future__ import annotations

import numpy as np

from vaecodec.native.loops import loop
from vaecodec.rans.lanes import GROUP_LANES, RANS_L
from vaecodec.rans.tables import BUCKET_BITS, PROB_BITS

SLOT_SHIFT = np.uint64(PROB_BITS - BUCKET_BITS)
ONE, HALF_BITS, LOW_HALF = np.uint64(1), np.uint64(16), np.uint64(0xFFFF)
MOST_LANES, LEAST_STATE = np.uint64(GROUP_LANES), np.uint64(RANS_L)


# Places are uint64: of a signed one, numba asks at every access whether it counts from the end (two thirds more time).
# Types are spelled out because numba widens: uint32 + uint32 is uint64, and uint64 + int64 a float.


@loop("int64(uint16[::1], uint8[::1], int32[::1])")
def first_bad_symbol(symbols, table_index, sizes):  # type: ignore[no-untyped-def]
    """Position of the first symbol outside of its table, or -1."""
    for at in range(symbols.size):
        if np.int64(symbols[at]) >= np.int64(sizes[table_index[at]]):
            return at
    return -1


@loop("void(uint16[::1], uint8[::1], int32[::1], uint32[::1], uint32[::1], uint16[:, ::1], int64[::1])")
def encode_segment(symbols, table_index, offsets, packed, states, buffer, free):  # type: ignore[no-untyped-def]
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


@loop(
    "int64(uint8[::1], int32[::1], uint32[::1], uint16[:, ::1], uint32[::1], uint16[::1], int64[::1], int64[::1], "
    "uint16[::1])"
)
def decode_segment(table_index, offsets, packed, buckets, states, words, following, ends, symbols):  # type: ignore[no-untyped-def]
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
