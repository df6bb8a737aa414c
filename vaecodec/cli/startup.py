"""What makes the command start and end fast: numba and PyTorch loaded late, quickly, or not at all."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar

import vaecodec
from vaecodec.cli.exits import Fatal
from vaecodec.cli.machine import Machine
from vaecodec.errors import BackendError

if TYPE_CHECKING:
    from vaecodec import Codec

T = TypeVar("T")

UNCOMPILED_PIXELS = 5_000_000
"""Pixels up to which one image is coded sooner by NumPy than numba has compiled: some 6 seconds, once for each
installation."""


def may_skip_numba(
    pixels: int, machine: Machine, *, files: int, is_plain: bool, task: Literal["encode", "decode"]
) -> bool:
    """True where NumPy may code an image of so many pixels, and is done sooner than numba has compiled.

    files: of the whole command. In a folder, what a file is like must not depend on its place in it: never there.
    is_plain: the task is within what `vaecodec.numpy_codec` can do (a shipped model, a quality, no reduced size).
    """
    if (
        not is_plain
        or files != 1
        or machine.device not in ("auto", "cpu")
        or machine.max_memory is not None
        or pixels > UNCOMPILED_PIXELS
        or "numba" in sys.modules
    ):
        return False
    from vaecodec.runtime.choice import choose
    from vaecodec.runtime.cpu.engine import was_compiled

    return not was_compiled(task, narrow=choose("cpu").dtype == "bfloat16")


def require_pytorch(command: str) -> None:
    """Before a command that trains or exports: raises Fatal, with what to install, where PyTorch is missing."""
    from vaecodec.runtime.devices import require_torch

    try:
        require_torch(f"vaecodec {command}")
    except BackendError as error:
        raise Fatal(error) from error


def codec_maker(model: str | Path, machine: Machine, *, jobs: int = 1) -> Callable[[], Codec]:
    """A function that makes the codec when it is first needed: a missing file is reported before NumPy is loaded."""

    def make() -> Codec:
        try:
            codec = vaecodec.Codec(model=model, device=machine.device, max_memory=machine.max_memory)
        except (vaecodec.VaecodecError, OSError) as error:
            raise Fatal(error) from error
        share_cores(jobs, machine.threads)
        return codec

    return once(make)


def limit_threads(threads: int | None) -> None:
    """Have NumPy, numba and PyTorch use so many threads in all. Before they are loaded; the networks listen later."""
    if threads is None:
        return
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB"):
        os.environ[f"{name}_NUM_THREADS" if name != "VECLIB" else "VECLIB_MAXIMUM_THREADS"] = str(threads)
    if "torch" in sys.modules or "vaecodec.runtime.cpu.threads" in sys.modules:
        share_cores(1, threads)


def spare_blas() -> None:
    """Keep NumPy's BLAS from starting threads that wait actively: compiled loops don't use it. Before it is loaded."""
    from vaecodec.native.cache import has_any

    if has_any():
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pause_collector() -> None:
    """Keep the garbage collector from looking again and again through modules that are all to stay."""
    gc.disable()


def resume_collector() -> None:
    """Let it work again, as from the second file on; what exists now it leaves alone."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def share_cores(jobs: int, threads: int | None = None) -> None:
    """Give each of several files at a time its part of the threads; None: of all cores that this process may use."""
    if jobs > 1 or threads is not None:
        from vaecodec.runtime.cpu.threads import set_thread_count, thread_count

        count = max(1, (threads or thread_count()) // jobs)
        set_thread_count(count)
        if "torch" in sys.modules:
            import torch

            torch.set_num_threads(count)


def once(work: Callable[[], T]) -> Callable[[], T]:
    """A function that does the work when it is first called, and keeps its result; other threads wait for it."""
    lock = threading.Lock()
    results: list[T] = []

    def call() -> T:
        with lock:
            if not results:
                results.append(work())
        return results[0]

    return call


def leave(code: int | None) -> NoReturn:
    """End the process. With PyTorch loaded that takes half a second of taking down what the system frees at once."""
    if "torch" in sys.modules:
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):  # nobody is left to read it; standard output was flushed by the command
            sys.stderr.flush()
        os._exit(code or 0)
    sys.exit(code)
