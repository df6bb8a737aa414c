"""Rows of an image shared out to threads. numba's own threads can't be called from two threads at once everywhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise

LIMIT = "OMP_NUM_THREADS"
"""The environment variable that PyTorch, OpenBLAS and many others heed, too."""


_chosen: list[int] = []


def set_thread_count(threads: int | None) -> None:
    """Set how many threads work on an image from now on, in this process. None: as the environment says."""
    _chosen[:] = [] if threads is None else [max(1, threads)]


def thread_count() -> int:
    """The number of threads that work on an image: what was set, else OMP_NUM_THREADS, else all processors."""
    if _chosen:
        return _chosen[0]
    variable = os.environ.get(LIMIT, "").partition(",")[0]
    if variable.isdecimal() and int(variable) > 0:
        return int(variable)
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """process: a forked process has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="vaecodec")


class _State(threading.local):
    """is_part: this thread is at work on a part of something shared out."""

    is_part = False


_state = _State()


def share(rows: int, threads: int, work: Callable[[int, int], None]) -> None:
    """work(start, stop) for parts of range(rows), one for each thread, at the same time.

    What a part would share out in its turn, its thread does alone: handing over takes a tenth of a millisecond, so few
    large parts are better than many small ones.
    """
    if _state.is_part:
        threads = 1
    parts = min(threads, rows)
    bounds = [rows * part // max(parts, 1) for part in range(parts + 1)]
    ranges = list(pairwise(bounds))
    if len(ranges) < 2:
        for start, stop in ranges:
            work(start, stop)
        return
    others = [_pool(threads, os.getpid()).submit(_run_part, work, start, stop) for start, stop in ranges[1:]]
    try:
        _run_part(work, *ranges[0])
    finally:
        wait(others)
    for other in others:
        other.result()


def _run_part(work: Callable[[int, int], None], start: int, stop: int) -> None:
    _state.is_part = True
    try:
        work(start, stop)
    finally:
        _state.is_part = False
