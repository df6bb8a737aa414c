"""The networks on a CPU are those of PyTorch in float32, whole or in bands, and of all shipped models."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from checks.hostile.canvas import random_of
from checks.hostile.kinds import ALONE, SEED
from vaecodec.codec import Codec
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
from vaecodec.runtime.cpu.networks import NARROW_PRODUCT, Networks
from vaecodec.runtime.cpu.pipeline import CpuPipeline
from vaecodec.runtime.cpu.plain import PlainKernels
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.loading import load_model
from vaecodec.runtime.passes import Passes
from vaecodec.runtime.windows import Window
from vaecodec.weights.manifest import entry_by_name, manifest
from vaecodec.weights.store import INTEGER_PREFIXES, PREVIEW_PREFIX, StoredModel, read_model

SAMPLES = Path(__file__).parents[1] / "samples"
TINY = Path(__file__).parent / "golden" / "tiny-v1.safetensors"
KERNELS = {"plain": PlainKernels(), "compiled": CompiledKernels(2)}
TYPES = [("plain", False), ("compiled", False)] + [("compiled", True)] * tiles.HAS_BFLOAT16


def _stored(name: str) -> StoredModel:
    return read_model(TINY if name == "tiny" else entry_by_name(name).path)


def _shifted(stored: StoredModel) -> StoredModel:
    """A model with tables of shifts, no two of their numbers alike."""
    rng, config = np.random.default_rng(5), NetworkWeights(stored).config
    widths = {"shift_enc": config.C, "shift_dec": config.C, "shift_prior": config.P}
    tables = {f"net.{name}.anchors": np.float32(rng.normal(0, 0.01, (8, width))) for name, width in widths.items()}
    return replace(stored, tensors=stored.tensors | tables)


@pytest.fixture(scope="module", params=[*(entry.name for entry in manifest()), "shifted"])
def stored(request: pytest.FixtureRequest) -> StoredModel:
    return _shifted(_stored("fast-perceptual")) if request.param == "shifted" else _stored(request.param)


def test_weights_without_shifts_have_none() -> None:
    stored = _stored("fast-perceptual")
    without = {name: tensor for name, tensor in stored.tensors.items() if ".shift_" not in name}
    weights = NetworkWeights(replace(stored, tensors=without))
    assert not any(weights.shift(name, 40, 96).any() for name in ("shift_enc", "shift_dec", "shift_prior"))
    wrong = without | {"net.shift_dec.anchors": np.zeros((8, weights.config.C + 4), np.float32)}
    with pytest.raises(WeightsError, match=r"config fast differ in shift_dec\.anchors$"):
        NetworkWeights(replace(stored, tensors=wrong))


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
    for expected, banded in zip(latents, banded_latents, strict=True):
        assert np.array_equal(expected.z_hat, banded.z_hat)
        assert np.array_equal(expected.r, banded.r)
    for whole, parts in zip(images, banded_images, strict=True):
        # BLAS adds up products of other shapes in another order.
        assert np.abs(whole - parts).max() <= (name == "plain" or len(whole) == 38)


@pytest.mark.parametrize("kind", ["photo", "noise"])
@pytest.mark.parametrize(("name", "narrow"), TYPES)
def test_crops_are_parts_of_the_whole(name: str, narrow: bool, kind: str, photo: NDArray[np.uint8]) -> None:
    """Of noise not to the bit in bfloat16: a crop does not know what of the whole is decoded in float32."""
    noise = np.random.default_rng(2).integers(0, 256, (200, 260, 3), dtype=np.uint8)
    pixels = np.tile(photo, (4, 3, 1))[:200, :260] if kind == "photo" else noise
    pipeline = _pipeline("tiny", name, narrow=narrow)
    latents = pipeline.quantize([pixels], 40).latents_of(0)
    whole = pipeline.synthesize(latents, Window(0, 200, 0, 260)).astype(int)
    most = 3 if kind == "noise" and narrow else int(name == "plain")
    for top, left, size in product((0, 90, 150), (0, 31, 200), (1, 50)):
        crop = pipeline.synthesize(latents, Window(top, top + size, left, left + size))
        assert np.abs(whole[top : top + size, left : left + size] - crop).max() <= most


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


# Where bfloat16 is not trusted


def _checkerboard(side: int, period: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:side, :side]
    return np.repeat((((rows // period + columns // period) % 2) * 255).astype(np.uint8)[..., None], 3, 2)


def _both(model: str) -> tuple[CpuPipeline, CpuPipeline]:
    return _pipeline(model, "compiled"), _pipeline(model, "compiled", narrow=True)


@pytest.mark.parametrize("model", [entry.name for entry in manifest()])
def test_patterns_decode_alike_in_both_types(model: str) -> None:
    """Patterns that drive the networks to their bounds: 255 levels apart in bfloat16 alone."""
    wide, narrow = _both(model)
    for pixels, level in product((_checkerboard(128, 1), _checkerboard(128, 5)), (19, 60)):
        window = Window(0, 128, 0, 128)
        for latents in (pipeline.quantize([pixels], level).latents_of(0) for pipeline in (wide, narrow)):
            first, second = (of.synthesize(latents, window).astype(int) for of in (wide, narrow))
            assert np.abs(first - second).max() <= 3


@pytest.mark.parametrize(
    ("model", "kind", "turn", "level"),
    [
        ("fast-perceptual", "checkerboard", 122, 18),
        ("fast-perceptual", "checkerboard", 105, 18),
        ("fast-perceptual", "checkerboard", 18, 18),
        ("fast-perceptual", "checkerboard", 18, 50),
        ("base", "checkerboard", 20, 18),
        ("fast-perceptual", "stripes", 50, 3),
        ("base-perceptual", "stripes", 118, 3),
        ("base-perceptual", "stripes", 87, 3),
    ],
)
def test_patterns_of_large_means_are_as_in_float32(model: str, kind: str, turn: int, level: int) -> None:
    """Four to six levels apart where y_hat was rounded for the context, and p computed in bfloat16."""
    pixels = ALONE[kind](random_of(SEED, kind, turn))
    wide, narrow = (Codec(model, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16"))
    data = wide.encode(pixels, level=level, mode="neural")
    first, second = (codec.decode(data, as_array=True).astype(int) for codec in (wide, narrow))
    assert np.abs(first - second).max() <= 3


def test_only_what_is_near_a_large_product_is_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside of the rectangles are the pixels of float32, outside of them those of bfloat16."""
    wide, narrow = _both("tiny")
    noise = np.random.default_rng(5).integers(0, 256, (700, 512, 3), dtype=np.uint8)
    latents, window = wide.quantize([noise], 40).latents_of(0), Window(0, 700, 0, 512)
    windows: list[Window] = []
    squares = np.zeros((11, 8), np.float32)
    squares[0, 7] = squares[7, 2] = squares[8, 5] = NARROW_PRODUCT + 1

    def untrusted(networks: Networks) -> list[Window]:
        networks.peaks.squares[:] = squares
        windows[:] = original(networks)
        return windows

    original = Networks.untrusted
    exact = wide.synthesize(latents, window)
    monkeypatch.setattr(Networks, "untrusted", lambda _: [])
    rounded = narrow.synthesize(latents, window)
    monkeypatch.setattr(Networks, "untrusted", untrusted)
    mended = narrow.synthesize(latents, window)
    assert windows == [Window(0, 128, 384, 512), Window(384, 640, 64, 448)]
    expected = rounded.copy()
    for part in windows:
        rows, columns = slice(part.top, part.bottom), slice(part.left, part.right)
        expected[rows, columns] = exact[rows, columns]
    assert np.array_equal(mended, expected)
    assert not np.array_equal(mended, rounded)
    quarter = narrow.synthesize(latents, Window(0, 175, 0, 128), reduction=4)
    assert quarter.shape == (175, 128, 3)


