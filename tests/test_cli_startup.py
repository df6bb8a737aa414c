"""How the command starts: without numba where NumPy is done sooner."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from vaecodec import cli
from vaecodec.cli import startup
from vaecodec.cli.machine import Machine

CPU = Machine()


def test_where_numpy_is_done_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert not startup.may_skip_numba(1, CPU, files=1, is_plain=True)  # numba is loaded already
    monkeypatch.delitem(sys.modules, "numba")
    assert startup.may_skip_numba(startup.NUMPY_PIXELS, CPU, files=1, is_plain=True)
    assert not startup.may_skip_numba(startup.NUMPY_PIXELS + 1, CPU, files=1, is_plain=True)


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
