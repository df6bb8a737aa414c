"""The targets: functions of bytes that return, or raise what is a finding.

Errors that a reader may raise on bad bytes are caught here and nowhere else; what gets out is a crash for the fuzzer,
and a failed test for tests/test_corpus.py. Each target also checks what must hold for bytes that are accepted.
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import vaecodec.codec
from checks.fuzz.drawing import draw
from checks.fuzz.seal import seal
from checks.hostile.watch import watched
from vaecodec import container, numpy_codec
from vaecodec.codec import Codec
from vaecodec.conformance import MODEL, digest, expectations
from vaecodec.container import Tag
from vaecodec.entropy.coding import encode_latents
from vaecodec.errors import FormatError, InputError, WeightsError
from vaecodec.intnet.layers import scale_index
from vaecodec.pillow import register
from vaecodec.rans import coder, numba_coder, plain_coder
from vaecodec.rans.choice import Loops
from vaecodec.rans.tables import CdfTables
from vaecodec.runtime.choice import choose, choose_reference
from vaecodec.runtime.cpu.postfilter import filtered
from vaecodec.runtime.cpu.threads import set_thread_count
from vaecodec.weights.manifest import manifest

MAX_PIXELS = 1 << 15
"""Small, so that a legal picture takes milliseconds."""

DTYPES = ("float32", "bfloat16")

MOST_ROWS = 40
"""The reference coder walks rows in Python."""


class Finding(AssertionError):
    """A promise that the bytes broke without an exception."""


def require(condition: bool, message: str) -> None:
    """Unlike assert it stays under -O."""
    if not condition:
        raise Finding(message)


@functools.cache
def tiny(loops: Loops = "auto") -> Codec:
    """The codec of the conformance set, one thread."""
    set_thread_count(1)
    return Codec(MODEL, plan=replace(choose("cpu", "float32"), loops=loops))


def warm_up(target: str) -> None:
    """Load and compile what a target needs, so that the first input is not charged with it."""
    for expected in expectations()[:8]:
        TARGETS[target](expected.data)


def fuzz_container(data: bytes) -> None:
    """Header, sections, alpha, outliers; as they are and with right checksums."""
    for variant in (data, seal(data)):
        _read_container(variant)
    if data:
        _read_contents(data[1:], data[0])


def _read_container(data: bytes) -> None:
    try:
        file = container.parse(data)
    except FormatError:
        return
    require(container.parse_header(data[: container.MAX_HEADER_BYTES]).header == file.header, "a prefix says otherwise")
    try:
        contents = container.read_all(data, file)
    except FormatError:
        return
    size = sum(len(content) for content in contents.values())
    header = file.size - sum(section.length for section in file.sections.values())
    packed = container.pack(file.header, list(contents.items()))
    # Unknown optional sections are not kept; then the packed file is smaller.
    require(packed == data or len(packed) < len(data), "accepted bytes are not canonical")
    require(size + header == len(data), "sizes do not add up")


def _read_contents(content: bytes, side: int) -> None:
    """The contents that have a structure of their own."""
    width, height = side % 16 + 1, side // 16 + 1
    _read_tiles(content, width, height)
    _read_postfilter(content, width, height)
    with contextlib.suppress(FormatError):
        require(len(container.unpack_alpha(content, width, height)) == width * height, "alpha of another size")
    try:
        positions, values = container.parse_outliers(content, 1 << 20)
    except FormatError:
        return
    require(container.pack_outliers(positions, values) == content, "outliers not canonical")


def _read_postfilter(content: bytes, width: int, height: int) -> None:
    """What is accepted is canonical, and filters alike by loops and by NumPy."""
    with contextlib.suppress(FormatError):
        postfilter = container.parse_postfilter(content)
        if postfilter is not None:
            require(container.pack_postfilter(postfilter) == content, "post filter not canonical")
            pixels = np.resize(np.frombuffer(content, np.uint8), (height, width, 3))
            compiled, plain = (filtered(pixels, postfilter, loops) for loops in ("compiled", "plain"))
            require(np.array_equal(compiled, plain), "loops and NumPy filter differently")


def _read_tiles(content: bytes, width: int, height: int) -> None:
    if not content:
        return
    try:
        tiles = container.parse_tiles(content, container.Header.of_lossless(container.Mode.RGBA, width, height))
    except FormatError:
        return
    require(sum(tile.width * tile.height for tile in tiles) == width * height, "tiles leave something out")
    packed = container.pack_tiles(tiles[0].width, tiles[0].height, [tile.webp for tile in tiles])
    require(packed == content, "tiles are not canonical")


def fuzz_rans(data: bytes) -> None:
    """Any tables, any stream: all coders do the same, and what they accept encodes to the same bytes."""
    if len(data) < 4:
        return
    rows, lanes = data[0] % 4 + 1, 1 << data[1] % 9
    count = min(4 * data[2] + data[3] % 4, MOST_ROWS * lanes)
    values = np.frombuffer(data[4 : 4 + len(data[4:]) // 4 * 2], "<u2").astype(np.uint32)
    tables = _tables(values, rows)
    if tables is None:
        return
    stream = data[4 + values.nbytes // 2 :]
    index = (np.arange(count) % rows).astype(np.uint8)
    modules = (coder, numba_coder, plain_coder)
    reference, *others = (_decode(module.Decoder, stream, lanes, index, tables) for module in modules)
    for other in others:
        require(type(reference) is type(other), f"reference {reference!r}, other {other!r}")
        require(not isinstance(reference, np.ndarray) or np.array_equal(reference, other), "symbols differ")
    if isinstance(reference, np.ndarray):
        for module in modules:
            require(module.encode([(reference, index, tables)], lanes) == stream, f"{module.__name__}: not canonical")
    _round_trip(stream, lanes, tables, rows)


def _tables(values: NDArray[np.uint32], rows: int) -> CdfTables | None:
    """Tables from hostile numbers as they are (None where they are refused), or repaired ones."""
    chunks = np.array_split(values, rows)
    try:
        return CdfTables.from_rows([np.concatenate([[0], chunk, [65536]]).astype(np.uint32) for chunk in chunks])
    except InputError:
        pass
    repaired = [np.unique(np.concatenate([[0], chunk, [65536]])).astype(np.uint32) for chunk in chunks]
    try:
        return CdfTables.from_rows(repaired)
    except InputError:
        return None


def _decode(
    kind: Callable[[bytes, int], coder.Decoder | numba_coder.Decoder | plain_coder.Decoder],
    stream: bytes,
    lanes: int,
    index: NDArray[np.uint8],
    tables: CdfTables,
) -> NDArray[np.uint16] | FormatError:
    try:
        decoder = kind(stream, lanes)
        symbols = decoder.decode(index, tables)
        decoder.finish()
    except FormatError as error:
        return error
    return symbols


def _round_trip(source: bytes, lanes: int, tables: CdfTables, rows: int) -> None:
    symbols = np.frombuffer(source[: len(source) // 2 * 2], "<u2")[: MOST_ROWS * lanes]
    index = (np.arange(len(symbols)) % rows).astype(np.uint8)
    symbols = (symbols % tables.sizes[index]).astype(np.uint16)
    payload = coder.encode([(symbols, index, tables)], lanes)
    for module in (numba_coder, plain_coder):
        require(module.encode([(symbols, index, tables)], lanes) == payload, f"{module.__name__} writes other bytes")
        decoded = _decode(module.Decoder, payload, lanes, index, tables)
        require(isinstance(decoded, np.ndarray) and np.array_equal(decoded, symbols), f"{module.__name__}: round trip")


def fuzz_decode(data: bytes) -> None:
    """Bytes to pixels; what is accepted encodes to the same payload."""
    for variant in {data, seal(data)}:
        _decode_file(variant)


def _decode_file(data: bytes) -> None:
    codec = tiny()
    if not _is_lossless(data):
        _check_coders(data)
    try:
        pixels = codec.decode(data, as_array=True, max_pixels=MAX_PIXELS)
    except FormatError:
        return
    except WeightsError:
        header = container.parse(data).header
        named = (header.model_id, header.model_hash)
        require(named != (codec.model_id, codec.loaded_model().wire_hash), "the file names a model that is there")
        return
    file = container.parse(data)
    require(pixels.shape[:2] == (file.header.height, file.header.width), f"{pixels.shape} for {file.header}")
    corner = codec.decode(data, as_array=True, max_pixels=MAX_PIXELS, crop=(0, 0, 1, 1))
    require(corner.shape[:2] == (1, 1), f"the corner is {corner.shape}")
    small = codec.decode(data, as_array=True, max_pixels=MAX_PIXELS, reduction=8)
    require(small.shape[:2] == (-(-file.header.height // 8), -(-file.header.width // 8)), f"1/8 is {small.shape}")
    if file.header.is_lossless:
        again = codec.decode(codec.encode(pixels, lossless=True), as_array=True)
        require(np.array_equal(again, pixels), "lossless pixels come back changed")
    elif Tag.OUTLIERS not in file.sections and file.header.model_hash == codec.loaded_model().wire_hash:
        _check_payload(codec, data, file)


def _is_lossless(data: bytes) -> bool:
    try:
        return container.parse(data).header.is_lossless
    except FormatError:
        return False


def _check_coders(data: bytes) -> None:
    """Plain Python, which codes the first symbols of a process, and numba: the same integers or the same error."""
    plain, compiled = (_integers(data, loops) for loops in ("plain", "numba"))
    require(plain == compiled, f"plain Python finds {plain!r}, numba {compiled!r}")


def _integers(data: bytes, loops: Loops) -> str | tuple[type[Exception], str]:
    """The digest of a file's integers, or the error's type and message."""
    try:
        return digest(tiny(loops).decode_latents(data, max_pixels=MAX_PIXELS))
    except (FormatError, WeightsError) as error:
        return type(error), str(error)


def _check_payload(codec: Codec, data: bytes, file: container.File) -> None:
    """A payload without outliers is the only one that gives its integers."""
    latents, payload = codec.decode_latents(data), container.read_section(data, file, Tag.LATENTS)
    entropy = codec.loaded_model().entropy
    index = scale_index(latents.z_hat, latents.level, entropy.layers)
    require(encode_latents(entropy, latents, index, lanes=1 << payload[0]).payload == payload, "payload not canonical")


def fuzz_pillow(data: bytes) -> None:
    """Image.open and load: only what Pillow's formats may raise."""
    register()
    codec = tiny()
    for variant in {data, seal(data)}:
        with mock.patch.object(vaecodec.codec, "shared_codec", return_value=codec), warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _open(variant)


