"""Looks at the codec's numbers where it has them last as floats."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from vaecodec.runtime.cpu.kernels import CompiledKernels, Pixels, Rows
from vaecodec.runtime.cpu.pipeline import CpuPipeline


@dataclass
class Watch:
    """Whether all numbers that the networks gave were finite."""

    finite: bool = True

    def look(self, values: object) -> None:
        if isinstance(values, np.ndarray) and values.dtype.kind == "f" and not np.isfinite(values).all():
            self.finite = False


@contextmanager
def watched() -> Iterator[Watch]:
    """Look at y_hat and r before they are packed, and at x_hat before it becomes bytes.

    Bytes don't show what was no number, so this looks where the codec has its floats last. What was none before the
    bounds of a block is a bound behind them in the compiled blocks: that there is none, tests/test_bounds.py proves.
    """
    watch = Watch()
    quantize, to_bytes = CpuPipeline._quantize, CompiledKernels.to_bytes

    def looking_quantize(*arguments: Any) -> Any:
        result = quantize(*arguments)
        for values in result:
            watch.look(values)
        return result

    def looking_to_bytes(kernels: CompiledKernels, shades: Rows, side: int) -> Pixels:
        watch.look(shades)
        return to_bytes(kernels, shades, side)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(CpuPipeline, "_quantize", looking_quantize))
        stack.enter_context(mock.patch.object(CompiledKernels, "to_bytes", looking_to_bytes))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("error", RuntimeWarning)
        yield watch
