"""The scale network in the kernels' products: equal to `intnet.layers.run_tile`, with the networks' threads.

NumPy's BLAS would wait actively for its next work, on the cores that the networks' threads need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vaecodec.intnet.layers import SHUFFLED_LAYERS, IntegerLayer, run_tile
from vaecodec.runtime.cpu.kernels import Kernels, Rows
from vaecodec.runtime.cpu.matrices import Floats, Matrix


@dataclass(frozen=True)
class _RowLayer:
    """A layer for rows [h, w, channels]. biases [levels, outputs]: with the constant that rounds. spread: 2 where a
    pixel shuffle follows; then the outputs are the 2 x 2 positions, row by row, of fewer channels."""

    matrix: Matrix
    biases: Floats
    kernel: int
    factor: float
    most: int
    spread: int


class ProductRunner:
    """An `intnet.layers.RunTile`; every float32 sum is exact, in any order (`IntegerLayer.float_weight`)."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._layers: dict[int, tuple[IntegerLayer, _RowLayer]] = {}

    def __call__(self, x: NDArray[np.generic], level: int, layers: Sequence[IntegerLayer]) -> NDArray[np.uint8]:
        if any(layer.float_weight.dtype != np.float32 for layer in layers):  # larger than any network's
            return run_tile(x, level, layers)
        images = x.reshape(len(x), -1, *x.shape[-2:])
        rows = np.ascontiguousarray(images.transpose(2, 1, 3, 0)).reshape(images.shape[2], -1, len(x))
        index = self._run(rows, images.shape[1], level, layers)
        apart = index.reshape(len(index), images.shape[1], -1, index.shape[2]).transpose(3, 1, 0, 2)
        shaped: NDArray[np.uint8] = apart.reshape(len(apart), *x.shape[1:-2], *apart.shape[2:])
        return shaped

    def _run(self, x: NDArray[Any], images: int, level: int, layers: Sequence[IntegerLayer]) -> NDArray[np.uint8]:
        """[h, w, in] -> [h, w, out], of so many images side by side."""
        for number, layer in enumerate(layers):
            # A layer is kept beside what it became, so that no other one can have its id.
            if id(layer) not in self._layers:
                self._layers[id(layer)] = layer, _row_layer(layer, 2 if number in SHUFFLED_LAYERS else 1)
            form = self._layers[id(layer)][1]
            sums = self._kernels.product(_windows(x, images, form.kernel), form.matrix)
            x = self._kernels.requantize(sums, form.biases[level], form.factor, form.most, form.spread)
        return x


def _row_layer(layer: IntegerLayer, spread: int) -> _RowLayer:
    form, cell = layer.form, spread**2
    weight = layer.weight.astype(np.float32).transpose(2, 3, 1, 0)  # kernel rows and columns, in, out
    biases = layer.bias + np.int32(1 << (form.shift - 1))

    def ordered(outputs: NDArray[np.generic]) -> Floats:
        """Channel 4c + 2i + j is channel c at row offset i and column offset j: from the outermost to the innermost."""
        cells = outputs.reshape(*outputs.shape[:-1], -1, cell).swapaxes(-1, -2)
        return np.ascontiguousarray(cells.reshape(-1, outputs.shape[-1]), np.float32)

    matrix = Matrix(ordered(weight), np.zeros(len(layer.weight), np.float32))
    return _RowLayer(matrix, ordered(biases), form.kernel, 2.0**-form.shift, form.output_max, spread)


def _windows(x: NDArray[np.generic], images: int, kernel: int) -> Rows:
    """What a stride-1 convolution with zero padding sees: [h, w, in] -> [h, w, kernel * kernel * in], of so many images
    side by side."""
    height, width, channels = x.shape
    radius, own = kernel // 2, width // images
    padded = np.zeros((height + 2 * radius, images, own + 2 * radius, channels), np.float32)
    padded[radius : radius + height, :, radius : radius + own] = x.reshape(height, images, own, channels)
    views = sliding_window_view(padded, (kernel, kernel), (0, 2)).transpose(0, 1, 2, 4, 5, 3)
    windows: Rows = np.ascontiguousarray(views).reshape(height, width, -1)
    return windows
