"""Properties over all inputs: round trips of containers, streams and pictures; damage that must be seen."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.conformance import MODEL, expectations
from vaecodec.container import Header, Mode, Tag
from vaecodec.errors import ChecksumMismatch, CorruptStream, FormatError, LimitExceeded, WeightsError
from vaecodec.image import Picture
from vaecodec.inspection import inspect, verify
from vaecodec.rans import coder, numba_coder, plain_coder
from vaecodec.rans.tables import CdfTables

SMALL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIDE = 80
DATA = {expected.name: expected.data for expected in expectations()}

sides = st.integers(1, container.MAX_SIDE)
headers = st.builds(
    Header,
    model_id=st.integers(1, 2**32 - 1),
    model_hash=st.binary(min_size=4, max_size=4),
    level=st.integers(0, 63),
    mode=st.sampled_from(Mode),
    width=sides,
    height=sides,
)
content = st.binary(min_size=1, max_size=300)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(MODEL, device="cpu", dtype="float32")


# Container


@SMALL
@given(
    header=headers, contents=st.dictionaries(st.sampled_from([2, 16, 17, 18, 0x80, 0xC3, 0xFF]), content), last=content
)
def test_parse_of_pack(header: Header, contents: dict[int, bytes], last: bytes) -> None:
    """parse(pack(header)) == header, with every content; the prefix alone says the same."""
    sections = contents | {Tag.LATENTS: last} | ({Tag.ALPHA: last[::-1]} if header.mode.has_alpha else {})
    data = container.pack(header, list(sections.items()))
    file = container.parse(data)
    assert file.header == header
    assert container.read_all(data, file) == {tag: sections[tag] for tag in sections if tag < 0x80}
    assert container.parse_header(data[: container.MAX_HEADER_BYTES]) == file


@SMALL
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: container.MAGIC + b"\1\0" + tail))
def test_any_bytes(data: bytes) -> None:
    """Only FormatError comes out of arbitrary bytes."""
    for read in (container.parse, inspect, verify):
        with pytest.raises(FormatError):
            read(data)


@SMALL
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(-(2**31), 2**31 - 1)), unique_by=lambda pair: pair[0]))
def test_outliers(pairs: list[tuple[int, int]]) -> None:
    pairs.sort()
    packed = container.pack_outliers([at for at, _ in pairs], [value for _, value in pairs])
    assert list(zip(*container.parse_outliers(packed, 10**6 + 1), strict=True)) == pairs


@SMALL
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_alpha(alpha: NDArray[np.uint8]) -> None:
    height, width = alpha.shape
    assert (
        container.unpack_alpha(container.pack_alpha(alpha.tobytes(), width, height), width, height) == alpha.tobytes()
    )


# rANS


@st.composite
def _tables(draw: st.DrawFn) -> CdfTables:
    """Any valid tables: 1 to 5 of them, 1 to 40 symbols, frequencies from 1 to all."""
    rows = draw(st.lists(st.sets(st.integers(1, 65535), max_size=39), min_size=1, max_size=5))
    return CdfTables.from_rows([np.array([0, *sorted(row), 65536], np.uint32) for row in rows])


@SMALL
@given(tables=_tables(), count=st.integers(0, 700), log_lanes=st.integers(0, 9), seed=st.integers(0, 2**32 - 1))
@example(CdfTables.from_rows([np.array([0, 65536], np.uint32)]), 65, 6, 0)
def test_rans(tables: CdfTables, count: int, log_lanes: int, seed: int) -> None:
    """All coders write the same bytes and read back every symbol, for any valid table."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(tables.sizes), count).astype(np.uint8)
    symbols = (rng.integers(0, 65536, count) % tables.sizes[index]).astype(np.uint16)
    payload = coder.encode([(symbols, index, tables)], 1 << log_lanes)
    for module in (coder, numba_coder, plain_coder):
        assert module.encode([(symbols, index, tables)], 1 << log_lanes) == payload
        decoder = module.Decoder(payload, 1 << log_lanes)
        assert np.array_equal(decoder.decode(index, tables), symbols)
        decoder.finish()


# Pictures


@FEW
@given(
    pixels=arrays.array_shapes(min_dims=2, max_dims=2, max_side=SIDE).flatmap(
        lambda shape: st.sampled_from([(), (1,), (2,), (3,), (4,)]).flatmap(
            lambda channels: arrays.arrays(np.uint8, shape + channels)
        )
    ),
    quality=st.integers(1, 100),
)
def test_any_array(codec: Codec, pixels: NDArray[np.uint8], quality: int) -> None:
    """Any shape and content: size, channels, alpha and integers come back."""
    encoded = codec.encode_with_latents(pixels, quality)
    decoded = codec.decode(encoded.data, as_array=True)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    assert decoded.shape == (pixels.shape if channels > 1 else pixels.shape[:2])
    if channels in (2, 4):
        assert np.array_equal(decoded[..., -1], pixels[..., -1])
    latents = codec.decode_latents(encoded.data)
    assert np.array_equal(latents.z_hat, encoded.latents.z_hat)
    assert np.array_equal(latents.r, encoded.latents.r)


