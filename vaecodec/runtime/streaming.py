"""Rows through a network, band by band: bounded memory, and not one number computed twice.

Of all layers only the depthwise 3x3 convolutions need neighbouring rows. A `RowStream` takes the rows of a picture from
top to bottom in bands of any height and keeps, for every block, the two rows that the next band will ask for. So
results come one row later for every block, and are those of the whole picture. Bands that fit into the cache make the
networks faster, too: at 6 megapixels by half.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from vaecodec.networks.exact import convolve
from vaecodec.networks.layers import Downsample, RowBlock
from vaecodec.runtime.windows import Window


class _Stage(Protocol):
    def push(self, x: Tensor | None, *, last: bool) -> Tensor | None: ...


class RowStream:
    """A chain of layers (RowBlock, Downsample, and any that treat each position alone), fed with rows.

    Without gradients only. What is pushed may be overwritten.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        self._stages: list[_Stage] = [_stage(layer) for layer in layers]

    def push(self, x: Tensor, *, last: bool) -> Tensor | None:
        """The next rows [B, C, rows, w] -> those results that are complete, None if none is. last: no rows follow."""
        rows: Tensor | None = x
        for stage in self._stages:
            rows = stage.push(rows, last=last)
        return rows


def _stage(layer: nn.Module) -> _Stage:
    if isinstance(layer, RowBlock):
        return _BlockRows(layer)
    if isinstance(layer, Downsample):
        return _PairedRows(layer)
    return _SingleRows(layer)


class _SingleRows:
    """A layer that treats each row alone."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer

    def push(self, x: Tensor | None, *, last: bool) -> Tensor | None:  # noqa: ARG002
        return None if x is None else self._layer(x)


class _PairedRows:
    """A layer of stride 2: a row waits for its partner."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer
        self._waiting: Tensor | None = None

    def push(self, x: Tensor | None, *, last: bool) -> Tensor | None:  # noqa: ARG002
        rows = _joined([self._waiting, x])
        if rows is None:
            return None
        paired = rows.shape[2] // 2 * 2
        self._waiting = rows[:, :, paired:].clone() if paired < rows.shape[2] else None
        return self._layer(rows[:, :, :paired]) if paired else None


class _BlockRows:
    """A block. Row i of its result needs the rows i - 1 .. i + 1 of what the depthwise convolution sees."""

    def __init__(self, block: RowBlock) -> None:
        self._block = block
        self._entered: Tensor | None = None  # the last two rows of it
        self._x: Tensor | None = None  # the last row of x

    def push(self, x: Tensor | None, *, last: bool) -> Tensor | None:
        if self._block.at_once and last and self._entered is None and x is not None:
            whole: Tensor = self._block(x)
            return whole
        entered = None if x is None else self._block.enter(x)
        seen = _joined([self._above(entered), entered, self._below(entered) if last else None])
        rows = _joined([self._x, x])
        if seen is None or rows is None:
            return None
        complete = seen.shape[2] - 2
        if not last:
            self._entered, self._x = seen[:, :, -2:].clone(), rows[:, :, complete:].clone()
        if complete < 1:
            return None
        depthwise = self._block.depthwise
        mixed = convolve(seen, depthwise.weight, depthwise.bias, padding=(0, 1), groups=depthwise.groups)
        return self._block.leave(rows[:, :, :complete], mixed)

    def _above(self, entered: Tensor | None) -> Tensor | None:
        """What lies above the new rows: zeros above the picture."""
        return _zero_row(entered) if self._entered is None else self._entered

    def _below(self, entered: Tensor | None) -> Tensor | None:
        return _zero_row(self._entered if entered is None else entered)


def _zero_row(like: Tensor | None) -> Tensor | None:
    return None if like is None else torch.zeros_like(like[:, :, :1])


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Rows one below the other."""
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    return torch.cat(present, 2)


class RowWindow:
    """The rows that are still needed of a picture that comes in bands."""

    def __init__(self) -> None:
        self._rows: Tensor | None = None
        self._top, self._bottom = 0, 0

    def push(self, band: Tensor) -> slice:
        """The next rows [B, C, rows, w]. Returns which ones they are."""
        self._rows = _joined([self._rows, band])
        top, self._bottom = self._bottom, self._bottom + band.shape[2]
        return slice(top, self._bottom)

    def rows(self, part: slice) -> Tensor:
        """A view of some of them."""
        if self._rows is None or not self._top <= part.start <= part.stop <= self._bottom:
            message = f"rows {part.start}..{part.stop} of a window of rows {self._top}..{self._bottom}"
            raise IndexError(message)
        return self._rows[:, :, part.start - self._top : part.stop - self._top]

    def drop(self, before: int) -> None:
        """Rows above `before` are no longer needed."""
        self._rows, self._top = self.rows(slice(before, self._bottom)).clone(), before


def cut_rows(bands: Iterable[Tensor], window: Window) -> Iterator[Tensor]:
    """The rectangle of a picture that comes in bands of rows [B, C, rows, w]; again in bands."""
    top = 0
    for rows in bands:
        first, last = max(0, window.top - top), min(rows.shape[2], window.bottom - top)
        if first < last:
            yield rows[:, :, first:last, window.left : window.right]
        top += rows.shape[2]


def reach(network: nn.Module, cell: int) -> int:
    """How many pixels away an input can be that a result depends on; `cell`: pixels per position at the start.

    Modules must be registered in the order in which they run.
    """
    pixels = 0
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            pixels += cell * (module.kernel_size[0] // 2)
        elif isinstance(module, nn.PixelUnshuffle):
            cell *= module.downscale_factor
        elif isinstance(module, nn.PixelShuffle):
            cell //= module.upscale_factor
    return pixels
