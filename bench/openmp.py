"""Threads that keep their cores: what every process that uses OpenMP is started with.

Left alone, two OpenMP threads of a small virtual machine now and then find themselves on one core for some
milliseconds, which makes single rounds two or three times as long. Bound threads stay apart. The library narrows its
process to the first core as soon as it is loaded, and children inherit that: so only processes made for one codec are
bound, never the one that starts them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def variables(threads: int) -> dict[str, str]:
    """The environment of a process with `threads` OpenMP threads; one thread may go where the system puts it."""
    settings = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    return settings | ({"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"} if threads > 1 else {})


def cores() -> int:
    """How many cores this process may use: all of them, unless it was started with taskset or is bound itself."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS and Windows do not say


@contextmanager
def started_with(settings: dict[str, str]) -> Iterator[None]:
    """Processes started inside the block have `settings` in their environment."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
