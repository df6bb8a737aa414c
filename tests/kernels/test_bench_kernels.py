"""The benchmark of the kernels on tiny inputs: its own checks hold, and its record can be written and read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from click import ClickException
from rich.console import Console

from bench import kernel_cases
from bench.kernel_cases import Case, Inputs, Sizes
from bench.kernels import Row, copy_bandwidth, machine, run_case, show
from bench.records import load, save

TINY = Sizes(batch=2, height=64, width=64, m=4, n=8, hidden=(8, 8))


def test_cases_check_and_time(device: torch.device, tmp_path: Path) -> None:
    inputs = Inputs(TINY, device)
    makers = (kernel_cases.quantize_cases, kernel_cases.compaction_cases, kernel_cases.rans_cases)
    bandwidth = copy_bandwidth(device)
    cases = itertools.chain.from_iterable(make(inputs) for make in makers)
    rows = [("tiny", run_case(case, device, bandwidth)) for case in cases]
    assert all(row.kernel_ms > 0 and row.symbols > 0 for _, row in rows)
    show(Console(quiet=True), rows)
    path = tmp_path / "kernels.json"
    save(path, {**machine(device), "results": [row.record() for _, row in rows]})
    assert [result["name"] for result in load(path)["results"]] == [row.name for _, row in rows]
    assert json.loads(path.read_text())["interpreted"] == (device.type == "cpu")


def test_a_wrong_result_is_not_timed(device: torch.device) -> None:
    def never() -> Row:
        pytest.fail("timed")

    with pytest.raises(ClickException, match="wrong: the kernel's result differs"):
        run_case(Case("wrong", never, lambda: False, 1), device, 1.0)
