"""SECURITY.md: its numbers are those of the code, and what the package promises never to do is not in its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from PIL import Image

from bench.records import RESULTS, load
from vaecodec import container, inspection
from vaecodec.entropy import coding
from vaecodec.rans import choice, lanes, tables

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
SOURCES = sorted([*(ROOT / "vaecodec").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")])

NEVER_CALLED = {"eval", "exec", "__import__", "os.system", "os.popen", "torch.hub.load", "np.load", "numpy.load"}
NEVER_IMPORTED = {"ftplib", "http", "httpx", "pickle", "requests", "socket", "telnetlib", "urllib", "yaml"}


@pytest.mark.parametrize(
    "number",
    [
        inspection.DEFAULT_MAX_PIXELS,
        container.MAX_SIDE,
        container.MAX_HEADER_BYTES,
        lanes.MAX_LANES,
        tables.MAX_SYMBOLS,
        tables.MAX_TABLES,
        coding.R_LIMIT,
        choice.PLAIN_SYMBOLS,
    ],
)
def test_the_limits_are_those_of_the_code(number: int) -> None:
    assert f"{number:,}" in TEXT


def test_other_limits() -> None:
    assert f"{container.MAX_METADATA >> 20} MiB" in TEXT
    assert f"{coding.MAX_BITS_PER_BYTE} bits a byte" in TEXT
    assert Image.MAX_IMAGE_PIXELS is not None
    assert f"{Image.MAX_IMAGE_PIXELS:,} warn" in TEXT
    assert 2 * Image.MAX_IMAGE_PIXELS == inspection.DEFAULT_MAX_PIXELS
    assert 1 << coding.MAX_LANES_LOG2 == lanes.MAX_LANES


def test_fuzzing_and_damage_found_nothing() -> None:
    """The table that says so is compared with the records in test_figures.py."""
    fuzzed = load(RESULTS / "fuzz.json")
    assert fuzzed["passed"] is True
    assert {run["target"] for run in fuzzed["targets"]} == {"container", "rans", "decode", "pillow", "pixels"}
    assert all(load(path)["passed"] for path in RESULTS.glob("damage-*.json"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_or_fetches_what_it_is_given(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in NEVER_CALLED, where
            assert not any(keyword.arg == "shell" for keyword in node.keywords), where
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.partition(".")[0] for name in names} & NEVER_IMPORTED, where
