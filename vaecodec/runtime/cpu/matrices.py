"""Weights of 1x1 convolutions as matrices, and in the order in which `tiles` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Matrix:
    """[depth, outputs] with a bias [outputs]: x @ weight + bias.

    gated: the first half of the outputs are gates, the second half the values that they multiply.
    """

    weight: Floats
    bias: Floats
    gated: bool = False
    _packed: dict[tuple[int, bool], tuple[NDArray[np.generic], Floats]] = field(default_factory=dict, compare=False)

    @property
    def depth(self) -> int:
        """The number of inputs."""
        return int(self.weight.shape[0])

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        return int(self.weight.shape[1])

    def scaled(self, inputs: Floats | None = None, outputs: Floats | None = None) -> Matrix:
        """The matrix of (x * inputs) and of results times `outputs`."""
        weight, bias = self.weight, self.bias
        if inputs is not None:
            weight = weight * inputs[:, None]
        if outputs is not None:
            weight, bias = weight * outputs, bias * outputs
        return Matrix(weight, bias, self.gated)

    def shifted(self, outputs: Floats) -> Matrix:
        """The matrix of results plus `outputs`."""
        return Matrix(self.weight, self.bias + outputs, self.gated)

    @cached_property
    def rounded(self) -> Matrix:
        """The matrix with weights rounded to bfloat16, in float32."""
        wide = (to_bfloat16(self.weight).astype(np.uint32) << 16).view(np.float32)
        return Matrix(wide, self.bias, self.gated)

    def packed(self, width: int, *, narrow: bool) -> tuple[NDArray[np.generic], Floats]:
        """Panels of `width` columns [panels, depth * width], and the bias [panels * width]; missing columns are 0.

        narrow: bfloat16 as uint16, pairs of rows interleaved. In a gated matrix the first half of each panel are gates,
        the second half their values.
        """
        key = width, narrow
        if key not in self._packed:
            self._packed[key] = self._pack(width, narrow)
        return self._packed[key]

    def _pack(self, width: int, narrow: bool) -> tuple[NDArray[np.generic], Floats]:
        parts = 2 if self.gated else 1
        share, outputs = width // parts, self.outputs // parts
        panels = -(-outputs // share)
        columns = np.zeros((self.depth + 1, parts, panels * share), np.float32)
        columns[:-1, :, :outputs] = self.weight.reshape(self.depth, parts, outputs)
        columns[-1, :, :outputs] = self.bias.reshape(parts, outputs)
        ordered = columns.reshape(self.depth + 1, parts, panels, share).transpose(2, 0, 1, 3)
        bias = np.ascontiguousarray(ordered[:, -1]).reshape(-1)
        if not narrow:
            return np.ascontiguousarray(ordered[:, :-1]).reshape(panels, -1), bias
        pairs = to_bfloat16(ordered[:, :-1]).reshape(panels, self.depth // 2, 2, width).swapaxes(2, 3)
        return np.ascontiguousarray(pairs).reshape(panels, -1), bias


def to_bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Rounded to nearest, ties to even; finite values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
