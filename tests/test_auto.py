"""mode="auto": lossless where that is not larger or the networks fail, neural elsewhere; and what no file may hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import vaecodec
from vaecodec import auto, lossless, numpy_codec
from vaecodec.codec import Codec, shared_codec
from vaecodec.entropy import coding
from vaecodec.entropy.coding import R_LIMIT, check_r
from vaecodec.errors import CodingError, InputError, TargetError
from vaecodec.image import Picture
from vaecodec.metrics import block_errors, psnr
from vaecodec.picture_file import make_source
from vaecodec.runtime.choice import choose_brief
from vaecodec.runtime.cpu.networks import Networks
from vaecodec.runtime.memory import Memory
from vaecodec.runtime.pipeline import TorchPipeline

SAMPLES = Path(__file__).parents[1] / "samples"
SHAPES = st.tuples(st.integers(1, 33), st.integers(1, 33), st.integers(1, 4))


@pytest.fixture(scope="module")
def fast() -> Codec:
    return shared_codec("fast-perceptual", "cpu")


@pytest.fixture(scope="module")
def lake() -> NDArray[np.uint8]:
    with Image.open(SAMPLES / "mountain-lake.jpg") as opened:
        return np.array(opened.convert("RGB").crop((300, 300, 620, 540)))


def _text() -> NDArray[np.uint8]:
    """Words in black on white."""
    image = Image.new("RGB", (200, 120), "white")
    draw = ImageDraw.Draw(image)
    for line in range(9):
        draw.text((4, 4 + 12 * line), f"line {line} of a page of text, {line * 7919 % 1000}", fill="black")
    return np.array(image)


def _webp_bytes(pixels: NDArray[np.uint8], method: int) -> int:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=True, exact=True, method=method)
    return out.getbuffer().nbytes


GRAPHICS = {
    "text": _text(),
    "bilevel": np.array(Image.fromarray(_text()).convert("1").convert("RGB")),
    "checkerboard": np.repeat((np.indices((64, 80)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, 2),
    "stripes": np.repeat((np.indices((70, 90))[1] // 3 % 2 * 200).astype(np.uint8)[..., None], 3, 2),
    "flat": np.full((50, 60, 3), 77, np.uint8),
    "icon": np.dstack([_text(), 255 - _text()[..., 0]]),
    "gray": _text()[..., 0],
}


@pytest.mark.parametrize("quality", [10, 60, 100])
@pytest.mark.parametrize("name", GRAPHICS)
def test_no_drawing_is_larger_than_lossless_webp_and_64_bytes(fast: Codec, name: str, quality: int) -> None:
    pixels = GRAPHICS[name]
    data = fast.encode(pixels, quality)
    assert len(data) <= min(_webp_bytes(pixels, method) for method in (4, 6)) + 64
    assert len(data) <= len(fast.encode(pixels, quality, mode="lossless"))
    decoded = fast.decode(data, as_array=True)
    if vaecodec.inspect(data).lossless:
        assert np.array_equal(decoded, pixels)
    else:
        assert auto.is_good(make_source(pixels, strip=False), vaecodec.inspect(data).level, decoded, len(data))


def test_photographs_stay_neural_and_are_not_decoded(
    fast: Codec, lake: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("decode", "encode"):
        monkeypatch.setattr(lossless, name, lambda *_, **__: pytest.fail("lossless was tried"))
    monkeypatch.setattr(auto, "is_good", lambda *_: pytest.fail("the file was decoded"))
    for quality in (1, 30, 60, 100):
        assert fast.encode(lake, quality) == fast.encode(lake, quality, mode="neural")


def test_the_look_costs_next_to_nothing(lake: NDArray[np.uint8]) -> None:
    """On a megapixel: encoding takes half a second or more."""
    large = np.tile(lake, (4, 4, 1))
    auto.look(large)
    times = []
    for _ in range(7):
        start = time.process_time()
        auto.look(large)
        times.append(time.process_time() - start)
    assert sorted(times)[3] < 0.02


def test_what_the_look_sees(lake: NDArray[np.uint8]) -> None:
    assert auto.look(lake).is_photograph
    assert not auto.look(lake).suits_lossless(1.0)
    for pixels in (GRAPHICS["text"], GRAPHICS["flat"], GRAPHICS["stripes"]):
        assert auto.look(pixels).is_graphic
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert not auto.look(noise).is_photograph
    sharp = np.clip(lake.astype(int) * 6 - 600, 0, 255).astype(np.uint8)
    assert auto.look(sharp).steep > auto.look(lake).steep
    strip = np.repeat(lake[:1], 90, axis=0)  # a photograph's row, again and again
    assert auto.look(strip).flat == auto.look(strip.transpose(1, 0, 2)).flat == 1
    for shape in ((1, 1, 3), (1, 500, 3), (500, 1, 3), (2, 3, 3), (31, 33, 3)):
        assert auto.look(np.zeros(shape, np.uint8)).flat == 1


def test_a_neural_file_that_fails_is_replaced(fast: Codec, lake: NDArray[np.uint8]) -> None:
    """Its pixels are judged by blocks, as a whole, and against JPEG."""
    source, data = make_source(lake, strip=False), fast.encode(lake, 60, mode="neural")
    level, decoded = vaecodec.inspect(data).level, fast.decode(data, as_array=True)
    assert auto.is_good(source, level, decoded, len(data))
    one_block = decoded.copy()
    one_block[16:32, 16:32] = 255 - one_block[16:32, 16:32]
    assert not auto.is_good(source, level, one_block, len(data))
    blurred = np.array(Image.fromarray(decoded).reduce(2).resize((320, 240), Image.Resampling.BILINEAR))
    assert not auto.is_good(source, level, blurred, len(data))
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    chosen = fast.encode(noise, 60)
    assert vaecodec.inspect(chosen).lossless
    assert np.array_equal(fast.decode(chosen, as_array=True), noise)


def test_images_of_few_colours_are_no_photographs(lake: NDArray[np.uint8]) -> None:
    """But a gray photograph is one, though it has no more than 256 values."""
    dithered = np.array(Image.fromarray(lake).quantize(64).convert("RGB"))
    assert auto.look(dithered).has_palette
    assert not auto.look(dithered).is_photograph
    gray = np.repeat(lake[..., 1:2], 3, 2)
    assert not auto.look(gray).has_palette
    assert auto.look(gray).is_photograph


def test_a_small_image_is_tried_whole_whatever_the_samples_say(fast: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of some gradients cost ten times what all of it does."""
    monkeypatch.setattr(auto, "look", lambda _: auto.Look(bpp=10, flat=0, steep=0))
    row, column = np.indices((320, 240))
    share = ((column + 0.3 * row) / 30 % 1)[..., None]
    large = np.round(np.array([20, 230, 60]) + share * np.array([200, -150, 90])).astype(np.uint8)
    small = np.ascontiguousarray(large[:150, :200])
    assert len(fast.encode(small, 60)) <= _webp_bytes(small, 6) + 64 < len(fast.encode(small, 60, mode="neural"))
    assert fast.encode(large, 60) == fast.encode(large, 60, mode="neural")


