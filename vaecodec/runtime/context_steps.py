"""The context steps with everything behind the means in one kernel: Triton's on a GPU, numba's on a CPU.

PyTorch alone (see `passes`) takes eight passes over every quarter of the channels instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from vaecodec.gpu import coder as gpu
from vaecodec.networks.config import LATENT_MAX, step_positions
from vaecodec.networks.network import CodecNetwork, bounded
from vaecodec.runtime.passes import Passes, in_rows

Rows = slice
FusedStep = Callable[[int, Sequence[tuple[int, int]], Rows, Tensor, Tensor], None]
"""Number of the step, its positions counted from the first of these rows, the rows, mu and y_hat of these rows."""


class FusedPasses(Passes):
    """As `Passes`, for tensors that the kernels can take."""

    def quantize(
        self, p: Iterable[Tensor], y: Tensor, t: Tensor, index: Tensor, dead_zone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        gain = _gains(self._network, t, len(y))
        r = y.view(torch.int32)  # a place of y is not needed any more when its r is known

        def step(number: int, positions: Sequence[tuple[int, int]], rows: Rows, mu: Tensor, y_hat: Tensor) -> None:
            parts = (y[:, :, rows], mu, gain, index[:, :, rows], r[:, :, rows], y_hat)
            gpu.quantize_step(*parts, step=number, positions=positions, dead_zone=dead_zone)

        return self._fused_steps(p, y.shape, step), r

    def reconstruct(self, p: Iterable[Tensor], r: Tensor, t: Tensor) -> Tensor:
        gain = _gains(self._network, t, len(r))

        def step(number: int, positions: Sequence[tuple[int, int]], rows: Rows, mu: Tensor, y_hat: Tensor) -> None:
            gpu.dequantize_step(r[:, :, rows], mu, gain, y_hat, step=number, positions=positions)

        return self._fused_steps(p, r.shape, step)

    def _fused_steps(self, p: Iterable[Tensor], shape: Sequence[int], run: FusedStep) -> Tensor:
        y_hat = self._whole(*shape)
        for step, rows, features in self._context_rows(p, y_hat):
            positions = [((row - rows.start) % 2, column) for row, column in step_positions(0)]
            mu = bounded(self._network.context.heads[step](features), LATENT_MAX)
            run(step, positions, rows, mu, y_hat[:, :, rows])
        return y_hat


def _gains(network: CodecNetwork, t: Tensor, batch: int) -> Tensor:
    """[batch, M] for one level or a level each."""
    gain: Tensor = network.log_gain(t).exp().flatten(1)
    return gain.expand(batch, -1).contiguous()


class CompiledPasses(Passes):
    """As `Passes`, on a CPU. Imports numba."""

    def quantize(
        self, p: Iterable[Tensor], y: Tensor, t: Tensor, index: Tensor, dead_zone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        from vaecodec.runtime import context_loops

        gain, index, y_hat = _gains(self._network, t, len(y)), in_rows(index), self._whole(*y.shape)
        for place, mu in self._means(p, y_hat):
            context_loops.quantize_quarter(y, mu, gain, index, y_hat, place, dead_zone=dead_zone)
        return y_hat, y

    def reconstruct(self, p: Iterable[Tensor], r: Tensor, t: Tensor) -> Tensor:
        from vaecodec.runtime import context_loops

        gain, r, y_hat = _gains(self._network, t, len(r)), in_rows(r), self._whole(*r.shape)
        for place, mu in self._means(p, y_hat):
            context_loops.dequantize_quarter(r, mu, gain, y_hat, place)
        return y_hat
