"""What numba does around the networks on a CPU equals what NumPy does in a process without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vaecodec.codec import Codec
from vaecodec.conformance import MODEL
from vaecodec.entropy import compiled
from vaecodec.entropy.coding import _coded_segment, _to_r
from vaecodec.errors import InputError
from vaecodec.rans.choice import rans_coder
from vaecodec.rans.tables import CdfTables
from vaecodec.runtime.choice import choose


def _tables() -> CdfTables:
    """The first of 1, then of 3, 5 and 9 symbols."""
    return CdfTables.from_rows([np.linspace(0, 1 << 16, size + 1).astype(np.uint32) for size in (1, 3, 5, 9)])


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("outliers", [0, 1, 3 * compiled.FIRST_OUTLIERS])
@pytest.mark.parametrize("count", [1, 63, 100_003])
def test_symbols_equal_the_plain_ones(count: int, outliers: int, share: float) -> None:
    rng, tables = np.random.default_rng(count + outliers), _tables()
    index = (rng.integers(1, 4, count) * (rng.random(count) < share)).astype(np.uint8)
    values = (rng.integers(-1, 2, count) * (index > 0)).astype(np.int32)
    far = rng.integers(0, count, outliers)
    values[far] = (rng.integers(5, 1 << 19, outliers) * rng.choice((-1, 1), outliers) * (index[far] > 0)).astype(
        np.int32
    )
    plain = _coded_segment(values, index, tables, rans_coder("plain"))
    symbols, kept, at, true, cost = compiled.to_symbols(values, index, tables)
    assert np.array_equal(symbols, plain.symbols)
    assert np.array_equal(kept, plain.index)
    assert np.array_equal(at, plain.outlier_at)
    assert np.array_equal(true, plain.outlier_values)
    assert cost == plain.cost
    assert symbols.dtype == plain.symbols.dtype
    assert np.array_equal(compiled.coded(index), index[index > 0])
    back = compiled.to_values(symbols, index, at, true.astype(np.int64))
    assert np.array_equal(back, values)
    assert np.array_equal(back, _to_r(symbols, index, at, true.astype(np.int64), rans_coder("plain")))


def test_symbols_refuse_what_would_lead_out_of_the_tables() -> None:
    values = np.zeros(5, np.int32)
    with pytest.raises(InputError, match="indices up to 4, 4 tables"):
        compiled.to_symbols(values, np.full(5, 4, np.uint8), _tables())
    with pytest.raises(InputError, match="4 symbols for 5 coded places"):
        compiled.to_values(np.zeros(4, np.uint16), np.ones(5, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))


@pytest.fixture(scope="module")
def with_and_without() -> tuple[Codec, Codec]:
    """Loops compiled by numba; plain Python and NumPy."""
    numba, plain = (Codec(MODEL, plan=replace(choose("cpu", "float32"), loops=loops)) for loops in ("numba", "plain"))
    return numba, plain


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_files_and_pictures_are_the_same_with_and_without(
    with_and_without: tuple[Codec, Codec], photo: NDArray[np.uint8], quality: int
) -> None:
    numba, plain = with_and_without
    picture = np.ascontiguousarray(np.tile(photo, (2, 2, 1))[:150, :170])
    data = numba.encode(picture, quality)
    assert plain.encode(picture, quality) == data
    assert np.array_equal(plain.decode(data, as_array=True), numba.decode(data, as_array=True))
    aims = {"target_bytes": len(data)}
    assert plain.encode(picture, **aims) == numba.encode(picture, **aims)
