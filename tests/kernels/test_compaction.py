"""Compaction and scatter: equal to boolean indexing and the symbol map of the entropy coder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vaecodec.entropy.coding import _segment
from vaecodec.entropy.quantize import to_values
from vaecodec.rans.tables import CdfTables
from vaecodec_kernels.compaction import coding_order, gather, scatter
from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.planes import Planes
from vaecodec_kernels.tables import DeviceTables

SHAPES = [(1, 1, 1), (1, 1, 31), (1, 4, 8), (1, 3, 11), (1, 7, 9), (2, 20, 25), (3, 40, 30)]


def _image(shape: tuple[int, ...], share: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Values (some far beyond the tables) and indices of which about `share` are coded; values are 0 elsewhere."""
    rng = np.random.default_rng(seed)
    index = (rng.integers(1, count, shape) * (rng.random(shape) < share)).astype(np.uint8)
    values = np.rint(rng.standard_cauchy(shape) * 3).clip(-(2**20), 2**20).astype(np.int32)
    return np.where(index > 0, values, 0).astype(np.int32), index


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_batch_of_different_sizes(
    share: float, tables: CdfTables, device_tables: DeviceTables, device: torch.device
) -> None:
    images = [_image(shape, share, len(tables.sizes), seed) for seed, shape in enumerate(SHAPES)]
    values = torch.from_numpy(np.concatenate([v.ravel() for v, _ in images])).to(device)
    index = torch.from_numpy(np.concatenate([i.ravel() for _, i in images])).to(device)
    areas = [(c, h * w) for c, h, w in SHAPES]
    planes = Planes._make(areas, [(area, 1) for _, area in areas], index)
    order = coding_order(index, planes)
    coded = gather(order, values, device_tables)
    true_values = torch.zeros(planes.total, dtype=torch.int32, device=device)
    for number, (v, i) in enumerate(images):
        expected = _segment(v[i > 0], i[i > 0], tables)
        start, count = int(coded.offsets[number]), int(coded.counts[number])
        assert count == len(expected.symbols)
        assert np.array_equal(coded.symbols[start : start + count].cpu().numpy(), expected.symbols)
        assert np.array_equal(coded.index[start : start + count].cpu().numpy(), expected.index)
        positions, outliers = coded.outliers(coded.outlier_counts.tolist())[number]
        assert positions == expected.outlier_at.tolist()
        assert outliers == expected.outlier_values.tolist()
        true_values[start : start + count] = torch.from_numpy(v[i > 0]).to(device)
    if share > 0:
        assert int(coded.outlier_counts.sum()) > 0
    out = torch.full_like(values, -77)
    scatter(order, true_values, out)
    assert torch.equal(out, values)
    only_index = gather(order, None, device_tables)
    assert torch.equal(only_index.counts, coded.counts)
    assert torch.equal(only_index.index, coded.index)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels_last"])
def test_layouts_share_the_coding_order(
    layout: torch.memory_format, tables: CdfTables, device_tables: DeviceTables, device: torch.device
) -> None:
    images = [_image((8, 5, 9), 0.3, len(tables.sizes), seed) for seed in range(3)]
    stacked = [torch.from_numpy(np.stack(part)).to(device) for part in zip(*images, strict=True)]
    values, index = (tensor.contiguous(memory_format=layout) for tensor in stacked)
    order = coding_order(index, Planes.of(index))
    coded = gather(order, values, device_tables)
    clamped = torch.full_like(values, -77)
    scatter(order, coded.symbols, clamped)
    for number, (v, i) in enumerate(images):
        expected = _segment(v[i > 0], i[i > 0], tables)
        start, count = int(coded.offsets[number]), int(coded.counts[number])
        assert np.array_equal(coded.symbols[start : start + count].cpu().numpy(), expected.symbols)
        r = np.zeros_like(v)
        r[i > 0] = to_values(expected.symbols)
        assert np.array_equal(clamped[number].cpu().numpy(), r)


def test_arguments_are_checked(device_tables: DeviceTables, device: torch.device) -> None:
    index = torch.ones(1, 4, 3, 3, dtype=torch.uint8, device=device)
    planes = Planes.of(index)
    with pytest.raises(KernelInputError, match="it must be dense"):
        Planes.of(index.transpose(2, 3)[:, :, :2])
    with pytest.raises(KernelInputError, match="hold 36 elements"):
        coding_order(index[:, :2].contiguous(), planes)
    order = coding_order(index, planes)
    with pytest.raises(KernelInputError, match="values is"):
        gather(order, index.long(), device_tables)
    with pytest.raises(KernelInputError, match="coded has shape"):
        scatter(order, torch.zeros(5, dtype=torch.int16, device=device), index.int())
