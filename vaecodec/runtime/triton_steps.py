"""The context steps on a GPU: everything behind the means of a step in one kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from vaecodec.gpu import kernels
from vaecodec.networks.config import LATENT_MAX, step_positions
from vaecodec.networks.network import bounded
from vaecodec.runtime.context_steps import ContextSteps

FusedStep = Callable[[int, Sequence[tuple[int, int]], slice, Tensor, Tensor], None]
"""Number of the step, its positions counted from the first of these rows, the rows, mu and y_hat of these rows."""


class TritonSteps(ContextSteps):
    """For tensors that the kernels can take. Whole heads at once: other products than in the other forms."""

    def quantize(
        self, p: Iterable[Tensor], y: Tensor, t: Tensor, index: Tensor, dead_zone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        gain = self._gains(t, len(y))
        r = y.view(torch.int32)  # a place of y is not needed any more when its r is known

        def step(number: int, positions: Sequence[tuple[int, int]], rows: slice, mu: Tensor, y_hat: Tensor) -> None:
            parts = (y[:, :, rows], mu, gain, index[:, :, rows], r[:, :, rows], y_hat)
            kernels.quantize_step(*parts, step=number, positions=positions, dead_zone=dead_zone)

        return self._steps(p, y.shape, step), r

    def reconstruct(self, p: Iterable[Tensor], r: Tensor, t: Tensor) -> Tensor:
        gain = self._gains(t, len(r))

        def step(number: int, positions: Sequence[tuple[int, int]], rows: slice, mu: Tensor, y_hat: Tensor) -> None:
            kernels.dequantize_step(r[:, :, rows], mu, gain, y_hat, step=number, positions=positions)

        return self._steps(p, r.shape, step)

    def _steps(self, p: Iterable[Tensor], shape: Sequence[int], run: FusedStep) -> Tensor:
        y_hat = self._y_hat(shape)
        for step, rows, features in self.rows(p, y_hat):
            positions = [((row - rows.start) % 2, column) for row, column in step_positions(0)]
            mu = bounded(self._network.context.heads[step](features), LATENT_MAX)
            run(step, positions, rows, mu, y_hat[:, :, rows])
        return y_hat
