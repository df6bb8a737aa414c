"""Bands of rows, crops and previews: the same numbers as the whole picture in one piece."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import vaecodec
import vaecodec.codec
import vaecodec.runtime.memory
from vaecodec.codec import Codec
from vaecodec.errors import InputError
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import LEVELS
from vaecodec.metrics import psnr
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.layers import DepthConvBlock, Downsample, Upsample
from vaecodec.networks.network import CodecNetwork, level_position, round_z
from vaecodec.networks.preview import PreviewFit, make_preview_head
from vaecodec.runtime.cpu.threads import set_thread_count
from vaecodec.runtime.loading import load_model
from vaecodec.runtime.memory import Memory
from vaecodec.runtime.passes import Passes
from vaecodec.runtime.pipeline import to_pixels
from vaecodec.runtime.streaming import RowStream, RowWindow, cut_rows, reach
from vaecodec.runtime.windows import Window, padded_rows
from vaecodec.weights.store import PREVIEW_PREFIX, read_model, write_model

TINY = Path(__file__).parent / "golden" / "tiny-v1.safetensors"
SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def lake() -> NDArray[np.uint8]:
    """A photograph of 450 x 330, not a multiple of anything."""
    with Image.open(SAMPLES / "mountain-lake.jpg") as photo:
        return np.asarray(photo.convert("RGB").resize((450, 330), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def network() -> CodecNetwork:
    """The networks of `base` with weights that make every layer count."""
    generator = torch.Generator().manual_seed(1)
    random_network = CodecNetwork(CONFIGS["base"]).eval().requires_grad_(False)
    for name, parameter in random_network.named_parameters():
        if not name.startswith("log_"):
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 50
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4 * fan_in**-0.5)
    random_network.log_z_gain.anchors.fill_(4.0)  # so that z_hat isn't 0 everywhere
    return random_network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _randomized(layers: nn.Sequential) -> nn.Sequential:
    for parameter in layers.parameters():
        parameter.normal_(0, 0.3)
    return layers.requires_grad_(False)


# Streams


@pytest.mark.parametrize("heights", [[1] * 8, [8], [3, 1, 4], [2, 6], [7, 1]], ids=str)
@pytest.mark.parametrize("kind", ["blocks", "down", "up"])
def test_a_stream_gives_the_rows_of_the_whole(kind: str, heights: list[int]) -> None:
    blocks = [DepthConvBlock(4) for _ in range(3)]
    chains = {
        "blocks": nn.Sequential(*blocks),
        "down": nn.Sequential(blocks[0], Downsample(4, 4), blocks[1], Downsample(4, 2)),
        "up": nn.Sequential(Upsample(4, 4), blocks[0], Upsample(4, 4), blocks[1]),
    }
    chain = _randomized(chains[kind])
    x = torch.randn(2, 4, 8, 12)
    whole = chain(x.clone())
    stream, bands, top = RowStream(chain), [], 0
    for height in heights:
        rows = stream.push(x[:, :, top : top + height].clone(), last=top + height == 8)
        top += height
        if rows is not None:
            bands.append(rows)
    assert torch.allclose(torch.cat(bands, 2), whole, rtol=1e-5, atol=1e-5)


def test_a_window_keeps_the_rows_that_are_needed() -> None:
    picture, window = torch.arange(60.0).reshape(1, 2, 10, 3), RowWindow()
    assert window.push(picture[:, :, :4]) == slice(0, 4)
    window.drop(2)
    assert window.push(picture[:, :, 4:5]) == slice(4, 5)
    assert torch.equal(window.rows(slice(2, 5)), picture[:, :, 2:5])
    for outside in (slice(1, 3), slice(4, 6)):
        with pytest.raises(IndexError, match=r"of a window of rows 2\.\.5"):
            window.rows(outside)
    window.drop(5)
    assert window.push(picture[:, :, 5:]) == slice(5, 10)
    assert torch.equal(window.rows(slice(5, 10)), picture[:, :, 5:])


def test_a_rectangle_cut_out_of_bands() -> None:
    picture = torch.arange(120.0).reshape(1, 2, 10, 6)
    for heights in ([10], [1] * 10, [3, 3, 4], [9, 1]):
        bands = list(cut_rows(picture.split(heights, 2), Window(2, 9, 1, 5)))
        assert torch.equal(torch.cat(bands, 2), picture[:, :, 2:9, 1:5])


def test_reach_is_what_a_pixel_really_moves() -> None:
    chain = _randomized(nn.Sequential(DepthConvBlock(4), Downsample(4, 4), DepthConvBlock(4), DepthConvBlock(4)))
    x = torch.zeros(1, 4, 32, 32)
    changed = x.clone()
    changed[:, :, 16, 16] = 1
    rows = ((chain(changed) - chain(x)).abs().sum((0, 1, 3)) > 0).nonzero()
    moved = max(2 * int(rows.max()) - 16, 16 - (2 * int(rows.min()) + 1))  # a row of the result is two of x
    assert moved <= reach(chain, 1) == 5
    assert moved >= 4


# Whole pictures


def _in_one_piece(
    network: CodecNetwork, pixels: NDArray[np.uint8], t: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """z, r, y_hat, x_hat as in training, without a band."""
    height, width = (-(-side // 64) * 64 for side in pixels.shape[:2])
    x = torch.from_numpy(padded_rows(pixels, 0, height, width)).permute(2, 0, 1)[None].float() / 255
    y, z = network.analyse(x, t)
    gain = network.log_gain(t).exp()
    result = network.run_context(network.prior(round_z(z), t), gain, lambda mu: (gain * (y - mu)).round())
    return z, result.r, result.y_hat, network.synthesize(result.y_hat.clone(), t)


@pytest.mark.parametrize("band", [1, 30_000, 10**9])
def test_bands_code_as_one_piece(network: CodecNetwork, lake: NDArray[np.uint8], band: int) -> None:
    """At most one symbol in 100,000 differs, pixels by one level."""
    t = level_position(torch.tensor([40]))
    z, r, y_hat, x_hat = _in_one_piece(network, lake, t)
    passes = Passes(network, band)
    y = passes.analyse([lake], t)
    found_z = passes.hyper_analyse(y, t)
    assert torch.allclose(found_z, z, atol=1e-4)
    p, coded = list(passes.prior(round_z(z), t)), torch.ones(r.shape, dtype=torch.uint8)
    found_y_hat, _ = passes.quantize(p, y, t, coded)
    assert (y != r).sum() <= 1 + r.numel() // 100_000  # y became r
    assert r.abs().max() > 3
    assert round_z(z).abs().max() > 3
    assert (passes.reconstruct(p, r.int(), t) - y_hat).abs().max() < 1e-3
    assert torch.equal(passes.reconstruct(p, y.int(), t), found_y_hat)
    bands = torch.cat(list(passes.synthesize(y_hat, t)), 1)
    assert np.abs(bands.numpy().astype(int) - to_pixels(x_hat)).max() <= 1


@pytest.mark.parametrize("threads", [1, 2])
def test_band_height_leaves_files_alone(
    codec: Codec, lake: NDArray[np.uint8], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = codec.encode_with_latents(lake, 70)
    pixels = codec.decode(whole.data, as_array=True).astype(int)
    monkeypatch.setattr(vaecodec.runtime.memory, "CPU_BAND", 1)
    set_thread_count(threads)
    try:
        narrow = codec.encode_with_latents(lake, 70)
        again = codec.decode(whole.data, as_array=True).astype(int)
    finally:
        set_thread_count(None)
    assert np.array_equal(narrow.latents.z_hat, whole.latents.z_hat)
    assert (narrow.latents.r != whole.latents.r).sum() <= 1
    assert np.abs(again - pixels).max() <= 1


def test_scale_index_of_tiles(codec: Codec) -> None:
    """The integer network has tiles of its own: equal in every bit."""
    layers = codec.loaded_model().entropy.layers
    z_hat = np.random.default_rng(5).integers(-9, 9, (codec.loaded_model().entropy.N, 70, 35)).astype(np.int8)
    whole = scale_index(z_hat, 20, layers)
    assert np.array_equal(
        whole[:, : 4 * 60, : 4 * 20], scale_index(z_hat[:, :64, :24], 20, layers)[:, : 4 * 60, : 4 * 20]
    )


def test_padding_goes_on_with_the_last_row_and_column() -> None:
    pixels = np.arange(5 * 3 * 3, dtype=np.uint8).reshape(5, 3, 3)
    rows = padded_rows(pixels, 4, 8, 4)
    assert rows.shape == (4, 4, 3)
    assert (rows[:, :3] == pixels[4]).all()
    assert (rows[:, 3] == pixels[4, 2]).all()
    assert (padded_rows(pixels, 6, 8, 3) == pixels[4]).all()
    assert padded_rows(pixels, 0, 5, 3) is not pixels


# Memory


def test_max_memory(lake: NDArray[np.uint8], codec: Codec) -> None:
    data = codec.encode(lake, 50, mode="neural")
    small = Codec(TINY, device="cpu", dtype="float32", max_memory=100_000)
    with pytest.raises(
        InputError, match=r"max_memory is 100000 bytes; to encode \d+ pixels it must be at least"
    ) as one:
        small.encode(lake)
    with pytest.raises(InputError, match=r"to decode \d+ pixels it must be at least") as other:
        small.decode(data)
    needed = max(int(str(caught.value).rpartition(" ")[2]) for caught in (one, other))
    enough = Codec(TINY, device="cpu", dtype="float32", max_memory=needed)
    assert enough.encode(lake, 50) == data
    assert np.abs(enough.decode(data, as_array=True).astype(int) - codec.decode(data, as_array=True)).max() <= 1


def test_bands_shrink_to_the_memory_there_is() -> None:
    config, pixels = CONFIGS["base"], 12_000_000
    free = Memory(None, "cpu", 2).band_pixels(config, pixels, "encode")
    assert free == vaecodec.runtime.memory.SHARED_BAND
    assert Memory(None, "cpu", 1).band_pixels(config, pixels, "encode") == vaecodec.runtime.memory.CPU_BAND
    assert Memory(None, "cpu", 8).band_pixels(config, pixels, "encode") == 8 * vaecodec.runtime.memory.CPU_BAND
    tight = Memory(250_000_000, "cpu", 2).band_pixels(config, pixels, "encode")
    assert 100_000 <= tight < free
    assert Memory(None, "cuda", 2).band_pixels(config, pixels, "decode") > free


# Crops


@pytest.mark.parametrize("x", [(0, 1), (0, 450), (449, 1), (200, 17), (63, 130)], ids=str)
@pytest.mark.parametrize("y", [(0, 1), (329, 1), (100, 77)], ids=str)
def test_crops_are_parts_of_the_picture(
    codec: Codec, lake: NDArray[np.uint8], x: tuple[int, int], y: tuple[int, int]
) -> None:
    data = codec.encode(lake, 80, mode="neural")
    whole = codec.decode(data, as_array=True).astype(int)
    part = codec.decode(data, as_array=True, crop=(x[0], y[0], x[1], y[1]))
    assert part.shape == (y[1], x[1], 3)
    assert np.abs(part - whole[y[0] : y[0] + y[1], x[0] : x[0] + x[1]]).max() <= 1


def test_crops_through_deep_networks(network: CodecNetwork, lake: NDArray[np.uint8]) -> None:
    """With the reach of `base`: y_hat and pixels of a small rectangle, from a piece of the latents only."""
    t, passes = level_position(torch.tensor([40])), Passes(network, 50_000)
    z, r, y_hat, x_hat = _in_one_piece(network, np.tile(lake, (2, 2, 1)), t)
    height, width = x_hat.shape[2:]
    region = passes.region(Window(330, 350, 500, 540), height, width)
    assert region.prior.height * region.prior.width < 0.7 * z.shape[2] * z.shape[3]
    context = region.context.finer(4)
    p = cut_rows(passes.prior(region.prior.cut(round_z(z)), t), context.relative_to(region.prior.finer(4)))
    y_hat_part = region.y.relative_to(context).cut(passes.reconstruct(p, context.cut(r.int()), t))
    assert (y_hat_part - region.y.cut(y_hat)).abs().max() < 1e-3
    rows = torch.cat(list(passes.synthesize(y_hat_part, t)), 1).permute(0, 3, 1, 2)
    part = region.pixels.relative_to(region.y.finer(16)).cut(rows).permute(0, 2, 3, 1).numpy()
    assert np.abs(part.astype(int) - to_pixels(region.pixels.cut(x_hat))).max() <= 1


def test_the_work_goes_with_the_crop(network: CodecNetwork) -> None:
    """Around a crop lies a margin that doesn't depend on the picture."""
    passes = Passes(network, 50_000)
    margins = {
        passes.region(Window(at, at + 640, at, at + 640), size, size).prior.height * 64 - 640
        for size, at in ((8192, 1280), (8192, 4096), (65_536, 32_000))
    }
    assert max(margins) <= 640