@pytest.mark.parametrize("size", [(100, 150), (250, 250)])
def test_a_small_image_that_was_a_jpeg_is_kept_as_it_is(
    fast: Codec, lake: NDArray[np.uint8], size: tuple[int, int]
) -> None:
    """JPEG codes its own blocks again for next to nothing; nothing else comes near."""
    out = BytesIO()
    Image.fromarray(lake[: size[0], : size[1]]).save(out, "JPEG", quality=40)
    pixels = np.asarray(Image.open(BytesIO(out.getvalue())))
    data = fast.encode(pixels, 80)
    assert np.array_equal(fast.decode(data, as_array=True), pixels)
    assert not vaecodec.inspect(fast.encode(lake[: size[0], : size[1]], 80)).lossless


@pytest.mark.parametrize("size", [(100, 150), (200, 300)])
def test_a_small_image_is_always_compared_with_jpeg(
    fast: Codec, lake: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    judged: list[int] = []

    def keeps_up(source: object, decoded: NDArray[np.uint8], size: int) -> bool:
        judged.append(size)
        return False

    monkeypatch.setattr(auto, "keeps_up_with_jpeg", keeps_up)
    small = np.ascontiguousarray(lake[: size[0], : size[1]])
    assert vaecodec.inspect(fast.encode(small, 60)).lossless
    assert judged == [len(fast.encode(small, 60, mode="neural"))]
    glass = np.dstack([small, np.arange(size[0] * size[1], dtype=np.uint32).reshape(size).astype(np.uint8)])
    fast.encode(glass, 60)
    assert judged[1] < len(fast.encode(glass, 60, mode="neural")) - 100  # a JPEG has no transparency
    assert not vaecodec.inspect(fast.encode(lake, 60)).lossless
    assert len(judged) == 2


def test_a_thumbnail_is_judged_by_jpeg_alone(
    fast: Codec, lake: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is all detail: its blocks may be worse than those of any photograph of 512 x 512."""
    monkeypatch.setattr(auto, "is_good", lambda *_: False)
    tiny = np.ascontiguousarray(lake[:100, :150])
    assert fast.encode(tiny, 30) == fast.encode(tiny, 30, mode="neural")
    assert vaecodec.inspect(fast.encode(GRAPHICS["stripes"], 30)).lossless


def test_jpegs_are_compared_with_their_best_tables(lake: NDArray[np.uint8]) -> None:
    """Small graphics are up to half tables; of noise, which Pillow fails to optimize, tables are the usual ones."""
    pixels = np.ascontiguousarray(lake[:64, :64])
    sizes = {}
    for quality in (50, 80):
        out = BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
        sizes[quality] = len(out.getvalue())
        decoded = np.asarray(Image.open(BytesIO(out.getvalue())))
        assert (auto.jpeg_psnr(pixels, sizes[quality]) or 0) >= psnr(pixels, decoded)
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert (auto.jpeg_psnr(noise, 40_000) or 0) > 30
    assert auto.jpeg_psnr(noise, 100) is None


def test_transparent_icons_lose_no_bytes_to_hidden_colours(fast: Codec) -> None:
    data = fast.encode(GRAPHICS["icon"], 60)
    assert np.array_equal(fast.decode(data, as_array=True)[..., 3], GRAPHICS["icon"][..., 3])


def test_batches_choose_for_each(fast: Codec, lake: NDArray[np.uint8]) -> None:
    small = lake[:120, :200]
    files = fast.encode_batch([small, _text(), small], 60)
    assert [vaecodec.inspect(data).lossless for data in files] == [False, True, False]
    assert all(vaecodec.inspect(data).lossless for data in fast.encode_batch([small, _text()], lossless=True))
    with pytest.raises(InputError, match="mode is 'x'"):
        fast.encode_batch([small], mode="x")  # type: ignore[call-overload]


def test_without_pytorch_the_choice_is_the_same(lake: NDArray[np.uint8]) -> None:
    for pixels, is_lossless in ((lake[:100, :130], False), (_text(), True)):
        data = numpy_codec.encode(pixels, 60, model="fast-perceptual")
        assert vaecodec.inspect(data).lossless == is_lossless
        assert np.asarray(numpy_codec.decode(data)).shape == pixels.shape
    assert vaecodec.inspect(numpy_codec.encode(lake[:50, :50], 60, model="fast-perceptual", mode="lossless")).lossless


# Targets


def test_targets_take_lossless_where_it_fits(fast: Codec, lake: NDArray[np.uint8]) -> None:
    text = _text()
    size = len(fast.encode(text, lossless=True))
    assert vaecodec.inspect(fast.encode(text, target_bytes=size)).lossless
    assert vaecodec.inspect(fast.encode(text, target_bpp=8 * size / (200 * 120) + 0.01)).lossless
    small = fast.encode(text, target_bytes=size // 2)
    assert len(small) <= size // 2
    assert not vaecodec.inspect(small).lossless
    assert vaecodec.inspect(fast.encode(text, target_psnr=30.0)).lossless
    part = lake[:96, :96]
    assert vaecodec.inspect(fast.encode(part, target_bytes=10**6)).lossless
    assert not vaecodec.inspect(fast.encode(part, target_bytes=2000)).lossless
    assert vaecodec.inspect(fast.encode(part, target_psnr=float("inf"))).lossless
    assert vaecodec.inspect(fast.encode(part, target_psnr=90.0)).lossless  # beyond the networks
    with pytest.raises(TargetError):
        fast.encode(part, target_psnr=90.0, mode="neural")
    with pytest.raises(TargetError):
        fast.encode(part, target_bytes=20)


# Any pixels


@given(
    SHAPES.flatmap(lambda s: arrays(np.uint8, s, elements=st.one_of(st.integers(0, 255), st.sampled_from([0, 255]))))
)
@settings(max_examples=40, deadline=None)
def test_any_array_round_trips(pixels: NDArray[np.uint8]) -> None:
    codec = shared_codec("fast-perceptual", "cpu")
    data = codec.encode(pixels, 60)
    decoded = codec.decode(data, as_array=True)
    expected = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    assert decoded.shape == expected.shape
    if vaecodec.inspect(data).lossless:
        assert np.array_equal(decoded, expected)
    vaecodec.verify(data)


# What no file may hold


@pytest.mark.parametrize("value", [R_LIMIT, -R_LIMIT, np.inf, -np.inf, np.nan])
def test_illegal_r_is_named_with_its_place(value: float) -> None:
    r = np.zeros((3, 4, 5), np.float32)
    check_r(r)
    r[2, 1, 3] = value
    with pytest.raises(CodingError, match=r"at channel 2, row 1, column 3 of the latents; \|r\| must be below 1048576"):
        check_r(r)
    r[2, 1, 3] = np.copysign(R_LIMIT - 1, value)
    check_r(r)


def test_the_least_integer_is_illegal_too() -> None:
    """Its magnitude is none: abs(-2^31) is -2^31."""
    with pytest.raises(CodingError, match="r is -2147483648"):
        check_r(np.full((1, 1, 1), -(2**31), np.int32))


def _replaced(value: float, where: str, quantize: Callable[..., Any]) -> Callable[..., Any]:
    """`TorchPipeline._quantize` with one number replaced in what it gives."""

    def replaced(self: TorchPipeline, *arguments: Any) -> Any:
        z_hat, index, y_hat, r, extremes = quantize(self, *arguments)
        if where == "r":
            r = r.clone()
            r[0, -1, -1, -1] = value
        else:
            extremes = extremes.clone()
            extremes[{"z": 0, "y_hat": 1}[where], 1] = value
        return z_hat, index, y_hat, r, extremes

    return replaced


def _networks_that_give(value: float, where: str, run: Callable[..., Any]) -> Callable[..., Any]:
    """A method of the CPU's networks with one number replaced in what it gives: z, y_hat, or r in its argument y."""

    def replaced(self: Networks, *arguments: Any) -> Any:
        output = run(self, *arguments)
        changed = arguments[1] if where == "r" else output
        changed[-1, -1, -1] = value
        return output

    return replaced


@pytest.mark.parametrize(
    ("value", "where"),
    [(float("nan"), "r"), (float("inf"), "r"), (2.0**20, "r"), (float("nan"), "z"), (float("inf"), "y_hat")],
)
def test_an_image_that_the_networks_cannot_code_is_an_error_or_lossless(
    codec: Codec, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, value: float, where: str
) -> None:
    """In PyTorch and without it."""
    monkeypatch.setattr(TorchPipeline, "_quantize", _replaced(value, where, TorchPipeline._quantize))
    method = "hyper_analyse" if where == "z" else "quantize"
    monkeypatch.setattr(Networks, method, _networks_that_give(value, where, getattr(Networks, method)))
    for one in (
        codec,
        Codec("fast-perceptual", device="cpu", dtype="float16"),
        Codec("fast-perceptual", plan=choose_brief()),
    ):
        _check_that_it_is_refused(one, photo)


def _check_that_it_is_refused(codec: Codec, photo: NDArray[np.uint8]) -> None:
    for encode in (codec.encode, lambda picture, mode: codec.encode_batch([picture], mode=mode)):
        with pytest.raises(CodingError, match="the networks cannot code this image"):
            encode(photo, mode="neural")
    data = codec.encode(photo, mode="auto")
    assert vaecodec.inspect(data).lossless
    assert np.array_equal(codec.decode(data, as_array=True), photo)
    assert [vaecodec.inspect(data).lossless for data in codec.encode_batch([photo, photo])] == [True, True]
    assert vaecodec.inspect(codec.encode(photo, target_psnr=20.0)).lossless
    [error] = codec.encode_batch([photo], mode="neural", on_error="collect")
    assert isinstance(error, CodingError)


def test_the_coder_checks_before_it_packs(codec: Codec, photo: NDArray[np.uint8]) -> None:
    encoded = codec.encode_with_latents(photo, 60)
    model, latents = codec.loaded_model().entropy, encoded.latents
    latents.r[0, 0, 0] = -(2**31)
    with pytest.raises(CodingError, match="at channel 0, row 0, column 0"):
        coding.encode_latents(model, latents, np.ones(latents.r.shape, np.uint8))


# Blocks


def test_block_errors() -> None:
    rng = np.random.default_rng(2)
    for shape in ((33, 40, 3), (16, 16), (5, 7, 3), (32, 17)):
        first, second = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
        errors = block_errors(first, second, 16)
        assert errors.shape == (-(-shape[0] // 16), -(-shape[1] // 16))
        for row in range(errors.shape[0]):
            for column in range(errors.shape[1]):
                place = slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16)
                expected = np.mean((first[place].astype(float) - second[place]) ** 2)
                assert errors[row, column] == pytest.approx(expected)


def test_limits_fall_with_the_level() -> None:
    for values in (auto.BLOCK_LIMITS, auto.IMAGE_LIMITS):
        limits = [auto.at_level(values, level) for level in range(64)]
        assert limits == sorted(limits, reverse=True)
        assert limits[0] == values[0]


def test_pictures_of_every_kind_are_judged_in_their_own_mode() -> None:
    gray = Picture(np.repeat(_text()[..., :1], 3, axis=2), None, "L")
    assert auto.colours(make_source(gray, strip=False)).shape == (120, 200)


@pytest.mark.parametrize("shape", [(16384, 1), (1, 20000), (20000, 3)])
def test_images_too_long_for_webp_are_coded(fast: Codec, shape: tuple[int, int]) -> None:
    """A small one is tried as a lossless WebP, which is 16,383 pixels long at most."""
    pixels = np.clip(np.random.default_rng(1).normal(128, 18, (*shape, 3)), 0, 255).astype(np.uint8)
    for data in (fast.encode(pixels, 5), fast.encode(pixels, target_psnr=24), *fast.encode_batch([pixels], 5)):
        assert fast.decode(data, as_array=True).shape == pixels.shape


def test_a_line_of_noise_is_no_drawing() -> None:
    """One column has no neighbours to be equal to."""
    noise = np.random.default_rng(1).integers(0, 256, (500, 1, 3), np.uint8)
    assert not auto.look(noise).is_graphic
    assert auto.look(np.full_like(noise, 7)).is_graphic


def test_memory_for_encoding_alone_is_enough(fast: Codec) -> None:
    """Where nothing can be looked at, a drawing is kept without loss."""
    pixels = np.kron(np.random.default_rng(0).integers(0, 256, (70, 70, 3), np.uint8), np.ones((10, 10, 1), np.uint8))
    pixels[::3] //= 2
    config = fast.loaded_model().config
    needed = {task: Memory(1, "cpu", 1)._needed(config, 704 * 704, task) for task in ("encode", "decode")}  # type: ignore[arg-type]
    limit = (needed["encode"] + needed["decode"]) // 2
    assert needed["encode"] < limit < needed["decode"]
    data = Codec("fast-perceptual", device="cpu", max_memory=int(limit)).encode(pixels, 30)
    assert np.abs(fast.decode(data, as_array=True).astype(int) - pixels).mean() < 30