def _open(data: bytes) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with Image.open(io.BytesIO(data), formats=["VAEC"]) as image:
            header = image.size, image.mode
            image.load()
            require((image.size, image.mode) == header, f"{header} became {image.size, image.mode}")
            image.tobytes()
    except (OSError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def fuzz_pixels(data: bytes) -> None:
    """An image that the bytes draw: what any encoder writes of it, any decoder reads, and finds the same integers.

    Encoder and decoder are a shipped model in float32, bfloat16 or, for the decoder, NumPy or PyTorch (the reference).
    """
    drawing = draw(data)
    model, of, by = (choice % count for choice, count in zip(drawing.choices, (len(_models()), 2, 4), strict=True))
    encoder = _shipped(_models()[model], DTYPES[of])
    with watched() as watch:
        encoded = encoder.encode_with_latents(drawing.pixels, drawing.quality)
        if by < len(DTYPES):
            decoder = _shipped(_models()[model], DTYPES[by])
            pixels = decoder.decode(encoded.data, as_array=True)
        elif by == len(DTYPES):
            decoder, pixels = encoder, np.asarray(numpy_codec.decode(encoded.data))
        else:
            decoder = _reference(_models()[model])
            pixels = decoder.decode(encoded.data, as_array=True)
    require(watch.finite, "a number is not finite")
    require(pixels.shape == drawing.pixels.shape, f"{drawing.pixels.shape} became {pixels.shape}")
    latents = decoder.decode_latents(encoded.data)
    require(np.array_equal(latents.z_hat, encoded.latents.z_hat), "z_hat differs")
    require(np.array_equal(latents.r, encoded.latents.r), "r differs")


@functools.cache
def _shipped(model: str, dtype: str) -> Codec:
    return Codec(model, device="cpu", dtype=dtype)


@functools.cache
def _reference(model: str) -> Codec:
    return Codec(model, plan=choose_reference())


@functools.cache
def _models() -> tuple[str, ...]:
    return tuple(entry.name for entry in manifest())


TARGETS: dict[str, Callable[[bytes], None]] = {
    "container": fuzz_container,
    "rans": fuzz_rans,
    "decode": fuzz_decode,
    "pillow": fuzz_pillow,
    "pixels": fuzz_pixels,
}
