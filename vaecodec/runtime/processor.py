"""What this machine's processor can do, as LLVM names it. Imports neither numba nor PyTorch."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

FEATURES_VARIABLE = "NUMBA_CPU_FEATURES"
"""The environment variable by which numba's code is kept to older instructions."""
COMPILED = "compiled.block-*.nbi"
"""The index of what numba has made of `cpu.compiled.block`, the layer that takes longest."""
JIT_VARIABLE = "NUMBA_DISABLE_JIT"


@cache
def features() -> frozenset[str]:
    """The instruction sets that compiled code may use."""
    chosen = os.environ.get(FEATURES_VARIABLE)
    if chosen is not None:
        return frozenset(name[1:] for name in chosen.split(",") if name.startswith("+"))
    import llvmlite.binding

    return frozenset(name for name, has_it in llvmlite.binding.get_host_cpu_features().items() if has_it)


def has_bfloat16() -> bool:
    """Whether there are products of bfloat16 that add up in float32, twice as fast as those of float32."""
    return "avx512bf16" in features()


def vectors() -> str:
    """The widest vector instructions that compiled code uses."""
    names = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "neon": "NEON"}
    return next((name for feature, name in names.items() if feature in features()), "128 bits")


def was_compiled() -> bool:
    """Whether an earlier process has compiled the networks' layers: numba keeps them in one of these folders."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    own = Path(__file__).parent / "cpu" / "__pycache__"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folders = [Path(chosen)] if chosen else [own, cache, Path.home() / "Library" / "Caches" / "numba"]
    return any(next(folder.glob(place), None) for folder in folders for place in (COMPILED, f"*/{COMPILED}"))


def can_compile() -> bool:
    """False where numba was told to leave Python's code as it is."""
    return os.environ.get(JIT_VARIABLE, "0") in ("", "0")
