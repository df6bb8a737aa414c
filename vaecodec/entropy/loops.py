"""Loops over the places of latents, see `native`. `compiled` calls them, and has checked all lengths."""

from __future__ import annotations

import numpy as np

from vaecodec.native.loops import loop

ZERO, ONE = np.uint64(0), np.uint64(1)


# Unsigned places: numba takes a negative one for a place counted from the end, and then vectorizes nothing.


@loop("void(uint8[::1], uint8[::1])")
def coded(index, kept):  # type: ignore[no-untyped-def]
    """The indices that are not 0. Without a branch, as `to_symbols_within`."""
    count = ZERO
    for place in range(np.uint64(index.size)):
        kept[count] = index[place]
        count += np.uint64(index[place] > 0)


@loop("uint64(int32[::1], uint8[::1], uint32[::1], uint16[::1], uint8[::1])")
def to_symbols_within(values, index, last, symbols, kept):  # type: ignore[no-untyped-def]
    """The places whose index isn't 0, of values within their tables. Returns how many are not (for which the symbols
    are wrong), perhaps counting some whose index is 0.

    Without a branch on the index: what is not coded is overwritten by what comes next, so `symbols` and `kept` have a
    place more than is coded.
    """
    count, beyond = ZERO, ZERO
    for place in range(np.uint64(values.size)):
        i, v = np.uint64(index[place]), values[place]
        symbol = np.uint32((abs(v) << 1) - (v > 0))
        beyond += np.uint64(symbol > last[i])
        symbols[count], kept[count] = symbol, i
        count += np.uint64(i > ZERO)
    return beyond


@loop("uint64(uint16[::1], uint8[::1], int32[:, ::1])")
def total_cost(symbols, index, costs):  # type: ignore[no-untyped-def]
    total = ZERO
    for place in range(np.uint64(symbols.size)):
        total += np.uint64(costs[np.uint64(index[place]), np.uint64(symbols[place])])
    return total


@loop("int64(int32[::1], uint8[::1], int32[::1], uint16[::1], uint8[::1], int64[::1], int32[::1])")
def to_symbols(values, index, largest, symbols, kept, outlier_at, outlier_values):  # type: ignore[no-untyped-def]
    """What `to_symbols_within` does, with values beyond their tables. Returns how many outliers there are."""
    count, outliers = 0, 0
    for place in range(values.size):
        i = np.int64(index[place])
        v = values[place]
        clipped = min(max(v, -largest[i]), largest[i])
        coded = i > 0
        if clipped != v and coded:
            if outliers < outlier_at.size:
                outlier_at[outliers], outlier_values[outliers] = count, v
            outliers += 1
        symbol = 2 * abs(clipped) - (clipped > 0)
        symbols[count], kept[count] = symbol, i
        count += coded
    return outliers


@loop("void(uint16[::1], uint8[::1], int64[::1], int64[::1], int32[::1])")
def to_values(symbols, index, outlier_at, outlier_values, values):  # type: ignore[no-untyped-def]
    """The inverse of `to_symbols`. outlier_at rises."""
    count, known = ZERO, ZERO
    last = np.uint64(symbols.size) - ONE
    for place in range(np.uint64(index.size)):
        symbol = np.int32(symbols[min(count, last)])
        half = (symbol + 1) >> 1
        coded = index[place] > 0
        value = half if symbol & 1 else -half
        if known < np.uint64(outlier_at.size) and coded and np.uint64(outlier_at[known]) == count:
            value = outlier_values[known]
            known += ONE
        values[place] = value if coded else 0
        count += np.uint64(coded)