def test_crops_of_all_that_rides_along(codec: Codec, lake: NDArray[np.uint8]) -> None:
    image = Image.fromarray(lake)
    image.putalpha(Image.fromarray(lake[:, :, 0]))
    image.info["xmp"] = b"<x/>"
    part = codec.decode(codec.encode(image, mode="neural"), crop=(10, 20, 30, 40))
    assert (part.mode, part.size, part.info["xmp"]) == ("RGBA", (30, 40), b"<x/>")
    assert np.array_equal(np.asarray(part)[..., 3], lake[20:60, 10:40, 0])
    gray = codec.decode(codec.encode(lake[:, :, 0], mode="neural"), crop=(10, 20, 30, 40), as_array=True)
    assert gray.shape == (40, 30)


@pytest.mark.parametrize(
    "crop", [(0, 0, 0, 5), (0, 0, 451, 5), (-1, 0, 5, 5), (440, 0, 11, 5), (0, 326, 5, 5), (0, 0, 5, -5)]
)
def test_crops_outside_of_the_picture(codec: Codec, lake: NDArray[np.uint8], crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="within the picture, 450 x 330"):
        codec.decode(codec.encode(lake, mode="neural"), crop=crop)


# Previews


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_previews_are_means(codec: Codec, lake: NDArray[np.uint8], reduction: int) -> None:
    """Of what is decoded: exact up to the clipping of single pixels at black and white, and to rounding."""
    data = codec.encode(lake, 60, mode="neural")
    preview = codec.decode(data, reduction=reduction)
    assert preview.size == (-(-450 // reduction), -(-330 // reduction))
    means = np.asarray(codec.decode(data).reduce(reduction)).astype(int)
    inner = np.s_[: 330 // reduction, : 450 // reduction]
    assert np.abs(np.asarray(preview).astype(int)[inner] - means[inner]).mean() < 0.6
    assert np.abs(np.asarray(preview).astype(int)[inner] - means[inner]).max() <= 8


def test_previews_of_all_modes(codec: Codec, lake: NDArray[np.uint8]) -> None:
    for channels, mode in ((lake[:, :, 0], "L"), (np.dstack([lake, lake[:, :, 1]]), "RGBA")):
        preview = codec.decode(codec.encode(channels, mode="neural"), reduction=8)
        assert (preview.mode, preview.size) == (mode, (57, 42))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 3}, "reduction is 3; it must be one of 1, 2, 4, 8"),
        ({"reduction": 2, "crop": (0, 0, 9, 9)}, "cannot be combined"),
    ],
)
def test_previews_there_are_none_of(
    codec: Codec, lake: NDArray[np.uint8], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        codec.decode(codec.encode(lake, mode="neural"), **options)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory, lake: NDArray[np.uint8]) -> Codec:
    """The same model with a preview head, fitted to the photographs of the samples."""
    stored = read_model(TINY)
    network = load_model(stored).network
    fit = PreviewFit(network.config)
    with torch.inference_mode():
        for number, path in enumerate(sorted(SAMPLES.glob("*.jpg"))):
            with Image.open(path) as photo:
                pixels = np.array(photo.convert("RGB").resize((384, 256)))
            for level in range(number % 8, LEVELS, 8):
                _, _, y_hat, x_hat = _in_one_piece(network, pixels, level_position(torch.tensor([level])))
                fit.add(y_hat, x_hat)
    head = {PREVIEW_PREFIX + name: values.astype(np.float16) for name, values in fit.solve().items()}
    path = tmp_path_factory.mktemp("model") / "headed.safetensors"
    assert write_model(path, stored.tensors | head, stored.card) == stored.sha256  # files don't depend on the head
    return Codec(path, device="cpu", dtype="float32")


