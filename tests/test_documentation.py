"""Every public name of the package says in a sentence what it is, and is typed; names are words for things."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vaecodec

ROOT = Path(__file__).parents[1]
FOLDERS = ("vaecodec", "kernels", "bench", "checks", "tests", "tools")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
NO_NAMES = {"found", "told", "there", "wanted", "made", "given", "said"}
"""Words that name grammar instead of a thing."""
FRAGMENTS = re.compile(r"(Of|Than|Those|Under|As|With|From|By|Its|The same|The inverse)\b(?! of )")
"""How a docstring begins that needs the name in front of it to be a sentence."""


def _modules() -> list[str]:
    names = [info.name for info in pkgutil.walk_packages(vaecodec.__path__, "vaecodec.")]
    kernels = ROOT / "kernels" / "vaecodec_kernels"
    names += [f"vaecodec_kernels.{path.stem}" for path in sorted(kernels.glob("*.py")) if path.stem != "__init__"]
    return ["vaecodec", *(name for name in names if not name.endswith("__main__"))]


def _public(module: Any) -> Iterator[tuple[str, Any]]:
    """Functions and classes that a module defines, and what the classes define."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value
        if inspect.isclass(value):
            for attribute, member in vars(value).items():
                unwrapped = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
                kinds = (property, functools.cached_property)
                if getattr(unwrapped, "__name__", "") == "<lambda>":  # the default of a field
                    continue
                if not attribute.startswith("_") and (inspect.isfunction(unwrapped) or isinstance(member, kinds)):
                    yield f"{name}.{attribute}", getattr(value, attribute)


@pytest.mark.parametrize("name", _modules())
def test_public_names_are_documented_and_typed(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:  # the kernels are optional
        pytest.skip(str(error))
    assert module.__doc__, f"{name} has no docstring"
    for path, value in _public(module):
        text = inspect.getdoc(value)
        assert text, f"{name}.{path} has no docstring"
        assert not FRAGMENTS.match(text), f"{name}.{path}: {text.splitlines()[0]!r} is no sentence"
        if inspect.isfunction(value):
            signature = inspect.signature(value)
            untyped = [
                p.name
                for p in signature.parameters.values()
                if p.annotation is p.empty and p.name not in ("self", "cls")
            ]
            assert not untyped, f"{name}.{path}: {untyped} have no type"
            assert signature.return_annotation is not signature.empty, f"{name}.{path} has no return type"


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "tests"])
def test_docstrings_are_sentences(folder: str) -> None:
    """Also of private names, and of what is never installed."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = (ast.get_docstring(node) or "") if isinstance(node, kinds) else ""
            assert not FRAGMENTS.match(text), f"{path}: {text.splitlines()[0]!r} is no sentence"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_words_for_things(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        name = node.id if isinstance(node, ast.Name) and stored else node.arg if isinstance(node, ast.arg) else ""
        assert name not in NO_NAMES, f"{path}:{getattr(node, 'lineno', 0)}: {name}"


PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]


def _exists(name: str) -> bool:
    """Whether a page's name of a file, a folder, a module, or of something in a module stands for anything."""
    if "/" in name or name.endswith((".py", ".md", ".js")):
        return any((ROOT / folder / name).exists() for folder in ("", "vaecodec", "kernels", "docs"))
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        for folder in (ROOT, ROOT / "vaecodec"):
            path = folder.joinpath(*parts[:count])
            source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            if source.exists():
                text = source.read_text(encoding="utf-8")
                return all(re.search(rf"\b{word}\b", text) for word in parts[count:])
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_and_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = {
        *re.findall(r"`([A-Za-z_]\w*(?:[./]\w+)+/?)`", text),
        *re.findall(r"^ {11}(\w+\.\w+) ", text, re.MULTILINE),
    }
    assert len(names) > 15
    missing = [name for name in sorted(names) if not _exists(name) and not name.startswith("Pipeline.")]
    assert missing == []
