"""Rows through a chain of layers, band by band: bounded memory, and results equal to those of the whole image.

Of all layers only the depthwise 3x3 convolutions need neighbouring rows. Every block keeps the two rows that the next
band will ask for, so its results come one row later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vaecodec.runtime.cpu.kernels import Above, Block, Kernels, Rows
from vaecodec.runtime.cpu.matrices import Floats
from vaecodec.runtime.cpu.tile_sizes import PEAK_WIDTH
from vaecodec.runtime.windows import Window

Layer = Callable[[Rows], Rows]
_Number = TypeVar("_Number", bound=np.generic)


class Stage(Protocol):
    def push(self, x: Rows | None, *, last: bool) -> Rows | None:
        """The next rows -> those results that are complete, None if none is. last: no rows follow."""


class RowStream:
    """Stages, fed with rows."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self._stages = list(stages)

    def push(self, x: Rows, *, last: bool) -> Rows | None:
        """The next rows -> those results that are complete, None if none is. last: no rows follow."""
        rows: Rows | None = x
        for stage in self._stages:
            rows = stage.push(rows, last=last)
        return rows


class SingleRows:
    """A layer that treats each row alone, or `group` rows together."""

    def __init__(self, layer: Layer, group: int = 1) -> None:
        self._layer, self._group = layer, group
        self._waiting: Rows | None = None

    def push(self, x: Rows | None, *, last: bool) -> Rows | None:  # noqa: ARG002
        """The next rows -> their results."""
        rows = joined([self._waiting, x])
        if rows is None:
            return None
        whole = len(rows) // self._group * self._group
        self._waiting = rows[whole:].copy() if whole < len(rows) else None
        return self._layer(rows[:whole]) if whole else None


class Peaks:
    """The largest gated products of blocks in squares of PEAK_WIDTH x PEAK_WIDTH positions, before their bound."""

    def __init__(self, rows: int, columns: int) -> None:
        self.squares = np.zeros((-(-rows // PEAK_WIDTH), -(-columns // PEAK_WIDTH)), np.float32)

    @property
    def largest(self) -> float:
        """The largest product of all."""
        return float(self.squares.max(initial=0))

    def note(self, top: int, peaks: Floats) -> None:
        """Those of rows from `top` on, [rows, squares]."""
        rows = np.arange(top, top + len(peaks)) // PEAK_WIDTH
        np.maximum.at(self.squares, rows, peaks)


class BlockRows:
    """A block. Row i of its result needs the rows i - 1 .. i + 1 of its input. images: see `Kernels.block`. peaks: are
    told of its products."""

    def __init__(
        self, kernels: Kernels, block: Block, *, narrow: bool, images: int = 1, peaks: Peaks | None = None
    ) -> None:
        self._kernels, self._block, self._narrow, self._peaks = kernels, block, narrow, peaks
        self._images = images
        self._above = Above()

    def push(self, x: Rows | None, *, last: bool) -> Rows | None:
        """The next rows -> those results that are complete."""
        if x is None:
            if not last or self._above.row is None:
                return None
            x = self._above.row[:0]
        top = max(0, self._above.rows - 1)
        start, stop = top - self._above.rows, len(x) if last else len(x) - 1
        peaks = None
        if self._peaks is not None:
            peaks = np.zeros((stop - start, self._peaks.squares.shape[1]), np.float32)
        result = self._kernels.block(
            x, self._block, start, stop, narrow=self._narrow, images=self._images, peaks=peaks, above=self._above
        )
        if self._peaks is not None and peaks is not None:
            self._peaks.note(top, peaks)
        return result if len(result) else None


def joined(parts: Sequence[Rows | None]) -> Rows | None:
    """Rows one below the other."""
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    return np.concatenate(present)


class RowWindow:
    """The rows that are still needed of an image that comes in bands."""

    def __init__(self) -> None:
        self._rows: Rows | None = None
        self._top, self._bottom = 0, 0

    def push(self, band: Rows) -> slice:
        """The next rows. Returns which ones they are."""
        self._rows = joined([self._rows, band])
        top, self._bottom = self._bottom, self._bottom + len(band)
        return slice(top, self._bottom)

    def rows(self, which: slice) -> Rows:
        """A view of some of them."""
        if self._rows is None or not self._top <= which.start <= which.stop <= self._bottom:
            message = f"rows {which.start}..{which.stop} of a window of rows {self._top}..{self._bottom}"
            raise IndexError(message)
        return self._rows[which.start - self._top : which.stop - self._top]

    def drop(self, before: int) -> None:
        """Rows above `before` are no longer needed."""
        self._rows, self._top = self.rows(slice(before, self._bottom)).copy(), before


def channels_first(rows: Rows) -> NDArray[np.int32]:
    """Whole numbers [rows, columns, channels] -> int32 [channels, rows, columns].

    Row by row: one transposition of a large array would fetch each of its cache lines anew for every channel.
    """
    height, width, channels = rows.shape
    planes = np.empty((channels, height, width), np.int32)
    for number, row in enumerate(rows):
        planes[:, number] = row.T
    return planes


def channels_last(planes: NDArray[_Number]) -> NDArray[_Number]:
    """[channels, rows, columns] -> [rows, columns, channels], row by row for the same reason."""
    channels, height, width = planes.shape
    rows = np.empty((height, width, channels), planes.dtype)
    for number in range(height):
        rows[number] = np.ascontiguousarray(planes[:, number]).T
    return rows


def cut_rows(bands: Iterable[Rows], window: Window) -> Iterator[Rows]:
    """The rectangle of an image that comes in bands of rows; again in bands."""
    top = 0
    for rows in bands:
        first, last = max(0, window.top - top), min(len(rows), window.bottom - top)
        if first < last:
            yield np.ascontiguousarray(rows[first:last, window.left : window.right])
        top += len(rows)
