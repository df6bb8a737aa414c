"""The integer scale network: reference, form in floats, bounds, and equality with the trained (fake quantized) form."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaecodec.errors import WeightsError
from vaecodec.intnet.fixedpoint import ACCUMULATOR_LIMIT, LAYER_FORMATS
from vaecodec.intnet.layers import (
    IntegerLayer,
    RunTile,
    check_bounds,
    make_layers,
    pixel_shuffle,
    run_tile,
    scale_index,
    scale_indices,
)
from vaecodec.levels import LEVELS
from vaecodec.networks.config import ModelConfig
from vaecodec.networks.network import level_position
from vaecodec.networks.scale_network import ScaleNetwork
from vaecodec.runtime.cpu.integers import ProductRunner
from vaecodec.runtime.cpu.kernels import CompiledKernels
from vaecodec.runtime.cpu.plain import PlainKernels
from vaecodec.training.export import export_layers

CONFIG = ModelConfig("test", C=8, blocks_a=1, blocks_s=1, M=8, N=6, P=8, H1=12, H2=5)


NORMATIVE = partial(run_tile, product=None)
PRODUCTS = [ProductRunner(CompiledKernels(2)), ProductRunner(PlainKernels())]


def random_layers(seed: int, largest: int = 127) -> tuple[IntegerLayer, ...]:
    rng = np.random.default_rng(seed)
    widths = [(CONFIG.N, CONFIG.H1), (CONFIG.H1, 4 * CONFIG.H2), (CONFIG.H2, CONFIG.H2), (CONFIG.H2, 4 * CONFIG.M)]
    weights = [
        rng.integers(-largest, largest + 1, (o, i, f.kernel, f.kernel)).astype(np.int8)
        for (i, o), f in zip(widths, LAYER_FORMATS, strict=True)
    ]
    biases = [rng.integers(-5000, 30000, (LEVELS, w.shape[0])).astype(np.int32) for w in weights]
    return make_layers(weights, biases)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 5), width=st.integers(1, 5), level=st.integers(0, 63))
def test_the_form_in_floats_equals_the_reference(seed: int, height: int, width: int, level: int) -> None:
    layers = random_layers(seed)
    z_hat = np.random.default_rng(seed).integers(-128, 128, (CONFIG.N, height, width)).astype(np.int8)
    reference = scale_index(z_hat, level, layers, run=NORMATIVE)
    assert reference.shape == (CONFIG.M, 4 * height, 4 * width)
    assert np.array_equal(reference, scale_index(z_hat, level, layers))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 20), level=st.integers(0, 63))
@pytest.mark.parametrize("run", PRODUCTS)
def test_products_of_the_kernels_are_exact(run: RunTile, seed: int, height: int, width: int, level: int) -> None:
    layers = random_layers(seed)
    z_hat = np.random.default_rng(seed).integers(-128, 128, (CONFIG.N, height, width)).astype(np.int8)
    assert np.array_equal(scale_index(z_hat, level, layers, run=NORMATIVE), scale_index(z_hat, level, layers, run=run))


@pytest.mark.parametrize("run", [NORMATIVE, run_tile, *PRODUCTS])
@pytest.mark.parametrize(("count", "height", "width"), [(1, 1, 1), (3, 2, 5), (70, 1, 2), (2, 9, 20)])
def test_images_together_are_those_of_each(run: RunTile, count: int, height: int, width: int) -> None:
    layers = random_layers(count)
    z_hats = np.random.default_rng(count).integers(-128, 128, (count, CONFIG.N, height, width)).astype(np.int8)
    together = scale_indices(list(z_hats), 9, layers, run=run)
    alone = [scale_index(z_hat, 9, layers, run=NORMATIVE) for z_hat in z_hats]
    assert len(together) == count
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("run", [run_tile, *PRODUCTS])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_are_exact(run: RunTile, sign: int) -> None:
    """Pairs of products beyond 16 bits, where older processors saturate, and sums of nearly 2^31."""
    weight = np.full((70, 65_000, 1, 1), 127 * sign, np.int8)
    form = replace(LAYER_FORMATS[3], shift=25)
    layer = IntegerLayer(weight, np.full((1, 70), 4000 * sign, np.int32), form)
    check_bounds([layer, layer])
    x = np.full((65_000, 1, 5), 255, np.uint8)
    x[:, 0, 3] = np.arange(65_000) % 256
    output = run(x, 0, [layer])
    assert np.array_equal(output, NORMATIVE(x, 0, [layer]))
    assert output.max() == (63 if sign > 0 else 0)
    assert len(np.unique(output)) == (2 if sign > 0 else 1)


@pytest.mark.parametrize("shape", [(65, 33), (32, 34), (1, 70)])
def test_tiles_join_without_a_seam(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures go through in tiles; the result is that of one piece."""
    layers = random_layers(4)
    z_hat = np.random.default_rng(4).integers(-128, 128, (CONFIG.N, *shape)).astype(np.int8)
    tiled = scale_index(z_hat, 7, layers)
    monkeypatch.setattr("vaecodec.intnet.layers.TILE", 1000)
    assert np.array_equal(tiled, scale_index(z_hat, 7, layers))


