"""Integer probability tables: quantized cumulative distributions of 16-bit precision, checked before use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import InputError

PROB_BITS = 16
PROB_TOTAL = 1 << PROB_BITS
MAX_SYMBOLS = 4096


@dataclass(frozen=True, eq=False)
class CdfTables:
    """T tables. quantized_cdf uint32 [T, S_max + 1]: row t is 0 = cdf[0] < cdf[1] < ... < cdf[sizes[t]] = 65536,
    padded with 65536. sizes int32 [T]: the number of symbols of each table. Raises InputError when made of bad rows.
    """

    quantized_cdf: NDArray[np.uint32]
    sizes: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check_arrays(self.quantized_cdf, self.sizes)
        for table, size in enumerate(self.sizes):
            _check_row(table, self.quantized_cdf[table].astype(np.int64), int(size))

    @classmethod
    def from_rows(cls, rows: Sequence[NDArray[np.uint32]]) -> CdfTables:
        """Tables from rows of different lengths."""
        sizes = np.array([len(row) - 1 for row in rows], np.int32)
        cdf = np.full((len(rows), int(sizes.max(initial=0)) + 1), PROB_TOTAL, np.uint32)
        for table, row in enumerate(rows):
            cdf[table, : len(row)] = row
        return cls(cdf, sizes)

    @cached_property
    def flat(self) -> NDArray[np.uint32]:
        """All rows one after the other, contiguous."""
        return np.ascontiguousarray(self.quantized_cdf).reshape(-1)

    @property
    def stride(self) -> int:
        """Entries of one row in `flat`."""
        return int(self.quantized_cdf.shape[1])

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """-log2 of every symbol's probability [T, S_max] (infinite where there is no symbol); for estimates only."""
        frequencies = np.diff(self.quantized_cdf.astype(np.float64), axis=1)
        with np.errstate(divide="ignore"):
            return PROB_BITS - np.log2(frequencies)


def _check_arrays(cdf: NDArray[np.uint32], sizes: NDArray[np.int32]) -> None:
    if cdf.dtype != np.uint32 or cdf.ndim != 2 or sizes.dtype != np.int32 or sizes.shape != cdf.shape[:1]:
        message = (
            f"tables: cdf is {cdf.dtype} {cdf.shape}, sizes {sizes.dtype} {sizes.shape}; "
            "they must be uint32 [T, S + 1] and int32 [T]"
        )
        raise InputError(message)
    if len(sizes) == 0 or int(sizes.min()) < 1 or int(sizes.max()) > min(MAX_SYMBOLS, cdf.shape[1] - 1):
        message = f"tables: sizes {sizes.tolist()[:8]}; each must be 1..{min(MAX_SYMBOLS, cdf.shape[1] - 1)}"
        raise InputError(message)


def _check_row(table: int, row: NDArray[np.int64], size: int) -> None:
    if row[0] != 0 or row[size] != PROB_TOTAL or (row[size:] != PROB_TOTAL).any():
        message = f"table {table}: runs from {row[0]} to {row[size]}; it must run from 0 to {PROB_TOTAL}"
        raise InputError(message)
    steps = np.diff(row[: size + 1])
    if int(steps.min()) < 1:
        symbol = int(steps.argmin())
        message = f"table {table}: symbol {symbol} has frequency {steps[symbol]}; each must be at least 1"
        raise InputError(message)
