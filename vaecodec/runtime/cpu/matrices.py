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
        both = np.concatenate([self.weight, self.bias[None]])
        parts = np.split(both, 2, axis=1) if self.gated else [both]
        share = width // len(parts)
        panels = -(-parts[0].shape[1] // share)
        padded = [np.pad(part, ((0, 0), (0, panels * share - part.shape[1]))) for part in parts]
        columns = np.concatenate([part.reshape(len(both), panels, share) for part in padded], axis=2)
        weight, bias = columns[:-1].transpose(1, 0, 2), np.ascontiguousarray(columns[-1]).reshape(-1)
        if not narrow:
            return np.ascontiguousarray(weight).reshape(panels, -1), bias
        pairs = to_bfloat16(weight).reshape(panels, self.depth // 2, 2, width).swapaxes(2, 3)
        return np.ascontiguousarray(pairs).reshape(panels, -1), bias


def to_bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Rounded to nearest, ties to even; finite values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
