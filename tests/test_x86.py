"""The layers for x86 processors equal the plain ones, up to the rounding of their type."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vaecodec.networks.config import CONFIGS, PATCH
from vaecodec.networks.layers import DepthConvBlock, SideBySide, Unshuffle
from vaecodec.networks.network import CodecNetwork, level_position
from vaecodec.runtime.passes import NARROW_ANALYSIS, Passes
from vaecodec.runtime.pipeline import to_pixels
from vaecodec.runtime.x86 import (
    PackedBlock,
    PackedConv,
    PackedSideBySide,
    RunShuffle,
    RunUnshuffle,
    can_pack,
    pack,
    run_order,
)

pytestmark = pytest.mark.skipif(
    not can_pack(torch.float32), reason="no oneDNN operators for weights in their own order"
)
Kind = Literal["float32", "bfloat16"]


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def _random(*shape: int, seed: int = 0) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected.float()).abs().max() / expected.float().abs().max())


@pytest.mark.parametrize("factor", [2, PATCH])
def test_runs_are_shuffled_like_single_numbers(factor: int) -> None:
    x, order = _random(2, 3, 2 * factor, 5 * factor), run_order(3, factor)
    expected = nn.PixelUnshuffle(factor)(x)
    runs = RunUnshuffle(factor)(x)
    assert torch.equal(runs, expected[:, order])
    assert torch.equal(RunShuffle(factor)(runs), x)
    rows = x.permute(0, 2, 3, 1)
    for layer in (Unshuffle(factor), RunUnshuffle(factor)):
        assert torch.equal(layer.of_rows(rows).permute(0, 3, 1, 2), layer(x))


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_convolutions(kind: Kind) -> None:
    dtype, limit = getattr(torch, kind), {"float32": 1e-5, "bfloat16": 2e-2}[kind]
    conv = nn.Conv2d(8, 12, 1)
    x, other = _random(1, 8, 3, 5), _random(1, 12, 3, 5, seed=1)
    expected = conv(x)
    packed = PackedConv(copy.deepcopy(conv).to(dtype))
    assert _error(packed(x), expected) < limit
    assert _error(packed.combined(x, "add", other), expected + other) < limit
    assert _error(packed.combined(x, "mul", other), expected * other) < limit
    there, back = torch.randperm(8), torch.randperm(12)
    matrix, bias = conv.weight.flatten(1)[back][:, there].to(dtype), conv.bias[back].to(dtype)
    moved = PackedConv(copy.deepcopy(conv).to(dtype), matrix=matrix, bias=bias)
    assert _error(moved(x[:, there]), expected[:, back]) < limit


def test_a_convolution_takes_narrow_numbers_as_they_come() -> None:
    conv, x = nn.Conv2d(8, 12, 1), _random(1, 8, 3, 5)
    packed, plain = PackedConv(conv, narrow=torch.bfloat16), PackedConv(conv)
    assert packed(x.bfloat16()).dtype == torch.bfloat16
    assert packed(x).dtype == packed(x.double()).dtype == plain(x.bfloat16()).dtype == torch.float32
    assert _error(packed(x.bfloat16()), conv(x)) < 2e-2


def test_side_by_side() -> None:
    conv = SideBySide((8, 4), 6)
    parts = _random(1, 8, 3, 5), _random(1, 4, 3, 5, seed=1)
    expected = nn.functional.conv2d(torch.cat(parts, 1), conv.weight, conv.bias)
    assert torch.equal(conv(*parts), expected)
    assert _error(PackedSideBySide(conv)(*parts), expected) < 1e-5


@pytest.mark.parametrize("ffn", [1, 2])
@pytest.mark.parametrize(
    ("weights", "sums"), [("float32", "float32"), ("bfloat16", "float32"), ("bfloat16", "bfloat16")]
)
def test_blocks(weights: Kind, sums: Kind, ffn: int) -> None:
    torch.manual_seed(3)
    block = DepthConvBlock(16, ffn)
    for conv in (block.conv_out, block.ffn_out):
        nn.init.normal_(conv.weight, std=0.2)
    x = _random(1, 16, 6, 7)
    expected = block(x.clone())
    found = PackedBlock(copy.deepcopy(block).to(getattr(torch, weights)))(x.to(getattr(torch, sums)))
    assert found.dtype == getattr(torch, sums)
    assert _error(found, expected) < (1e-5 if weights == "float32" else 2e-2)


@pytest.mark.parametrize("config", ["tiny", "fast"])
def test_networks(config: str, photo: NDArray[np.uint8]) -> None:
    torch.manual_seed(4)
    plain = CodecNetwork(CONFIGS[config]).eval().requires_grad_(False)
    for parameter in plain.parameters():
        if parameter.ndim == 4:
            nn.init.normal_(parameter, std=0.3 * parameter[0].numel() ** -0.5)
    packed, narrow = copy.deepcopy(plain), copy.deepcopy(plain)
    narrow.g_a.blocks.to(torch.bfloat16)
    for network in (packed, narrow):
        pack(network)
    picture = np.ascontiguousarray(np.tile(photo, (2, 2, 1))[:128, :128])
    y = {}
    for level in (0, 63):
        t = level_position(torch.tensor([level]))
        for name, network in (("plain", plain), ("packed", packed), ("narrow", narrow)):
            y[name] = Passes(network, 10_000).analyse([picture], t)
        x_hat = [each.synthesize(y["plain"].clone(), t) for each in (plain, packed)]
        pixels = [torch.cat(list(Passes(each, 10_000).synthesize(y["plain"], t)), 1) for each in (plain, packed)]
        assert y["narrow"].dtype == torch.float32
        assert _error(y["packed"], y["plain"]) < 1e-5
        assert 1e-5 < _error(y["narrow"], y["plain"]) < 3e-2
        assert bool(torch.equal(y["narrow"], y["narrow"].bfloat16().float())) == (float(t) <= NARROW_ANALYSIS)
        assert _error(x_hat[1], x_hat[0]) < 1e-5
        for found in pixels:
            difference = np.abs(found.numpy().astype(int) - to_pixels(x_hat[0]))
            assert difference.max() <= 1
            assert difference.mean() < 1e-3
            assert len(found.unique()) > 50


def test_previews_of_packed_networks_are_means_of_the_picture(photo: NDArray[np.uint8]) -> None:
    torch.manual_seed(5)
    network = CodecNetwork(CONFIGS["tiny"]).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, DepthConvBlock):
            module.to(torch.bfloat16)
    pack(network)
    picture, t = np.ascontiguousarray(np.tile(photo, (2, 2, 1))[:64, :128]), torch.zeros(1)
    passes = Passes(network, 10_000)
    y = passes.analyse([picture], t)
    whole = network.synthesize(y.clone(), t)
    for scale in (2, 4, 8):
        means = torch.cat(list(passes.synthesize(y, t, scale)), 1).permute(0, 3, 1, 2) / 255
        assert _error(means, nn.functional.avg_pool2d(whole, scale)) < 2e-2
