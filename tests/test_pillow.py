"""The Pillow plugin keeps Pillow's contract: header first, pixels on demand, Pillow's errors and limits."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

import vaecodec
from vaecodec import container
from vaecodec.container import Header, Mode, Tag
from vaecodec.image import to_picture
from vaecodec.pillow import VaecImageFile


@pytest.fixture(autouse=True)
def _registered() -> None:
    vaecodec.register_pillow()


@pytest.fixture(scope="module")
def vaec() -> bytes:
    """A small file with EXIF and XMP."""
    image = Image.fromarray(np.full((40, 50, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info.update(exif=exif.tobytes(), xmp=b"<x:xmpmeta/>", icc_profile=b"not really a profile")
    return vaecodec.encode(image, mode="neural")


def _header_for(width: int, height: int) -> bytes:
    """A file whose header is right and asks for that size, with one byte of content."""
    header = Header(model_id=1, model_hash=b"abcd", level=0, mode=Mode.RGB, width=width, height=height)
    return container.pack(header, [(Tag.LATENTS, b"\0")])


def test_open_reads_no_pixels(vaec: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaecodec.api.decode", lambda *_, **__: pytest.fail("decoded"))
    image = Image.open(io.BytesIO(vaec))
    assert isinstance(image, VaecImageFile)
    assert (image.format, image.size, image.mode) == ("VAEC", (50, 40), "RGB")
    assert image.getexif()[0x0112] == 6
    assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert image.info["icc_profile"] == b"not really a profile"
    assert image.get_format_mimetype() == "image/x-vaec"


def test_pixels_are_those_of_decode(vaec: bytes) -> None:
    with Image.open(io.BytesIO(vaec)) as image:
        assert np.array_equal(np.asarray(image), vaecodec.decode(vaec, as_array=True))
        image.load()
        assert image.info == vaecodec.decode(vaec).info


def test_the_usual_operations(vaec: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.vaec"
    path.write_bytes(vaec)
    with Image.open(path) as image:
        assert image.crop((0, 0, 5, 6)).size == (5, 6)
        assert image.convert("L").mode == "L"
        image.thumbnail((20, 20))
        assert image.size == (20, 16)
    kept = Image.open(path)
    kept.load()
    assert kept.fp is None  # closed after loading, as with Pillow's formats
    assert kept.getpixel((3, 3)) == kept.copy().getpixel((3, 3))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_modes_come_back(photo: NDArray[np.uint8], mode: str, tmp_path: Path) -> None:
    source = Image.fromarray(photo).convert(mode)
    if mode.endswith("A"):
        source.putalpha(Image.fromarray(photo[:, :, 0]))
    source.save(tmp_path / "a.vaec", quality=90)
    with Image.open(tmp_path / "a.vaec") as image:
        assert (image.mode, image.size) == (mode, source.size)
        if mode.endswith("A"):
            assert np.array_equal(np.asarray(image.getchannel("A")), photo[:, :, 0])


def test_save_options(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    image = Image.fromarray(photo)
    image.info.update(xmp=b"<old/>", icc_profile=b"old")
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    image.save(tmp_path / "a.vaec", quality=10, exif=exif, xmp=b"<new/>", icc_profile=None, model="base")
    info = vaecodec.inspect((tmp_path / "a.vaec").read_bytes())
    assert info.level == round(9 * 63 / 99)
    with Image.open(tmp_path / "a.vaec") as back:
        assert back.getexif()[0x010F] == "Maker"
        assert back.info["xmp"] == b"<new/>"
        assert "icc_profile" not in back.info
    buffer = io.BytesIO()
    image.save(buffer, "VAEC", exif=exif.tobytes())
    with Image.open(buffer) as back:
        assert back.getexif()[0x010F] == "Maker"
        assert back.info["xmp"] == b"<old/>"


def test_save_refuses_what_cannot_be(photo: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="quality"):
        Image.fromarray(photo).save(io.BytesIO(), "VAEC", quality=101)
    with pytest.raises(vaecodec.UnknownModel):
        Image.fromarray(photo).save(io.BytesIO(), "VAEC", model="none-such")


def test_foreign_and_broken_headers_are_declined(vaec: bytes) -> None:
    for data in (b"", b"\x89PNG\r\n\x1a\n", container.MAGIC, vaec[:12], container.MAGIC + b"\xff" * 40):
        with pytest.raises(SyntaxError):
            VaecImageFile(io.BytesIO(data))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(vaec[:12]))
    flipped = bytearray(vaec)
    flipped[9] ^= 1
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(flipped))


def test_a_cut_file_raises_oserror(vaec: bytes) -> None:
    for length in (len(vaec) - 1, len(vaec) - 30, len(vaec) // 2):
        with pytest.raises(OSError, match=r".+"):
            Image.open(io.BytesIO(vaec[:length])).load()


def test_damage_behind_the_header_raises_oserror_on_load(vaec: bytes) -> None:
    file = container.parse_header(vaec)
    for tag in file.sections:
        damaged = bytearray(vaec)
        damaged[file.sections[tag].offset] ^= 1
        image = Image.open(io.BytesIO(damaged))
        with pytest.raises(OSError, match="CRC"):
            image.load()


def test_pillow_checks_for_bombs_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaecodec.api.decode", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(_header_for(65_535, 65_535)))
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(_header_for(10_000, 10_000)))


def test_the_users_limit_holds(vaec: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(vaec))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    with pytest.warns(Image.DecompressionBombWarning):
        image = Image.open(io.BytesIO(vaec))
    image.load()  # above the warning, below the error: it decodes
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    Image.open(io.BytesIO(vaec)).load()


def test_a_file_that_changes_after_it_was_opened(vaec: bytes, photo: NDArray[np.uint8]) -> None:
    stream = io.BytesIO(vaec)
    image = Image.open(stream)
    stream.seek(0)
    stream.write(vaecodec.encode(photo[:30, :30], mode="neural"))
    stream.truncate()
    with pytest.raises(OSError, match="changed"):
        image.load()


def test_registering_is_explicit_and_repeatable() -> None:
    vaecodec.register_pillow()
    assert Image.registered_extensions()[".vaec"] == "VAEC"
    assert Image.ID.count("VAEC") == 1
    code = (
        "import vaecodec, PIL.Image as I; I.init(); assert 'VAEC' not in I.OPEN\n"
        "vaecodec.register_pillow(); assert 'VAEC' in I.OPEN\n"
        "import sys; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_a_decoded_picture_round_trips_its_metadata(vaec: bytes) -> None:
    with Image.open(io.BytesIO(vaec)) as image:
        picture = to_picture(image)
    assert picture.xmp == b"<x:xmpmeta/>"
    assert picture.icc == b"not really a profile"
    assert picture.exif is not None
