"""The layers on a CPU, compiled by numba. `plain` has the same in NumPy.

Arrays are C-contiguous [rows, columns, channels]. `kernels` has checked what goes in: numba checks nothing.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from vaecodec.networks.config import PATCH, PRODUCT_MAX, STREAM_MAX
from vaecodec.rans.compiling import compiled
from vaecodec.runtime.cpu.tiles import (
    ROWS,
    STRIDE,
    WIDTH,
    add_tile,
    finish_tile,
    gate_tile,
    mix_neighbours,
    multiply_tile,
    narrow_rows,
)

HALF = WIDTH // 2
PRODUCT, STREAM, UNBOUNDED = np.float32(PRODUCT_MAX), np.float32(STREAM_MAX), np.float32(np.inf)
RGB = 3


def _left(rows, narrow, depth):  # type: ignore[no-untyped-def]
    """The left factor of a product: `rows` in the type of `narrow`, which has room for them."""


@overload(_left, inline="always")
def _left_of(rows, narrow, depth):  # type: ignore[no-untyped-def]
    if narrow.dtype == types.float32:
        return lambda rows, narrow, depth: rows

    def narrowed(rows, narrow, depth):  # type: ignore[no-untyped-def]
        narrow_rows(rows, narrow, depth)
        return narrow

    return narrowed


def _steps(matrix, depth):  # type: ignore[no-untyped-def]
    """Of a product: columns of four bytes."""


@overload(_steps, inline="always")
def _steps_of(matrix, depth):  # type: ignore[no-untyped-def]
    if matrix.dtype == types.float32:
        return lambda matrix, depth: np.uint64(depth)
    return lambda matrix, depth: np.uint64(depth // 2)


@compiled
def product(x, other, geometry, matrix, bias, bound, out, start, stop):  # type: ignore[no-untyped-def]
    """Rows start..stop of a 1x1 convolution, see `kernels.Kernels.product`."""
    columns, top, left, step, fold, spread = geometry
    channels, more, outputs = x.shape[2], other.shape[2], out.shape[2]
    run, out_run = fold * channels, spread * outputs
    depth = fold * run + more
    values, narrow = np.zeros((ROWS, STRIDE), np.float32), np.zeros((ROWS, STRIDE), matrix.dtype)
    sums, results = np.empty((ROWS, WIDTH), np.float32), np.empty((ROWS, STRIDE), np.float32)
    steps = _steps(matrix, depth)
    for i in range(start, stop):
        for first in range(0, columns, ROWS):
            count = min(ROWS, columns - first)
            for m in range(count):
                j = first + m
                for r in range(fold):
                    row, at = x[top + step * i + r].reshape(-1), (left + step * j) * channels
                    values[m, r * run : (r + 1) * run] = row[at : at + run]
                if more:
                    values[m, fold * run : depth] = other[i, j]
            factor = _left(values, narrow, depth)
            for panel in range(len(matrix)):
                multiply_tile(factor, matrix, panel, sums, steps)
                finish_tile(sums, bias, panel, False, bound, results)
            for m in range(count):
                for r in range(spread):
                    row, at = out[spread * i + r].reshape(-1), (first + m) * out_run
                    row[at : at + out_run] = results[m, r * out_run : (r + 1) * out_run]


@compiled
def block(  # type: ignore[no-untyped-def]
    x, out, first, start, stop, enter, enter_bias, depthwise, depthwise_bias, leave, leave_bias, gated, gated_bias,
    back, back_bias,
):  # fmt: skip
    """Rows start..stop of x through a block, to `out` from its row start - first on.

    Beyond the rows of x are zeros, as the depthwise convolution sees them. depthwise [9, channels].
    """
    height, width, channels = x.shape
    hidden = HALF * len(gated)
    values, narrow = np.zeros((ROWS, STRIDE), np.float32), np.zeros((ROWS, STRIDE), leave.dtype)
    inner, stream = np.zeros((ROWS, STRIDE), leave.dtype), np.zeros((ROWS, STRIDE), np.float32)
    sums, entered = np.empty((ROWS, WIDTH), np.float32), np.zeros((3, (width + 2) * channels), np.float32)
    steps, inner_steps = _steps(leave, channels), _steps(leave, hidden)
    for row in range(start - 1, stop + 1):
        ahead = entered[(row + 1) % 3]
        if row < 0 or row >= height:
            ahead[:] = 0
        else:
            for left in range(0, width, ROWS):
                count = min(ROWS, width - left)
                for m in range(count):
                    values[m, :channels] = x[row, left + m]
                factor = _left(values, narrow, channels)
                for panel in range(len(enter)):
                    multiply_tile(factor, enter, panel, sums, steps)
                    finish_tile(sums, enter_bias, panel, True, UNBOUNDED, stream)
                for m in range(count):
                    at = (left + m + 1) * channels
                    ahead[at : at + channels] = stream[m, :channels]
        if row <= start:
            continue
        here = row - 1
        for left in range(0, width, ROWS):
            count = min(ROWS, width - left)
            for m in range(count):
                at = (left + m) * channels
                above, middle = entered[(row - 1) % 3], entered[row % 3]
                mix_neighbours(above, middle, ahead, at, depthwise, depthwise_bias, values, m, channels)
                stream[m, :channels] = x[here, left + m]
            factor = _left(values, narrow, channels)
            for panel in range(len(leave)):
                multiply_tile(factor, leave, panel, sums, steps)
                add_tile(sums, leave_bias, panel, UNBOUNDED, stream)
            factor = _left(stream, narrow, channels)
            for panel in range(len(gated)):
                multiply_tile(factor, gated, panel, sums, steps)
                gate_tile(sums, gated_bias, panel, PRODUCT, inner)
            for panel in range(len(back)):
                multiply_tile(inner, back, panel, sums, inner_steps)
                add_tile(sums, back_bias, panel, STREAM, stream)
            for m in range(count):
                out[here - first, left + m] = stream[m, :channels]


@compiled
def unfold(pixels, out, start, stop):  # type: ignore[no-untyped-def]
    """Rows start..stop of out [h, w, 192]: squares of PATCH x PATCH pixels, row by row, of uint8 [8h, 8w, 3]."""
    run = RGB * PATCH
    for i in range(start, stop):
        for r in range(PATCH):
            row = pixels[PATCH * i + r].reshape(-1)
            for j in range(out.shape[1]):
                out[i, j, r * run : (r + 1) * run] = row[j * run : (j + 1) * run]


@compiled
def to_bytes(shades, side, out, start, stop):  # type: ignore[no-untyped-def]
    """The inverse for squares of `side` pixels, rounded to 0..255, of rows start..stop of float32 [h, w, 3 side^2]."""
    run = RGB * side
    low, high = np.float32(0), np.float32(255)
    for i in range(start, stop):
        for r in range(side):
            row = out[side * i + r].reshape(-1)
            for j in range(shades.shape[1]):
                source, target = shades[i, j, r * run : (r + 1) * run], row[j * run : (j + 1) * run]
                for k in range(run):
                    target[k] = np.uint8(np.rint(min(max(source[k], low), high)))


# Unsigned places: numba takes a negative one for a place counted from the end, and then vectorizes nothing.


@compiled
def quantize(y, mu, gain, index, widths, y_hat, top, left, first):  # type: ignore[no-untyped-def]
    """One position of every 2 x 2 cell, from row `top` and column `left` on, and the channels from `first` on: r
    replaces y, and y_hat = mu + r / gain. mu [rows, columns, size] is of these alone, y, index and y_hat of all.

    widths [256]: the dead zone of each index. Where the index is 0, so is r.
    """
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
def dequantize(r, mu, gain, y_hat, top, left, first):  # type: ignore[no-untyped-def]
    """The inverse."""
    rows, columns, size = mu.shape
    for i in range(rows):
        for j in range(columns):
            row, column = np.uint64(top + 2 * i), np.uint64(left + 2 * j)
            for k in range(np.uint64(size)):
                at = k + np.uint64(first)
                y_hat[row, column, at] = np.float32(r[row, column, at]) / gain[at] + mu[i, j, k]
