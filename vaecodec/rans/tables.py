"""Integer probability tables: quantized cumulative distributions of 16-bit precision, checked before use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from vaecodec.errors import InputError

PROB_BITS = 16
PROB_TOTAL = 1 << PROB_BITS
MAX_SYMBOLS = 4096
MAX_TABLES = 256  # a table index is a byte
COST_BITS = 24
"""Costs are fixed point, bits * 2^24: a sum of them is exact in any order, so all machines choose the same lanes."""
BUCKET_BITS = 8
"""256 ranges a table: most hold slots of one symbol only, and 64 tables of them (32 KiB) stay in the nearest cache."""


@dataclass(frozen=True, eq=False)
class CdfTables:
    """T tables. quantized_cdf uint32 [T, S_max + 1]: row t is 0 = cdf[0] < cdf[1] < ... < cdf[sizes[t]] = 65536,
    padded with 65536. sizes int32 [T]: the number of symbols of each table, 1..4096. T is 1..256.

    Both are checked and copied once, here, and cannot be changed later. Raises InputError naming table and symbol.
    """

    quantized_cdf: NDArray[np.uint32]
    sizes: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check_arrays(self.quantized_cdf, self.sizes)
        for table, size in enumerate(self.sizes):
            _check_row(table, self.quantized_cdf[table].astype(np.int64), int(size))
        object.__setattr__(self, "quantized_cdf", _frozen(self.quantized_cdf, np.uint32))
        object.__setattr__(self, "sizes", _frozen(self.sizes, np.int32))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without what is derived, checked again when it is read."""
        return CdfTables, (self.quantized_cdf, self.sizes)

    @classmethod
    def from_rows(cls, rows: Sequence[NDArray[np.uint32]]) -> CdfTables:
        """Tables from rows of different lengths."""
        sizes = np.array([len(row) - 1 for row in rows], np.int32)
        cdf = np.full((len(rows), int(sizes.max(initial=0)) + 1), PROB_TOTAL, np.uint32)
        for table, row in enumerate(rows):
            cdf[table, : len(row)] = row
        return cls(cdf, sizes)

    @cached_property
    def costs(self) -> NDArray[np.int32]:
        """-log2 of every symbol's probability, see COST_BITS [T, S_max] (0 where there is no symbol)."""
        cdf = self.quantized_cdf.astype(np.int64)
        frequencies = cdf[:, 1:] - cdf[:, :-1]
        costs = np.zeros(frequencies.shape, np.int32)
        present = frequencies > 0
        costs[present] = (PROB_BITS << COST_BITS) - _fixed_log2(frequencies[present])
        return _frozen(costs, np.int32)

    # The three arrays of the compiled coder; the reference needs none of them.

    @cached_property
    def offsets(self) -> NDArray[np.int32]:
        """Where each table starts in `packed` [T]."""
        return _frozen(np.cumsum(self.sizes) - self.sizes, np.int32)

    @cached_property
    def packed(self) -> NDArray[np.uint32]:
        """All symbols of all tables, one after the other: (frequency - 1) << 16 | start."""
        cdf = self.quantized_cdf.astype(np.int64)
        present = np.arange(cdf.shape[1] - 1) < self.sizes[:, None]
        return _frozen((((np.diff(cdf, axis=1) - 1) << PROB_BITS) | cdf[:, :-1])[present], np.uint32)

    @cached_property
    def buckets(self) -> NDArray[np.uint16]:
        """The symbol of the lowest slot of each of 256 equal ranges of slots [T, 256]: where a search starts."""
        lowest = np.arange(0, PROB_TOTAL, PROB_TOTAL >> BUCKET_BITS)
        rows = zip(self.quantized_cdf, self.sizes, strict=True)
        return _frozen([np.searchsorted(row[1 : size + 1], lowest, side="right") for row, size in rows], np.uint16)

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """-log2 of every symbol's probability [T, S_max] (infinite where there is no symbol); for estimates only."""
        frequencies = np.diff(self.quantized_cdf.astype(np.float64), axis=1)
        with np.errstate(divide="ignore"):
            return PROB_BITS - np.log2(frequencies)


def _fixed_log2(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """floor(log2(v) * 2^COST_BITS) of whole numbers 1..2^31, give or take 1: by integers alone, so equal everywhere."""
    whole = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1  # exact: v is far below 2^53
    log2, one = whole, np.uint64(31)
    mantissa = (values << (31 - whole)).astype(np.uint64)  # 1..2 with 31 bits behind the point
    for _ in range(COST_BITS):
        mantissa = (mantissa * mantissa) >> one  # below 4: a square doubles the logarithm, its whole part is the bit
        bit = mantissa >> np.uint64(32)
        mantissa >>= bit
        log2 = 2 * log2 + bit.astype(np.int64)
    return log2


def _frozen(values: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """A contiguous copy nobody can change: the compiled coder trusts it."""
    array = np.array(values, dtype, order="C")
    array.flags.writeable = False
    return array


def _check_arrays(cdf: NDArray[np.uint32], sizes: NDArray[np.int32]) -> None:
    if cdf.dtype != np.uint32 or cdf.ndim != 2 or sizes.dtype != np.int32 or sizes.shape != cdf.shape[:1]:
        message = (
            f"tables: cdf is {cdf.dtype} {cdf.shape}, sizes {sizes.dtype} {sizes.shape}; "
            "they must be uint32 [T, S + 1] and int32 [T]"
        )
        raise InputError(message)
    if not 1 <= len(sizes) <= MAX_TABLES:
        message = f"tables: there are {len(sizes)}; there must be 1..{MAX_TABLES}"
        raise InputError(message)
    if int(sizes.min()) < 1 or int(sizes.max()) > min(MAX_SYMBOLS, cdf.shape[1] - 1):
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