def test_extreme_inputs_are_exact() -> None:
    layers = random_layers(3)
    for value in (-128, 127):
        z_hat = np.full((CONFIG.N, 3, 2), value, np.int8)
        assert np.array_equal(scale_index(z_hat, 5, layers, run=NORMATIVE), scale_index(z_hat, 5, layers))


@pytest.mark.parametrize(
    ("inputs", "bias", "dtype"), [(500, 0, np.float32), (519, 0, np.float64), (500, 600_000, np.float64)]
)
def test_floats_are_wide_enough_for_every_sum(inputs: int, bias: int, dtype: type) -> None:
    """float32 holds every integer below 2^24, which 519 * 127 * 255 passes, and no odd one above."""
    from vaecodec.intnet.layers import _convolve

    weight = np.full((1, inputs, 1, 1), 127, np.int8)
    layer = IntegerLayer(weight, np.full((1, 1), bias, np.int32), LAYER_FORMATS[1])
    assert layer.float_weight.dtype == dtype
    x = np.full((inputs, 1, 3), 255, np.uint8)
    x[0, 0] = (254, 255, 253)
    floats, integers = _convolve(x, layer, 0, np.matmul), _convolve(x, layer, 0, None)
    assert integers.dtype == np.int64
    assert np.array_equal(floats, integers)
    assert floats[0, 0, 1] == inputs * 127 * 255 + bias


def test_rounding_is_half_up_and_clamped() -> None:
    """One weight, one channel: 8 * z in Q7 with shift 3 is z; halves go up, negative numbers become 0."""
    form = LAYER_FORMATS[0]
    weight = np.zeros((1, 1, 3, 3), np.int8)
    weight[0, 0, 1, 1] = 4
    layer = IntegerLayer(weight, np.zeros((1, 1), np.int32), form)
    from vaecodec.intnet.layers import _convolve, _requantize

    z = np.array([[[1, 2, 3, -1, 127]]], np.int8)
    out = _requantize(_convolve(z, layer, 0, None), form)
    assert out.tolist() == [[[1, 1, 2, 0, 64]]]  # 0.5 -> 1, 1.0, 1.5 -> 2, -0.5 -> 0, 63.5 -> 64


def test_trained_form_gives_the_same_integers() -> None:
    torch.manual_seed(0)
    network = ScaleNetwork(CONFIG)
    layers = make_layers(*export_layers(_Holder(network)))  # type: ignore[arg-type]
    z = torch.randint(-128, 128, (1, CONFIG.N, 4, 3))
    for level in (0, 17, 63):
        trained = network(z.float(), level_position(torch.tensor([level])))[0]
        integer = scale_index(z[0].numpy().astype(np.int8), level, layers)
        assert np.array_equal(trained.detach().numpy(), integer)


class _Holder:
    def __init__(self, h_scale: ScaleNetwork) -> None:
        self.h_scale = h_scale


def test_pixel_shuffle_equals_torch() -> None:
    x = np.arange(8 * 3 * 2, dtype=np.uint8).reshape(8, 3, 2) * 5
    assert np.array_equal(pixel_shuffle(x), torch.pixel_shuffle(torch.from_numpy(x)[None], 2)[0].numpy())


def test_bounds_are_proven_from_the_weights() -> None:
    layers = random_layers(1)
    bias = layers[2].bias.copy()
    bias[7, 0] = ACCUMULATOR_LIMIT - 10
    with pytest.raises(WeightsError, match="layer 2: accumulator may reach"):
        check_bounds([*layers[:2], IntegerLayer(layers[2].weight, bias, layers[2].form), layers[3]])


@pytest.mark.parametrize("change", ["dtype", "minimum", "bias", "count"])
def test_bad_layers_are_refused(change: str) -> None:
    layers = random_layers(2)
    weights, biases = [layer.weight.copy() for layer in layers], [layer.bias for layer in layers]
    if change == "dtype":
        weights[1] = weights[1].astype(np.int16)  # type: ignore[assignment]
    elif change == "minimum":
        weights[1][0, 0, 0, 0] = -128
    elif change == "bias":
        biases[3] = biases[3][:, 1:]
    else:
        weights.pop()
    with pytest.raises(WeightsError):
        make_layers(weights, biases)
