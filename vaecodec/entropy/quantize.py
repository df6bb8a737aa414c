"""Float probabilities -> integer tables. Used at export only: no float decides anything when a file is coded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec.rans.tables import PROB_BITS

TOTAL = 1 << PROB_BITS


def pmf_to_frequencies(pmf: NDArray[np.float64]) -> NDArray[np.int64]:
    """Probabilities [S] -> integer frequencies [S], each at least 1, summing to 2^16.

    Frequencies start from the floor and are corrected one unit at a time where that costs the fewest bits.
    """
    ideal = pmf / pmf.sum() * TOTAL
    frequencies: NDArray[np.int64] = np.maximum(1, np.floor(ideal)).astype(np.int64)
    while (missing := TOTAL - int(frequencies.sum())) != 0:
        if missing > 0:
            gain = ideal * np.log2((frequencies + 1) / frequencies)
            chosen = np.argsort(-gain, kind="stable")[:missing]
            frequencies[chosen] += 1
        else:
            shrinkable = np.flatnonzero(frequencies > 1)
            cost = ideal[shrinkable] * np.log2(frequencies[shrinkable] / (frequencies[shrinkable] - 1))
            frequencies[shrinkable[np.argsort(cost, kind="stable")[:-missing]]] -= 1
    return frequencies


def to_symbols(values: NDArray[np.integer]) -> NDArray[np.int32]:
    """Signed values below 2^30 to most-likely-first symbols: 0, 1, -1, 2, -2, ... -> 0, 1, 2, 3, 4, ..."""
    wide = values.astype(np.int32, copy=False)
    symbols = np.abs(wide)
    symbols <<= 1
    symbols -= wide > 0
    return symbols


def to_values(symbols: NDArray[np.integer]) -> NDArray[np.int32]:
    """The inverse of `to_symbols`."""
    wide = symbols.astype(np.int32)
    return np.where(wide & 1, (wide + 1) >> 1, -(wide >> 1))
