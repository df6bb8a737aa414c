"""Integer tables: what is refused, what is derived, and that nobody can change them afterwards."""

from __future__ import annotations

import hashlib
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vaecodec.errors import InputError
from vaecodec.rans import CdfTables
from vaecodec.rans.tables import COST_BITS, MAX_SYMBOLS, MAX_TABLES, PROB_TOTAL, _fixed_log2


def row(*values: int) -> NDArray[np.uint32]:
    return np.array(values, np.uint32)


@st.composite
def rows(draw: st.DrawFn) -> NDArray[np.uint32]:
    """Any legal row of up to 40 symbols, single symbols and frequencies of 1 included."""
    cuts = draw(st.sets(st.integers(1, PROB_TOTAL - 1), max_size=39))
    return row(0, *sorted(cuts), PROB_TOTAL)


def test_rows_are_padded() -> None:
    tables = CdfTables.from_rows([row(0, 65536), row(0, 1, 3, 65536)])
    assert tables.quantized_cdf.tolist() == [[0, 65536, 65536, 65536], [0, 1, 3, 65536]]
    assert tables.sizes.tolist() == [1, 3]
    assert (tables.quantized_cdf.dtype, tables.sizes.dtype) == (np.uint32, np.int32)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(0, 5, 5, 65536), "table 1: symbol 1 has frequency 0; each must be at least 1"),
        (row(0, 9, 5, 65536), "table 1: symbol 1 has frequency -4; each must be at least 1"),
        (row(0, 5, 65535), "table 1: runs from 0 to 65535; it must run from 0 to 65536"),
        (row(0, 5, 65537), "table 1: runs from 0 to 65537; it must run from 0 to 65536"),
        (row(1, 5, 65536), "table 1: runs from 1 to 65536"),
        (row(0), "sizes [2, 0]; each must be 1..2"),
        (row(), "sizes [2, -1]; each must be 1..2"),
        (np.arange(MAX_SYMBOLS + 2, dtype=np.uint32), f"sizes [2, {MAX_SYMBOLS + 1}]; each must be 1..{MAX_SYMBOLS}"),
    ],
)
def test_bad_rows_are_named(bad: NDArray[np.uint32], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        CdfTables.from_rows([row(0, 7, 65536), bad])


@pytest.mark.parametrize("count", [0, MAX_TABLES + 1])
def test_the_number_of_tables_is_limited(count: int) -> None:
    with pytest.raises(InputError, match=f"there are {count}; there must be 1..{MAX_TABLES}"):
        CdfTables.from_rows([row(0, 65536)] * count)


def test_padding_is_checked() -> None:
    with pytest.raises(InputError, match="table 0: runs from 0"):
        CdfTables(np.array([[0, 65536, 7]], np.uint32), np.array([1], np.int32))


@pytest.mark.parametrize(
    ("cdf", "sizes"),
    [
        (np.array([[0, 65536]], np.int64), np.array([1], np.int32)),
        (np.array([0, 65536], np.uint32), np.array([1], np.int32)),
        (np.array([[0, 65536]], np.uint32), np.array([1], np.int64)),
        (np.array([[0, 65536]], np.uint32), np.array([1, 1], np.int32)),
    ],
)
def test_types_and_shapes_are_checked(cdf: NDArray[np.uint32], sizes: NDArray[np.int32]) -> None:
    with pytest.raises(InputError, match=re.escape("they must be uint32 [T, S + 1] and int32 [T]")):
        CdfTables(cdf, sizes)


def test_tables_cannot_be_changed() -> None:
    """The compiled coder skips checks that the table's own check makes needless."""
    cdf, sizes = np.array([[0, 7, 65536]], np.uint32), np.array([2], np.int32)
    tables = CdfTables(cdf, sizes)
    cdf[0, 1], sizes[0] = 0, 100
    assert (tables.quantized_cdf.tolist(), tables.sizes.tolist()) == ([[0, 7, 65536]], [2])
    for array in (tables.quantized_cdf, tables.sizes, tables.packed, tables.offsets, tables.buckets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_pickled_tables_are_equal_and_frozen() -> None:
    tables = CdfTables.from_rows([row(0, 65536), row(0, 1, 3, 65536)])
    size = len(pickle.dumps(tables))
    assert tables.buckets.size == 512
    data = pickle.dumps(tables)
    assert len(data) == size
    again = pickle.loads(data)  # noqa: S301
    assert np.array_equal(again.quantized_cdf, tables.quantized_cdf)
    assert not again.sizes.flags.writeable


@given(st.lists(rows(), min_size=1, max_size=5))
def test_what_the_compiled_coder_reads(drawn: list[NDArray[np.uint32]]) -> None:
    tables = CdfTables.from_rows(drawn)
    assert tables.packed.size == tables.sizes.sum()
    assert tables.buckets.shape == (len(drawn), 256)
    for table, cdf in enumerate(drawn):
        mine = tables.packed[tables.offsets[table] :][: tables.sizes[table]]
        assert (mine & 0xFFFF).tolist() == cdf[:-1].tolist()
        assert ((mine >> 16) + 1).tolist() == np.diff(cdf).tolist()
        for bucket in (0, 1, 100, 255):
            symbol = tables.buckets[table, bucket]
            assert cdf[symbol] <= bucket * 256 < cdf[symbol + 1]


def test_costs_are_the_same_integers_everywhere() -> None:
    """Of all frequencies there are. They choose the number of lanes, so they may not depend on a machine's log2."""
    frequencies = np.arange(1, 65537)
    logarithms = _fixed_log2(frequencies)
    assert np.abs(logarithms / 2.0**COST_BITS - np.log2(frequencies)).max() < 1.01 * 2.0**-COST_BITS
    pinned = "2cf96220fba3a64cbafc155d3660d28dbf8a9902c688fef044c9d40785fdb381"
    assert hashlib.sha256(logarithms.astype("<i8").tobytes()).hexdigest() == pinned


def test_costs_are_the_bits_in_fixed_point() -> None:
    tables = CdfTables.from_rows([row(0, 32768, 49152, 65536), row(0, 65536), row(0, 1, 65536)])
    one = 1 << COST_BITS
    assert tables.costs[:2].tolist() == [[one, 2 * one, 2 * one], [0, 0, 0]]
    assert tables.costs[2].tolist() == [16 * one, int(np.ceil(one * tables.bits[2, 1])), 0]


def test_bits_are_the_ideal_code_lengths() -> None:
    tables = CdfTables.from_rows([row(0, 32768, 49152, 65536), row(0, 65536)])
    assert tables.bits.tolist() == [[1, 2, 2], [0, np.inf, np.inf]]
