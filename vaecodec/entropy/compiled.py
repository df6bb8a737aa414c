"""Latents to symbols and back on a CPU, compiled by numba.

The same integers as the NumPy form (`coding`), which runs as long as a process has not loaded numba (`rans.choice`).
Every loop here is over places that the wrappers have checked against each other: numba checks nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import InputError
from vaecodec.native.loops import Loops
from vaecodec.rans.tables import CdfTables

LOOPS = Loops("vaecodec.entropy.loops")
ENCODING, DECODING = ("to_symbols_within", "total_cost"), ("coded", "to_values")
"""Which loops each takes, of images without outliers."""
FIRST_OUTLIERS = 256
"""Places for outliers in the first pass over a picture; most pictures have none."""


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
    if LOOPS.to_symbols_within(values, index, (tables.sizes - 1).astype(np.uint32), symbols, kept):
        at, true = _outliers(values, index, tables, symbols, kept)
    symbols, kept = symbols[:count], kept[:count]
    return symbols, kept, at, true, int(LOOPS.total_cost(symbols, kept, tables.costs))


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
        outliers = LOOPS.to_symbols(values, index, largest, symbols, kept, at, true)
        if outliers <= room:
            return at[:outliers], true[:outliers]
        room = outliers


def coded(index: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The indices that are not 0, [n]: a sixth of the time of `index[index > 0]`."""
    count = int(np.count_nonzero(index))
    kept = np.empty(count + 1, np.uint8)
    LOOPS.coded(index.reshape(-1), kept)
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
        LOOPS.to_values(symbols, index.reshape(-1), outlier_at, outlier_values, values.reshape(-1))
    return values
