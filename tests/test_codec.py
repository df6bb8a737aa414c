"""The codec: round trips, batches, errors, limits. A tiny model of its own makes it independent of shipped weights."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from vaecodec import container, modes
from vaecodec.codec import Codec, Encoded, _shared_codec, shared_codec
from vaecodec.container import Header, Mode, Tag
from vaecodec.entropy.coding import Latents, encode_latents
from vaecodec.errors import (
    BackendError,
    ChecksumMismatch,
    CorruptStream,
    FormatError,
    HashMismatch,
    InputError,
    InputTypeError,
    LimitExceeded,
    Truncated,
    UnknownModel,
    VaecodecError,
)
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import LEVELS, QUALITY_MAX, QUALITY_MIN, level_to_quality, quality_to_level
from vaecodec.metrics import psnr
from vaecodec.runtime.cpu.threads import set_thread_count
from vaecodec.runtime.devices import choose_device
from vaecodec.runtime.loading import TorchModel, load_model
from vaecodec.runtime.pipeline import to_pixels
from vaecodec.weights.store import StoredModel, read_model

TINY = Path(__file__).parent / "golden" / "tiny-v1.safetensors"
SAMPLES = Path(__file__).parents[1] / "samples"
SIZES = [(1, 1), (1, 70), (63, 65), (64, 64), (130, 67)]
MODES = {"RGB": "RGB", "L": "L", "RGBA": "RGBA", "LA": "LA", "P": "RGB", "CMYK": "RGB"}


@pytest.fixture(scope="module")
def loaded() -> TorchModel:
    """The codec's networks and tables, read once more."""
    return load_model(read_model(TINY))


@pytest.fixture(scope="module")
def lake() -> Image.Image:
    """A photograph, 256 x 192."""
    with Image.open(SAMPLES / "mountain-lake.jpg") as photo:
        return photo.convert("RGB").crop((300, 300, 812, 684)).resize((256, 192), Image.Resampling.LANCZOS)


def _of_mode(photo: Image.Image, mode: str, size: tuple[int, int]) -> Image.Image:
    small = photo.resize(size, Image.Resampling.BILINEAR)
    if mode in ("RGBA", "LA"):
        small = small.convert(mode)
        alpha = np.arange(size[0] * size[1], dtype=np.uint32).reshape(size[1], size[0]) * 7 % 256
        small.putalpha(Image.fromarray(alpha.astype(np.uint8)))
        return small
    return small.convert(mode)


