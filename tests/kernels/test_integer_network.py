"""The integer scale network on a GPU: equal to the NumPy form, all inputs at their extremes included."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from vaecodec.intnet.layers import SHUFFLED_LAYERS, IntegerLayer, make_layers, run_tile, scale_index
from vaecodec_kernels import intnet
from vaecodec_kernels.errors import KernelInputError

LEVELS = 3
NARROW = (8, 8, 4, 4)
"""Widths for the sizes around a program's 64 positions: 1, 63, 64, 65, 1000."""


def _layers(n: int, h1: int, h2: int, m: int, extreme: bool) -> tuple[IntegerLayer, ...]:
    rng = np.random.default_rng(n)
    widths = [(n, h1, 3), (h1, 4 * h2, 1), (h2, h2, 3), (h2, 4 * m, 1)]
    weights, biases = [], []
    for inputs, outputs, kernel in widths:
        weight = rng.integers(-127, 128, (outputs, inputs, kernel, kernel))
        if extreme:
            weight = np.where(weight < 0, -127, 127)
        weights.append(weight.astype(np.int8))
        biases.append(rng.integers(-4000, 4000, (LEVELS, outputs)).astype(np.int32))
    return make_layers(weights, biases)


def _on(device: torch.device, layers: tuple[IntegerLayer, ...]) -> list[intnet.DeviceLayer]:
    return [
        intnet.make_layer(
            torch.from_numpy(layer.weight),
            torch.from_numpy(layer.bias),
            shift=layer.form.shift,
            output_max=layer.form.output_max,
            offset=128 if number else 0,
            shuffle=number in SHUFFLED_LAYERS,
            device=device,
        )
        for number, layer in enumerate(layers)
    ]


@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((8, 16, 8, 16), (2, 3, 5)),
        ((40, 24, 12, 20), (3, 1, 2)),
        *((NARROW, shape) for shape in ((1, 1, 1), (1, 7, 9), (1, 8, 8), (1, 5, 13), (1, 25, 40))),
    ],
    ids=str,
)
def test_indices_equal_the_reference(
    sizes: tuple[int, int, int, int], shape: tuple[int, int, int], extreme: bool, device: torch.device
) -> None:
    layers = _layers(*sizes, extreme=extreme)
    batch, height, width = shape
    z_hat = np.random.default_rng(1).integers(-128, 128, (batch, sizes[0], height, width)).astype(np.int8)
    if extreme:
        z_hat = np.where(z_hat < 0, -128, 127).astype(np.int8)
    levels = [number % LEVELS for number in range(batch)]
    index = intnet.run_network(_on(device, layers), torch.from_numpy(z_hat).to(device), levels)
    assert index.shape == (batch, sizes[3], 4 * height, 4 * width)
    for number, level in enumerate(levels):
        expected = torch.from_numpy(scale_index(z_hat[number], level, layers, run=partial(run_tile, product=None)))
        assert torch.equal(index[number].cpu(), expected)
    assert len(index.unique()) > 1


def test_arguments_are_checked(device: torch.device) -> None:
    layers = _on(device, _layers(8, 16, 8, 16, extreme=False))
    z_hat = torch.zeros(1, 8, 2, 2, dtype=torch.int8, device=device)
    with pytest.raises(KernelInputError, match="level is 3"):
        intnet.run_network(layers, z_hat, [LEVELS])
    with pytest.raises(KernelInputError, match="z_hat has shape"):
        intnet.run_network(layers, z_hat, [0, 0])
    with pytest.raises(KernelInputError, match="x has shape"):
        intnet.run_network(layers, z_hat[:, :4], [0])
    with pytest.raises(KernelInputError, match="must be int8 and int32"):
        intnet.make_layer(
            torch.zeros(4, 4, 1, 1),
            torch.zeros(1, 4, dtype=torch.int32),
            shift=3,
            output_max=255,
            offset=0,
            shuffle=False,
            device=device,
        )
    level = torch.zeros(1, dtype=torch.int32, device=device)
    out = torch.zeros(1, 2, 2, 16, dtype=torch.uint8, device=device)
    with pytest.raises(KernelInputError, match="out is"):
        intnet.run_layer(layers[0], z_hat.permute(0, 2, 3, 1).contiguous(), level, out, out_offset=128)
