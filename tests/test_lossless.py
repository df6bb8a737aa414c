"""Lossless files: pixels come back exactly, hostile files are refused before a pixel is decoded, without PyTorch."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from vaecodec import container, lossless
from vaecodec.codec import Codec
from vaecodec.container import Header, Mode, Tag
from vaecodec.errors import (
    ChecksumMismatch,
    CorruptStream,
    FormatError,
    InputError,
    LimitExceeded,
    Truncated,
)
from vaecodec.picture_file import make_source

MODES = {1: Mode.L, 2: Mode.LA, 3: Mode.RGB, 4: Mode.RGBA}
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
VALUES = st.one_of(st.integers(0, 255), st.sampled_from([0, 255]))


def _noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def _webp(pixels: NDArray[np.uint8], **options: object) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", **({"lossless": True, "exact": True} | options))
    return out.getvalue()


def _file(content: bytes, width: int, height: int, mode: Mode = Mode.RGB) -> bytes:
    return container.pack(Header.of_lossless(mode, width, height), [(Tag.LOSSLESS, content)])


def _tiles(data: bytes) -> list[container.Tile]:
    file = container.parse(data)
    return container.parse_tiles(container.read_section(data, file, Tag.LOSSLESS), file.header)


# Round trips


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=VALUES)))
@settings(max_examples=100, deadline=None)
def test_any_array_comes_back_exactly(pixels: NDArray[np.uint8]) -> None:
    data = vaecodec.encode(pixels, lossless=True)
    expected = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    assert np.array_equal(vaecodec.decode(data, as_array=True), expected)
    header = container.parse(data).header
    assert (header.mode, header.version, header.width, header.height) == (
        MODES[pixels.shape[2]], 2, pixels.shape[1], pixels.shape[0],
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 65_535, 3), (65_535, 2), (16_383, 3, 4), (16_384, 2, 3), (40_000, 1, 2)])
def test_sides_beyond_those_of_webp(shape: tuple[int, ...]) -> None:
    pixels = np.broadcast_to(_noise(*shape[:1], *[1] * (len(shape) - 1)), shape).copy()
    data = vaecodec.encode(pixels, lossless=True)
    assert np.array_equal(vaecodec.decode(data, as_array=True), pixels)
    assert len(_tiles(data)) == -(-shape[0] // 16_383) * -(-shape[1] // 16_383)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes_and_metadata_come_back(mode: str) -> None:
    picture = Image.fromarray(_noise(30, 41, 4)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.info.update(icc_profile=b"profile", exif=exif.tobytes(), xmp=b"<x/>")
    data = vaecodec.encode(picture, mode="lossless")
    decoded = vaecodec.decode(data)
    assert (decoded.mode, decoded.size, decoded.info) == (mode, picture.size, picture.info)
    assert np.array_equal(np.asarray(decoded), np.asarray(picture))
    with pytest.warns(UserWarning, match="profile cannot be used"):
        bare = vaecodec.encode(picture, lossless=True, strip=True)
    assert vaecodec.decode(bare).info == {}
    assert set(container.parse(data).sections) == {Tag.LOSSLESS, Tag.ICC, Tag.EXIF, Tag.XMP}


def test_colours_under_full_transparency_are_kept() -> None:
    pixels = _noise(20, 20, 4)
    pixels[..., 3] = 0
    assert np.array_equal(vaecodec.decode(vaecodec.encode(pixels, lossless=True), as_array=True), pixels)


def test_gray_costs_what_gray_costs() -> None:
    """As the gray plane alone, not as three; and no more than Pillow's own lossless WebP and 64 bytes."""
    rows, columns = np.mgrid[0:120, 0:160]
    gray = ((rows * columns) // 97 % 256 + _noise(120, 160) // 64).clip(0, 255).astype(np.uint8)
    green = np.zeros((120, 160, 3), np.uint8)
    green[..., 1] = gray
    size = len(vaecodec.encode(gray, lossless=True))
    assert size <= len(vaecodec.encode(green, lossless=True)) * 1.01
    assert size <= len(_webp(gray)) + 64


@pytest.mark.parametrize("shape", [(1, 1, 3), (33, 80, 4), (200, 300, 3), (64, 64)])
def test_a_file_is_no_larger_than_webp_and_64_bytes(shape: tuple[int, ...]) -> None:
    pixels = (_noise(*shape) // 200 * 50).astype(np.uint8)
    assert len(vaecodec.encode(pixels, lossless=True)) <= len(_webp(pixels)) + 64


# Parts and previews


def test_crops_over_tiles() -> None:
    pixels = _noise(700, 600, 3)
    data = lossless.encode(make_source(pixels, strip=False), max_memory=lossless.LEAST_TILE * lossless.ENCODE_BYTES)
    assert len(_tiles(data)) == 9
    assert np.array_equal(vaecodec.decode(data, as_array=True), pixels)
    for x, y, width, height in ((0, 0, 1, 1), (250, 250, 20, 20), (599, 699, 1, 1), (100, 0, 500, 700)):
        part = vaecodec.decode(data, as_array=True, crop=(x, y, width, height))
        assert np.array_equal(part, pixels[y : y + height, x : x + width])
    with pytest.raises(InputError, match="crop is x 600"):
        vaecodec.decode(data, crop=(600, 0, 1, 1))


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_previews_are_exact_means(reduction: int, channels: int) -> None:
    pixels = _noise(61, 90, channels)
    preview = vaecodec.decode(vaecodec.encode(pixels, lossless=True), as_array=True, reduction=reduction)
    preview = preview[..., None] if channels == 1 else preview
    assert preview.shape == (-(-61 // reduction), -(-90 // reduction), channels)
    for row, column in ((0, 0), (3, 5), (preview.shape[0] - 1, preview.shape[1] - 1), (2, preview.shape[1] - 1)):
        box = pixels[row * reduction : (row + 1) * reduction, column * reduction : (column + 1) * reduction]
        mean = box.reshape(-1, channels).mean(0)
        assert np.array_equal(preview[row, column], np.floor(mean + 0.5))


def test_limits_of_memory_make_tiles_or_are_named() -> None:
    source = make_source(_noise(600, 600, 3), strip=False)
    with pytest.raises(InputError, match="max_memory is 1000 bytes; to encode without loss it must be"):
        lossless.encode(source, max_memory=1000)
    data = lossless.encode(source)
    with pytest.raises(InputError, match="to decode this lossless file it must be at least"):
        lossless.decode(data, max_memory=1_000_000)
    assert lossless.decode(data, max_memory=20_000_000).size == (600, 600)


def test_the_pixel_limit_holds() -> None:
    data = vaecodec.encode(np.zeros((50, 50, 3), np.uint8), lossless=True)
    with pytest.raises(LimitExceeded, match="2500 pixels; the limit is 2499"):
        vaecodec.decode(data, max_pixels=2499)


# The codec


def test_codecs_decode_lossless_files_of_a_batch(codec: Codec, photo: NDArray[np.uint8]) -> None:
    flat = np.full((20, 30, 3), 7, np.uint8)
    files = [vaecodec.encode(flat, lossless=True), codec.encode(photo, 40, mode="neural"), b"x"]
    decoded = codec.decode_batch([*files, files[0]], as_array=True, on_error="collect")
    assert np.array_equal(decoded[0], flat)
    assert np.array_equal(decoded[3], flat)
    assert isinstance(decoded[2], FormatError)
    assert np.array_equal(decoded[1], codec.decode(files[1], as_array=True))
    assert codec.encode(flat, lossless=True) == files[0]
    with pytest.raises(InputError, match="a lossless file has no latents"):
        codec.decode_latents(files[0])


def test_arguments_that_contradict(codec: Codec, photo: NDArray[np.uint8]) -> None:
    for options, message in (
        ({"lossless": True, "target_bytes": 5}, "target_bytes cannot be combined with lossless"),
        ({"mode": "lossless", "target_psnr": 30.0}, "target_psnr cannot be combined with lossless"),
        ({"mode": "best"}, "mode is 'best'; it must be one of auto, neural, lossless"),
    ):
        for encode in (codec.encode, vaecodec.encode):
            with pytest.raises(InputError, match=message):
                encode(photo, **options)  # type: ignore[operator]


def test_info_and_verify() -> None:
    data = vaecodec.encode(_noise(9, 8, 3), lossless=True)
    info = vaecodec.inspect(data)
    assert (info.lossless, info.model, info.model_id, info.level, info.quality) == (True, "none", 0, 63, 100)
    assert vaecodec.verify(data) == info
    with pytest.raises(CorruptStream, match="cannot be decoded"):
        vaecodec.verify(_file(*BAD["no pixels"][:1], 5, 6))


def test_neither_pytorch_nor_weights_are_needed() -> None:
    """To encode, inspect, verify, decode, crop and reduce."""
    code = (
        "import sys, io, numpy as np\n"
        "for name in ('torch', 'numba', 'triton', 'safetensors'): sys.modules[name] = None\n"
        "import vaecodec\nvaecodec.register_pillow()\nfrom PIL import Image\n"
        "pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)\n"
        "data = vaecodec.encode(pixels, lossless=True)\n"
        "vaecodec.verify(data), vaecodec.inspect(data)\n"
        "assert np.array_equal(vaecodec.decode(data, as_array=True), pixels)\n"
        "assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)\n"
        "vaecodec.decode(data, crop=(1, 1, 2, 2)), vaecodec.decode(data, reduction=8)\n"
        "out = io.BytesIO(); Image.fromarray(pixels).save(out, 'VAEC', lossless=True); assert out.getvalue() == data\n"
        "print('done')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr


# Hostile files

GOOD = _webp(_noise(6, 5, 3))


def _content(webp: bytes, *, tile: tuple[int, int] = (5, 6), codec: int = 1) -> bytes:
    return bytes([codec]) + container.pack_varint(tile[0]) + container.pack_varint(tile[1]) + _counted(webp)


def _counted(webp: bytes) -> bytes:
    return container.pack_varint(len(webp)) + webp


def _animated() -> bytes:
    out = BytesIO()
    frames = [Image.fromarray(_noise(6, 5, 3)), Image.new("RGB", (5, 6))]
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    return out.getvalue()


def _with_size(webp: bytes, width: int, height: int) -> bytes:
    bits = struct.unpack_from("<I", webp, 21)[0] >> 28 << 28 | (height - 1) << 14 | (width - 1)
    return webp[:21] + struct.pack("<I", bits) + webp[25:]


BAD = {
    "another codec": (_content(GOOD, codec=2), CorruptStream, "lossless codec is 2; it must be 1"),
    "no tile width": (b"\1", Truncated, "tile width: the data end at byte 1"),
    "a tile of no width": (_content(GOOD, tile=(0, 6)), CorruptStream, "tile width is 0; it must be 5..5"),
    "a tile wider than the picture": (_content(GOOD, tile=(6, 6)), CorruptStream, "tile width is 6; it must be 5..5"),
    "tiles too many": (_content(GOOD, tile=(5, 1)), CorruptStream, "tile height is 1; it must be 6..6"),
    "an empty tile": (_content(b""), Truncated, "0 bytes; a lossless WebP file has 25 or more"),
    "a cut tile": (_content(GOOD)[:-1], Truncated, "tile at 0, 0: needs bytes"),
    "a shorter tile": (_content(GOOD[:-2]), CorruptStream, "for the RIFF file and its chunk"),
    "bytes behind": (_content(GOOD) + b"\0", CorruptStream, "its tiles end at"),
    "bytes behind in a tile": (_content(GOOD + b"\0\0"), CorruptStream, "for the RIFF file and its chunk"),
    "lossy": (_content(_webp(_noise(6, 5, 3), lossless=False)), CorruptStream, "must be a lossless WebP image"),
    "animated": (_content(_animated()), CorruptStream, "must be a lossless WebP image and nothing else"),
    "metadata": (_content(_webp(_noise(6, 5, 3), xmp=b"<x/>")), CorruptStream, "must be a lossless WebP image"),
    "PNG": (_content(b"\x89PNG\r\n\x1a\n" + bytes(60)), CorruptStream, "must be a lossless WebP image"),
    "another size": (_content(_webp(_noise(5, 6, 3))), CorruptStream, "is 6 x 5; it must be 5 x 6"),
    "a bomb": (_content(_with_size(GOOD, 16_384, 16_384)), CorruptStream, "is 16384 x 16384; it must be 5 x 6"),
    "alpha in mode RGB": (_content(_webp(_noise(6, 5, 4))), CorruptStream, "alpha is 1 in mode RGB"),
    "no pixels": (_content(GOOD[:25] + bytes(len(GOOD) - 25)), CorruptStream, "cannot be decoded"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_content_is_named(name: str, codec: Codec) -> None:
    content, error, message = BAD[name]
    data = _file(content, 5, 6)
    for read in (vaecodec.decode, codec.decode, vaecodec.verify):
        with pytest.raises(error, match=message) as caught:
            read(data)
        assert caught.type is error
    with pytest.raises(OSError, match=message):
        _open_by_pillow(data)


def _open_by_pillow(data: bytes) -> None:
    vaecodec.register_pillow()
    with Image.open(BytesIO(data)) as opened:
        opened.load()


def test_a_size_that_is_not_the_headers_costs_no_memory() -> None:
    """The header says 8000 x 8000, the WebP file 5 x 6; and the other way round."""
    large = _webp(np.zeros((8000, 8000, 3), np.uint8))
    tracemalloc.start()
    for data in (_file(_content(GOOD, tile=(8000, 8000)), 8000, 8000), _file(_content(large), 5, 6)):
        with pytest.raises(CorruptStream, match="it must be"):
            vaecodec.decode(data)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_every_damaged_byte_is_noticed() -> None:
    data = vaecodec.encode(_noise(6, 5, 4), lossless=True)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x41
        with pytest.raises(FormatError):
            vaecodec.decode(bytes(damaged))
    for size in range(len(data)):
        with pytest.raises(FormatError):
            vaecodec.decode(data[:size])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_wrong_bytes_under_right_checksums_end_in_pixels_or_a_format_error(data: st.DataObject) -> None:
    content = bytearray(_content(GOOD))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = vaecodec.decode(_file(bytes(content), 5, 6), as_array=True)
    except FormatError:
        return
    assert pixels.shape == (6, 5, 3)


def test_without_its_pixels_nothing_is_salvaged() -> None:
    picture = Image.fromarray(_noise(6, 5, 4))
    picture.info["xmp"] = b"<x/>"
    data = vaecodec.encode(picture, lossless=True)
    salvaged = container.salvage(data[:-1] + b"!")
    assert np.array_equal(vaecodec.decode(salvaged.data, as_array=True), np.asarray(picture))
    assert salvaged.lost[0].endswith("XMP is left out")
    at = container.parse(data).sections[Tag.LOSSLESS].offset
    with pytest.raises(ChecksumMismatch, match="LOSSLESS"):
        container.salvage(data[:at] + b"!" + data[at + 1 :])
