"""Nothing that the networks compute can leave its bounds: proved from the weights, and attacked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.training.ranges import BOUNDS, Probe, plain_model, run_model
from checks import adversary
from checks.hostile.watch import watched
from vaecodec.codec import Codec
from vaecodec.entropy.coding import R_LIMIT
from vaecodec.levels import LEVELS
from vaecodec.networks.config import LATENT_MAX, PRIOR_MAX, PRODUCT_MAX, STREAM_MAX
from vaecodec.networks.layers import LARGEST_HALF, DepthConvBlock, Downsample, Upsample
from vaecodec.networks.network import level_position
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.loading import TorchModel
from vaecodec.weights.manifest import manifest

MODELS = [entry.name for entry in manifest()]
ROUNDING = 1.05
"""What sums may gain by rounding: 8 bits of mantissa, and float32 sums of at most 1024 terms."""
LARGEST = {dtype: torch.finfo(dtype).max for dtype in (torch.float32, torch.bfloat16)}


@pytest.fixture(scope="module", params=MODELS)
def loaded(request: pytest.FixtureRequest) -> TorchModel:
    return plain_model(request.param)


def _most(conv: nn.Module, inputs: float) -> float:
    """The largest magnitude that a convolution of inputs of at most this magnitude can give."""
    weight, bias = cast(Tensor, conv.weight).double(), cast(Tensor, conv.bias).double()
    return ROUNDING * float((weight.abs().flatten(1).sum(1) * inputs + bias.abs()).max())


def _most_of_block(block: DepthConvBlock, stream: float) -> float:
    """The largest magnitude anywhere in a block, before its bounds, if the stream comes in below `stream`.

    |SiLU(v)| <= |v|, and the bound of the product is what ffn_out sees.
    """
    middle = _most_at_middle(block, stream)
    product = _most(block.ffn_in, middle) ** 2
    out = middle + _most(block.ffn_out, PRODUCT_MAX)
    return max(middle, product, out)


def _most_at_middle(block: DepthConvBlock, stream: float) -> float:
    """The largest magnitude in the first half of a block: of what it adds to the stream, and on the way there."""
    entered = _most(block.conv_in, stream)
    mixed = _most(block.depthwise, entered)
    return max(entered, mixed, stream + _most(block.conv_out, mixed))


def _blocks(loaded: TorchModel) -> dict[str, DepthConvBlock]:
    return {name: block for name, block in loaded.network.named_modules() if isinstance(block, DepthConvBlock)}


def test_no_block_overflows(loaded: TorchModel) -> None:
    """Interval arithmetic: for any stream below STREAM_MAX all numbers in a block are finite, in bfloat16 as well."""
    for name, block in _blocks(loaded).items():
        assert _most_of_block(block, STREAM_MAX) < min(LARGEST.values()), name


def test_what_float16_cannot_hold_is_bounded_before_it_does_harm(loaded: TorchModel) -> None:
    """By the same intervals the stream and the gates may be beyond 65504, which `in_type` is for; nothing else is."""
    gates = []
    for name, block in _blocks(loaded).items():
        entered, middle = _most(block.conv_in, STREAM_MAX), _most_at_middle(block, STREAM_MAX)
        gates.append(_most(block.ffn_in, middle))
        for inside in (entered, _most(block.depthwise, entered), _most(block.ffn_out, PRODUCT_MAX)):
            assert inside < LARGEST_HALF, name
    assert max(gates) > LARGEST_HALF


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gates_beyond_float16_stay_numbers(sign: float) -> None:
    """All gates are beyond 65504, and all streams in the middle of a block."""
    block = DepthConvBlock(8).requires_grad_(False)
    for conv in (block.conv_in, block.conv_out, block.ffn_in, block.ffn_out):
        conv.weight.fill_(1.0)
    block.conv_out.bias.fill_(sign * 60_000)  # type: ignore[union-attr]
    x = torch.full((1, 8, 4, 4), STREAM_MAX)
    exact = block(x.clone())
    half = block.half()
    with torch.inference_mode():
        output = half(x.clone())
    assert output.dtype == torch.float32
    assert bool(output.isfinite().all())
    assert torch.equal(output, exact)
    assert float(output.abs().max()) == STREAM_MAX


def _levels(table: nn.Module) -> float:
    """The largest factor that a `LevelTable` of logarithms stands for, at any level."""
    t = level_position(torch.arange(LEVELS))
    return float(table(t).abs().max().exp())


def _shifts(table: nn.Module) -> float:
    """The largest shift that a `LevelTable` stands for, at any level."""
    return float(table(level_position(torch.arange(LEVELS))).abs().max())


def test_what_enters_the_blocks_is_finite(loaded: TorchModel) -> None:
    """Pixels, y, z and p are bounded; so is what the layers before the first block, and between two, make of them."""
    network = loaded.network
    y_hat = LATENT_MAX + R_LIMIT * _levels(network.log_gain)  # that of a hostile file
    features = STREAM_MAX * _levels(network.log_q_enc)
    entering = {
        "g_a": _most(network.g_a.stem, 0.5) + _shifts(network.shift_enc),
        "y": _most(network.g_a.down.conv, features),
        "h_a": _most(network.h_a[0], LATENT_MAX),
        "h_mean": _most(cast(Upsample, network.h_mean[0]).conv, 128 * _levels(network.log_z_gain)),
        "context": max(_most(adaptor, max(PRIOR_MAX, y_hat)) for adaptor in network.context.adaptors),
        "mu": max(_most(head, max(PRIOR_MAX, STREAM_MAX)) for head in network.context.heads),
        "g_s": _most(network.g_s.up.conv, y_hat) * _levels(network.log_q_dec) + _shifts(network.shift_dec),
        "x_hat": 255 * _most(network.g_s.head, STREAM_MAX),
        "p": STREAM_MAX * _levels(network.log_q_prior) + _shifts(network.shift_prior),
    }
    for part in (network.h_a, network.h_mean):
        entering |= {
            f"{type(part).__name__} {number}": _most(layer.conv, STREAM_MAX)
            for number, (before, layer) in enumerate(pairwise(part))
            if isinstance(before, DepthConvBlock) and isinstance(layer, (Downsample, Upsample))
        }
    for name, most in entering.items():
        assert most < 1e30, name
    blocks: dict[str, Sequence[nn.Module] | nn.Sequential] = {
        "g_a": network.g_a.blocks,
        "h_a": [network.h_a[1]],
        "context": network.context.trunk,
        "g_s": network.g_s.blocks,
    }
    for name, chain in blocks.items():
        assert _most_of_block(cast(DepthConvBlock, chain[0]), entering[name]) < min(LARGEST.values()), name


def test_no_residual_is_beyond_the_format(loaded: TorchModel) -> None:
    """y and mu are bounded, and so is r = round(gain (y - mu)): no gain of any level makes it illegal."""
    t = level_position(torch.arange(LEVELS))
    assert float(loaded.network.log_gain(t).exp().max()) * 2 * LATENT_MAX + 1 < R_LIMIT


def test_photographs_stay_far_below_the_bounds(loaded: TorchModel) -> None:
    """A gradient with grain, at four levels; `python -m bench ranges` does it with all training photographs."""
    probe, rng = Probe(loaded.network), np.random.default_rng(3)
    rows, columns = np.mgrid[:128, :128]
    pixels = np.stack([rows, 255 - columns, (rows + columns) / 2], 0) + rng.normal(0, 4, (3, 128, 128))
    x = torch.from_numpy(pixels.clip(0, 255) / 255)[None].float()
    with torch.no_grad():
        for level in (0, 20, 40, 63):
            run_model(loaded, probe, x, level)
    for name, value in probe.take().items():
        bound = BOUNDS.get(name.split()[-1])
        assert bound is None or 4 * float(value) <= bound, name


def test_an_adversary_breaks_no_bound() -> None:
    """Twenty steps of ascent from noise; the values reach the bounds, and no more."""
    loaded = plain_model("fast-perceptual")
    attack = adversary.attack("fast-perceptual", loaded, "g_s", "noise", 3, side=64, steps=20)
    assert attack.faults == []
    assert attack.after["product"] > 4 * attack.before["product"]
    assert attack.bounded["stream"] <= STREAM_MAX
    assert attack.bounded["product"] <= PRODUCT_MAX


@pytest.mark.slow
@pytest.mark.parametrize("part", [part for part in adversary.PARTS if part])
def test_a_patient_adversary_breaks_no_bound(loaded: TorchModel, part: str) -> None:
    """200 steps for every part of every model; the largest values are the bounds themselves."""
    [model] = [name for name in MODELS if plain_model(name).wire_hash == loaded.wire_hash]
    attack = adversary.attack(model, loaded, part, "extremes", 1, side=64, steps=adversary.STEPS)
    assert attack.faults == []
    assert attack.after["stream"] > STREAM_MAX


def test_an_adversary_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network without bounds is a fault: what is not finite shows, and so does an error."""
    monkeypatch.setattr("vaecodec.networks.layers.STREAM_MAX", float("inf"))
    monkeypatch.setattr("vaecodec.networks.layers.PRODUCT_MAX", float("inf"))
    attack = adversary.attack("fast-perceptual", plain_model("fast-perceptual"), "g_s", "noise", 3, side=64, steps=20)
    assert any("the bound is" in fault for fault in attack.faults)


def test_what_is_not_finite_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec("fast-perceptual", device="cpu", dtype="float32")
    data = codec.encode(np.zeros((64, 64, 3), np.uint8), mode="neural")
    with watched() as watch:
        codec.decode(data)
    assert watch.finite
    tensor = NetworkWeights.tensor

    def without_numbers(weights: NetworkWeights, name: str) -> NDArray[np.float32]:
        return tensor(weights, name) * np.float32(np.nan if name == "g_s.head.bias" else 1)

    monkeypatch.setattr(NetworkWeights, "tensor", without_numbers)
    with watched() as watch, np.errstate(invalid="ignore"):
        Codec("fast-perceptual", device="cpu", dtype="float32").decode(data)
    assert not watch.finite
