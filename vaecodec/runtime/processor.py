"""What this machine's processor can do, as LLVM names it. Imports neither numba nor PyTorch."""

from __future__ import annotations

import os
from functools import cache

FEATURES_VARIABLE = "NUMBA_CPU_FEATURES"
"""The environment variable by which numba's code is kept to older instructions."""
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


def can_compile() -> bool:
    """False where numba was told to leave Python's code as it is."""
    return os.environ.get(JIT_VARIABLE, "0") in ("", "0")
