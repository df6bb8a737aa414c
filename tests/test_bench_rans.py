"""`python -m bench rans`: it compares what it decoded, and its record says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.speed import rans


def test_the_task_is_about_one_bit_a_symbol() -> None:
    tables = rans.gaussian_tables()
    symbols, index = rans.draw(tables, 1 << 16)
    assert 0.9 < rans.information(symbols, index, tables) / len(symbols) < 1.1


def test_a_short_run(tmp_path: Path) -> None:
    pytest.importorskip("constriction", reason="constriction is not installed: pip install 'vaecodec[bench]'")
    out = tmp_path / "rans.json"
    done = CliRunner().invoke(rans.main, ["--symbols", "8192", "--rounds", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "| constriction ANS, as they come |" in done.output
    record = json.loads(out.read_text(encoding="utf-8"))
    assert {"format", "command", "made", "setting"} < set(record)
    assert [row["symbols"] for row in record["million_symbols_per_second"]] == [8192, 8192, 8192, 512]


class Liar:
    """A coder that decodes something else."""

    title = "liar"
    symbols = np.zeros(5, np.uint16)

    def encode(self) -> bytes:
        return b""

    def decode(self, _data: bytes) -> np.ndarray:
        return np.ones(5, np.uint16)


def test_a_coder_that_decodes_wrongly_is_not_recorded() -> None:
    with pytest.raises(rans.click.ClickException, match="liar: the decoded symbols differ"):
        rans.measure([Liar()], 1)