def _assert_latents_equal(codec: Codec, encoded: Encoded) -> None:
    latents = codec.decode_latents(encoded.data)
    assert latents.level == encoded.latents.level
    for name in ("z_hat", "r"):
        ours, theirs = getattr(encoded.latents, name), getattr(latents, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


def _resealed(data: bytes, **fields: object) -> bytes:
    """The file with other header fields, its header CRC right."""
    file = container.parse(data)
    contents = container.read_all(data, file)
    return container.pack(replace(file.header, **fields), list(contents.items()))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_round_trip(codec: Codec, lake: Image.Image, mode: str, size: tuple[int, int]) -> None:
    """Size and true mode come back, the integers bit for bit, alpha exactly."""
    source = _of_mode(lake, mode, size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "CMYK is converted", UserWarning)
        encoded = codec.encode_with_latents(source, 70)
    _assert_latents_equal(codec, encoded)
    decoded = codec.decode(encoded.data)
    assert decoded.mode == MODES[mode]
    assert decoded.size == size
    if decoded.mode in ("RGBA", "LA"):
        assert np.array_equal(np.asarray(decoded)[..., -1], np.asarray(source)[..., -1])
    assert np.array_equal(np.asarray(decoded), codec.decode(encoded.data, as_array=True))


@pytest.mark.parametrize("level", [0, 21, 42, 63])
def test_levels_decode_to_what_the_encoder_saw(codec: Codec, loaded: TorchModel, lake: Image.Image, level: int) -> None:
    """The decoded picture is the synthesis of the encoder's own y_hat."""
    encoded = codec.encode_with_latents(lake, level=level)
    _assert_latents_equal(codec, encoded)
    t = torch.tensor([level / (LEVELS - 1)])
    with torch.inference_mode():
        seen = to_pixels(loaded.network.synthesize(torch.as_tensor(encoded.y_hat), t))[0]
    difference = seen[:192, :256].astype(int) - codec.decode(encoded.data, as_array=True)
    assert np.abs(difference).max() <= 1


def test_ladder_is_monotonic(lake: Image.Image) -> None:
    """More quality: more bytes and more decibels, at each of the steps (of the shipped model: tiny ends at 22 dB)."""
    codec, pixels = shared_codec("base", "cpu"), np.asarray(lake)
    sizes, qualities = [], []
    for level in range(0, LEVELS, 9):
        data = codec.encode(pixels, level=level, mode="neural")
        sizes.append(len(data))
        qualities.append(psnr(pixels, codec.decode(data, as_array=True)))
    assert sizes == sorted(set(sizes))
    assert qualities == sorted(qualities)
    assert qualities[-1] > qualities[0] + 10


def test_the_coder_takes_what_was_said(codec: Codec, lake: Image.Image) -> None:
    """Payload within 0.5 % (and a last word) of the ideal content of the symbols."""
    for level in (0, 30, 63):
        coded = codec.encode_with_latents(lake, level=level).coded
        assert 8 * len(coded.payload) <= 1.005 * coded.information + 8 * 6


def test_quality_covers_all_levels() -> None:
    levels = [quality_to_level(quality) for quality in range(QUALITY_MIN, QUALITY_MAX + 1)]
    assert levels == sorted(levels)
    assert set(levels) == set(range(LEVELS))
    assert [quality_to_level(level_to_quality(level)) for level in range(LEVELS)] == list(range(LEVELS))


@pytest.mark.parametrize("quality", [0, 0.9, 101, -1, float("nan"), float("inf")])
def test_quality_out_of_range(codec: Codec, lake: Image.Image, quality: float) -> None:
    with pytest.raises(InputError, match=r"quality is .*; it must be 1\.\.100"):
        codec.encode(lake, quality, mode="neural")


@pytest.mark.parametrize("level", [-1, 64])
def test_level_out_of_range(codec: Codec, lake: Image.Image, level: int) -> None:
    with pytest.raises(InputError, match=r"level is .*; it must be 0\.\.63"):
        codec.encode(lake, level=level, mode="neural")


def test_sides_out_of_range(codec: Codec) -> None:
    with pytest.raises(InputError, match=r"width is 65536; it must be 1\.\.65535"):
        codec.encode(np.zeros((1, 65536), np.uint8), mode="neural")
    with pytest.raises(InputError, match=r"height is 65536"):
        codec.encode(np.zeros((65536, 1), np.uint8), mode="neural")


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match=r"dtype is 'int8'; it must be one of .*float32, bfloat16, float16"):
        Codec(TINY, dtype="int8")
    with pytest.raises(UnknownModel, match="'nobody' is not shipped; known: "):
        Codec("nobody")
    with pytest.raises(BackendError, match="'toaster' is not known"):
        choose_device("toaster")
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match="no CUDA device"):
            choose_device("cuda")


