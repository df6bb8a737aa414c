"""What numba does around the networks on a CPU equals what NumPy and PyTorch do in a process without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaecodec.codec import Codec
from vaecodec.conformance import MODEL
from vaecodec.entropy import compiled
from vaecodec.entropy.coding import _coded_segment, _to_r
from vaecodec.errors import InputError
from vaecodec.networks.config import STEPS, step_positions
from vaecodec.rans.choice import rans_coder
from vaecodec.rans.tables import CdfTables
from vaecodec.runtime import context_loops
from vaecodec.runtime.choice import choose

Shape = tuple[int, int, int, int]
SHAPES: list[Shape] = [(1, 4, 1, 1), (2, 8, 3, 5), (1, 12, 4, 33), (1, 256, 2, 6)]
POISON = -7.5


def _channels_last(values: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)


def _step_inputs(shape: Shape, seed: int) -> tuple[NDArray[np.float32], ...]:
    """y, mu, gain, index: with ties, zeros and both signs among the residuals."""
    rng = np.random.default_rng(seed)
    mu, y = rng.normal(0, 3, shape).astype(np.float32), rng.normal(0, 20, shape).astype(np.float32)
    tie = rng.random(shape) < 0.3
    mu[tie], y[tie] = 0.25, 0.25 + rng.integers(-8, 9, int(tie.sum())) / 4
    gain = np.exp(rng.normal(0, 1, shape[:2])).astype(np.float32)
    gain[:, 0] = 2.0
    return y, mu, gain, rng.integers(0, 4, shape).astype(np.uint8)


def _places(shape: Shape) -> Iterator[tuple[slice, slice, slice, slice]]:
    """All that four steps code."""
    size = shape[1] // STEPS
    for step in range(STEPS):
        for quarter, (row, column) in enumerate(step_positions(step)):
            if row < shape[2] and column < shape[3]:
                channels = slice(quarter * size, (quarter + 1) * size)
                yield slice(None), channels, slice(row, None, 2), slice(column, None, 2)


@pytest.mark.parametrize("strength", [0.0, 0.4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_steps_equal_the_formula_and_leave_the_rest(shape: Shape, strength: float) -> None:
    y, mu, gain, index = _step_inputs(shape, 1)
    zone = (strength * np.arange(64) / 4).clip(0, 0.5).astype(np.float32)
    wide = gain[:, :, None, None]
    v = (y - mu) * wide
    v -= v.clip(-zone[index], zone[index])
    r = np.rint(v) * (index > 0)
    wanted = (r / wide + mu).astype(np.float32)
    places, known, again = (_channels_last(np.full(shape, POISON, np.float32)) for _ in range(3))
    places.copy_(torch.from_numpy(y))
    gains, indices, integers = torch.from_numpy(gain), _channels_last(index), _channels_last(r.astype(np.int32))
    for place in _places(shape):
        before, means = known.numpy().copy(), _channels_last(mu[place])
        context_loops.quantize_quarter(
            places, means, gains, indices, known, place, dead_zone=torch.from_numpy(zone) if strength else None
        )
        assert np.array_equal(places.numpy()[place], r[place])
        before[place] = wanted[place]
        assert np.array_equal(known.numpy(), before)
        context_loops.dequantize_quarter(integers, means, gains, again, place)
        assert np.array_equal(again.numpy()[place], wanted[place])
    assert np.array_equal(known.numpy(), wanted)
    assert np.array_equal(again.numpy(), wanted)


def test_a_step_refuses_what_it_would_read_wrongly() -> None:
    y, mu, gain, index = (torch.from_numpy(values) for values in _step_inputs((1, 8, 3, 5), 2))
    place = (slice(None), slice(2, 4), slice(0, None, 2), slice(1, None, 2))
    means = mu[place].contiguous(memory_format=torch.channels_last)
    with pytest.raises(InputError, match="takes channels-last"):
        context_loops.quantize_quarter(y, means, gain, index, mu.clone(), place)
    rows = [tensor.contiguous(memory_format=torch.channels_last) for tensor in (y, mu, index)]
    with pytest.raises(InputError, match="what doesn't fit"):
        context_loops.quantize_quarter(rows[0], means, gain, rows[2][:, :, :2], rows[1].clone(), place)
    with pytest.raises(InputError, match="what doesn't fit"):
        context_loops.quantize_quarter(rows[0], means[:, :, :1], gain, rows[2], rows[1].clone(), place)
    with pytest.raises(InputError, match="what doesn't fit"):
        context_loops.dequantize_quarter(rows[0].int(), means, gain[:, :4], rows[1].clone(), place)
    with pytest.raises(InputError, match="what doesn't fit"):
        context_loops.dequantize_quarter(rows[0].int(), rows[1], gain, rows[1].clone(), (slice(None),) * 4)
    context_loops.dequantize_quarter(rows[0].int(), means, gain, rows[1].clone(), place)


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
    """Loops compiled by numba; plain Python, NumPy and PyTorch."""
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
