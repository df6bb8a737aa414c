"""A process for each codec, so that its threads, its libraries and its memory are its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Concatenate, ParamSpec, TypeVar

from bench import openmp
from bench.codecs import Codec, CodecError
from bench.codecs.compressai import CompressAi
from bench.measure import codec_of

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """Runs functions of a codec in a fresh process that loads nothing else.

    CompressAI has a process in an environment of its own, started alike, and is spoken to from here.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._pool: ProcessPoolExecutor | None = None

    def run(self, work: Callable[Concatenate[Codec, P], R], *arguments: P.args, **named: P.kwargs) -> R:
        """Return `work(codec, ...)`, computed by the worker. Raises what it raises."""
        if isinstance(self.codec, CompressAi):
            return work(self.codec, *arguments, **named)
        if self._pool is None:
            self._pool = self._started()
        return self._pool.submit(_work, self.codec.name, self.codec.threads, work, arguments, named).result()

    def _started(self) -> ProcessPoolExecutor:
        # spawn: a forked process would share what this one has loaded
        pool = ProcessPoolExecutor(1, get_context("spawn"))
        with openmp.started_with(openmp.variables(self.codec.threads) if self.codec.openmp else {}):
            allowed = pool.submit(openmp.cores).result()
        if self.codec.openmp and allowed < self.codec.threads:
            pool.shutdown()
            raise CodecError(too_few_cores(self.codec.threads, allowed))
        return pool

    def close(self) -> None:
        self.codec.close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def too_few_cores(threads: int, allowed: int) -> str:
    return f"{threads} threads on {allowed} core(s): this process may use no more (taskset, or OMP_PROC_BIND is set)"


def _work(name: str, threads: int, work: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return work(codec_of(name, threads), *arguments, **named)