def test_metadata_survives(codec: Codec, lake: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lake = lake.copy()
    lake.info.update(icc_profile=b"profile", exif=exif.tobytes(), xmp=b"<x/>")
    decoded = codec.decode(codec.encode(lake, mode="neural"))
    assert decoded.info == {"icc_profile": b"profile", "exif": exif.tobytes(), "xmp": b"<x/>"}
    assert decoded.getexif()[0x0112] == 6
    assert decoded.size == lake.size
    with pytest.warns(UserWarning, match="profile cannot be used"):
        stripped = codec.decode(codec.encode(lake, strip=True, mode="neural"))
    assert stripped.info == {}
    assert stripped.size == (lake.height, lake.width)  # turned upright


def test_other_inputs(codec: Codec, lake: Image.Image) -> None:
    """Arrays and tensors give the file that the picture gives."""
    pixels = np.asarray(lake)
    expected = codec.encode(lake, mode="neural")
    assert codec.encode(pixels, mode="neural") == expected
    assert codec.encode(torch.from_numpy(pixels.copy()).permute(2, 0, 1), mode="neural") == expected
    assert codec.decode(bytearray(expected), as_array=True).shape == pixels.shape
    assert codec.decode(memoryview(expected), as_array=True).shape == pixels.shape


# Batches


def test_the_same_pixels_in_any_memory(codec: Codec, lake: Image.Image) -> None:
    """Taken as they are where they can be: the caller's array is neither copied nor changed."""
    pixels = np.array(lake)
    pixels.flags.writeable = False
    before, data = pixels.copy(), codec.encode(lake, mode="neural")
    assert codec.encode(pixels, mode="neural") == data
    assert np.array_equal(pixels, before)
    for other in (np.asfortranarray(pixels), np.dstack([pixels, pixels])[:, :, :3], pixels[::-1].copy()[::-1]):
        assert not other.flags.c_contiguous
        assert codec.encode(other, mode="neural") == data
    assert codec.encode_batch([pixels, lake], mode="neural") == [data, data]


def test_batch_of_mixed_sizes(codec: Codec, lake: Image.Image) -> None:
    """A batch gives what single calls give: the same files, the same pixels up to rounding, in order."""
    pictures = [lake.resize(size) for size in (*SIZES, *SIZES)] + [lake, lake.convert("L")]
    files = codec.encode_batch(pictures, 55, mode="neural")
    assert files == [codec.encode(picture, 55, mode="neural") for picture in pictures]
    for data, decoded in zip(files, codec.decode_batch(files, as_array=True), strict=True):
        assert isinstance(decoded, np.ndarray)
        alone = codec.decode(data, as_array=True)
        assert decoded.shape == alone.shape
        assert np.abs(decoded.astype(int) - alone).max() <= 1


def test_batch_collects_errors(codec: Codec, lake: Image.Image) -> None:
    good = codec.encode(lake, mode="neural")
    see_through = codec.encode(_of_mode(lake, "RGBA", (40, 30)), mode="neural")
    parsed = container.parse(see_through)
    contents = container.read_all(see_through, parsed) | {Tag.ALPHA: b"\2 no zlib stream"}
    bad_alpha = container.pack(parsed.header, list(contents.items()))
    files = [good, good[:-1], b"", see_through, bad_alpha, good[:-1] + b"\0", good]
    results = codec.decode_batch(files, on_error="collect")
    kinds = [type(result) if isinstance(result, VaecodecError) else None for result in results]
    assert kinds[1] is Truncated
    assert issubclass(kinds[2] or object, FormatError)
    assert kinds[4] is CorruptStream
    assert kinds[5] is ChecksumMismatch
    assert [kinds[i] for i in (0, 3, 6)] == [None] * 3
    with pytest.raises(Truncated):
        codec.decode_batch(files)
    assert codec.decode_batch([]) == []


# One codec, many users


def test_pickle(codec: Codec, lake: Image.Image) -> None:
    other = pickle.loads(pickle.dumps(Codec(TINY, device="cpu", dtype="bfloat16")))  # noqa: S301 (made one line above)
    assert (other.dtype, str(other.device)) == ("bfloat16", "cpu")
    _assert_latents_equal(other, codec.encode_with_latents(lake))


@pytest.mark.slow
def test_threads_share_a_codec(codec: Codec, lake: Image.Image) -> None:
    """400 encodes and decodes in random order; `python -m bench practical` does the same with a shipped model."""
    rng = random.Random(4)
    work = [(lake.crop((0, 0, rng.randint(1, 90), rng.randint(1, 90))), rng.randint(1, 100)) for _ in range(40)] * 5
    files = [codec.encode(*arguments, mode="neural") for arguments in work[:40]] * 5
    shown = [codec.decode(data, as_array=True) for data in files[:40]] * 5
    tasks = [
        (partial(codec.encode, mode="neural"), arguments, file) for arguments, file in zip(work, files, strict=True)
    ]
    tasks += [
        (partial(codec.decode, as_array=True), (file,), pixels) for file, pixels in zip(files, shown, strict=True)
    ]
    rng.shuffle(tasks)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda task: task[0](*task[1]), tasks))
    assert len(results) == 400
    for one, (_, _, alone) in zip(results, tasks, strict=True):
        assert one == alone if isinstance(alone, bytes) else np.array_equal(one, alone)


