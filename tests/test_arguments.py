"""Wrong arguments of the library: every one is a VaecodecError, and the built-in error that a Pythonista expects."""

from __future__ import annotations

import io
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile

import vaecodec
from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.errors import FormatError, InputError, InputTypeError, VaecodecError
from vaecodec.reading import read_data


@pytest.fixture
def image(photo: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(photo[:32, :40])


@pytest.fixture(scope="module")
def data() -> bytes:
    return vaecodec.encode(np.full((32, 40, 3), 90, np.uint8))


@pytest.mark.parametrize(
    "options",
    [
        {"quality": "60"}, {"quality": None}, {"quality": True}, {"quality": 3j},
        {"target_bytes": "2KB"}, {"target_bytes": 1000.5}, {"target_psnr": "40"}, {"target_bpp": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_of_wrong_types(image: Image.Image, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))) as caught:
        vaecodec.encode(image, **options)
    assert isinstance(caught.value, InputTypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0}, {"quality": 101}, {"quality": float("nan")}, {"target_bytes": 0}, {"target_psnr": -1},
        {"target_psnr": float("nan")}, {"target_bpp": 0}, {"target_bytes": 10, "target_psnr": 40},
        {"quality": 30, "target_bytes": 900}, {"quality": 61, "target_psnr": 40}, {"quality": 30, "target_bpp": 1},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_out_of_range(image: Image.Image, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"quality|target") as caught:
        vaecodec.encode(image, **options)
    assert isinstance(caught.value, InputError)
    assert not isinstance(caught.value, TypeError)


def test_numbers_of_other_types_are_numbers(image: Image.Image) -> None:
    expected = vaecodec.encode(image, 50)
    for quality in (50.0, np.int64(50), np.float32(50)):
        assert vaecodec.encode(image, quality) == expected


@pytest.mark.parametrize("wrong", [None, 5, "photo.jpg", Path("photo.jpg"), b"bytes", [1, 2]], ids=repr)
def test_images_of_wrong_types(wrong: object) -> None:
    with pytest.raises(TypeError, match="expected a PIL image") as caught:
        vaecodec.encode(wrong)
    assert isinstance(caught.value, VaecodecError)


def test_tensors_without_values() -> None:
    for tensor in (torch.zeros(3, 4, 4, device="meta"), torch.zeros(3, 4, 4).to_sparse()):
        with pytest.raises(InputError, match="has no pixels"):
            vaecodec.encode(tensor)


@pytest.mark.parametrize("key", ["icc_profile", "exif", "xmp"])
def test_metadata_of_wrong_types(image: Image.Image, key: str) -> None:
    image.info[key] = "text"
    with pytest.raises(TypeError, match=key) as caught:
        vaecodec.encode(image)
    assert isinstance(caught.value, VaecodecError)


@pytest.mark.parametrize("crop", [(0, 0, 4.5, 4), "0,0,4,4", 7, (0, 0, None, 4)], ids=repr)
def test_crops_of_wrong_types(data: bytes, crop: Any) -> None:
    with pytest.raises(TypeError, match="crop") as caught:
        vaecodec.decode(data, crop=crop)
    assert isinstance(caught.value, VaecodecError)


@pytest.mark.parametrize("crop", [(0, 0, 4), (0, 0, 4, 4, 4), (0, 0, 0, 4), (-1, 0, 4, 4), (30, 0, 20, 4)], ids=repr)
def test_crops_out_of_range(data: bytes, crop: Any) -> None:
    with pytest.raises(InputError, match="crop"):
        vaecodec.decode(data, crop=crop)
    assert vaecodec.decode(data, crop=[np.int64(1), 2, 3, 4]).size == (3, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("reduction", ["2", 2.0, 3, None])
def test_reductions(data: bytes, reduction: Any) -> None:
    with pytest.raises(InputError, match="reduction"):
        vaecodec.decode(data, reduction=reduction)


FUNCTIONS: list[Callable[[Any], Any]] = [vaecodec.decode, vaecodec.inspect, vaecodec.verify]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_files_come_in_every_form(function: Callable[[Any], Any], data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vaec"
    path.write_bytes(data)
    forms: list[Any] = [
        data,
        bytearray(data),
        memoryview(data),
        np.frombuffer(data, np.uint8),
        path,
        str(path),
        io.BytesIO(data),
    ]
    for form in forms:
        assert function(form) is not None
    with path.open("rb") as file:
        assert function(file) is not None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert function(mapped) is not None


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("wrong", [None, 5, 5.5, [1], io.StringIO("text")], ids=repr)
def test_files_of_wrong_types(function: Callable[[Any], Any], wrong: Any) -> None:
    with pytest.raises(TypeError, match="data") as caught:
        function(wrong)
    assert isinstance(caught.value, VaecodecError)
    with pytest.raises(FileNotFoundError):
        function("absent.vaec")
    with pytest.raises(FormatError):
        function(b"")


def test_empty_and_strided_buffers() -> None:
    assert read_data(memoryview(b"")) == b""
    assert bytes(read_data(memoryview(b"abcdef")[::2])) == b"ace"
    assert bytes(read_data(np.arange(3, dtype=np.uint16))) == np.arange(3, dtype=np.uint16).tobytes()  # type: ignore[arg-type]


def test_batches_collect_errors(codec: Codec, data: bytes, image: Image.Image) -> None:
    good = codec.encode(image)
    decoded = codec.decode_batch([good, None, "absent.vaec", b"x", good], on_error="collect")  # type: ignore[list-item]
    assert [type(item).__name__ for item in decoded] == [
        "Image",
        "InputTypeError",
        "FileNotFoundError",
        "BadMagic",
        "Image",
    ]
    with pytest.raises(InputTypeError):
        codec.decode_batch([good, None])  # type: ignore[list-item]
    files = codec.encode_batch([image, None, np.zeros((0, 4, 3), np.uint8), image], on_error="collect")
    assert [type(item).__name__ for item in files] == ["bytes", "InputTypeError", "InputError", "bytes"]
    assert files[0] == files[3] == good
    with pytest.raises(InputTypeError):
        codec.encode_batch([image, None])
    for call in (codec.encode_batch, codec.decode_batch):
        with pytest.raises(InputError, match="on_error is 'zzz'"):
            call([image], on_error="zzz")  # type: ignore[operator]


# Pillow


@pytest.fixture
def _registered() -> None:
    vaecodec.register_pillow()


def _saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "VAEC", **options)
    return buffer.getvalue()


@pytest.mark.usefixtures("_registered")
def test_options_of_save(image: Image.Image) -> None:
    assert len(_saved(image, target_bytes=900)) <= 900
    assert _saved(image, target_psnr=33.0) == vaecodec.encode(image, target_psnr=33.0)
    assert vaecodec.inspect(_saved(image, tune="psnr")).model == "base"
    assert vaecodec.inspect(_saved(image, tune="perceptual", model="fast-perceptual")).model == "fast-perceptual"
    assert vaecodec.inspect(_saved(image, lossless=True)).lossless
    assert _saved(image, quality=40, verify=True) == vaecodec.encode(image, 40)
    image.info["xmp"] = b"<x/>"
    assert "xmp" in vaecodec.inspect(_saved(image)).sections
    assert "xmp" not in vaecodec.inspect(_saved(image, strip=True)).sections


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"optimize": True}, TypeError),
        ({"target_byte": 900}, TypeError),
        ({"icc_profile": "text"}, TypeError),
        ({"exif": "text"}, TypeError),
        ({"xmp": 5}, TypeError),
        ({"quality": "60"}, TypeError),
        ({"tune": "fast"}, ValueError),
        ({"tune": "psnr", "model": "base-perceptual"}, ValueError),
        ({"lossless": True, "target_bytes": 900}, ValueError),
    ],
    ids=str,
)
def test_options_that_save_refuses(image: Image.Image, options: dict[str, object], kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        _saved(image, **options)
    assert isinstance(caught.value, VaecodecError)


@pytest.mark.usefixtures("_registered")
def test_truncated_images_are_loaded_where_pillow_is_told_to(
    photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    glass = Image.fromarray(photo)
    glass.putalpha(Image.fromarray(photo[:, :, 0]))
    data = vaecodec.encode(glass, mode="neural")
    cut = data[:-3]  # in the transparency
    with pytest.raises(OSError, match="bytes"):
        Image.open(io.BytesIO(cut)).load()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    opened, whole = Image.open(io.BytesIO(cut)), Image.open(io.BytesIO(data))
    assert np.array_equal(np.asarray(opened.convert("RGB")), np.asarray(whole.convert("RGB")))
    assert opened.getchannel("A").getextrema() == (255, 255)
    assert whole.getchannel("A").getextrema() != (255, 255)
    with pytest.raises(OSError, match="LATENTS"):
        Image.open(io.BytesIO(data[: container.parse(data).sections[container.Tag.LATENTS].offset + 5])).load()


@pytest.mark.usefixtures("_registered")
def test_garbage_exif_is_what_it_is_for_a_webp(photo: NDArray[np.uint8]) -> None:
    """Pillow raises SyntaxError from getexif() itself; opening and loading work."""
    image = Image.fromarray(photo)
    image.info["exif"] = b"Exif\0\0garbage, longer than a header"
    webp = io.BytesIO()
    image.save(webp, "WEBP", exif=image.info["exif"])
    for file in (webp, io.BytesIO(vaecodec.encode(image))):
        opened = Image.open(file)
        opened.load()
        with pytest.raises(SyntaxError, match="not a TIFF file"):
            opened.getexif()
