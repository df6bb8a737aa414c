"""The rules of the package, checked by reading its source: imports go down only, and what is never written at all."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from vaecodec.runtime.choice import Plan

ROOT = Path(__file__).parents[1]

# part -> layer. A module belongs to the longest entry that it starts with, and may import lower layers only.
LAYERS = {
    "vaecodec.errors": 0,
    "vaecodec.arguments": 1,
    "vaecodec.levels": 1,
    "vaecodec.metrics": 1,
    "vaecodec.files": 1,
    "vaecodec.reading": 1,
    "vaecodec.native": 1,
    "vaecodec.urls": 1,
    "vaecodec.container": 2,
    "vaecodec.image": 2,
    "vaecodec.intnet": 2,
    "vaecodec.rans": 2,
    "vaecodec.collecting": 2,
    "vaecodec.noise": 2,
    "vaecodec.modes": 2,
    "vaecodec.targets": 2,
    "vaecodec.entropy": 3,
    "vaecodec.weights": 3,
    "vaecodec.gpu": 4,
    "vaecodec.networks": 5,
    "vaecodec.runtime": 6,
    "vaecodec.runtime.cpu": 6,
    "vaecodec.auto": 7,
    "vaecodec.feedback": 7,
    "vaecodec.refine": 7,
    "vaecodec.codec": 7,
    "vaecodec.denoising": 7,
    "vaecodec.image_latents": 7,
    "vaecodec.lossless": 7,
    "vaecodec.searching": 7,
    "vaecodec.verification": 7,
    "vaecodec.picture_file": 7,
    "vaecodec.postfilter": 7,
    "vaecodec.numpy_codec": 7,
    "vaecodec.inspection": 7,
    "vaecodec.training": 7,
    "vaecodec.api": 8,
    "vaecodec.cli": 8,
    "vaecodec.compare": 8,
    "vaecodec.conformance": 8,
    "vaecodec.latents": 8,
    "vaecodec.pillow": 8,
    "vaecodec.ray": 8,
    "vaecodec.web": 8,
    "vaecodec.webdataset": 8,
    "vaecodec.zarr": 8,
    "vaecodec.zarr3": 8,
    "vaecodec.__main__": 8,
    "vaecodec": 8,
}

# The top layer is one surface: the root offers the plugin, the commands use the root like any other caller.
WITHIN_A_LAYER = {
    ("vaecodec.lossless", "vaecodec.picture_file"),
    ("vaecodec.auto", "vaecodec.lossless"),
    ("vaecodec.auto", "vaecodec.picture_file"),
    ("vaecodec.codec", "vaecodec.auto"),
    ("vaecodec.codec", "vaecodec.denoising"),
    ("vaecodec.codec", "vaecodec.feedback"),
    ("vaecodec.codec", "vaecodec.image_latents"),
    ("vaecodec.feedback", "vaecodec.picture_file"),
    ("vaecodec.codec", "vaecodec.lossless"),
    ("vaecodec.levels", "vaecodec.arguments"),
    ("vaecodec.codec", "vaecodec.picture_file"),
    ("vaecodec.codec", "vaecodec.postfilter"),
    ("vaecodec.codec", "vaecodec.refine"),
    ("vaecodec.denoising", "vaecodec.refine"),
    ("vaecodec.searching", "vaecodec.feedback"),
    ("vaecodec.searching", "vaecodec.refine"),
    ("vaecodec.codec", "vaecodec.searching"),
    ("vaecodec.codec", "vaecodec.verification"),
    ("vaecodec.verification", "vaecodec.auto"),
    ("vaecodec.verification", "vaecodec.lossless"),
    ("vaecodec.verification", "vaecodec.picture_file"),
    ("vaecodec.searching", "vaecodec.picture_file"),
    ("vaecodec.inspection", "vaecodec.lossless"),
    ("vaecodec.runtime", "vaecodec.runtime.cpu"),
    ("vaecodec.runtime.cpu", "vaecodec.runtime"),
    ("vaecodec.numpy_codec", "vaecodec.codec"),
    ("vaecodec.numpy_codec", "vaecodec.lossless"),
    ("vaecodec.numpy_codec", "vaecodec.picture_file"),
    ("vaecodec.numpy_codec", "vaecodec.refine"),
    ("vaecodec", "vaecodec.api"),
    ("vaecodec", "vaecodec.latents"),
    ("vaecodec", "vaecodec.pillow"),
    ("vaecodec.pillow", "vaecodec.api"),
    ("vaecodec.webdataset", "vaecodec.api"),
    ("vaecodec.zarr", "vaecodec.api"),
    ("vaecodec.zarr3", "vaecodec.zarr"),
    ("vaecodec.__main__", "vaecodec.cli"),
    ("vaecodec.cli", "vaecodec"),
    ("vaecodec.cli", "vaecodec.conformance"),
    ("vaecodec.cli", "vaecodec.compare"),
    ("vaecodec.cli", "vaecodec.latents"),
    ("vaecodec.cli", "vaecodec.ray"),
    ("vaecodec.cli", "vaecodec.web"),
}

# part -> modules from outside that it must not know, not even inside a function.
UNKNOWN_TO = {
    "vaecodec.arguments": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.reading": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.errors": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.levels": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.metrics": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.container": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.files": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.urls": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.image": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.verification": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.auto": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.feedback": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.image_latents": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.lossless": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.compare": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.denoising": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.noise": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.collecting": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.searching": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.modes": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.picture_file": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.postfilter": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.numpy_codec": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.runtime.cpu": {"torch", "PIL", "triton", "vaecodec_kernels"},
    "vaecodec.codec": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.intnet": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.rans": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.native": {"torch", "PIL", "triton", "vaecodec_kernels"},
    "vaecodec.entropy": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.targets": {"torch", "numpy", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.weights": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.latents": {"torch", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.web": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec.inspection": {"torch", "PIL", "numba", "triton", "vaecodec_kernels"},
    "vaecodec_kernels": {"vaecodec"},
}

# Formats that run code when they are read, and the door to every file of a checkpoint.
NEVER_IMPORTED = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = sorted((ROOT / "vaecodec").rglob("*.py"))
KERNELS = sorted((ROOT / "kernels").rglob("*.py"))


def _name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(ROOT / "kernels" if path in KERNELS else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _part(module: str) -> str:
    """The entry of the table that a module belongs to; ``""`` for modules from outside."""
    while module and module not in LAYERS:
        module = module.rpartition(".")[0]
    return module


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported name with its line, at the top of the file or inside a function, for types or for use."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _rows(title: str) -> list[list[str]]:
    """The cells of the first table below a title of architecture.md."""
    section = ARCHITECTURE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return rows[2:]


def _parts(cell: str) -> list[str]:
    """`runtime/cpu/` -> vaecodec.runtime.cpu; `vaecodec` is the package itself."""
    names = [name.strip("/").replace("/", ".") for name in re.findall("`([^`]+)`", cell)]
    return [name if name == "vaecodec" else f"vaecodec.{name}" for name in names]


def test_the_table_of_layers_is_the_one_in_architecture() -> None:
    described = [(part, int(layer)) for layer, parts, *_ in _rows("Layers") for part in _parts(parts)]
    assert sorted(described) == sorted(LAYERS.items())
    assert [int(row[0]) for row in _rows("Layers")] == sorted((int(row[0]) for row in _rows("Layers")), reverse=True)
    for _, parts, _, unknown in _rows("Layers"):
        names = {"torch", "numpy", "PIL", "numba"} if unknown.startswith("everything") else set(unknown.split(", "))
        for part in _parts(parts):
            assert names - {""} <= UNKNOWN_TO.get(part, set()), part


def test_architecture_names_every_choice_of_a_plan() -> None:
    """And the table has no other one."""
    described: dict[str, set[str]] = {}
    field = ""
    for name, value, *_ in _rows("Which implementation runs when"):
        field = name.strip("`") or field
        described.setdefault(field, set()).add(value.strip("`"))
    types = {name: kind for name, kind in get_type_hints(Plan).items() if get_origin(kind) is Literal}
    assert described == {name: set(get_args(kind)) for name, kind in types.items()}


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_imports_go_down(path: Path) -> None:
    own = _part(_name(path))
    for imported, line in _imports(path):
        other = _part(imported)
        if other in ("", own) or (own, other) in WITHIN_A_LAYER:
            continue
        assert LAYERS[other] < LAYERS[own], f"{path}:{line}: {own} (layer {LAYERS[own]}) imports {imported}"


@pytest.mark.parametrize("path", [*PACKAGE, *KERNELS], ids=_name)
def test_parts_do_not_know_what_is_not_theirs(path: Path) -> None:
    own = "vaecodec_kernels" if path in KERNELS else _part(_name(path))
    forbidden = UNKNOWN_TO.get(own, set()) | NEVER_IMPORTED | {"bench", "checks", "tests"}
    for imported, line in _imports(path):
        assert imported.partition(".")[0] not in forbidden, f"{path}:{line}: {own} imports {imported}"


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_only_the_gpu_part_knows_the_kernels(path: Path) -> None:
    if _part(_name(path)) == "vaecodec.gpu":
        return
    for imported, line in _imports(path):
        assert imported.partition(".")[0] not in ("triton", "vaecodec_kernels"), f"{path}:{line}: imports {imported}"


# What a machine can do -> where else than in `runtime.choice` it is asked: its own module, and those that report it.
ASKED_ONLY_BY_THE_CHOICE = {
    "kernels_missing": {"vaecodec.gpu", "vaecodec.gpu.coder"},
    "can_compile": {"vaecodec.native.processor", "vaecodec.native.loops"},
    "has_bfloat16": {
        "vaecodec.cli.doctor",
        "vaecodec.native.processor",
        "vaecodec.runtime.cpu.tile_sizes",
        "vaecodec.runtime.cpu.kernels",
        "vaecodec.runtime.devices",
    },
    "native_dtype": {"vaecodec.runtime.devices", "vaecodec.conformance"},
}


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_one_module_chooses_what_runs(path: Path) -> None:
    names = {node.id for node in ast.walk(_tree(path)) if isinstance(node, ast.Name)}
    for question, homes in ASKED_ONLY_BY_THE_CHOICE.items():
        assert question not in names or _name(path) in homes | {"vaecodec.runtime.choice"}, question


def test_training_stays_out_of_the_codec() -> None:
    for path in PACKAGE:
        if _part(_name(path)) not in ("vaecodec.training", "vaecodec.cli"):
            assert not [line for name, line in _imports(path) if name.startswith("vaecodec.training")], path


@pytest.mark.parametrize("path", [*PACKAGE, *KERNELS], ids=_name)
def test_nothing_catches_everything(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ExceptHandler):
            where = f"{path}:{node.lineno}"
            assert node.type is not None, f"{where}: bare except"
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)}
            assert not caught & {"Exception", "BaseException"}, f"{where}: catches {caught}"


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_torch_load_reads_weights_only(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert keywords.get("weights_only") == "True", f"{path}:{node.lineno}: torch.load without weights_only=True"


@pytest.mark.parametrize("path", [*PACKAGE, *KERNELS], ids=_name)
def test_files_have_names_that_say_what_is_in_them(path: Path) -> None:
    assert path.stem not in ("utils", "misc", "helpers", "common")
