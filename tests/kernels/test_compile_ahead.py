"""Every kernel compiles for the GPUs we mean to run on, on machines that have none."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("compile_ahead.py")
KERNELS = ROOT / "kernels" / "vaecodec_kernels"


def _kernel_names() -> set[str]:
    """Every function *_kernel under @triton.jit, as the source says."""
    names = set()
    for path in sorted(KERNELS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("triton.jit" in ast.unparse(d) for d in node.decorator_list):
                names.add(node.name)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_every_kernel_compiles(capability: int) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT / "kernels")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(capability)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert {report["kernel"] for report in reports} == _kernel_names()
    assert all(f"sm_{capability}" in report["target"] and report["cubin"] > 0 for report in reports)
    assert all(report["integer_mma"] for report in reports if report["kernel"] == "integer_layer_kernel")
