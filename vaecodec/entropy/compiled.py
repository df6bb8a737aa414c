"""Latents to symbols and back on a CPU, compiled by numba.

The same integers as the NumPy form (`coding`), which runs as long as a process has not loaded numba (`rans.choice`).
Every loop here is over places that the wrappers have checked against each other: numba checks nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import InputError
from vaecodec.rans.compiling import compiled
from vaecodec.rans.tables import CdfTables

ZERO, ONE = np.uint64(0), np.uint64(1)
FIRST_OUTLIERS = 256
"""Places for outliers in the first pass over a picture; most pictures have none."""


# Unsigned places: numba takes a negative one for a place counted from the end, and then vectorizes nothing.


@compiled
def _coded(index, kept):  # type: ignore[no-untyped-def]
    """Those that are not 0. Without a branch, as `_to_symbols_within`."""
    count = ZERO
    for place in range(np.uint64(index.size)):
        kept[count] = index[place]
        count += np.uint64(index[place] > 0)


@compiled
def _to_symbols_within(values, index, last, symbols, kept):  # type: ignore[no-untyped-def]
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


@compiled
def _total_cost(symbols, index, costs):  # type: ignore[no-untyped-def]
    total = ZERO
    for place in range(np.uint64(symbols.size)):
        total += np.uint64(costs[np.uint64(index[place]), np.uint64(symbols[place])])
    return total


@compiled
def _to_symbols(values, index, largest, symbols, kept, outlier_at, outlier_values):  # type: ignore[no-untyped-def]
    """The same with values beyond their tables. Returns how many outliers there are."""
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


@compiled
def _to_values(symbols, index, outlier_at, outlier_values, values):  # type: ignore[no-untyped-def]
    """The inverse. outlier_at rises."""
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


def to_symbols(
    values: NDArray[np.int32], index: NDArray[np.uint8], tables: CdfTables
) -> tuple[NDArray[np.uint16], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32], int]:
    """Values and their table, [n] each -> of those whose index isn't 0: symbols, index; outliers: at, values; cost."""
    if values.shape != index.shape or index.max(initial=0) >= len(tables.sizes):
        largest_index = index.max(initial=0)
        message = f"{values.shape} values, {index.shape} indices up to {largest_index}, {len(tables.sizes)} tables"
        raise InputError(message)
    count = int(np.count_nonzero(index))
    symbols, kept = np.empty(count + 1, np.uint16), np.empty(count + 1, np.uint8)
    at, true = np.empty(0, np.int64), np.empty(0, np.int32)
    if _to_symbols_within(values, index, (tables.sizes - 1).astype(np.uint32), symbols, kept):
        at, true = _outliers(values, index, tables, symbols, kept)
    symbols, kept = symbols[:count], kept[:count]
    return symbols, kept, at, true, int(_total_cost(symbols, kept, tables.costs))


def _outliers(
    values: NDArray[np.int32],
    index: NDArray[np.uint8],
    tables: CdfTables,
    symbols: NDArray[np.uint16],
    kept: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where they are and their values; `symbols` and `kept` are filled on the way."""
    largest = ((tables.sizes - 1) // 2).astype(np.int32)
    room = FIRST_OUTLIERS
    while True:
        at, true = np.empty(room, np.int64), np.empty(room, np.int32)
        outliers = _to_symbols(values, index, largest, symbols, kept, at, true)
        if outliers <= room:
            return at[:outliers], true[:outliers]
        room = outliers


def coded(index: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The indices that are not 0, [n]: a sixth of the time of `index[index > 0]`."""
    count = int(np.count_nonzero(index))
    kept = np.empty(count + 1, np.uint8)
    _coded(index.reshape(-1), kept)
    return kept[:count]


def to_values(
    symbols: NDArray[np.uint16],
    index: NDArray[np.uint8],
    outlier_at: NDArray[np.int64],
    outlier_values: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Symbols and outliers back to values: int32 of the shape of index."""
    if len(symbols) != np.count_nonzero(index):
        message = f"{len(symbols)} symbols for {np.count_nonzero(index)} coded places"
        raise InputError(message)
    values = np.zeros(index.shape, np.int32)
    if len(symbols):
        _to_values(symbols, index.reshape(-1), outlier_at, outlier_values, values.reshape(-1))
    return values
