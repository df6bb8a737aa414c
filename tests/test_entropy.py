"""Tables: quantization of probabilities, fitting, symbol order, storage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaecodec.entropy.fit import COUNT_BINS, MAX_MAGNITUDE, fit_tables, prior_magnitudes, table_row
from vaecodec.entropy.model import tables_from_tensors, tables_to_tensors
from vaecodec.entropy.quantize import TOTAL, pmf_to_frequencies, to_symbols, to_values
from vaecodec.entropy.scales import scale_table
from vaecodec.errors import WeightsError
from vaecodec.intnet.fixedpoint import SCALE_INDICES


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=1023))
def test_frequencies_sum_and_are_positive(weights: list[float]) -> None:
    frequencies = pmf_to_frequencies(np.array(weights))
    assert frequencies.sum() == TOTAL
    assert frequencies.min() >= 1


def test_tables_cost_little() -> None:
    """A table of 16 bits costs at most 0.1 % more than the law it stands for."""
    for scale in (0.3, 1.0, 5.0, 20.0, 60.0):
        magnitudes = prior_magnitudes(scale)
        row = np.diff(table_row(magnitudes).astype(np.int64)) / TOTAL
        largest = len(row) // 2
        pmf = np.array([magnitudes[0], *np.repeat(magnitudes[1 : largest + 1] / 2, 2)])
        entropy = float(-(pmf * np.log2(pmf)).sum())
        assert float(-(pmf * np.log2(row)).sum()) - entropy < 1e-3 * entropy + 1e-4


def test_symbols_are_most_likely_first() -> None:
    values = np.array([0, 1, -1, 2, -2, 511, -511])
    assert to_symbols(values).tolist() == [0, 1, 2, 3, 4, 1021, 1022]
    assert to_values(to_symbols(values)).tolist() == values.tolist()


@given(st.lists(st.integers(-(2**20), 2**20), max_size=50))
def test_symbols_round_trip(values: list[int]) -> None:
    assert to_values(to_symbols(np.array(values, np.int64))).tolist() == values


def test_prior_sums_to_one() -> None:
    for scale in scale_table():
        assert prior_magnitudes(scale).sum() == pytest.approx(1.0)


def test_fitted_tables_follow_the_counts() -> None:
    counts = np.zeros((SCALE_INDICES, COUNT_BINS), np.int64)
    counts[10, :3] = [100_000, 700_000, 200_000]
    tables = fit_tables(counts)
    row = np.diff(tables.quantized_cdf[10, : tables.sizes[10] + 1].astype(np.int64)) / TOTAL
    assert row[0] == pytest.approx(0.1, abs=0.01)
    assert row[1] + row[2] == pytest.approx(0.7, abs=0.01)
    assert all(size % 2 == 1 and size <= 2 * MAX_MAGNITUDE + 1 for size in tables.sizes)


def test_tables_survive_storage() -> None:
    tables = fit_tables(np.zeros((SCALE_INDICES, COUNT_BINS), np.int64))
    again = tables_from_tensors("int.y", tables_to_tensors("int.y", tables))
    assert np.array_equal(again.quantized_cdf, tables.quantized_cdf)
    assert np.array_equal(again.sizes, tables.sizes)


def test_tables_that_do_not_sum_are_refused() -> None:
    tensors = tables_to_tensors("int.y", fit_tables(np.zeros((SCALE_INDICES, COUNT_BINS), np.int64)))
    tensors["int.y.frequencies"] = tensors["int.y.frequencies"].copy()
    tensors["int.y.frequencies"][5] += 1
    with pytest.raises(WeightsError, match="sum to 65537"):
        tables_from_tensors("int.y", tensors)
