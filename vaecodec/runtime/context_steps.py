"""The context at run time: its four steps over bands of rows, and what is done with the means of each place.

There are four forms of the steps, all of one result up to rounding:

| form                     | where                                                                          |
|--------------------------|--------------------------------------------------------------------------------|
| `CodecNetwork.run_context` | training and export: whole images, with gradients                             |
| `TorchSteps`             | PyTorch without kernels: eight passes over every quarter of the channels        |
| `triton_steps.TritonSteps` | an NVIDIA GPU: one kernel for all four quarters                               |
| `cpu.networks.Networks`  | a CPU, without PyTorch                                                          |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from vaecodec.networks.config import STEPS, step_positions
from vaecodec.networks.network import CodecNetwork
from vaecodec.runtime.streaming import RowStream, RowWindow
from vaecodec.runtime.tensors import channels_last, in_rows

Place = tuple[slice, slice, slice, slice]
"""A quarter of the positions of a quarter of the channels, as an index."""


class ContextSteps(ABC):
    """How the context of one network runs."""

    def __init__(self, network: CodecNetwork) -> None:
        self._network = network

    @abstractmethod
    def quantize(
        self, p: Iterable[Tensor], y: Tensor, t: Tensor, index: Tensor, dead_zone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The four steps of the encoder -> y_hat, and r as whole numbers of any type. y [B, M, h, w] is overwritten.

        p: bands of rows, as `Passes.prior` gives them. index uint8 [B, M, h, w]: the scale index; where it is 0, so is
        r. dead_zone float32 [64]: by how much r/gain moves toward zero before it is rounded, for each scale index;
        None: not at all.
        """

    @abstractmethod
    def reconstruct(self, p: Iterable[Tensor], r: Tensor, t: Tensor) -> Tensor:
        """The four steps of the decoder: r int32 [B, M, h, w] and bands of p -> y_hat float32."""

    def _y_hat(self, shape: Sequence[int]) -> Tensor:
        """Float32 [B, M, h, w], not initialized."""
        return channels_last(shape, torch.float32, self._network.log_gain.anchors.device)

    def _gains(self, t: Tensor, batch: int) -> Tensor:
        """[batch, M] for one level or a level each."""
        gain: Tensor = self._network.log_gain(t).exp().flatten(1)
        return gain.expand(batch, -1).contiguous()

    def rows(self, p: Iterable[Tensor], y_hat: Tensor) -> Iterator[tuple[int, slice, Tensor]]:
        """The four steps: the number of one, rows, and the features of the context there.

        y_hat need not be initialized. Every step follows on the heels of the one before, a few rows behind, so that p
        and y_hat stay in the cache. It reads a row before it writes there: what it writes counts from the next step on.
        """
        context = self._network.context
        streams = [RowStream(context.trunk) for _ in context.adaptors]
        done, kept = [0] * STEPS, RowWindow()
        for band in p:
            rows = kept.push(band)
            y_hat[:, :, rows] = 0
            for step in range(STEPS):
                features: Tensor | None = kept.rows(rows)
                if step:
                    known = context.adaptors[step - 1](kept.rows(rows), y_hat[:, :, rows])
                    features = streams[step - 1].push(known, last=rows.stop == y_hat.shape[2])
                if features is None:
                    break
                rows = slice(done[step], done[step] + features.shape[2])
                yield step, rows, features
                done[step] = rows.stop
            kept.drop(done[STEPS - 2])

    def means(self, p: Iterable[Tensor], y_hat: Tensor) -> Iterator[tuple[Place, Tensor]]:
        """The four steps: a place, and mu there, float32 in channels-last memory. y_hat need not be initialized."""
        size = y_hat.shape[1] // STEPS
        for step, rows, features in self.rows(p, y_hat):
            for number, (row, column) in enumerate(step_positions(step)):
                first = (row - rows.start) % 2
                known = features[:, :, first::2, column::2]
                if known.shape[2]:
                    quarter = slice(number * size, (number + 1) * size)
                    place = (slice(None), quarter, slice(rows.start + first, rows.stop, 2), slice(column, None, 2))
                    yield place, self._network.context.quarter(step, number, known)


class TorchSteps(ContextSteps):
    """In PyTorch, on any device."""

    def quantize(
        self, p: Iterable[Tensor], y: Tensor, t: Tensor, index: Tensor, dead_zone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        coded = in_rows(index).clamp_(max=1)

        def residual(place: Place, mu: Tensor, gain: Tensor) -> Tensor:
            v = y[place].sub_(mu).mul_(gain)
            if dead_zone is not None:
                limit = dead_zone[index[place].long()]
                v -= v.clamp(-limit, limit)
            return v.round_().mul_(coded[place])

        return self._steps(p, y.shape, t, residual), y

    def reconstruct(self, p: Iterable[Tensor], r: Tensor, t: Tensor) -> Tensor:
        return self._steps(p, r.shape, t, lambda place, mu, _: r[place].to(mu.dtype))

    def _steps(
        self,
        p: Iterable[Tensor],
        shape: Sequence[int],
        t: Tensor,
        residual: Callable[[Place, Tensor, Tensor], Tensor],
    ) -> Tensor:
        """y_hat, of this shape."""
        gain = self._network.log_gain(t).exp()
        y_hat = self._y_hat(shape)
        for place, mu in self.means(p, y_hat):
            r = residual(place, mu, gain[:, place[1]])
            y_hat[place] = r.div(gain[:, place[1]]).add_(mu)
        return y_hat
