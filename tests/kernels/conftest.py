"""What the kernel tests share: where kernels run, poisoned outputs, tables of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="the kernels need triton, which this platform doesn't have")

from vaecodec.rans.tables import PROB_BITS, PROB_TOTAL, CdfTables
from vaecodec_kernels.launch import INTERPRETED, triton_too_old
from vaecodec_kernels.tables import DeviceTables, make_tables

POISON = {torch.uint8: 0xA5, torch.int8: -91, torch.int16: -23131, torch.int32: -1515870811, torch.int64: -(2**62)}

collect_ignore_glob = ["test_*.py"] if triton_too_old() else []


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cpu" if INTERPRETED else "cuda")


@pytest.fixture(autouse=True)
def _poisoned_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor that a launcher allocates without a value starts as garbage, the same garbage each time."""
    empty: Callable[..., torch.Tensor] = torch.empty

    def poisoned(*shape: Any, **options: Any) -> torch.Tensor:
        tensor = empty(*shape, **options)
        return tensor.fill_(POISON.get(tensor.dtype, float("nan")))

    monkeypatch.setattr(torch, "empty", poisoned)


@pytest.fixture
def plain_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """For networks of plain layers on a GPU beside those that the codec runs: no TF32 in these either."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def _row(size: int, decay: float) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """A table that falls off: most likely first, every frequency at least 1."""
    pmf = np.exp(-np.arange(size) / decay)
    frequencies = np.maximum(1, np.floor(pmf / pmf.sum() * (PROB_TOTAL - size))).astype(np.int64)
    frequencies[0] += PROB_TOTAL - frequencies.sum()
    return np.concatenate([[0], np.cumsum(frequencies)]).astype(np.uint32)


@pytest.fixture(scope="session")
def tables() -> CdfTables:
    """A table of one symbol (frequency 2^16), nearly certain ones, wide ones, a flat one, and one of rare symbols."""
    sizes = [1, 3, 3, 5, 31, 101, 401, 1023, 1023]
    decays = [1.0, 0.1, 1.0, 1.0, 4.0, 20.0, 1e9, 120.0, 0.5]
    return CdfTables.from_rows([_row(size, decay) for size, decay in zip(sizes, decays, strict=True)])


@pytest.fixture(scope="session")
def device_tables(tables: CdfTables, device: torch.device) -> DeviceTables:
    cdf = torch.from_numpy(tables.quantized_cdf.astype(np.int32))
    sizes, costs = (torch.from_numpy(part.copy()) for part in (tables.sizes, tables.costs))
    return make_tables(cdf, sizes, costs, PROB_BITS, device)
