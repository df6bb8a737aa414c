"""The benchmark of the kernels on tiny inputs: its own checks hold, and its record can be written and read."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click import ClickException
from click.testing import CliRunner
from rich.console import Console

from bench.__main__ import main as bench_command
from bench.gpu import cases as kernel_cases
from bench.gpu import kernels
from bench.gpu.cases import Case, Inputs, Sizes
from bench.gpu.depthwise import depthwise_cases
from bench.gpu.kernels import Row, copy_bandwidth, machine, run_case, show, show_lanes
from bench.gpu.pictures import TINY_LOADS, TINY_MODELS, check, picture_rows, show_pictures
from bench.records import load, save
from vaecodec.codec import Codec
from vaecodec.entropy import coding
from vaecodec.gpu import coder as gpu

TINY_WEIGHTS = Path(__file__).parents[1] / "golden" / "tiny-v1.safetensors"
TINY = Sizes(batch=2, height=64, width=64, m=4, n=8, hidden=(8, 8))


def test_cases_check_and_time(device: torch.device, tmp_path: Path) -> None:
    inputs = Inputs(TINY, device)
    makers = (kernel_cases.quantize_cases, kernel_cases.compaction_cases, kernel_cases.rans_cases)
    bandwidth = copy_bandwidth(device)
    cases = itertools.chain(*(make(inputs) for make in makers), depthwise_cases(TINY, device))
    rows = [("tiny", run_case(case, device, bandwidth)) for case in cases]
    assert all(row.kernel_ms > 0 and row.symbols > 0 for _, row in rows)
    show(Console(quiet=True), rows)
    with (shown := Console(file=io.StringIO(), width=120)).capture() as lanes:
        show_lanes(shown, rows)
    assert "rANS encode" in lanes.get()
    assert "rANS decode" in lanes.get()
    assert all(row.notes["paying_lanes"] > 0 for _, row in rows if row.name.startswith("rANS"))  # type: ignore[operator]
    path = tmp_path / "kernels.json"
    save(path, {**machine(device), "results": [row.record() for _, row in rows]})
    assert [result["name"] for result in load(path)["results"]] == [row.name for _, row in rows]
    assert json.loads(path.read_text())["interpreted"] == (device.type == "cpu")


def test_pictures_are_checked_and_timed(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    for module in (gpu, coding):  # one lane would be too slow for an interpreter
        monkeypatch.setattr(module, "choose_lanes", lambda _: 64)
    wrong: list[str] = []
    rows = list(picture_rows(TINY_LOADS[1:], TINY_MODELS, device, wrong, repeat=False))
    assert wrong == []
    assert [(row.load, row.coder) for row in rows] == [("2 x tiny", "gpu"), ("2 x tiny", "cpu")]
    assert all(row.record()["decode_pictures_per_s"] > 0 for row in rows)
    assert all(0.01 < row.bits_per_pixel < 24 for row in rows)
    show_pictures(Console(quiet=True), rows, meaningless=True)


def test_pictures_that_differ_are_not_timed(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    pictures = [np.zeros((64, 64, 3), np.uint8)]
    codecs = [Codec(TINY_WEIGHTS, device=str(device), dtype="float32", coder=coder) for coder in ("cpu", "cpu")]
    other = np.full((64, 64, 3), 99, np.uint8)
    monkeypatch.setattr(codecs[1], "decode_batch", lambda *_, **__: [other])
    with pytest.raises(ClickException, match="different pictures"):
        check(codecs, pictures)


def test_what_is_wrong_does_not_stop_the_rest(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, tmp_path: Path
) -> None:
    """A GPU may be there for minutes only: every right result is kept, and the wrong one named."""
    monkeypatch.setattr(gpu, "choose_lanes", lambda _: 64)
    monkeypatch.setattr(coding, "choose_lanes", lambda _: 64)
    cases = [Case("wrong", lambda: None, lambda: False, 1), Case("right", lambda: None, lambda: True, 1)]
    monkeypatch.setattr(kernels, "make_cases", lambda *_: cases)
    monkeypatch.setattr(kernels, "depthwise_cases", lambda *_: [])
    monkeypatch.setattr(kernels, "TINY_LOADS", TINY_LOADS[:1])
    out = tmp_path / "kernels.json"
    done = CliRunner().invoke(kernels.main, ["--tiny", "--out", str(out)])
    assert done.exit_code == 1
    assert "tiny: wrong: the kernel's result differs" in done.output
    record = load(out)
    assert [row["name"] for row in record["results"]] == ["right"]
    assert len(record["pictures"]) == 2
    assert len(record["wrong"]) == 1


def test_the_command_is_there() -> None:
    shown = CliRunner().invoke(bench_command, ["kernels", "--help"])
    assert shown.exit_code == 0, shown.output
    assert "--tiny" in shown.output


def test_a_wrong_result_is_not_timed(device: torch.device) -> None:
    def never() -> Row:
        pytest.fail("timed")

    with pytest.raises(ClickException, match="wrong: the kernel's result differs"):
        run_case(Case("wrong", never, lambda: False, 1), device, 1.0)
