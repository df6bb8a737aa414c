"""Loops that are declared in one module and called from another, without importing where they are declared."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vaecodec.native import cache, processor

_LAYOUT = b"1"
"""Of what `calling` and `build` agree on."""


@dataclass(frozen=True)
class Loop:
    """A function that numba can compile, and the types of its arguments and result as numba writes them."""

    function: Callable[..., Any]
    signature: str


def loop(signature: str) -> Callable[[Callable[..., Any]], Loop]:
    """Declare a loop: `void(uint8[::1], int64)`. Arrays are C-contiguous."""
    return lambda function: Loop(function, signature)


class Loops:
    """The loops that a module declares, as attributes: found when first used, compiled where they are kept nowhere.

    sources: the modules whose text decides their code, besides `module`.
    """

    def __init__(self, module: str, *sources: str) -> None:
        self._module, self._sources = module, (module, *sources)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        function = self._find(name)
        setattr(self, name, function)
        return function

    def are_kept(self, *names: str) -> bool:
        """Whether an earlier process has compiled all of these for this processor."""
        return all(cache.find(self._file(name)) is not None for name in names)

    def _find(self, name: str) -> Callable[..., Any]:
        if not processor.can_compile():
            return self._declared(name).function
        if processor.checks_bounds():
            from vaecodec.native.build import checked

            return checked(self._declared(name))  # type: ignore[no-any-return]
        from vaecodec.native.calling import function_of

        code = cache.read(self._file(name))
        if code is None:
            from vaecodec.native.build import compile_loop

            code = compile_loop(self._declared(name))
            cache.keep(self._file(name), code)
        return function_of(code)

    def _declared(self, name: str) -> Loop:
        declared: Loop = getattr(importlib.import_module(self._module), name)
        return declared

    def _file(self, name: str) -> str:
        return f"{name}-{self._key}{cache.SUFFIX}"

    @cached_property
    def _key(self) -> str:
        """What the code depends on: its source, who compiles it, and the processor."""
        from vaecodec.native.calling import llvm_version

        texts = [_text(source) for source in (*self._sources, "vaecodec.native.build")]
        facts = (llvm_version(), processor.name(), processor.feature_text(), sys.platform, platform.machine())
        numba_version = _text("numba", "_version.py")
        parts = [_LAYOUT, *texts, numba_version, *(fact.encode() for fact in facts)]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:24]


def _text(module: str, beside: str | None = None) -> bytes:
    """The source of a module, or of a file beside it, which is not imported; nothing where it has none."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return b""
    path = Path(spec.origin) if beside is None else Path(spec.origin).with_name(beside)
    return path.read_bytes() if path.is_file() else b""
