"""Integer layers in NumPy: the normative int64 form, and a form in floats that is equal to it.

Integers held in float64 are exact whatever the order of summation, since every sum stays far under 2^53, and in float32
where the weights prove that none reaches 2^24: the form in floats may use any BLAS. `check_bounds` proves from the
weights that no accumulator reaches 2^31.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vaecodec.errors import WeightsError
from vaecodec.intnet.fixedpoint import (
    ACCUMULATOR_LIMIT,
    ACTIVATION_MAX,
    LAYER_FORMATS,
    WEIGHT_MAX,
    Z_MIN,
    LayerFormat,
)

Product = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
"""A matrix product."""

SHUFFLED_LAYERS = (1, 3)
"""A pixel shuffle by 2 follows these layers (counted from 0)."""
GROWTH = 2 ** len(SHUFFLED_LAYERS)
"""Positions of the scale index per position of z, along each side."""
TILE = 32
"""Side of a tile in positions of z, 2048 pixels: about 150 MB while it is computed in the largest model."""
TOGETHER = 128
"""Positions of z of several images that go through the layers together: what is computed stays in the cache."""
FLOAT32_LIMIT = 2**24
"""Under it float32 holds every integer."""
HALO = 2
"""Positions of z beyond a tile that its result depends on: one by each of the two 3x3 layers."""


@dataclass(frozen=True)
class IntegerLayer:
    """weight int8 [out, in, k, k], bias int32 [levels, out]; formats as in `fixedpoint`."""

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    form: LayerFormat

    def largest_accumulator(self, largest_input: int) -> int:
        """A bound for inputs of at most this magnitude, every sum on the way and the rounding constant included."""
        weight_sum = np.abs(self.weight.astype(np.int64)).sum((1, 2, 3))
        sums = weight_sum * largest_input + np.abs(self.bias.astype(np.int64)).max(0)
        # The rounding constant is added to the accumulator before the shift.
        return int(sums.max()) + (1 << (self.form.shift - 1))

    @cached_property
    def matrix(self) -> NDArray[np.int8]:
        """The weights, [out, in * k * k]."""
        matrix: NDArray[np.int8] = self.weight.reshape(len(self.weight), -1).copy()
        return matrix

    @cached_property
    def float_weight(self) -> NDArray[Any]:
        """[out, in * k * k], of the smallest type of floats that holds all its accumulators exactly.

        Weights and activations have 8 bits at most: where PyTorch was told to multiply float32 as bfloat16, they stay.
        """
        exact = self.largest_accumulator(ACTIVATION_MAX) < FLOAT32_LIMIT
        return self.matrix.astype(np.float32 if exact else np.float64)


RunTile = Callable[[NDArray[np.generic], int, Sequence[IntegerLayer]], NDArray[np.uint8]]
"""z_hat int8 [N, h, w] of a tile, or of several small images [N, images, h, w], the level and all layers -> the scale
index [M, 4h, 4w] or [M, images, 4h, 4w], in any order of memory."""


def check_bounds(layers: Sequence[IntegerLayer]) -> None:
    """Prove that every accumulator stays under 2^31 for every input. Raises WeightsError naming the layer."""
    for number, layer in enumerate(layers):
        largest_input = -Z_MIN if number == 0 else ACTIVATION_MAX
        worst = layer.largest_accumulator(largest_input)
        if worst >= ACCUMULATOR_LIMIT:
            message = f"h_scale layer {number}: accumulator may reach {worst}; it must stay under {ACCUMULATOR_LIMIT}"
            raise WeightsError(message)


def make_layers(weights: Sequence[NDArray[np.int8]], biases: Sequence[NDArray[np.int32]]) -> tuple[IntegerLayer, ...]:
    """Layers of the scale network, checked. Raises WeightsError for wrong counts, shapes, types or bounds."""
    if not len(weights) == len(biases) == len(LAYER_FORMATS):
        message = (
            f"h_scale has {len(weights)} weights and {len(biases)} biases; it must have {len(LAYER_FORMATS)} of each"
        )
        raise WeightsError(message)
    layers = tuple(map(IntegerLayer, weights, biases, LAYER_FORMATS))
    for number, layer in enumerate(layers):
        _check_layer(number, layer)
    check_bounds(layers)
    return layers


def _check_layer(number: int, layer: IntegerLayer) -> None:
    kernel = layer.form.kernel
    if layer.weight.dtype != np.int8 or layer.weight.shape[2:] != (kernel, kernel):
        is_now = f"{layer.weight.dtype} {layer.weight.shape}"
        message = f"h_scale layer {number}: weight is {is_now}; it must be int8 [out, in, {kernel}, {kernel}]"
        raise WeightsError(message)
    if layer.bias.dtype != np.int32 or layer.bias.shape[1:] != layer.weight.shape[:1]:
        is_now = f"{layer.bias.dtype} {layer.bias.shape}"
        message = f"h_scale layer {number}: bias is {is_now}; it must be int32 [levels, {layer.weight.shape[0]}]"
        raise WeightsError(message)
    if int(np.abs(layer.weight.astype(np.int16)).max()) > WEIGHT_MAX:
        message = f"h_scale layer {number}: a weight is -128; it must be -{WEIGHT_MAX}..{WEIGHT_MAX}"
        raise WeightsError(message)


def windows_of(x: NDArray[Any], kernel: int, dtype: type[np.generic] | np.dtype[Any]) -> NDArray[Any]:
    """What a stride-1 convolution with zero padding sees: [in, ..., h, w] -> [in * kernel * kernel, ... * h * w], of
    this type.

    One matrix product instead of one per weight.
    """
    *before, height, width = x.shape
    radius = kernel // 2
    padded = np.zeros((*before, height + 2 * radius, width + 2 * radius), dtype)
    padded[..., radius : radius + height, radius : radius + width] = x
    views = np.moveaxis(sliding_window_view(padded, (kernel, kernel), (-2, -1), writeable=True), (-2, -1), (1, 2))
    windows: NDArray[Any] = views.reshape(before[0] * kernel**2, -1)
    return windows


def run_tile(
    x: NDArray[Any], level: int, layers: Sequence[IntegerLayer], *, product: Product | None = np.matmul
) -> NDArray[np.uint8]:
    """All layers on [in, ..., h, w]. product: what multiplies matrices of floats; None for the normative form, in
    int64, whose results are the same."""
    for number, layer in enumerate(layers):
        x = _requantize(_convolve(x, layer, level, product), layer.form)
        if number in SHUFFLED_LAYERS:
            x = pixel_shuffle(x)
    return x


def _convolve(x: NDArray[np.generic], layer: IntegerLayer, level: int, product: Product | None) -> NDArray[Any]:
    """[in, ..., h, w] -> accumulators [out, ..., h, w]."""
    weight: NDArray[Any] = layer.matrix.astype(np.int64) if product is None else layer.float_weight
    accumulator: NDArray[Any] = (product or np.matmul)(weight, windows_of(x, layer.form.kernel, weight.dtype))
    accumulator += layer.bias[level].astype(weight.dtype)[:, None]
    result: NDArray[Any] = accumulator.reshape(-1, *x.shape[1:])
    return result


def _requantize(accumulator: NDArray[Any], form: LayerFormat) -> NDArray[np.uint8]:
    """(accumulator + half) >> shift, clamped to 0..output_max. The accumulator is overwritten."""
    accumulator += 1 << (form.shift - 1)
    if accumulator.dtype.kind == "f":
        # Exact: a power of two changes the exponent alone.
        accumulator *= 2.0**-form.shift
        np.floor(accumulator, out=accumulator)
    else:
        accumulator >>= form.shift
    clamped: NDArray[np.uint8] = np.clip(accumulator, 0, form.output_max, out=accumulator).astype(np.uint8)
    return clamped


def pixel_shuffle(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[4*C, ..., h, w] -> [C, ..., 2h, 2w]; channel 4*c + 2*i + j goes to row offset i and column offset j."""
    channels, *between, height, width = x.shape
    cells = x.reshape(channels // 4, 2, 2, -1, width)
    # Neighbours in a row as one number of two bytes: whole rows are moved then, six times as fast as bytes.
    pairs = cells[:, :, 1].astype("<u2")
    pairs <<= 8
    pairs |= cells[:, :, 0]
    rows = np.ascontiguousarray(pairs.transpose(0, 2, 1, 3))
    return rows.view(np.uint8).reshape(channels // 4, *between, 2 * height, 2 * width)


def scale_index(
    z_hat: NDArray[np.int8],
    level: int,
    layers: Sequence[IntegerLayer],
    *,
    run: RunTile = run_tile,
) -> NDArray[np.uint8]:
    """The scale network: z_hat int8 [N, h, w], level 0..63 -> scale index uint8 0..63 [M, 4h, 4w].

    run: `run_tile`, or what gives the same. Beside the result it needs the memory of one tile, whatever the size of
    the picture.
    """
    _, height, width = z_hat.shape
    index = np.empty((len(layers[-1].weight) // 4, GROWTH * height, GROWTH * width), np.uint8)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            first_row, first_column = max(0, top - HALO), max(0, left - HALO)
            bottom, right = min(height, top + TILE), min(width, left + TILE)
            cut = z_hat[:, first_row : bottom + HALO, first_column : right + HALO]
            tile = run(cut, level, layers)
            columns = slice(GROWTH * (left - first_column), GROWTH * (right - first_column))
            place = index[:, :, GROWTH * left : GROWTH * right]
            for row in range(GROWTH * top, GROWTH * bottom):  # one by one: channels may be innermost in the tile
                place[:, row] = tile[:, row - GROWTH * first_row, columns]
    return index


def scale_indices(
    z_hats: Sequence[NDArray[np.int8]],
    level: int,
    layers: Sequence[IntegerLayer],
    *,
    run: RunTile = run_tile,
) -> list[NDArray[np.uint8]]:
    """`scale_index` of several images of one size and level. Small ones go through the layers together."""
    _, height, width = z_hats[0].shape
    together = TOGETHER // (height * width)
    if together < 2:
        return [scale_index(z_hat, level, layers, run=run) for z_hat in z_hats]
    indices: list[NDArray[np.uint8]] = []
    for start in range(0, len(z_hats), together):
        index = run(np.stack(z_hats[start : start + together], 1), level, layers)
        indices.extend(np.ascontiguousarray(index.swapaxes(0, 1)))
    return indices
