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
def test_where_numpy_is_done_sooner(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    monkeypatch.setattr("vaecodec.runtime.cpu.engine.was_compiled", lambda *_, **__: compiled)
    monkeypatch.setitem(sys.modules, "numba", sys)
    assert not startup.may_skip_numba(1, CPU, files=1, is_plain=True, task="encode")  # numba is loaded already
    monkeypatch.delitem(sys.modules, "numba")
    most = startup.UNCOMPILED_PIXELS
    assert startup.may_skip_numba(most, CPU, files=1, is_plain=True, task="decode") is not compiled
    assert not startup.may_skip_numba(most + 1, CPU, files=1, is_plain=True, task="decode")


def test_what_needs_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaecodec.runtime.cpu.engine.was_compiled", lambda *_, **__: False)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert not startup.may_skip_numba(1, CPU, files=2, is_plain=True, task="encode")
    assert not startup.may_skip_numba(1, CPU, files=1, is_plain=False, task="encode")
    assert not startup.may_skip_numba(1, Machine(max_memory=10**9), files=1, is_plain=True, task="encode")
    for device in ("cuda", "cuda:1", "foo"):
        assert not startup.may_skip_numba(1, Machine(device), files=1, is_plain=True, task="encode")


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


STARTED = """
import sys
from vaecodec.runtime.cpu.engine import was_compiled
from vaecodec.runtime.devices import native_dtype
narrow = native_dtype("cpu") == "bfloat16"
print(was_compiled("encode", narrow=narrow), was_compiled("decode", narrow=narrow))
"""


def test_help_imports_no_more_than_it_shows() -> None:
    """It imports every command, so what one of them imports at once all of them wait for."""
    heavy = ("numpy", "PIL", "torch", "numba", "importlib.metadata", "multiprocessing", "fsspec")
    code = (
        "import sys; from vaecodec.cli.program import cli; cli(['--help'], standalone_mode=False)\n"
        f"sys.stderr.write(str([name for name in {heavy} if name in sys.modules]))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "compress" in done.stdout
    assert done.stderr == "[]"


@pytest.mark.slow
def test_doctor_compiles_all_that_an_image_takes(tmp_path: Path) -> None:
    """After it no command imports numba."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    root = Path(__file__).parents[1]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, *arguments]
        return subprocess.run(line, cwd=root, env=environment, capture_output=True, text=True, check=True)

    assert run("-c", STARTED).stdout.split() == ["False", "False"]
    run("-m", "vaecodec", "doctor")
    assert run("-c", STARTED).stdout.split() == ["True", "True"]
    photo, file = str(root / "samples" / "mountain-lake.jpg"), str(tmp_path / "photo.vaec")
    for command in (["compress", photo, "-o", file], ["decompress", file]):
        imported = run("-X", "importtime", "-m", "vaecodec", *command).stderr.splitlines()
        assert not any(line.endswith(" numba") for line in imported)


def test_blas_gets_threads_where_networks_may_need_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    startup.spare_blas()
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    (tmp_path / "vaecodec").mkdir()
    (tmp_path / "vaecodec" / "block-0.loop").touch()
    startup.spare_blas()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    startup.spare_blas()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_the_garbage_collector_pauses_for_the_first_file_alone(tmp_path: Path) -> None:
    code = "import gc\nfrom vaecodec.cli import startup\nstartup.pause_collector()\nprint(gc.isenabled())\n"
    code += "startup.resume_collector()\nprint(gc.isenabled())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
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
