"""The context steps on a CPU, compiled by numba.

The same integers and floats as the PyTorch form (`passes`), which runs as long as a process has not loaded numba
(`rans.choice`). Every loop here is over whole numbers of pixels that the wrappers have checked against each other:
numba checks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vaecodec.errors import InputError
from vaecodec.rans.compiling import compiled

Place = tuple[slice, slice, slice, slice]
INDICES = 256
"""Every uint8 has a dead zone here: no index leads out of the table."""


# Unsigned places: numba takes a negative one for a place counted from the end, and then vectorizes nothing.


@compiled
def _quantize(y, mu, gain, index, widths, y_hat, top, left, first):  # type: ignore[no-untyped-def]
    """mu [rows, columns, size] belongs to every second row and column, from these on, of `size` channels, from `first`
    on, of the others: [all rows, all columns, M]."""
    rows, columns, size = mu.shape
    for i in range(rows):
        for j in range(columns):
            row, column = np.uint64(top + 2 * i), np.uint64(left + 2 * j)
            for k in range(np.uint64(size)):
                at = k + np.uint64(first)
                v = (y[row, column, at] - mu[i, j, k]) * gain[at]
                limit = widths[index[row, column, at]]
                v -= min(max(v, -limit), limit)
                r = np.rint(v) * np.float32(min(index[row, column, at], np.uint8(1)))
                y[row, column, at] = r
                y_hat[row, column, at] = r / gain[at] + mu[i, j, k]


@compiled
def _dequantize(r, mu, gain, y_hat, top, left, first):  # type: ignore[no-untyped-def]
    """The inverse."""
    rows, columns, size = mu.shape
    for i in range(rows):
        for j in range(columns):
            row, column = np.uint64(top + 2 * i), np.uint64(left + 2 * j)
            for k in range(np.uint64(size)):
                at = k + np.uint64(first)
                y_hat[row, column, at] = np.float32(r[row, column, at]) / gain[at] + mu[i, j, k]


def quantize_quarter(
    y: Tensor, mu: Tensor, gain: Tensor, index: Tensor, y_hat: Tensor, place: Place, *, dead_zone: Tensor | None = None
) -> None:
    """One position of every 2 x 2 cell, one quarter of the channels: r replaces y, and y_hat = mu + r / gain.

    y, y_hat float32 and index uint8 [B, M, H, W] of whole pictures, mu float32 of the place: all in channels-last
    memory. gain [B, M]. dead_zone: see `runtime.passes`. Raises InputError for what it would read wrongly.
    """
    corner = _corner(place, mu, gain, (y, index, y_hat))
    widths = np.zeros(INDICES, np.float32)
    if dead_zone is not None:
        widths[: len(dead_zone)] = dead_zone.numpy()
    for number in range(len(y)):
        values, means, known = (_rows(tensor, number, np.float32) for tensor in (y, mu, y_hat))
        indices = _rows(index, number, np.uint8)
        _quantize(values, means, gain[number].numpy(), indices, widths, known, *corner)


def dequantize_quarter(r: Tensor, mu: Tensor, gain: Tensor, y_hat: Tensor, place: Place) -> None:
    """One quarter of a context step of the decoder: r int32 -> y_hat."""
    corner = _corner(place, mu, gain, (r, y_hat))
    for number in range(len(r)):
        means, known = (_rows(tensor, number, np.float32) for tensor in (mu, y_hat))
        _dequantize(_rows(r, number, np.int32), means, gain[number].numpy(), known, *corner)


def _corner(place: Place, mu: Tensor, gain: Tensor, whole: Sequence[Tensor]) -> tuple[int, int, int]:
    """Row, column and channel at which `place` begins."""
    shapes = {tuple(tensor.shape) for tensor in whole}
    size = whole[0].shape
    fits = tuple(len(range(*part.indices(side))) for part, side in zip(place, size, strict=True)) == tuple(mu.shape)
    steps = [part.step for part in place]
    if len(shapes) > 1 or not fits or steps != [None, None, 2, 2] or gain.shape != size[:2]:
        message = (
            f"a context step got what doesn't fit: shapes {shapes}, mu {tuple(mu.shape)} for {place}, "
            f"gains {tuple(gain.shape)}"
        )
        raise InputError(message)
    return place[2].start, place[3].start, place[1].start


def _rows(tensor: Tensor, number: int, dtype: type[np.generic]) -> NDArray[Any]:
    """[B, M, rows, columns] -> that of one picture, [rows, columns, M], in one piece."""
    array: NDArray[Any] = tensor[number].permute(1, 2, 0).numpy()
    if array.dtype != dtype or not array.flags.c_contiguous:
        message = f"a context step got {array.dtype} of strides {array.strides}; it takes channels-last {dtype}"
        raise InputError(message)
    return array
