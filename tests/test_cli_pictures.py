"""Image files in and out of the command line: modes, metadata of any size and kind, orientation, formats."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

import vaecodec
from tests.conftest import Command
from vaecodec.cli.image_files import open_photo, save_photo
from vaecodec.container import MAX_METADATA
from vaecodec.errors import InputError
from vaecodec.image import Picture

FORMATS = ["png", "jpg", "webp", "tif", "avif", "bmp", "ppm", "gif"]


def _vaec(name: str, photo: NDArray[np.uint8], **metadata: bytes) -> None:
    Path(name).write_bytes(vaecodec.encode(Picture(photo, **metadata)))


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("form", FORMATS)
def test_exif_that_is_none_is_no_traceback(command: Command, photo: NDArray[np.uint8], form: str) -> None:
    for number, exif in enumerate((b"\x13random bytes", b"II*\0\xff\xff\xff\xff", b"MM\0*" + bytes(range(200)), b"x")):
        _vaec(f"{number}.vaec", photo, exif=exif)
        done = command("decompress", f"{number}.vaec", "-o", f"{number}.{form}")
        assert done.code in (0, 4), done
        assert done.code == 0 or "--strip leaves the metadata out" in done.err
        assert command("decompress", f"{number}.vaec", "-o", f"{number}.{form}", "--strip", "--overwrite").code == 0
        with Image.open(f"{number}.{form}") as image:
            assert image.size == (90, 61)
            image.load()


@pytest.mark.parametrize("kind", ["icc", "exif", "xmp"])
@pytest.mark.parametrize("form", FORMATS)
def test_metadata_of_16_mib(command: Command, photo: NDArray[np.uint8], kind: str, form: str) -> None:
    """Whatever is written can be opened; what cannot hold it is an error that says how to do without."""
    _vaec("big.vaec", photo[:20, :20], **{kind: b"II*\0\x08\0\0\0\0\0" + bytes(MAX_METADATA - 10)})
    done = command("decompress", "big.vaec", "-o", f"big.{form}")
    assert done.code in (0, 4), done
    assert done.err.count("\n") <= 2
    if done.code == 4:
        assert "--strip" in done.err
        assert not Path(f"big.{form}").exists()
        assert command("decompress", "big.vaec", "-o", f"big.{form}", "--strip").code == 0
    with Image.open(f"big.{form}") as image:
        image.load()
        assert image.size == (20, 20)
        held = {"icc": "icc_profile"}.get(kind, kind)
        if done.code == 0 and not done.err and held in ("icc_profile", "xmp"):
            assert len(image.info[held]) == MAX_METADATA, "what is not held is said"


def test_xmp_that_png_cannot_hold_is_left_out_and_said(command: Command, photo: NDArray[np.uint8]) -> None:
    _vaec("a.vaec", photo, xmp=b"\xff\xfe<x/>")
    done = command("decompress", "a.vaec")
    assert (done.code, done.err) == (0, "vaecodec: note: a.vaec: the XMP data are no UTF-8, as PNG asks: left out\n")
    with Image.open("a.png") as image:
        assert "xmp" not in image.info
    _vaec("b.vaec", photo, xmp="<x>ü</x>".encode())
    assert command("decompress", "b.vaec").err == ""
    with Image.open("b.png") as image:
        assert image.info["xmp"] == "<x>ü</x>".encode()


@pytest.mark.parametrize("kind", ["icc_profile", "exif", "xmp"])
def test_a_photo_with_more_metadata_than_a_file_holds(command: Command, photo: NDArray[np.uint8], kind: str) -> None:
    image = Image.fromarray(photo[:20, :20])
    image.save("a.webp", **{kind: b"II*\0\x08\0\0\0\0\0" + bytes(MAX_METADATA)})
    done = command("compress", "a.webp")
    assert (done.code, "the limit is 16777216" in done.err, done.err.count("\n")) == (4, True, 1)
    assert command("compress", "a.webp", "--strip").code == 0


MODES = [
    "1",
    "L",
    "LA",
    "P",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
    "PA",
    "La",
    "RGBa",
    "RGBX",
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("ignore:mode|CMYK|LAB")
def test_every_mode_of_pillow_is_coded(photo: NDArray[np.uint8], mode: str) -> None:
    image = Image.fromarray(photo)
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    elif mode == "I;16":
        image = Image.fromarray(photo[:, :, 1].astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(photo[:, :, 1].astype(np.int32) * 257) if mode == "I" else image.convert("F")
    elif mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    elif mode == "PA":
        image = image.convert("P").convert("PA")
    else:
        image = image.convert(mode)
    assert image.mode == mode
    expected = photo[:, :, 1] if mode in ("I", "I;16") else np.asarray(Image.fromarray(photo).convert("L"))
    decoded = np.asarray(vaecodec.decode(vaecodec.encode(image, 90)).convert("L")).astype(int)
    if mode != "1":
        assert np.abs(decoded - expected).mean() < 12


def test_a_cmyk_photo_with_a_broken_profile(command: Command, photo: NDArray[np.uint8]) -> None:
    Image.fromarray(photo).convert("CMYK").save("ink.jpg", icc_profile=b"broken", quality=95)
    done = command("compress", "ink.jpg")
    assert done.code == 0
    assert "note: ink.jpg: the profile of the CMYK image cannot be used, inks are taken as they are" in done.err


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stripped_photos_stand_upright(command: Command, photo: NDArray[np.uint8], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save("a.png", exif=exif)
    assert command("compress", "a.png", "--strip", "-q", "95").code == 0
    decoded = vaecodec.decode("a.vaec")
    expected = ImageOps.exif_transpose(Image.open("a.png"))
    assert (decoded.size, decoded.info) == (expected.size, {})
    assert np.abs(np.asarray(decoded).astype(int) - np.asarray(expected)).mean() < 6


@pytest.mark.parametrize("form", ["png", "jpg", "bmp"])
def test_decompressed_pictures_are_turned_where_the_exif_goes(
    command: Command, photo: NDArray[np.uint8], form: str
) -> None:
    _vaec("a.vaec", photo, exif=_exif(6))
    for options, size, kept in (
        ([], (90, 61), 6),
        (["--auto-rotate"], (61, 90), 1),
        (["--strip"], (61, 90), None),
    ):
        done = command("decompress", "a.vaec", "-o", f"a.{form}", "--overwrite", *options)
        assert done.code == 0
        with Image.open(f"a.{form}") as image:
            if form == "bmp":
                size, kept = (61, 90), None
            assert image.size == size
            assert image.getexif().get(0x0112) == kept
            assert image.getexif().get(0x010F) == (None if kept is None else "Maker")
        assert f"{size[0]} x {size[1]}" in done.out
        if form == "bmp" and options != ["--strip"]:
            assert "BMP is written without the metadata: exif; the picture is turned upright, in sRGB" in done.err


def test_format_and_quality_of_the_output(command: Command, photo: NDArray[np.uint8]) -> None:
    Path("in").mkdir()
    _vaec("in/a.vaec", photo)
    for form in ("jpg", ".WEBP", "avif", "tif"):
        assert command("decompress", "-r", "in", "-o", "out", "--format", form).code == 0
    assert sorted(os.listdir("out")) == ["a.avif", "a.jpg", "a.tif", "a.webp"]
    for form in ("jpg", "webp", "avif"):
        sizes = []
        for quality in ("20", "80"):
            done = command("decompress", "in/a.vaec", "-o", f"b.{form}", "--output-quality", quality, "--overwrite")
            assert done.code == 0
            sizes.append(Path(f"b.{form}").stat().st_size)
        assert sizes[0] < sizes[1]
    done = command("decompress", "in/a.vaec", "-o", "b.png", "--output-quality", "50")
    assert (done.code, "PNG has none" in done.err) == (4, True)
    done = command("decompress", "in/a.vaec", "-o", "b.xyz")
    assert (done.code, "no image format is known by the extension '.xyz'" in done.err) == (4, True)
    assert command("decompress", "in/a.vaec", "-o", "b.xyz", "--format", "bmp").code == 0
    assert Path("b.xyz").read_bytes().startswith(b"BM")


def test_a_format_of_a_plugin(command: Command, photo: NDArray[np.uint8]) -> None:
    pytest.importorskip("pillow_jxl")
    _vaec("a.vaec", photo, exif=_exif(6))
    done = command("decompress", "a.vaec", "-o", "a.jxl")
    assert done.code == 0
    assert "JXL is written without the metadata: exif; the picture is turned upright, in sRGB" in done.err
    expected = np.rot90(vaecodec.decode("a.vaec", as_array=True), -1)
    errors = []
    for options in ([], ["--output-quality", "30"]):
        assert command("decompress", "a.vaec", "-o", "a.jxl", "--overwrite", *options).code == 0
        with Image.open("a.jxl") as image:
            assert image.size == (61, 90)
            errors.append(np.abs(np.asarray(image).astype(int) - expected).mean())
    assert errors[0] < min(3, errors[1])
    assert command("compress", "a.jxl", "-o", "b.vaec").code == 0


def test_what_pillow_cannot_write_names_the_way_out(photo: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photo)
    image.info["xmp"] = bytes(1 << 17)
    with pytest.raises(InputError, match="--strip leaves the metadata out"):
        save_photo(image, "JPEG")
    assert Image.open(io.BytesIO(save_photo(image, "JPEG", strip=True).data)).size == (90, 61)
    with pytest.raises(InputError, match="not an image"):
        open_photo(b"")


@pytest.mark.parametrize("tag", [0x8769, 0x8825], ids=["camera", "GPS"])
def test_a_tiff_holds_what_a_camera_says(command: Command, photo: NDArray[np.uint8], tag: int) -> None:
    """Pillow hands tags within tags to libtiff, which refuses them: such a file is written without compression."""
    tags: dict[int, str] = {0x9003: "2020:01:01 00:00:00"} if tag == 0x8769 else {1: "N"}
    exif = Image.Exif()
    exif[0x010F], exif[tag] = "Maker", tags
    raw = exif.tobytes().removeprefix(b"Exif\0\0")
    for xmp in (None, b"<x:xmpmeta/>"):
        Path("a.vaec").write_bytes(vaecodec.encode(Picture(photo, exif=raw, xmp=xmp)))
        assert command("decompress", "a.vaec", "-o", "a.tif", "--overwrite").code == 0
        with Image.open("a.tif") as image:
            read = image.getexif()
            assert (read[0x010F], read.get_ifd(tag)) == ("Maker", tags)
            assert image.info.get("xmp") == xmp


def test_transparency_that_a_format_does_not_hold_is_said(command: Command, photo: NDArray[np.uint8]) -> None:
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    for name, value in (("opaque", 255), ("clear", 128)):
        alpha[3, 4] = value
        Path(f"{name}.vaec").write_bytes(vaecodec.encode(Picture(photo, alpha.copy(), "RGBA")))
    for form in ("bmp", "ppm", "gif"):
        done = command("decompress", "clear.vaec", "-o", f"clear.{form}")
        assert (done.code, "is written without the transparency" in done.err) == (0, True)
        assert "transparency" not in command("decompress", "opaque.vaec", "-o", f"opaque.{form}").err
    for form in ("png", "webp", "tif", "avif"):
        done = command("decompress", "clear.vaec", "-o", f"clear.{form}")
        assert (done.code, done.err) == (0, "")
        with Image.open(f"clear.{form}") as image:
            assert image.convert("RGBA").getpixel((4, 3))[3] == 128


def test_the_way_out_is_one(command: Command, photo: NDArray[np.uint8]) -> None:
    """A JPEG holds no transparency, with metadata or without."""
    alpha = np.full(photo.shape[:2], 9, np.uint8)
    Path("a.vaec").write_bytes(vaecodec.encode(Picture(photo, alpha, "RGBA", exif=_exif(6))))
    done = command("decompress", "a.vaec", "-o", "a.jpg")
    assert (done.code, "--strip" in done.err) == (4, False)
    assert ".png, .webp, .avif and .tif hold transparency" in done.err


@pytest.mark.parametrize("form", ["AVIF", "GIF"])
def test_a_damaged_photo_does_not_stop_the_others(command: Command, photo: NDArray[np.uint8], form: str) -> None:
    """Whatever the readers of Pillow raise: RuntimeError of AVIF, IndexError of the frames of a GIF."""
    image = Image.fromarray(photo)
    image.save("whole", form, **({"save_all": True, "append_images": [image.rotate(180)]} if form == "GIF" else {}))
    whole, rng = Path("whole").read_bytes(), np.random.default_rng(3)
    for number in range(24):
        data = bytearray(whole)
        for place in rng.integers(len(data) // 4, len(data), 3):
            data[place] ^= int(rng.integers(1, 256))
        Path(f"{number:02}.{form.lower()}").write_bytes(data[: len(data) - number * 9])
    names = sorted(map(str, Path().glob(f"*.{form.lower()}")))
    done = command("compress", *names, "-o", "out/", "-q", "5")
    assert done.code == 4, done.err
    assert f" of {len(names)} files failed: " in done.err
    written = {path.stem for path in Path("out").iterdir()}
    assert all(name.split(".")[0] in written or f"{name}: " in done.err for name in names)
