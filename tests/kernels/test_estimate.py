"""Bit estimates and histograms: equal to sums over the tables in integers, close to the coder's own estimate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from vaecodec.entropy.quantize import to_symbols
from vaecodec.rans import information
from vaecodec.rans.tables import CdfTables
from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.estimate import estimate_bits, histogram
from vaecodec_kernels.tables import COST_BITS, DeviceTables, make_tables

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
    found = estimate_bits(
        torch.from_numpy(values).to(device),
        torch.from_numpy(index).to(device),
        offsets,
        device_tables,
        most=max(SIZES),
        outlier_cost=40 << COST_BITS,
        skip_zero=skip_zero,
    ).tolist()
    cost = device_tables.cost.cpu().numpy()
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        i = index[start:end]
        coded = (i > 0) | (not skip_zero)
        v, i = values[start:end][coded], i[coded]
        largest = (tables.sizes[i] - 1) // 2
        clipped = np.clip(v, -largest, largest)
        symbols = to_symbols(clipped).astype(np.uint16)
        outliers = int((clipped != v).sum())
        assert found[number] == int(cost[i, symbols].sum()) + (40 * outliers << COST_BITS)
        bits = information(symbols, i, tables)
        assert found[number] / 2**COST_BITS == pytest.approx(bits + 40 * outliers, abs=1e-6)


def test_histogram(tables: CdfTables, device: torch.device) -> None:
    values, index = _latents(tables, 0.7)
    offsets = torch.from_numpy(np.cumsum([0, *SIZES])).to(device)
    on_device = (torch.from_numpy(values).to(device), torch.from_numpy(index).to(device), offsets)
    found = histogram(*on_device, tables=len(tables.sizes), bins=BINS, most=max(SIZES))
    expected = np.zeros((len(tables.sizes), BINS), np.int64)
    np.add.at(expected, (index[index > 0], np.minimum(np.abs(values[index > 0]), BINS - 1)), 1)
    assert torch.equal(found.cpu(), torch.from_numpy(expected))


def test_arguments_are_checked(device_tables: DeviceTables, device: torch.device) -> None:
    values = torch.zeros(9, dtype=torch.int32, device=device)
    index = torch.ones(9, dtype=torch.uint8, device=device)
    offsets = torch.tensor([0, 9], device=device)
    with pytest.raises(KernelInputError, match="most is 10"):
        estimate_bits(values, index, offsets, device_tables, most=10)
    with pytest.raises(KernelInputError, match="index has shape"):
        estimate_bits(values, index[:5], offsets, device_tables, most=9)
    with pytest.raises(KernelInputError, match="tables is 300"):
        histogram(values, index, offsets, tables=300, bins=4, most=9)
    good = torch.tensor([[0, 10, 65536]])
    with pytest.raises(KernelInputError, match="table 0 doesn't rise"):
        make_tables(torch.tensor([[0, 0, 65536]]), torch.tensor([2]), 16, device)
    with pytest.raises(KernelInputError, match=r"legal is 1\.\.2"):
        make_tables(good, torch.tensor([3]), 16, device)
    assert make_tables(good, torch.tensor([2]), 16, device).count == 1
