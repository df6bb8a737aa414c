"""Bit estimates: equal to sums over the tables in integers, and to the CPU coder's own estimate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from vaecodec.entropy.quantize import to_symbols
from vaecodec.rans import choose_lanes, total_cost
from vaecodec.rans.tables import COST_BITS, PROB_BITS, CdfTables
from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.estimate import estimate_bits
from vaecodec_kernels.tables import DeviceTables, make_tables

SIZES = [1, 31, 32, 33, 63, 1000, 2500]
BINS = 40


def _latents(tables: CdfTables, share: float) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(4)
    total = sum(SIZES)
    index = (rng.integers(1, len(tables.sizes), total) * (rng.random(total) < share)).astype(np.uint8)
    return np.rint(rng.standard_cauchy(total) * 3).clip(-(2**20), 2**20).astype(np.int32), index


@pytest.mark.parametrize("skip_zero", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_bits_of_a_batch(
    share: float, skip_zero: bool, tables: CdfTables, device_tables: DeviceTables, device: torch.device
) -> None:
    values, index = _latents(tables, share)
    bounds = np.cumsum([0, *SIZES])
    offsets = torch.from_numpy(bounds).to(device)
    costs = estimate_bits(
        torch.from_numpy(values).to(device),
        torch.from_numpy(index).to(device),
        offsets,
        device_tables,
        most=max(SIZES),
        outlier_cost=40 << COST_BITS,
        skip_zero=skip_zero,
    ).tolist()
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        i = index[start:end]
        coded = (i > 0) | (not skip_zero)
        v, i = values[start:end][coded], i[coded]
        largest = (tables.sizes[i] - 1) // 2
        clipped = np.clip(v, -largest, largest)
        symbols = to_symbols(clipped).astype(np.uint16)
        outliers = int((clipped != v).sum())
        assert costs[number] == total_cost(symbols, i, tables) + (40 * outliers << COST_BITS)


def _at_the_border(tables: CdfTables, bits: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Values and indices whose ideal content is just below `bits`, while the sum of the fixed-point costs is not.

    Zeros cost log2(4/3) bits each, ones 3 bits: some number of zeros leaves next to nothing to a multiple of 3.
    """
    for zeros in range(int(bits / tables.bits[1, 0]), 0, -1):
        ones, rest = divmod(bits - zeros * tables.bits[1, 0], 3)
        cost = zeros * int(tables.costs[1, 0]) + int(ones) * int(tables.costs[1, 1])
        if rest > 1e-6 and cost >= bits << COST_BITS:
            values = np.repeat([0, 1], [zeros, int(ones)]).astype(np.int32)
            return values, np.ones(len(values), np.uint8)
    pytest.fail("no such case")


def test_both_sides_choose_the_same_lanes_at_a_border(device: torch.device) -> None:
    """Where a sum of floats, whatever its order, chooses another number of lanes than the sum of the integers."""
    rows = [np.array(row, np.uint32) for row in ([0, 1 << PROB_BITS], [0, 3 << 14, 7 << 13, 8 << 13])]
    tables = CdfTables.from_rows(rows)
    cdf = torch.from_numpy(tables.quantized_cdf.astype(np.int32))
    tables_on_device = make_tables(
        cdf, *(torch.from_numpy(t.copy()) for t in (tables.sizes, tables.costs)), PROB_BITS, device
    )
    values, index = _at_the_border(tables, 40_000)
    offsets = torch.tensor([0, len(values)], device=device)
    on_device = (torch.from_numpy(values).to(device), torch.from_numpy(index).to(device), offsets)
    costs = estimate_bits(*on_device, tables_on_device, most=len(values)).tolist()
    symbols = to_symbols(values).astype(np.uint16)
    assert costs == [total_cost(symbols, index, tables)]
    assert choose_lanes(costs[0]) == 2
    of_floats = float(tables.bits[index, symbols].sum())
    assert of_floats < 40_000
    assert choose_lanes(int(of_floats * (1 << COST_BITS))) == 1


def test_arguments_are_checked(device_tables: DeviceTables, device: torch.device) -> None:
    values = torch.zeros(9, dtype=torch.int32, device=device)
    index = torch.ones(9, dtype=torch.uint8, device=device)
    offsets = torch.tensor([0, 9], device=device)
    with pytest.raises(KernelInputError, match="most is 10"):
        estimate_bits(values, index, offsets, device_tables, most=10)
    with pytest.raises(KernelInputError, match="index has shape"):
        estimate_bits(values, index[:5], offsets, device_tables, most=9)
    good = torch.tensor([[0, 10, 65536]])
    cost = torch.ones(1, 2, dtype=torch.int32)
    with pytest.raises(KernelInputError, match="table 0 doesn't rise"):
        make_tables(torch.tensor([[0, 0, 65536]]), torch.tensor([2]), cost, 16, device)
    with pytest.raises(KernelInputError, match=r"it must be 1\.\.2"):
        make_tables(good, torch.tensor([3]), cost, 16, device)
    with pytest.raises(KernelInputError, match=r"cost is torch\.float64"):
        make_tables(good, torch.tensor([2]), cost.double(), 16, device)
    assert make_tables(good, torch.tensor([2]), cost, 16, device).count == 1