@FEW
@given(icc=st.none() | content, exif=st.none() | content, xmp=st.none() | content)
def test_any_metadata(codec: Codec, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> None:
    picture = Picture(np.zeros((3, 4, 3), np.uint8), None, "RGB", icc, exif, xmp)
    info = codec.decode(codec.encode(picture, mode="neural")).info
    metadata = (info.get("icc_profile"), info.get("exif"), info.get("xmp"))
    assert (metadata[0], metadata[2]) == (icc, xmp)
    assert metadata[1] == (None if exif is None else b"Exif\0\0" + exif)


# Damage


@pytest.mark.parametrize("name", ["section-all", "lanes-0064"])
def test_every_flipped_bit_is_seen(codec: Codec, name: str) -> None:
    """All bits of a file, one at a time, through the whole decode: each is an error, none goes by unnoticed."""
    data = DATA[name]
    assert verify(data, model=MODEL)
    file = container.parse(data)
    known = {
        byte for section in file.sections.values() for byte in range(section.offset, section.offset + section.length)
    }
    first = min(known)
    unseen = []
    for bit in range(8 * len(data)):
        if bit // 8 >= first and bit // 8 not in known:
            continue  # an optional section of the future: its reader checks it
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            codec.decode(bytes(damaged))
            unseen.append(bit)
        except FormatError:
            pass
    assert unseen == []


def test_every_flipped_bit_of_the_payload_with_a_right_checksum(codec: Codec) -> None:
    """Where the checksums are made right, too, a payload is another picture or an error: never the same integers."""
    data = DATA["size-1x1"]
    file = container.parse(data)
    payload = container.read_section(data, file, Tag.LATENTS)
    whole, errors = codec.decode_latents(data), 0
    for bit in range(8, 8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            latents = codec.decode_latents(container.pack(file.header, [(Tag.LATENTS, bytes(damaged))]))
        except FormatError:
            errors += 1
        else:
            assert not (np.array_equal(latents.z_hat, whole.z_hat) and np.array_equal(latents.r, whole.r))
    assert errors > 0.99 * 8 * (len(payload) - 1)


@FEW
@given(data=st.data(), name=st.sampled_from(sorted(DATA)))
def test_mutated_files(codec: Codec, data: st.DataObject, name: str) -> None:
    """Flips, cuts and splices end in an image or a FormatError."""
    good, other = DATA[name], DATA[data.draw(st.sampled_from(sorted(DATA)))]
    at, end = (data.draw(st.integers(0, len(source))) for source in (good, other))
    damaged = good[:at] + data.draw(st.binary(max_size=8)) + other[end:]
    with contextlib.suppress(FormatError, WeightsError):
        codec.decode(damaged)


# Bombs: tiny files with huge claims


def _bombs() -> dict[str, tuple[bytes, type[FormatError]]]:
    corpus = Path(__file__).parent / "corpus" / "decode"
    data = DATA["level-00"]
    file = container.parse(data)
    unpaid = container.pack(
        replace(file.header, width=13_000, height=13_000), list(container.read_all(data, file).items())
    )
    return {
        "65535 x 65535": ((corpus / "bomb-sides.vaec").read_bytes(), LimitExceeded),
        "169 megapixels, 130 bytes": (unpaid, CorruptStream),
        "alpha of 1 MiB for 1 pixel": ((corpus / "bomb-alpha.vaec").read_bytes(), CorruptStream),
        "255 sections of 4 GiB": ((corpus / "bomb-sections.vaec").read_bytes(), FormatError),
    }


@pytest.mark.parametrize("name", _bombs())
def test_bombs_are_cheap(codec: Codec, name: str) -> None:
    """Under 50 ms and 10 MB, for decode, verify and inspect."""
    data, kind = _bombs()[name]
    _check_cheap(lambda: codec.decode(data), kind)
    verify(DATA["level-00"], model=MODEL)  # reads the weights once, so that the next line measures the file
    if kind is LimitExceeded:
        _check_cheap(lambda: verify(data, model=MODEL), kind)


def _check_cheap(work: Callable[[], object], kind: type[FormatError]) -> None:
    seconds = []
    for _ in range(3):
        tracemalloc.start()
        start = time.process_time()  # of all threads; what other programs do to the processor is not the file's fault
        try:
            with pytest.raises(kind):
                work()
            seconds.append(time.process_time() - start)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()
    assert min(seconds) < 0.05


def test_verify_has_the_limit_of_decode() -> None:
    """65535 x 65535 pixels with alpha that zlib makes of 4 MB: refused before anything is inflated."""
    data = DATA["mode-la-up-1x1"]
    file = container.parse(data)
    contents = container.read_all(data, file)
    hostile = container.pack(replace(file.header, width=65535, height=65535), list(contents.items()))
    with pytest.raises(LimitExceeded, match="the limit is 178956970"):
        verify(hostile)
    with pytest.raises(CorruptStream, match="positions of z"):
        verify(hostile, max_pixels=1 << 32, model=MODEL)
    assert verify(data, max_pixels=1, model=MODEL).width == 1
    with pytest.raises(ChecksumMismatch):
        verify(data[:-1] + bytes([data[-1] ^ 1]), model=MODEL)