# Models


def test_other_weights_are_refused(codec: Codec, loaded: TorchModel, lake: Image.Image) -> None:
    data = codec.encode(lake, mode="neural")
    with pytest.raises(HashMismatch, match=f"needs weights 00000000; .* is {loaded.wire_hash.hex()}"):
        codec.decode(_resealed(data, model_hash=bytes(4)))
    with pytest.raises(UnknownModel, match="model id 77 is not shipped"):
        codec.decode(_resealed(data, model_id=77))
    with pytest.raises(HashMismatch, match="installed: "):
        codec.decode(_resealed(data, model_id=1, model_hash=bytes(4)))


def test_model_given_as_text_or_path(codec: Codec, lake: Image.Image) -> None:
    data = codec.encode(lake, mode="neural")
    with pytest.raises(HashMismatch):
        Codec(str(TINY)).decode(_resealed(data, model_hash=bytes(4)))


def test_files_of_shipped_models_decode_with_any_codec(codec: Codec, lake: Image.Image) -> None:
    """A codec made for other weights finds the shipped model that a file names, and keeps it."""
    encoded = shared_codec("base", "cpu").encode_with_latents(lake.resize((64, 64)), 30)
    other = Codec(TINY, device="cpu")
    _assert_latents_equal(other, encoded)
    assert other.decode(encoded.data).size == (64, 64)


def test_module_level_functions(lake: Image.Image) -> None:
    data = vaecodec.encode(lake, 40, device="cpu", strip=True, mode="neural")
    assert vaecodec.decode(data, device="cpu").size == lake.size
    assert vaecodec.decode(data, device="cpu", as_array=True).shape == (192, 256, 3)


# Limits: nothing is allocated that the file did not pay for


