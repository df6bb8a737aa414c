"""What this machine's processor can do, as LLVM names it. Imports neither numba nor PyTorch."""

from __future__ import annotations

import os
from functools import cache

NAME_VARIABLE, FEATURES_VARIABLE = "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"
"""The environment variables by which numba's code is made for an older processor."""
JIT_VARIABLE, BOUNDS_VARIABLE = "NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"
"""Those by which it leaves Python's code as it is, or checks every index."""
GENERIC = "generic"


def name() -> str:
    """The processor that code is made for."""
    import llvmlite.binding

    return os.environ.get(NAME_VARIABLE) or str(llvmlite.binding.get_host_cpu_name())


def feature_text() -> str:
    """The instruction sets that code may use, as LLVM takes them: "+avx2,-avx512f"."""
    chosen = os.environ.get(FEATURES_VARIABLE)
    if chosen is not None or os.environ.get(NAME_VARIABLE, "").lower() == GENERIC:
        return chosen or ""
    import llvmlite.binding

    return str(llvmlite.binding.get_host_cpu_features().flatten())


@cache
def features() -> frozenset[str]:
    """The instruction sets that compiled code may use."""
    return frozenset(feature[1:] for feature in feature_text().split(",") if feature.startswith("+"))


def has_bfloat16() -> bool:
    """Whether there are products of bfloat16 that add up in float32, twice as fast as those of float32."""
    return "avx512bf16" in features()


def vectors() -> str:
    """The widest vector instructions that compiled code uses."""
    names = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "neon": "NEON"}
    return next((name for feature, name in names.items() if feature in features()), "128 bits")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "0") not in ("", "0")


def can_compile() -> bool:
    """False where numba was told to leave Python's code as it is."""
    return not _is_set(JIT_VARIABLE)


def checks_bounds() -> bool:
    """True where numba was told to check every index; its code must then run through numba, which raises the error."""
    return _is_set(BOUNDS_VARIABLE)