def test_a_context_that_bfloat16_may_shake_is_that_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the encoder as in the decoder: the integers, y_hat and the pixels are those of float32."""
    wide, narrow = _both("tiny")
    monkeypatch.setattr("vaecodec.runtime.cpu.networks.CONTEXT_PRODUCT", np.inf)
    pixels = np.random.default_rng(5).integers(0, 256, (100, 200, 3), dtype=np.uint8)
    first, second = (pipeline.quantize([pixels], 50) for pipeline in (wide, narrow))
    assert not np.array_equal(first.y_hat, second.y_hat)
    monkeypatch.setattr("vaecodec.runtime.cpu.networks.CONTEXT_PRODUCT", 0.0)
    second = narrow.quantize([pixels], 50)
    assert np.array_equal(first.y_hat, second.y_hat)
    latents = second.latents_of(0)
    assert np.array_equal(first.latents_of(0).r, latents.r)
    assert np.array_equal(wide.y_hat(latents), narrow.y_hat(latents))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_photographs_are_trusted(stored: StoredModel, path: Path) -> None:
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB").crop((400, 300, 656, 556)))
    weights = NetworkWeights(stored)
    for level in (12, LEVELS - 1):
        networks = Networks(weights, CompiledKernels(1), level, narrow=True, band_pixels=1 << 20)
        z = np.rint(networks.hyper_analyse(y := networks.analyse(pixels)))
        index, widths = np.ones(y.shape, np.uint8), np.zeros(256, np.float32)
        list(networks.synthesize(networks.quantize(networks.prior(z), y, index, widths)))
        assert networks.is_steady
        assert networks.untrusted() == []
        assert networks.peaks.largest > 0


def test_the_pixels_of_a_target_are_those_of_the_decoder() -> None:
    _, narrow = _both("fast-perceptual")
    pixels = _checkerboard(128, 5)
    quantized = narrow.quantize([pixels], 40)
    measured = np.concatenate(list(narrow.decoded_rows(quantized, 40)))
    assert np.array_equal(measured, narrow.synthesize(quantized.latents_of(0), Window(0, 128, 0, 128)))