def _refusal(codec: Codec, data: bytes, **options: int) -> tuple[FormatError, float, int]:
    """The error of decoding `data`, with processor seconds and the peak of Python's and NumPy's memory in bytes."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(FormatError) as caught:
            codec.decode(data, **options)  # type: ignore[call-overload]
        return caught.value, time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_max_pixels(codec: Codec, lake: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode(lake, mode="neural")
    assert codec.decode(data, max_pixels=192 * 256).size == (256, 192)
    with pytest.raises(LimitExceeded, match="49152 pixels; the limit is 49151"):
        codec.decode(data, max_pixels=192 * 256 - 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 192 * 256 // 2 - 1)
    with pytest.raises(LimitExceeded, match="the limit is 49150"):
        codec.decode(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert codec.decode(data).size == (256, 192)


def test_largest_sides_allocate_nothing(codec: Codec, lake: Image.Image) -> None:
    data = _resealed(codec.encode(lake, mode="neural"), width=65_535, height=65_535)
    for options in ({}, {"max_pixels": 1 << 40}):
        error, seconds, peak = _refusal(codec, data, **options)
        assert isinstance(error, (LimitExceeded, CorruptStream))
        assert seconds < 0.05
        assert peak < 1 << 20


@pytest.mark.parametrize("size", [(16_000, 11_000), (65_535, 2_700), (2_700, 65_535)])
def test_a_small_payload_cannot_claim_a_large_picture(codec: Codec, lake: Image.Image, size: tuple[int, int]) -> None:
    """Below the pixel limit: z of such a picture takes more bits than the file has, whatever the picture shows."""
    data = _resealed(codec.encode(lake, mode="neural"), width=size[0], height=size[1])
    error, seconds, peak = _refusal(codec, data)
    assert isinstance(error, CorruptStream)
    assert "positions of z take at least" in str(error)
    assert seconds < 0.05
    assert peak < 1 << 20


def test_garbage_that_pays_for_its_claim_stays_small(codec: Codec, lake: Image.Image) -> None:
    """With enough bytes to pass that check, z alone is decoded first, and garbage ends there."""
    data = codec.encode(lake, mode="neural")
    payload = b"\5" + np.random.default_rng(3).bytes(80_000)
    file = container.parse(data)
    garbage = container.pack(replace(file.header, width=12_000, height=12_000), [(Tag.LATENTS, payload)])
    _, seconds, peak = _refusal(codec, garbage)
    assert seconds < 2
    assert peak < 64 << 20


def test_flat_pictures_pay(codec: Codec, loaded: TorchModel) -> None:
    """The cheapest picture there is stays far above the bound."""
    encoded = codec.encode_with_latents(np.full((640, 640, 3), 128, np.uint8), level=0)
    least = loaded.entropy.least_z_bits(0) * 100
    assert 17 * len(encoded.coded.payload) > 1.5 * least
    _assert_latents_equal(codec, encoded)


@pytest.mark.parametrize("mode", [Mode.L, Mode.RGBA])
def test_other_mode(codec: Codec, lake: Image.Image, mode: Mode) -> None:
    """A colour picture said to be gray decodes gray; one said to have alpha it has not is refused."""
    data = codec.encode(lake, mode="neural")
    file = container.parse(data)
    if mode is Mode.L:
        assert codec.decode(_resealed(data, mode=mode)).mode == "L"
    else:
        with pytest.raises(InputError, match="ALPHA is missing"):
            container.pack(replace(file.header, mode=mode), [(Tag.LATENTS, b"\0")])


@pytest.mark.parametrize(("payload", "message"), [(b"\x0e", "log2 is 14"), (b"\xff\0", "log2 is 255")])
def test_lanes_out_of_range(codec: Codec, lake: Image.Image, payload: bytes, message: str) -> None:
    header = container.parse(codec.encode(lake, mode="neural")).header
    with pytest.raises(CorruptStream, match=message):
        codec.decode(container.pack(header, [(Tag.LATENTS, payload)]))


@pytest.mark.parametrize("z", [127, -128, 0])
@pytest.mark.parametrize("r", [2**20 - 1, 1 - 2**20, 0])
@pytest.mark.parametrize("level", [0, 63])
def test_extreme_latents_decode(codec: Codec, loaded: TorchModel, z: int, r: int, level: int) -> None:
    """No encoder makes these, but the format allows them: they come back exactly, and give a picture."""
    z_hat = np.full((loaded.entropy.N, 2, 3), z, np.int8)
    index = scale_index(z_hat, level, loaded.entropy.layers)
    latents = Latents(level, z_hat, np.where(index > 0, r, 0).astype(np.int32))
    coded = encode_latents(loaded.entropy, latents, index)
    header = Header(model_id=1000, model_hash=loaded.wire_hash, level=level, mode=Mode.RGB, width=130, height=67)
    sections = [(Tag.LATENTS, coded.payload), (Tag.OUTLIERS, coded.outliers)]
    data = container.pack(header, [(tag, content) for tag, content in sections if content])
    decoded = codec.decode_latents(data)
    assert np.array_equal(decoded.z_hat, latents.z_hat)
    assert np.array_equal(decoded.r, latents.r)
    assert codec.decode(data, as_array=True).shape == (67, 130, 3)


@pytest.mark.parametrize(
    ("outliers", "message"),
    [
        (container.pack_outliers([0], [128]), "z_hat reaches"),
        (container.pack_outliers([500], [1 << 20]), "outlier 1048576 at"),
        (container.pack_outliers([1 << 20], [5]), "outlier position is 1048576"),
        (b"\x80", "the data end"),
    ],
)
def test_bad_outliers_are_refused(codec: Codec, lake: Image.Image, outliers: bytes, message: str) -> None:
    data = codec.encode(lake, mode="neural")
    file = container.parse(data)
    contents = container.read_all(data, file) | {Tag.OUTLIERS: outliers}
    with pytest.raises(FormatError, match=message):
        codec.decode(container.pack(file.header, list(contents.items())))


# Floats never reach the integers


def test_dtypes_decode_alike(codec: Codec, lake: Image.Image) -> None:
    encoded = codec.encode_with_latents(lake, 80)
    for dtype in ("bfloat16", "float16", "auto"):
        other = Codec(TINY, device="cpu", dtype=dtype)
        _assert_latents_equal(other, encoded)
        difference = other.decode(encoded.data, as_array=True).astype(int) - codec.decode(encoded.data, as_array=True)
        assert np.abs(difference).max() <= 2
        # What a half-precision encoder writes, a float32 decoder reads.
        _assert_latents_equal(codec, other.encode_with_latents(lake, 80))


def test_torch_settings_change_nothing(codec: Codec, lake: Image.Image) -> None:
    """Threads, batch size, deterministic flags, convolutions: integers equal, pixels within one level."""
    encoded = codec.encode_with_latents(lake, 80)
    expected = codec.decode(encoded.data, as_array=True).astype(int)

    def check() -> None:
        _assert_latents_equal(codec, encoded)
        for decoded in (codec.decode(encoded.data), *codec.decode_batch([encoded.data] * 4)):
            assert np.abs(np.asarray(decoded) - expected).max() <= 1

    try:
        for count in (1, 2):
            set_thread_count(count)
            check()
    finally:
        set_thread_count(None)
    try:
        torch.use_deterministic_algorithms(True)
        check()
    finally:
        torch.use_deterministic_algorithms(False)
    try:
        torch.backends.mkldnn.set_flags(False)  # the native convolutions: other sums, other rounding
        check()
    finally:
        torch.backends.mkldnn.set_flags(True)


def test_matmul_precision_leaves_the_integers(codec: Codec, lake: Image.Image) -> None:
    encoded = codec.encode_with_latents(lake, 80)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        _assert_latents_equal(codec, encoded)
        _assert_latents_equal(codec, codec.encode_with_latents(lake, 80))
        assert np.abs(codec.decode(encoded.data, as_array=True).astype(int) - _reference(codec, encoded)).max() <= 1
    finally:
        torch.set_float32_matmul_precision(before)


def _reference(codec: Codec, encoded: Encoded) -> NDArray[np.uint8]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return codec.decode(encoded.data, as_array=True)
    finally:
        torch.set_float32_matmul_precision(before)


def test_fresh_process_finds_the_same(codec: Codec, lake: Image.Image, tmp_path: Path) -> None:
    encoded = codec.encode_with_latents(lake, 80)
    (tmp_path / "lake.vaec").write_bytes(encoded.data)
    code = (
        "import sys, pathlib, numpy; from vaecodec.codec import Codec\n"
        "codec, data = Codec(sys.argv[1], device='cpu', dtype='float32'), pathlib.Path(sys.argv[2]).read_bytes()\n"
        "latents = codec.decode_latents(data)\n"
        "numpy.savez(sys.argv[3], z_hat=latents.z_hat, r=latents.r, pixels=codec.decode(data, as_array=True))\n"
    )
    output = tmp_path / "found.npz"
    subprocess.run(
        [sys.executable, "-c", code, TINY, tmp_path / "lake.vaec", output],
        check=True,
        cwd=Path(__file__).parents[1],
    )
    with np.load(output) as arrays:
        assert np.array_equal(arrays["z_hat"], encoded.latents.z_hat)
        assert np.array_equal(arrays["r"], encoded.latents.r)
        assert np.abs(arrays["pixels"].astype(int) - codec.decode(encoded.data, as_array=True)).max() <= 1


def test_a_file_is_decoded_without_loading_another_model(monkeypatch: pytest.MonkeyPatch, lake: Image.Image) -> None:
    loaded: list[str] = []
    _shared_codec.cache_clear()
    monkeypatch.setattr("vaecodec.runtime.engines.read_model", _noted(loaded))
    data = vaecodec.encode(lake.resize((64, 64)), 10, model="base", device="cpu", mode="neural")
    _shared_codec.cache_clear()
    loaded.clear()
    assert vaecodec.decode(data, device="cpu").size == (64, 64)
    assert loaded == ["base.safetensors"]


def _noted(names: list[str]) -> Callable[..., StoredModel]:
    def read(path: Path, expected_sha256: str | None = None) -> StoredModel:
        names.append(path.name)
        return read_model(path, expected_sha256)

    return read


@pytest.mark.parametrize("mode", ["neural", "auto", "lossless"])
def test_batches_collect_what_cannot_be_coded(codec: Codec, lake: Image.Image, mode: modes.Mode) -> None:
    """Metadata that no file holds, and an image that needs more memory than is allowed."""
    small, heavy = _of_mode(lake, "RGB", (40, 30)), _of_mode(lake, "RGB", (41, 31))
    heavy.info["xmp"] = bytes(container.MAX_METADATA + 1)
    first, error, third = codec.encode_batch([small, heavy, small], mode=mode, on_error="collect")
    assert isinstance(error, InputError)
    assert first == third == codec.encode(small, mode=mode)
    with pytest.raises(InputError):
        codec.encode_batch([small, heavy], mode=mode)


def test_batches_collect_what_takes_too_much_memory(codec: Codec, lake: Image.Image) -> None:
    small, large = _of_mode(lake, "RGB", (40, 30)), lake.resize((1500, 1500))
    tight = Codec(codec.model, device="cpu", dtype="float32", max_memory=12_000_000)
    files = [codec.encode(image, mode="neural") for image in (small, large)]
    for results in (
        tight.encode_batch([small, large], mode="neural", on_error="collect"),
        tight.decode_batch(files, on_error="collect"),
        tight.latents_batch(files, on_error="collect"),
        tight.decode_batch(files, on_error="collect", reduction=3),
    ):
        assert isinstance(results[1], InputError)
    assert isinstance(tight.decode_batch(files[:1], on_error="collect", reduction=3)[0], InputError)
    assert tight.encode_batch([small, large], mode="neural", on_error="collect")[0] == files[0]
    assert tight.decode_batch(files, on_error="collect")[0].size == (40, 30)  # type: ignore[union-attr]


def test_threads_share_one_codec() -> None:
    _shared_codec.cache_clear()
    with ThreadPoolExecutor(6) as pool:
        codecs = list(pool.map(lambda _: shared_codec("fast-perceptual", "cpu"), range(6)))
    assert len(set(map(id, codecs))) == 1


@pytest.mark.parametrize("model", [3, None, b"base"])
def test_a_model_is_a_name_or_a_path(model: object) -> None:
    with pytest.raises(InputTypeError, match="it must be a name or a path"):
        Codec(model)  # type: ignore[arg-type]


def test_memory_is_a_number_of_bytes() -> None:
    with pytest.raises(InputTypeError, match="max_memory is '1GB'"):
        Codec("base", max_memory="1GB")  # type: ignore[arg-type]
    for value in (0, -1):
        with pytest.raises(InputError, match=f"max_memory is {value} bytes; it must be at least 1"):
            Codec("base", max_memory=value)