@pytest.mark.parametrize("level", [0, 20, 40, 63])
def test_a_preview_head_comes_close_to_the_means(
    codec: Codec, headed: Codec, lake: NDArray[np.uint8], level: int
) -> None:
    data = headed.encode(lake, level=level)
    assert data == codec.encode(lake, level=level, mode="neural")
    exact, preview = codec.decode(data, as_array=True, reduction=8), headed.decode(data, as_array=True, reduction=8)
    assert psnr(preview, exact) > 38
    assert not np.array_equal(preview, exact)
    for edge in (np.s_[0], np.s_[-2:], np.s_[:, 0], np.s_[:, -2:]):
        assert psnr(preview[edge], exact[edge]) > 32
    for reduction in (1, 2, 4):
        assert np.array_equal(
            codec.decode(data, as_array=True, reduction=reduction),
            headed.decode(data, as_array=True, reduction=reduction),
        )


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 1), (64, 130), (65, 17), (127, 300)], ids=str)
def test_sizes_of_previews_by_a_head(
    headed: Codec, codec: Codec, lake: NDArray[np.uint8], size: tuple[int, int]
) -> None:
    height, width = size
    for picture in (lake[:height, :width], lake[:height, :width, 0]):
        data = headed.encode(picture, 80)
        preview = headed.decode(data, as_array=True, reduction=8)
        assert preview.shape == (-(-height // 8), -(-width // 8), *picture.shape[2:])
        assert preview.shape == codec.decode(data, as_array=True, reduction=8).shape


def test_a_preview_head_runs_without_the_blocks(
    headed: Codec, lake: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = headed.encode(lake)
    whole = headed.decode(data, as_array=True, reduction=8)
    with pytest.raises(InputError, match="cannot be combined"):
        headed.decode(data, reduction=8, crop=(0, 0, 9, 9))
    monkeypatch.setattr("vaecodec.runtime.cpu.weights.NetworkWeights.head", None)
    monkeypatch.setattr(vaecodec.runtime.memory, "CPU_BAND", 1)
    assert np.abs(headed.decode(data, as_array=True, reduction=8).astype(int) - whole).max() <= 1
    with pytest.raises(TypeError):
        headed.decode(data, reduction=4)


def test_regions_of_previews(lake: NDArray[np.uint8]) -> None:
    """One position more on every side, and the pixels of the whole."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = CodecNetwork(CONFIGS["tiny"])
        network.preview = make_preview_head(network.config)
        y_hat, t = torch.randn(1, 16, 24, 32), level_position(torch.tensor([5]))
    passes = Passes(network, 5000)
    whole = torch.cat(list(passes.synthesize(y_hat, t, 8)), 1).permute(0, 3, 1, 2)
    assert whole.shape == (1, 3, 48, 64)
    assert len(whole.unique()) > 100
    region = passes.region(Window(64, 192, 160, 320), 384, 512, 8)
    assert region.y == Window(3, 13, 9, 21)
    part = torch.cat(list(passes.synthesize(region.y.cut(y_hat), t, 8)), 1).permute(0, 3, 1, 2)
    window = Window(8, 24, 20, 40)
    preview = window.relative_to(region.y.finer(2)).cut(part)
    assert (preview.int() - window.cut(whole).int()).abs().max() <= 1


def _watched(monkeypatch: pytest.MonkeyPatch, decode: Callable[..., object]) -> list[int]:
    """Let the Pillow plugin decode with `decode`; the reductions that it asks for."""
    asked: list[int] = []
    monkeypatch.setattr("vaecodec.api.decode", lambda *a, **k: (asked.append(k["reduction"]), decode(*a, **k))[1])
    vaecodec.register_pillow()
    return asked


def test_thumbnails_by_a_preview_head(
    headed: Codec, codec: Codec, lake: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = headed.encode(lake)
    asked = _watched(monkeypatch, lambda data, **options: headed.decode(data, reduction=options["reduction"]))
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((25, 25))
        assert image.size == (25, 18)
        exact = codec.decode(data)
        exact.thumbnail((25, 25))
        assert psnr(np.asarray(image), np.asarray(exact)) > 36
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft("L", (50, 40)) == ("RGB", (0, 0, 450 / 8, 330 / 8))
        image.load()
        assert image.size == (57, 42)
    assert asked[-1] == 8


def test_thumbnails_in_pillow_decode_a_preview(lake: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    data = vaecodec.encode(lake, mode="neural")
    asked = _watched(monkeypatch, vaecodec.api.decode)
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((25, 25))
        assert image.size == (25, 18)
        reference = Image.fromarray(lake)
        reference.thumbnail((25, 25))
        assert psnr(np.asarray(image), np.asarray(reference)) > 28
    with Image.open(io.BytesIO(data)) as image:
        assert image.draft(None, (100, 100)) is None or image.size == (225, 165)
        assert image.draft("L", (50, 40)) == ("RGB", (0, 0, 450 / 8, 330 / 8))
        assert image.size == (57, 42)
        assert image.draft(None, (400, 300)) is None
        image.load()
        assert image.size == (57, 42)
        assert image.draft(None, (5, 5)) is None
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((1000, 1000))
        assert image.size == (450, 330)
    assert asked == [4, 8]
