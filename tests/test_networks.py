"""The networks: level tables, blocks, the context's order, quantizers, likelihood, start values, export."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vaecodec.entropy.fit import COUNT_BINS
from vaecodec.entropy.model import from_tensors
from vaecodec.errors import WeightsError
from vaecodec.intnet.fixedpoint import SCALE_INDICES
from vaecodec.levels import LAMBDA_MAX, LAMBDA_MIN, LEVELS, level_lambda
from vaecodec.networks.config import CONFIGS, STEPS, ModelConfig
from vaecodec.networks.layers import ANCHORS, DepthConvBlock, LevelTable
from vaecodec.networks.network import Analysis, CodecNetwork, level_position, round_z, step_mask
from vaecodec.networks.quantizers import clamp_through, ste_round
from vaecodec.runtime.loading import load_model
from vaecodec.training.export import ResidualCounts, count_residuals, export_tensors
from vaecodec.training.initialize import initialize
from vaecodec.training.likelihood import logistic_bits, scale_of_index
from vaecodec.weights.store import StoredModel

SAMPLES = Path(__file__).parents[1] / "samples"
TINY = CONFIGS["tiny"]


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """uint8 [3, 256, 384]."""
    with Image.open(SAMPLES / "mountain-lake.jpg") as opened:
        pixels = np.asarray(opened.convert("RGB").resize((384, 256), Image.Resampling.LANCZOS))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def _network(seed: int = 1, config: ModelConfig = TINY) -> CodecNetwork:
    """Every parameter random, also those that training starts at zero."""
    torch.manual_seed(seed)
    network = CodecNetwork(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def _crops(photo: Tensor, side: int = 64) -> Tensor:
    tiles = photo.unfold(1, side, side).unfold(2, side, side)
    return tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side).float() / 255


# Levels


def test_lambdas_are_log_spaced() -> None:
    lambdas = [level_lambda(level) for level in range(LEVELS)]
    assert (lambdas[0], lambdas[-1]) == pytest.approx((LAMBDA_MIN, LAMBDA_MAX))
    assert np.allclose(np.diff(np.log(lambdas)), math.log(LAMBDA_MAX / LAMBDA_MIN) / (LEVELS - 1))


def test_level_table_interpolates_between_anchors() -> None:
    table = LevelTable(3)
    with torch.no_grad():
        table.anchors.copy_(torch.randn(ANCHORS, 3))
    on_anchors = table(torch.linspace(0, 1, ANCHORS))
    assert on_anchors.shape == (ANCHORS, 3, 1, 1)
    assert torch.allclose(on_anchors[:, :, 0, 0], table.anchors, atol=1e-5)
    middle = table(torch.tensor([1.5 / (ANCHORS - 1)]))[0, :, 0, 0]
    assert torch.allclose(middle, (table.anchors[1] + table.anchors[2]) / 2, atol=1e-5)


def test_level_positions_span_the_table() -> None:
    assert level_position(torch.tensor([0, 21, 63])).tolist() == pytest.approx([0, 1 / 3, 1])


# Blocks and shapes


def test_blocks_begin_as_the_identity() -> None:
    x = torch.randn(2, 8, 5, 7)
    assert torch.equal(DepthConvBlock(8)(x), x)


def test_blocks_give_the_same_with_and_without_gradients() -> None:
    """In inference they work in place."""
    torch.manual_seed(3)
    block = DepthConvBlock(8)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 8, 5, 7)
    expected = block(x).detach()
    with torch.inference_mode():
        assert torch.allclose(block(x.clone()), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["tiny", "fast", "base", "large"])
def test_shapes(name: str) -> None:
    """128 x 192 pixels: y at 1/16, z at 1/64, and back."""
    config, t = CONFIGS[name], torch.zeros(2)
    network = CodecNetwork(config)
    with torch.inference_mode():
        y, z = network.analyse(torch.zeros(2, 3, 128, 192), t)
        assert y.shape == (2, config.M, 8, 12)
        assert z.shape == (2, config.N, 2, 3)
        assert network.prior(round_z(z), t).shape == (2, config.P, 8, 12)
        assert network.h_scale(round_z(z), t).shape == y.shape
        assert network.synthesize(y, t).shape == (2, 3, 128, 192)


def test_rounding_of_z() -> None:
    """Ties to even, int8."""
    z = torch.tensor([0.5, 1.5, -0.5, 130.0, -400.0])
    assert round_z(z).tolist() == [0, 2, 0, 127, -128]


# The context


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5), (1, 1)])
def test_steps_cover_every_place_once(height: int, width: int) -> None:
    masks = torch.cat([step_mask(step, 8, height, width, torch.device("cpu")) for step in range(STEPS)])
    assert torch.equal(masks.sum(0), torch.ones(8, height, width))
    if height % 2 == 0 and width % 2 == 0:
        assert all(mask.mean() == 1 / STEPS for mask in masks)


def test_means_depend_on_earlier_steps_only() -> None:
    """Another residual in step k changes the means of later steps and no other: a decoder can follow."""
    network, device = _network(), torch.device("cpu")
    p, gain = torch.randn(1, TINY.P, 4, 4), torch.ones(1, TINY.M, 1, 1)
    r = torch.randint(-3, 4, (1, TINY.M, 4, 4)).float()
    with torch.no_grad():
        before = network.run_context(p, gain, lambda _: r)
        for step in range(STEPS):
            changed = r + step_mask(step, TINY.M, 4, 4, device)
            after = network.run_context(p, gain, lambda _, changed=changed: changed)  # type: ignore[misc]
            for other in range(STEPS):
                at = step_mask(other, TINY.M, 4, 4, device).bool()
                same = torch.equal(before.mu[at], after.mu[at])
                assert same == (other <= step)


def test_y_hat_is_mean_plus_residual() -> None:
    network = _network()
    gain = torch.full((1, TINY.M, 1, 1), 4.0)
    y = torch.randn(1, TINY.M, 4, 4)
    with torch.no_grad():
        result = network.run_context(torch.randn(1, TINY.P, 4, 4), gain, lambda mu: (gain * (y - mu)).round())
    assert torch.equal(result.r, result.r.round())
    assert torch.allclose(result.y_hat, result.mu + result.r / gain, atol=1e-6)
    assert (result.y_hat - y).abs().max() <= 0.5 / 4 + 1e-5


# Quantizers and likelihood


def test_straight_through_rounding() -> None:
    x = torch.tensor([0.4, 0.5, 1.5, -2.6], requires_grad=True)
    y = ste_round(x)
    assert y.tolist() == [0, 0, 2, -3]
    (y * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 2, 3, 4]


def test_clamp_lets_only_gradients_back_that_lead_inside() -> None:
    x = torch.tensor([-2.0, -2.0, 0.5, 3.0, 3.0], requires_grad=True)
    y = clamp_through(x, 0.0, 1.0)
    assert y.tolist() == [0, 0, 0.5, 1, 1]
    y.backward(torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0]))
    assert x.grad is not None
    # A step goes against the gradient: -1 at -2 leads inside, +1 at -2 further out.
    assert x.grad.tolist() == [0, -1, 1, 1, 0]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_clamp_that_changes_nothing_is_none(layout: torch.memory_format) -> None:
    x = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4).to(memory_format=layout).requires_grad_()
    assert clamp_through(x, -1.0, 1.0) is x
    assert clamp_through(x, -1.0, 0.999) is not x
    assert clamp_through(torch.empty(0, 3), -1.0, 1.0).shape == (0, 3)
    assert clamp_through(torch.tensor([0.5, torch.nan]), -1.0, 1.0).isnan().tolist() == [False, True]


def test_likelihood_is_a_distribution() -> None:
    """The bits of all integers belong to probabilities that sum to 1, and far outliers keep a gradient."""
    values = torch.arange(-4000, 4001).double()
    for scale in (0.11, 0.5, 3.0, 100.0):
        bits = logistic_bits(values, torch.tensor(scale, dtype=torch.float64))
        assert torch.exp2(-bits).sum().item() == pytest.approx(1.0, abs=1e-6)
    far = torch.tensor([1e4], requires_grad=True)
    logistic_bits(far, torch.tensor(0.11)).sum().backward()  # type: ignore[no-untyped-call]
    assert far.grad is not None
    assert torch.isfinite(far.grad).all()
    assert far.grad.item() > 1


def test_scale_indices_span_the_table() -> None:
    assert scale_of_index(torch.tensor([0.0, 63.0])).tolist() == pytest.approx([0.11, 128.0], rel=1e-4)


# Start values


def test_initialization_is_a_linear_codec(photo: Tensor) -> None:
    """Principal components: before any training the codec is above 25 dB, and finer levels are better."""
    torch.manual_seed(1)
    network = CodecNetwork(ModelConfig("test", C=96, blocks_a=1, blocks_s=1, M=128, N=8, P=16, H1=16, H2=8)).eval()
    initialize(network, _crops(photo))
    x = photo[None].float() / 255
    psnrs = []
    with torch.no_grad():
        for level in (0, 32, 63):
            t = level_position(torch.tensor([level]))
            y, _ = network.analyse(x, t)
            gain = network.log_gain(t).exp()
            y_hat = (gain * y).round() / gain
            mse = (network.synthesize(y_hat, t).clamp(0, 1) - x).square().mean()
            psnrs.append(-10 * math.log10(mse))
    assert psnrs == sorted(psnrs)
    assert psnrs[1] > 25
    assert psnrs[2] > 30


def test_initial_scales_follow_the_signal(photo: Tensor) -> None:
    """The index that h_scale starts with is about the one that the residuals have."""
    torch.manual_seed(1)
    network = CodecNetwork(TINY).eval()
    initialize(network, _crops(photo))
    t = torch.tensor([0.5])
    with torch.no_grad():
        y, z = network.analyse(photo[None].float() / 255, t)
        index = network.h_scale(torch.zeros_like(round_z(z)), t)
        spread = (network.log_gain(t).exp() * y).square().mean((2, 3)).sqrt()[0]
    ratio = (scale_of_index(index).mean((2, 3))[0] / spread.clamp_min(0.2)).log().abs()
    assert ratio.median() < math.log(2)


# Export


def _counts() -> ResidualCounts:
    return ResidualCounts()


def test_export_and_loading_keep_the_network(photo: Tensor) -> None:
    network = _network(5)
    counts = count_residuals(network, [(photo, 10), (photo, 50)])
    assert counts.y.sum() == 2 * TINY.M * 16 * 24
    assert counts.z.sum() == 2 * TINY.N * 4 * 6
    tensors = export_tensors(network, counts)
    loaded = load_model(StoredModel(tensors, {"config": "tiny", "model_id": 1000}, "00" * 32))
    x, t = photo[None].float() / 255, torch.tensor([0.3])
    with torch.inference_mode():
        for ours, theirs in zip(network.analyse(x, t), loaded.network.analyse(x, t), strict=True):
            assert torch.allclose(ours, theirs, rtol=0.02, atol=0.02)  # float16
    assert loaded.entropy.M == TINY.M
    assert loaded.entropy.N == TINY.N
    assert loaded.entropy.z_table.min() >= 1


def test_level_tables_are_stored_in_full() -> None:
    tensors = export_tensors(_network(), _counts())
    kinds = {name: array.dtype for name, array in tensors.items() if name.startswith("net.")}
    assert {name for name, kind in kinds.items() if kind == np.float32} == {n for n in kinds if n.endswith(".anchors")}
    assert set(kinds.values()) == {np.dtype(np.float16), np.dtype(np.float32)}
    assert all(array.dtype.kind in "iu" for name, array in tensors.items() if name.startswith("int."))


def test_export_refuses_accumulators_out_of_bounds() -> None:
    network = _network()
    with torch.no_grad():
        network.h_scale.typed_layers()[1].bias.anchors.fill_(524_287.9)  # times 2^12: an int32, but any sum is none
    with pytest.raises(WeightsError, match="layer 1: accumulator may reach"):
        export_tensors(network, _counts())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_export_refuses_what_is_no_integer(value: float) -> None:
    """A cast of these would wrap, and differently on other processors."""
    network = _network()
    with torch.no_grad():
        network.h_scale.typed_layers()[2].bias.anchors[3, 1] = value
    with pytest.raises(WeightsError, match="h_scale layer 2: a bias is not finite or reaches 2147483648"):
        export_tensors(network, _counts())


@pytest.mark.parametrize("value", [float("nan"), 1e5])
def test_export_refuses_weights_beyond_float16(value: float) -> None:
    network = _network()
    with torch.no_grad():
        network.g_s.head.weight[0, 0] = value
    with pytest.raises(WeightsError, match=r"g_s\.head\.weight: a weight is not finite, or beyond 65504"):
        export_tensors(network, _counts())


def test_unseen_scales_have_usable_tables() -> None:
    """Tables are fitted for all 64 scales, also those that no residual fell on."""
    model = from_tensors(export_tensors(_network(), _counts()))
    assert len(model.y_tables.sizes) == SCALE_INDICES
    assert int(model.y_tables.sizes.min()) >= 3
    assert int(model.y_tables.sizes.max()) <= 2 * COUNT_BINS - 1


def test_pixels_enter_the_analysis_as_floats_do() -> None:
    torch.manual_seed(0)
    analysis = Analysis(CONFIGS["tiny"])
    pixels = torch.randint(0, 256, (2, 64, 128, 3), dtype=torch.uint8)
    with torch.inference_mode():
        shift = torch.randn(1, analysis.stem.out_channels, 1, 1)
        expected = analysis.enter(pixels.permute(0, 3, 1, 2).float() / 255, shift)
        assert torch.allclose(analysis.enter_pixels(pixels, shift), expected, atol=1e-6)
