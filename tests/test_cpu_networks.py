"""The networks on a CPU are those of PyTorch in float32, whole or in bands, and of all shipped models."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaecodec.entropy.coding import Latents
from vaecodec.errors import WeightsError
from vaecodec.levels import LEVELS
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.network import CodecNetwork
from vaecodec.networks.shapes import NETWORK_PREFIX, network_shapes, preview_shapes
from vaecodec.runtime.choice import choose
from vaecodec.runtime.cpu import tiles
from vaecodec.runtime.cpu.engine import CpuEngine
from vaecodec.runtime.cpu.kernels import CompiledKernels
from vaecodec.runtime.cpu.networks import Networks
from vaecodec.runtime.cpu.pipeline import CpuPipeline
from vaecodec.runtime.cpu.plain import PlainKernels
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.loading import load_model
from vaecodec.runtime.passes import Passes
from vaecodec.runtime.windows import Window
from vaecodec.weights.manifest import entry_by_name, manifest
from vaecodec.weights.store import INTEGER_PREFIXES, PREVIEW_PREFIX, StoredModel, read_model

TINY = Path(__file__).parent / "golden" / "tiny-v1.safetensors"
KERNELS = {"plain": PlainKernels(), "compiled": CompiledKernels(2)}
TYPES = [("plain", False), ("compiled", False)] + [("compiled", True)] * tiles.HAS_BFLOAT16


def _stored(name: str) -> StoredModel:
    return read_model(TINY if name == "tiny" else entry_by_name(name).path)


@pytest.fixture(scope="module", params=[entry.name for entry in manifest()])
def stored(request: pytest.FixtureRequest) -> StoredModel:
    return _stored(request.param)


def _pipeline(name: str, kernels: str, *, narrow: bool = False) -> CpuPipeline:
    plan = replace(choose("cpu", "bfloat16" if narrow else "float32"), networks=kernels)
    return CpuEngine(_stored(name), plan).pipeline(None)


@pytest.mark.parametrize("level", [0, 31, LEVELS - 1])
def test_values_are_those_of_pytorch(stored: StoredModel, photo: NDArray[np.uint8], level: int) -> None:
    network, weights = load_model(stored).network, NetworkWeights(stored)
    padded = np.pad(photo, ((0, 3), (0, 38), (0, 0)), mode="edge")
    t = torch.tensor([level / (LEVELS - 1)])
    with torch.inference_mode():
        y, z = network.analyse(torch.from_numpy(padded).permute(2, 0, 1)[None] / 255, t)
        p = network.prior(z.round(), t)
        x_hat = network.synthesize(y, t)

    def rows(tensor: torch.Tensor) -> NDArray[np.float32]:
        return np.ascontiguousarray(tensor[0].permute(1, 2, 0).numpy())

    for kernels in KERNELS.values():
        ours = Networks(weights, kernels, level, narrow=False, band_pixels=1 << 20)
        assert np.allclose(ours.analyse(photo), rows(y), atol=1e-4)
        assert np.allclose(ours.analyse_features(ours.features(photo)), rows(y), atol=1e-4)
        assert np.allclose(ours.hyper_analyse(rows(y)), rows(z), atol=1e-4)
        assert np.allclose(np.concatenate(list(ours.prior(rows(z.round())))), rows(p), atol=1e-4)
        pixels = np.concatenate(list(ours.synthesize(rows(y)))).astype(int)
        assert np.abs(pixels - np.rint((255 * rows(x_hat)).clip(0, 255))).max() <= 1


@pytest.mark.parametrize(("name", "narrow"), TYPES)
def test_bands_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch, name: str, narrow: bool) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (300, 130, 3), dtype=np.uint8)
    pipeline = _pipeline("tiny", name, narrow=narrow)
    everything, windows = [], [(1, Window(0, 300, 0, 130)), (2, Window(0, 150, 0, 65)), (8, Window(0, 38, 0, 17))]
    for band in (1 << 20, 5000):
        monkeypatch.setattr("vaecodec.runtime.memory.CPU_BAND", band)
        latents = [pipeline.quantize([pixels], level).latents_of(0) for level in (5, 60)]
        images = [pipeline.synthesize(of, window, reduction=n).astype(int) for of in latents for n, window in windows]
        everything.append((latents, images))
    (latents, images), (banded_latents, banded_images) = everything
    for expected, found in zip(latents, banded_latents, strict=True):
        assert np.array_equal(expected.z_hat, found.z_hat)
        assert np.array_equal(expected.r, found.r)
    for whole, parts in zip(images, banded_images, strict=True):
        # BLAS adds up products of other shapes in another order.
        assert np.abs(whole - parts).max() <= (name == "plain" or len(whole) == 38)


@pytest.mark.parametrize(("name", "narrow"), TYPES)
def test_crops_are_parts_of_the_whole(name: str, narrow: bool) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (200, 260, 3), dtype=np.uint8)
    pipeline = _pipeline("tiny", name, narrow=narrow)
    latents = pipeline.quantize([pixels], 40).latents_of(0)
    whole = pipeline.synthesize(latents, Window(0, 200, 0, 260)).astype(int)
    for top, left, size in product((0, 90, 150), (0, 31, 200), (1, 50)):
        crop = pipeline.synthesize(latents, Window(top, top + size, left, left + size))
        assert np.abs(whole[top : top + size, left : left + size] - crop).max() <= (name == "plain")


def test_regions_are_those_of_the_layers(stored: StoredModel) -> None:
    network, weights = load_model(stored).network, NetworkWeights(stored)
    ours, theirs = Networks(weights, PlainKernels(), 0, narrow=False, band_pixels=1), Passes(network, 1)
    for window, reduction in product(
        (Window(0, 1, 0, 1), Window(500, 700, 300, 301), Window(0, 1024, 0, 512)), (1, 2, 8)
    ):
        assert str(ours.region(window, 1024, 512, reduction)) == str(theirs.region(window, 1024, 512, reduction))


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_are_those_of_the_network(name: str) -> None:
    network = CodecNetwork(CONFIGS[name])
    state = {key: tuple(t.shape) for key, t in network.state_dict().items() if not key.startswith(INTEGER_PREFIXES)}
    assert network_shapes(CONFIGS[name]) == state


def test_a_weights_file_of_other_shapes_is_refused() -> None:
    stored = _stored("tiny")
    shapes = network_shapes(CONFIGS["tiny"])
    for name in ("net.g_a.stem.bias", "net.log_gain.anchors"):
        lacking = {key: tensor for key, tensor in stored.tensors.items() if key != name}
        with pytest.raises(WeightsError, match=f"differ in {name.removeprefix(NETWORK_PREFIX)}"):
            NetworkWeights(StoredModel(lacking, stored.card, stored.sha256))
        other = stored.tensors | {name: np.zeros((*shapes[name.removeprefix(NETWORK_PREFIX)], 2), np.float32)}
        with pytest.raises(WeightsError, match="differ in"):
            NetworkWeights(StoredModel(other, stored.card, stored.sha256))
    with pytest.raises(WeightsError, match="config 'none'"):
        NetworkWeights(StoredModel(stored.tensors, {**stored.card, "config": "none"}, stored.sha256))
    half = stored.tensors | {
        f"{PREVIEW_PREFIX}bias": np.zeros(preview_shapes(CONFIGS["tiny"])["preview.bias"], np.float32)
    }
    with pytest.raises(WeightsError, match=r"differ in preview\.weight"):
        NetworkWeights(StoredModel(half, stored.card, stored.sha256))


@pytest.mark.parametrize(("name", "narrow"), TYPES)
@pytest.mark.filterwarnings("error")
def test_latents_of_no_image_give_some_image(name: str, narrow: bool) -> None:
    """As a hostile file can hold them: no warning, and nothing but numbers on the way."""
    rng = np.random.default_rng(5)
    z_hat = rng.integers(-128, 128, (64, 1, 2)).astype(np.int8)
    r = (rng.choice((-1, 1), (192, 4, 8)) * ((1 << 20) - 1)).astype(np.int32)
    pipeline = _pipeline("fast-perceptual", name, narrow=narrow)
    for level in (0, LEVELS - 1):
        assert pipeline.synthesize(Latents(level, z_hat, r), Window(0, 64, 0, 128)).shape == (64, 128, 3)
        networks = pipeline._networks(level, 64, 128, "decode")
        y_hat = networks.reconstruct(
            networks.prior(np.ascontiguousarray(z_hat.transpose(1, 2, 0), np.float32)),
            np.ascontiguousarray(r.transpose(1, 2, 0)),
        )
        assert np.isfinite(y_hat).all()
