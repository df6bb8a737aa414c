"""A weights file as the matrices of the networks; what depends on the level is part of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.model import EntropyModel, from_tensors
from vaecodec.levels import MAX_LEVEL
from vaecodec.networks.config import PATCH, SHIFT_UNIT, STEPS, ModelConfig
from vaecodec.networks.shapes import config_of
from vaecodec.runtime.cpu.kernels import Block
from vaecodec.runtime.cpu.matrices import Floats, Matrix
from vaecodec.weights.store import PREVIEW_PREFIX, StoredModel, between_anchors

_Value = TypeVar("_Value")
_KEPT = 64
"""Matrices that depend on a level, of the levels used last."""


class NetworkWeights:
    """Those of one model, and its entropy model. Raises WeightsError for tensors that don't fit its configuration."""

    def __init__(self, stored: StoredModel) -> None:
        self.entropy: EntropyModel = from_tensors(stored.tensors)
        self.config: ModelConfig = config_of(stored, self.entropy)
        self._tensors = stored.tensors
        self._fixed: dict[str, object] = {}
        self._of_levels: dict[tuple[str, int], object] = {}

    @property
    def has_preview(self) -> bool:
        """Whether the file has a preview head."""
        return f"{PREVIEW_PREFIX}weight" in self._tensors

    def tensor(self, name: str) -> Floats:
        """A tensor by its name, float32."""
        tensor: Floats = self._tensors[name if name.startswith(PREVIEW_PREFIX) else f"net.{name}"].astype(np.float32)
        return tensor

    def vector(self, name: str, level: int) -> Floats:
        """exp of a `LevelTable`, [channels]: linear between its anchors."""
        vector: Floats = np.exp(between_anchors(self.tensor(f"{name}.anchors"), level / MAX_LEVEL))
        return vector

    def shift(self, name: str, level: int, channels: int) -> Floats:
        """A `LevelTable` of shifts, [channels]; zero where the weights have none."""
        if f"net.{name}.anchors" not in self._tensors:
            return np.zeros(channels, np.float32)
        shift: Floats = np.float32(SHIFT_UNIT) * between_anchors(self.tensor(f"{name}.anchors"), level / MAX_LEVEL)
        return shift

    # Each is made when it is first needed, and kept. Two threads may make the same one; either will do.

    def _kept(self, name: str, make: Callable[[], _Value]) -> _Value:
        if name not in self._fixed:
            self._fixed[name] = make()
        return self._fixed[name]  # type: ignore[return-value]

    def _of_level(self, name: str, level: int, make: Callable[[], Matrix]) -> Matrix:
        table = self._of_levels.get((name, level))
        if table is None:
            table = make()
            if len(self._of_levels) >= _KEPT:
                self._of_levels.clear()
            self._of_levels[name, level] = table
        return table  # type: ignore[return-value]

    def matrix(self, name: str, *, gated: bool = False) -> Matrix:
        """The matrix of a 1x1 convolution."""
        return self._kept(
            name, lambda: Matrix(self.tensor(f"{name}.weight")[:, :, 0, 0].T, self.tensor(f"{name}.bias"), gated)
        )

    def block(self, name: str) -> Block:
        """The matrices of a `DepthConvBlock`."""

        def make() -> Block:
            taps = self.tensor(f"{name}.depthwise.weight").reshape(-1, 9).T
            return Block(
                self.matrix(f"{name}.conv_in"),
                np.ascontiguousarray(taps),
                self.tensor(f"{name}.depthwise.bias"),
                self.matrix(f"{name}.conv_out"),
                self.matrix(f"{name}.ffn_in", gated=True),
                self.matrix(f"{name}.ffn_out"),
            )

        return self._kept(name, make)

    def blocks(self, name: str, count: int) -> list[Block]:
        """The matrices of `count` blocks in a row."""
        return [self.block(f"{name}.{number}") for number in range(count)]

    def stem(self, level: int) -> Matrix:
        """The matrix of g_a's stem with the shift after it, for bytes of squares of pixels, row by row: the network
        takes them / 255 - 0.5."""

        def make() -> Matrix:
            matrix = self.matrix("g_a.stem")
            weight = matrix.weight[run_order(3, PATCH)]
            bias = matrix.bias + self.shift("shift_enc", level, matrix.outputs)
            return Matrix(weight / np.float32(255), bias - np.float32(0.5) * weight.sum(0))

        return self._of_level("bytes", level, make)

    def down(self, name: str, level: int | None = None, *, inputs: str = "", outputs: str = "") -> Matrix:
        """The matrix of a `Downsample`, for squares of positions, row by row. inputs, outputs: tables of factors."""

        def make() -> Matrix:
            matrix = self.matrix(f"{name}.1")
            ordered = Matrix(matrix.weight[run_order(matrix.depth // 4, 2)], matrix.bias)
            before = np.tile(self.vector(inputs, level or 0), 4) if inputs else None
            return ordered.scaled(before, self.vector(outputs, level or 0) if outputs else None)

        return self._kept(f"{name} run", make) if level is None else self._of_level(name, level, make)

    def up(
        self, name: str, level: int | None = None, *, divisors: str = "", outputs: str = "", shifts: str = ""
    ) -> Matrix:
        """The matrix of an `Upsample`, to squares of positions, row by row. divisors: of the inputs, a table; outputs,
        shifts: tables of factors on what comes out and of what is added to it then."""

        def make() -> Matrix:
            matrix = self.matrix(f"{name}.0")
            order = run_order(matrix.outputs // 4, 2)
            ordered = Matrix(matrix.weight[:, order], matrix.bias[order])
            before = np.float32(1) / self.vector(divisors, level or 0) if divisors else None
            scaled = ordered.scaled(before, np.tile(self.vector(outputs, level or 0), 4) if outputs else None)
            if not shifts:
                return scaled
            return scaled.shifted(np.tile(self.shift(shifts, level or 0, matrix.outputs // 4), 4))

        return self._kept(f"{name} run", make) if level is None else self._of_level(name, level, make)

    def head(self, reduction: int) -> Matrix:
        """The matrix of g_s's head, to shades 0..255 of squares of pixels, row by row.

        For reduction > 1 to the means of squares of that side, exactly, as both are linear.
        """

        def make() -> Matrix:
            matrix = self.matrix("g_s.head")
            side = PATCH // reduction
            both = np.concatenate([matrix.weight, matrix.bias[None]])
            means = both.reshape(-1, 3, side, reduction, side, reduction).mean((3, 5))
            ordered = 255 * means.reshape(len(both), -1)[:, run_order(3, side)]
            return Matrix(ordered[:-1], ordered[-1] + 127.5)

        return self._kept(f"head {reduction}", make)

    def preview(self) -> tuple[Matrix, Floats]:
        """The preview head: a matrix to what a position adds to its 3 x 3 neighbours, and the bias.

        Outputs are shades 0..255 of squares of pixels, row by row.
        """

        def make() -> tuple[Matrix, Floats]:
            weight, bias = self.tensor("preview.weight"), self.tensor("preview.bias")
            order = run_order(3, math.isqrt(len(bias) // 3))
            taps = 255 * weight[order].transpose(1, 2, 3, 0).reshape(weight.shape[1], -1)
            return Matrix(taps, np.zeros(taps.shape[1], np.float32)), 255 * bias[order] + np.float32(127.5)

        return self._kept("preview taps", make)

    def quarters(self, step: int) -> list[Matrix]:
        """The matrices of a head of the context, one for each quarter of the channels."""

        def make() -> list[Matrix]:
            matrix = self.matrix(f"context.heads.{step}")
            parts = zip(np.split(matrix.weight, STEPS, axis=1), np.split(matrix.bias, STEPS), strict=True)
            return [Matrix(weight, bias) for weight, bias in parts]

        return self._kept(f"quarters {step}", make)


def run_order(channels: int, factor: int) -> NDArray[np.intp]:
    """Where PyTorch's (un)shuffle has each channel of squares of factor x factor positions that are taken row by row,
    all `channels` of a position together."""
    order: NDArray[np.intp] = np.arange(channels * factor**2).reshape(channels, -1).T.reshape(-1)
    return order
