"""A model that runs on a CPU without PyTorch."""

from __future__ import annotations

import functools
from functools import cached_property
from typing import Literal

from vaecodec.entropy import compiled
from vaecodec.intnet.layers import RunTile, run_tile
from vaecodec.rans import numba_coder
from vaecodec.rans.choice import rans_coder
from vaecodec.runtime.choice import Plan
from vaecodec.runtime.cpu import kernels
from vaecodec.runtime.cpu.integers import ProductRunner
from vaecodec.runtime.cpu.kernels import CompiledKernels, Kernels
from vaecodec.runtime.cpu.pipeline import CpuPipeline
from vaecodec.runtime.cpu.plain import PlainKernels
from vaecodec.runtime.cpu.threads import thread_count
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.interface import LoadedModel
from vaecodec.runtime.memory import Memory
from vaecodec.weights.store import StoredModel


class CpuEngine:
    """Safe to share between threads. numba is loaded when the first image is coded."""

    def __init__(self, stored: StoredModel, plan: Plan) -> None:
        self._weights, self._plan = NetworkWeights(stored), plan
        self._coder = rans_coder(plan.loops)
        self.model = LoadedModel(self._weights.config, self._weights.entropy, stored.wire_hash, stored.card)

    @cached_property
    def _kernels(self) -> Kernels:
        return CompiledKernels() if self._plan.networks == "compiled" else PlainKernels()

    @cached_property
    def _run_tile(self) -> RunTile:
        return tile_runner(self._plan)

    def pipeline(self, max_memory: int | None) -> CpuPipeline:
        """What codes with the model. max_memory: bytes."""
        parts = (self._weights, self._kernels, self._coder, self._run_tile, self.memory(max_memory))
        return CpuPipeline(*parts, narrow=self._plan.dtype == "bfloat16")

    def memory(self, max_memory: int | None) -> Memory:
        """The limits of memory, with the threads that there are now."""
        return Memory(max_memory, "cpu", thread_count())


def was_compiled(task: Literal["encode", "decode"], *, narrow: bool) -> bool:
    """Whether an earlier process has compiled all loops that an image of any kind takes. narrow: in bfloat16."""
    parts = (kernels, numba_coder, compiled)
    of_type = kernels.NARROW if narrow else kernels.WIDE
    return kernels.LOOPS.are_kept(*of_type) and all(
        part.LOOPS.are_kept(*(part.ENCODING if task == "encode" else part.DECODING)) for part in parts
    )


def tile_runner(plan: Plan) -> RunTile:
    """What runs the scale network in a plan; the reference is int64 in NumPy."""
    if plan.integer_product == "reference":
        return functools.partial(run_tile, product=None)
    return ProductRunner(CompiledKernels()) if plan.integer_product == "compiled" else run_tile
