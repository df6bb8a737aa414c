"""Layers of the scale network in the kernels' products: equal to `intnet.layers.run_layer`, with the networks' threads.

NumPy's BLAS would wait actively for its next work, on the cores that the networks' threads need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.intnet.layers import IntegerLayer, run_layer
from vaecodec.runtime.cpu.kernels import Kernels
from vaecodec.runtime.cpu.matrices import Matrix


class ProductRunner:
    """An `intnet.layers.RunLayer`; every float32 sum is exact, in any order (`IntegerLayer.float_weight`)."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._matrices: dict[int, tuple[IntegerLayer, Matrix]] = {}

    def __call__(self, x: NDArray[np.generic], layer: IntegerLayer, level: int) -> NDArray[np.uint8]:
        if layer.float_weight.dtype != np.float32:  # larger than any network's
            return run_layer(x, layer, level)
        # The layer is kept beside its matrix, so that no other one can have its id.
        _, matrix = self._matrices.setdefault(id(layer), (layer, _matrix(layer)))

        def product(_: NDArray[Any], windows: NDArray[Any]) -> NDArray[Any]:
            """[outputs, depth] @ [depth, positions]."""
            sums: NDArray[Any] = self._kernels.product(np.ascontiguousarray(windows.T)[:, None], matrix)
            transposed: NDArray[Any] = sums[:, 0].T
            return transposed

        return run_layer(x, layer, level, product=product)


def _matrix(layer: IntegerLayer) -> Matrix:
    return Matrix(layer.float_weight.T, np.zeros(len(layer.float_weight), np.float32))
