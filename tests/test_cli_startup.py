"""How the command starts: without numba where NumPy is done sooner."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from click.testing import CliRunner

import vaecodec
from vaecodec import cli
from vaecodec.cli import doctor, program, startup
from vaecodec.cli.machine import Machine

CPU = Machine()


@pytest.mark.parametrize("compiled", [True, False])
def test_where_numpy_is_done_sooner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiled: bool) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    if compiled:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "compiled.block-88.py311.nbi").touch()
    most = startup.NUMPY_PIXELS if compiled else startup.UNCOMPILED_PIXELS
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert not startup.may_skip_numba(1, CPU, files=1, is_plain=True)  # numba is loaded already
    monkeypatch.delitem(sys.modules, "numba")
    assert startup.may_skip_numba(most, CPU, files=1, is_plain=True)
    assert not startup.may_skip_numba(most + 1, CPU, files=1, is_plain=True)


def test_what_needs_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert not startup.may_skip_numba(1, CPU, files=2, is_plain=True)
    assert not startup.may_skip_numba(1, CPU, files=1, is_plain=False)
    assert not startup.may_skip_numba(1, Machine(max_memory=10**9), files=1, is_plain=True)
    for device in ("cuda", "cuda:1", "foo"):
        assert not startup.may_skip_numba(1, Machine(device), files=1, is_plain=True)


def test_the_modules_of_the_command_line_form_no_circle() -> None:
    """Imports for types count, too, and those inside functions."""
    graph: dict[str, set[str]] = {}
    for path in Path(cli.__file__).parent.glob("*.py"):
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "vaecodec.cli":
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vaecodec.cli."):
                imported.add(str(node.module).rpartition(".")[2])
        graph[path.stem] = imported
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert {"progress", "report", "run"} < set(order)


ONE_BLOCK = """
import numpy as np
from vaecodec.runtime.cpu.kernels import Block, CompiledKernels, Matrix
from vaecodec.runtime.processor import was_compiled
before, zeros = was_compiled(), np.zeros(32, np.float32)
matrix = Matrix(np.eye(16, dtype=np.float32), zeros[:16])
gated = Matrix(np.zeros((16, 32), np.float32), zeros, True)
block = Block(matrix, np.zeros((9, 16), np.float32), zeros[:16], matrix, gated, matrix)
CompiledKernels(1).block(np.zeros((1, 8, 16), np.float32), block, 0, 1, narrow=False)
print(before, was_compiled())
"""


def test_numba_keeps_its_code_where_it_is_looked_for(tmp_path: Path) -> None:
    """The name and the place are numba's."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    root = Path(__file__).parents[1]
    line = [sys.executable, "-c", ONE_BLOCK]
    done = subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_doctor_says_what_runs() -> None:
    result = CliRunner().invoke(program.cli, ["doctor"])
    assert result.exit_code == 0
    for word in ("networks compiled", "threads", "numba", "is right"):
        assert word in result.output
    facts = json.loads(CliRunner().invoke(program.cli, ["doctor", "--json"]).output)
    assert facts["vaecodec"] == vaecodec.__version__


def test_doctor_says_what_to_install() -> None:
    assert doctor._gpu(has_driver=True, has_pytorch=False).endswith("pip install 'vaecodec[torch]'")
    assert doctor._version("no-such-package") == "absent"
