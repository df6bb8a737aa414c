"""The layers on a CPU as loops, see `native`. `plain` has the same in NumPy.

Arrays are [rows, columns, channels]. `kernels` has checked what goes in, and gives each call its `Scratch`.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from vaecodec.native.loops import loop
from vaecodec.networks.config import PATCH, PRODUCT_MAX, STREAM_MAX
from vaecodec.runtime.cpu.tile_sizes import PEAK_WIDTH, ROWS, STRIDE, WIDTH
from vaecodec.runtime.cpu.tiles import (
    add_tile,
    copy_numbers,
    finish_tile,
    gate_tile,
    hand_over_peak,
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
    """The steps of a product: columns of four bytes."""


@overload(_steps, inline="always")
def _steps_of(matrix, depth):  # type: ignore[no-untyped-def]
    if matrix.dtype == types.float32:
        return lambda matrix, depth: np.uint64(depth)
    return lambda matrix, depth: np.uint64(depth // 2)


def _product(  # type: ignore[no-untyped-def]
    x, other, columns, top, left, step, fold, spread, matrix, bias, bound, out, start, stop, values, narrow, sums,
    results,
):  # fmt: skip
    """Rows start..stop of a 1x1 convolution, see `kernels.Kernels.product`."""
    width, channels, more, outputs = x.shape[1], x.shape[2], other.shape[2], out.shape[2]
    run, out_run = fold * channels, spread * outputs
    depth = fold * run + more
    steps = _steps(matrix, depth)
    for i in range(start, stop):
        for first in range(0, columns, ROWS):
            count = min(ROWS, columns - first)
            for m in range(count):
                j = first + m
                for r in range(fold):
                    at = ((top + step * i + r) * width + left + step * j) * channels
                    copy_numbers(x, at, values, m * STRIDE + r * run, run)
                copy_numbers(other, (i * columns + j) * more, values, m * STRIDE + fold * run, more)
            factor = _left(values, narrow, depth)
            for panel in range(len(matrix)):
                multiply_tile(factor, matrix, panel, sums, steps)
                finish_tile(sums, bias, panel, False, bound, results)
            for m in range(count):
                for r in range(spread):
                    at = ((spread * i + r) * columns + first + m) * out_run
                    copy_numbers(results, m * STRIDE + r * out_run, out, at, out_run)


def _block(  # type: ignore[no-untyped-def]
    x, above, number, out, peaks, places, first, start, stop, unentered, enter, enter_bias, depthwise, depthwise_bias,
    leave, leave_bias, gated, gated_bias, back, back_bias, values, narrow, inner, stream, sums, entered, peak,
):  # fmt: skip
    """Rows start..stop of x through a block, to `out` from its row start - first on.

    above [0 or 1, width, channels]: the row before those of x, which is row -1. number: of the first row of x in the
    image. Beyond these rows are zeros, as the depthwise convolution sees them. depthwise [9, channels]. peaks [rows of
    out, columns / PEAK_WIDTH, LANES]: raised to the largest gated products, before their bound.

    entered [3, ...]: row i of the image in row i % 3, column j from number places[j] * channels on, zeros before and
    after it and between images that are side by side. Rows before `unentered` are there already; afterwards, rows
    stop - 1 and stop are. peak [LANES]: zeros at the start.
    """
    height, width, channels = x.shape
    hidden = HALF * len(gated)
    steps, inner_steps = _steps(leave, channels), _steps(leave, hidden)
    ring = number % 3 + 3  # no remainder of a negative number
    for row in range(unentered, stop + 1):
        ahead = entered[(row + ring) % 3]
        if row < -len(above) or row >= height:
            for k in range(np.uint64(ahead.size)):
                ahead[k] = 0
        else:
            for left in range(0, width, ROWS):
                count = min(ROWS, width - left)
                for m in range(count):
                    if row < 0:
                        copy_numbers(above, (left + m) * channels, values, m * STRIDE, channels)
                    else:
                        copy_numbers(x, (row * width + left + m) * channels, values, m * STRIDE, channels)
                factor = _left(values, narrow, channels)
                for panel in range(len(enter)):
                    multiply_tile(factor, enter, panel, sums, steps)
                    finish_tile(sums, enter_bias, panel, True, UNBOUNDED, stream)
                for m in range(count):
                    copy_numbers(stream, m * STRIDE, ahead, places[left + m] * channels, channels)
        if row <= start:
            continue
        here = row - 1
        for left in range(0, width, ROWS):
            count = min(ROWS, width - left)
            for m in range(count, ROWS):  # what was there before must not count in `peaks`
                for k in range(np.uint64(channels)):
                    values[m, k] = 0
                    stream[m, k] = 0
            for m in range(count):
                at = (left + m) * channels
                upper, middle = entered[(row - 2 + ring) % 3], entered[(here + ring) % 3]
                before = (places[left + m] - 1) * channels
                mix_neighbours(upper, middle, ahead, before, depthwise, depthwise_bias, values, m, channels)
                if here < 0:
                    copy_numbers(above, at, stream, m * STRIDE, channels)
                else:
                    copy_numbers(x, here * width * channels + at, stream, m * STRIDE, channels)
            factor = _left(values, narrow, channels)
            for panel in range(len(leave)):
                multiply_tile(factor, leave, panel, sums, steps)
                add_tile(sums, leave_bias, panel, UNBOUNDED, stream)
            factor = _left(stream, narrow, channels)
            for panel in range(len(gated)):
                multiply_tile(factor, gated, panel, sums, steps)
                gate_tile(sums, gated_bias, panel, PRODUCT, inner, peak)
            hand_over_peak(peak, peaks, np.uint64((here - first) * peaks.shape[1] + left // PEAK_WIDTH))
            for panel in range(len(back)):
                multiply_tile(inner, back, panel, sums, inner_steps)
                add_tile(sums, back_bias, panel, STREAM, stream)
            for m in range(count):
                copy_numbers(stream, m * STRIDE, out, ((here - first) * width + left + m) * channels, channels)


_PRODUCT = (
    "void(float32[:, :, ::1], float32[:, :, ::1], int64, int64, int64, int64, int64, int64, {0}[:, ::1], float32[::1], "
    "float32, float32[:, :, ::1], int64, int64, float32[:, ::1], {0}[:, ::1], float32[:, ::1], float32[:, ::1])"
)
_BLOCK = (
    "void(float32[:, :, ::1], float32[:, :, ::1], int64, float32[:, :, ::1], float32[:, :, ::1], int64[::1], int64, "
    "int64, int64, int64, {0}[:, ::1], float32[::1], float32[:, ::1], float32[::1], {0}[:, ::1], float32[::1], "
    "{0}[:, ::1], float32[::1], {0}[:, ::1], float32[::1], float32[:, ::1], {0}[:, ::1], {0}[:, ::1], float32[:, ::1], "
    "float32[:, ::1], float32[:, ::1], float32[::1])"
)
product_float32 = loop(_PRODUCT.format("float32"))(_product)
product_bfloat16 = loop(_PRODUCT.format("uint16"))(_product)
block_float32 = loop(_BLOCK.format("float32"))(_block)
block_bfloat16 = loop(_BLOCK.format("uint16"))(_block)


# Unsigned places: numba takes a negative one for a place counted from the end, and then vectorizes nothing.


@loop("void(uint8[::1], float32[:, :, ::1], int64, int64)")
def unfold(pixels, out, start, stop):  # type: ignore[no-untyped-def]
    """Rows start..stop of out [h, w, 192]: squares of PATCH x PATCH pixels, row by row, of uint8 [8h, 8w, 3]."""
    run, width = np.uint64(RGB * PATCH), np.uint64(out.shape[1])
    for i in range(np.uint64(start), np.uint64(stop)):
        for r in range(np.uint64(PATCH)):
            row = (np.uint64(PATCH) * i + r) * width
            for j in range(width):
                for k in range(run):
                    out[i, j, r * run + k] = pixels[(row + j) * run + k]


@loop("void(float32[:, :, ::1], int64, uint8[::1], int64, int64)")
def to_bytes(shades, side, out, start, stop):  # type: ignore[no-untyped-def]
    """Rows start..stop of float32 [h, w, 3 side^2], squares of `side` pixels each, -> pixels rounded to 0..255."""
    run, width = np.uint64(RGB * side), np.uint64(shades.shape[1])
    low, high = np.float32(0), np.float32(255)
    for i in range(np.uint64(start), np.uint64(stop)):
        for r in range(np.uint64(side)):
            row = (np.uint64(side) * i + r) * width
            for j in range(width):
                for k in range(run):
                    out[(row + j) * run + k] = np.uint8(np.rint(min(max(shades[i, j, r * run + k], low), high)))


@loop("void(float32[:, :, ::1], float32[::1], float32, float32, int64, uint8[:, :, ::1], int64, int64)")
def requantize(sums, bias, factor, most, spread, out, start, stop):  # type: ignore[no-untyped-def]
    """Rows start..stop of sums: floor((sums + bias) * factor) in 0..most, where the outputs are `spread` squared."""
    side, channels, low = np.uint64(spread), np.uint64(out.shape[2]), np.float32(0)
    for i in range(np.uint64(start), np.uint64(stop)):
        for j in range(np.uint64(sums.shape[1])):
            for r in range(side):
                for c in range(side):
                    first = (r * side + c) * channels
                    for k in range(channels):
                        value = np.floor((sums[i, j, first + k] + bias[first + k]) * factor)
                        out[side * i + r, side * j + c, k] = np.uint8(min(max(value, low), most))


@loop(
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[::1], uint8[:, :, ::1], float32[::1], float32[:, :, ::1], "
    "int64, int64, int64)"
)
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


@loop("void(int32[:, :, ::1], float32[:, :, ::1], float32[::1], float32[:, :, ::1], int64, int64, int64)")
def dequantize(r, mu, gain, y_hat, top, left, first):  # type: ignore[no-untyped-def]
    """The inverse of `quantize`: y_hat from r, int32."""
    rows, columns, size = mu.shape
    for i in range(rows):
        for j in range(columns):
            row, column = np.uint64(top + 2 * i), np.uint64(left + 2 * j)
            for k in range(np.uint64(size)):
                at = k + np.uint64(first)
                y_hat[row, column, at] = np.float32(r[row, column, at]) / gain[at] + mu[i, j, k]
