"""How numba compiles what codes on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use. The result is kept beside its file or, where that is read-only, in the user's cache."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder can be written, as in a locked-down container: compile in every process
        return numba.njit(nogil=True)(function)
