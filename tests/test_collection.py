"""The tests can be collected where what .ci/run installs is there, and nothing else."""

from __future__ import annotations

import ast
import functools
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

tomllib = pytest.importorskip("tomllib", reason="reads pyproject.toml with the standard library of Python 3.11")

ROOT = Path(__file__).parents[1]
METADATA: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = ("vaecodec", "vaecodec_kernels", "bench", "checks", "tools", "tests")
# The standard library of the oldest Python that is supported lacks these; their readers skip without them.
NEWER = {"tomllib"}
# distribution -> the one that it comes with, in its version
COMES_WITH = {"llvmlite": "numba"}


def _installed_by_ci() -> set[str]:
    """The distributions that .ci/run asks for by name, in lower case with hyphens."""
    extras: dict[str, list[str]] = METADATA["optional-dependencies"]
    asked = [*METADATA["dependencies"]]
    for extra in ("bench", "browser", "torch", "cloud", "zarr", "test"):
        asked += extras[extra]
    names = (re.match(r"[A-Za-z0-9_.-]+", each) for each in asked)
    return {_normalized(name[0]) for name in names if name}


def _normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


INSTALLED = _installed_by_ci()
DISTRIBUTIONS = packages_distributions()


@functools.cache
def _imports_at_the_top(path: Path) -> list[str]:
    """Dotted names that a file imports when it is imported itself; those for types alone are left out."""
    names: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@functools.cache
def _file_of(name: str) -> Path | None:
    """The source file of this repository that a dotted name, of a module or of a thing in it, is in."""
    parts = name.split(".")
    for root in (ROOT, ROOT / "kernels"):
        for length in range(len(parts), 0, -1):
            path = root.joinpath(*parts[:length])
            for each in (path.with_suffix(".py"), path / "__init__.py"):
                if each.is_file():
                    return each
    return None


def _from_outside(path: Path) -> set[str]:
    """The top names of other projects that importing a file imports, through this project's own files too."""
    outside: set[str] = set()
    known, waiting = {path}, [path]
    while waiting:
        for name in _imports_at_the_top(waiting.pop()):
            top = name.partition(".")[0]
            if top in OWN:
                inner = _file_of(name)
                if inner is not None and inner not in known:
                    known.add(inner)
                    waiting.append(inner)
            elif top not in sys.stdlib_module_names | NEWER:
                outside.add(top)
    return outside


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_test_imports_is_installed_or_asked_for(path: Path) -> None:
    skipped_without = set(re.findall(r'importorskip\("(\w+)', path.read_text(encoding="utf-8")))
    for name in _from_outside(path) - skipped_without:
        owners = {_normalized(COMES_WITH.get(each, each)) for each in DISTRIBUTIONS.get(name, [name])}
        assert owners & INSTALLED, f"{path.name} imports {name}, which no extra that .ci/run installs asks for"
