"""`compress --delete-original`: only what its .vaec file holds is deleted, and nothing is lost by a kill."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

import vaecodec
from checks.deleting import run_with_kills
from checks.folders import make_photos
from tests.conftest import Command
from vaecodec.cli.deleting import compare_pictures
from vaecodec.cli.image_files import is_deep
from vaecodec.errors import InputError
from vaecodec.image import Picture, to_picture


@pytest.fixture
def png(command: Command, photo: NDArray[np.uint8]) -> Path:
    Image.fromarray(photo).save("photo.png")
    return Path("photo.png")


def test_a_photo_goes_when_its_file_is_there(command: Command, png: Path, photo: NDArray[np.uint8]) -> None:
    done = command("compress", "photo.png", "--delete-original", "-o", "out/")
    assert done.code == 0
    assert done.out.endswith("; photo deleted\n")
    assert sorted(os.listdir()) == ["out"]
    assert np.abs(np.asarray(vaecodec.decode("out/photo.vaec")).astype(int) - photo).mean() < 10


@pytest.mark.parametrize("options", [["--strip"], ["--target-size", "1KB"], ["--json"], ["-q", "5"]], ids=str)
def test_other_options_go_with_it(command: Command, png: Path, options: list[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(png) as image:
        image.save("turned.png", exif=exif)
    assert command("compress", "photo.png", "turned.png", "--delete-original", *options).code == 0
    assert sorted(os.listdir()) == ["photo.vaec", "turned.vaec"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-", "-o", "a.vaec"],
        ["photo.png", "-o", "-"],
        ["photo.png", "-o", os.devnull],
        ["photo.png", "--max-dimension", "9"],
    ],
    ids=str,
)
def test_what_could_not_take_the_place_of_a_photo_is_refused(command: Command, png: Path, arguments: list[str]) -> None:
    before = png.read_bytes()
    assert command("compress", *arguments, "--delete-original", data=before).code == 2
    assert png.read_bytes() == before


def test_photos_of_which_the_file_does_not_hold_all_are_kept(
    command: Command, png: Path, photo: NDArray[np.uint8]
) -> None:
    image = Image.fromarray(photo)
    image.save("moving.gif", save_all=True, append_images=[Image.fromarray(photo[::-1])])
    Image.fromarray(np.full((9, 9), 30000, np.uint16)).save("deep.png")
    image.convert("CMYK").save("ink.jpg")
    done = command("compress", "moving.gif", "deep.png", "ink.jpg", "--delete-original")
    assert done.code == 4
    assert "moving.gif is kept: its .vaec file holds one of 2 frames" in done.err
    assert "deep.png is kept: its .vaec file holds the picture of mode I;16 in 8 bits" in done.err
    assert all(Path(name).exists() for name in ("moving.gif", "deep.png", "ink.jpg"))


def _png_of_16_bits(values: NDArray[np.uint16]) -> bytes:
    """A PNG of values [H, W, 3], which Pillow cannot write."""

    def chunk(tag: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_16_bits_are_noticed(command: Command, photo: NDArray[np.uint8]) -> None:
    """Pillow reads 8 of the bits and says nothing."""
    deep = photo.astype(np.uint16) * 257
    Path("deep.png").write_bytes(_png_of_16_bits(deep))
    Path("deep.ppm").write_bytes(b"P6\n90 61\n65535\n" + deep.astype(">u2").tobytes())
    for name in ("deep.png", "deep.ppm"):
        with pytest.warns(UserWarning, match="more than 8 bits a channel are reduced to 8"):
            to_picture(Image.open(name))
        done = command("compress", name, "--overwrite")
        assert (done.code, done.err) == (0, f"vaecodec: note: {name}: more than 8 bits a channel are reduced to 8\n")
        done = command("compress", name, "--overwrite", "--delete-original")
        assert (done.code, "its .vaec file holds 8 bits a channel, the photo has more" in done.err) == (4, True)
        assert Path(name).exists()


@pytest.mark.parametrize(
    ("form", "start", "place", "bits"),
    [("AVIF", b"av1C", 6, 0x40), ("JPEG2000", b"\xff\x4f\xff\x51", 42, 0x0B)],
    ids=["AVIF", "JPEG2000"],
)
def test_depth_of_formats_that_pillow_does_not_tell(
    photo: NDArray[np.uint8], form: str, start: bytes, place: int, bits: int
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, form)
    data = bytearray(buffer.getvalue())
    with Image.open(io.BytesIO(data)) as image:
        assert not is_deep(image, bytes(data))
        data[data.index(start) + place] |= bits
        assert is_deep(image, bytes(data))


def test_an_existing_output_keeps_the_photo(command: Command, png: Path) -> None:
    Path("photo.vaec").write_bytes(b"something else")
    for options, code in (([], 6), (["--resume"], 6), (["--dry-run", "--overwrite"], 0)):
        assert command("compress", "photo.png", "--delete-original", *options).code == code
        assert png.exists()


def test_a_resumed_run_deletes_what_a_killed_one_has_made(
    command: Command, png: Path, photo: NDArray[np.uint8]
) -> None:
    assert command("compress", "photo.png").code == 0
    assert command("compress", "photo.png", "--resume", "--delete-original").code == 0
    assert not png.exists()
    # But not where the output is another picture's.
    Image.fromarray(photo[::-1]).save(png)
    os.utime(png, ns=(10**18, 10**18))
    done = command("compress", "photo.png", "--resume", "--delete-original")
    assert (done.code, "shows another picture" in done.err) == (4, True)
    assert png.exists()


def test_a_photo_that_changes_meanwhile_is_kept(command: Command, png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = vaecodec.files.sync_folder

    def edit(folder: Path) -> None:
        sync(folder)
        png.write_bytes(png.read_bytes() + b"more")

    monkeypatch.setattr("vaecodec.cli.deleting.sync_folder", edit)
    done = command("compress", "photo.png", "--delete-original")
    assert (done.code, "photo.png is kept: it has changed since it was read" in done.err) == (4, True)
    assert png.exists()


def test_a_file_that_is_not_what_was_written_keeps_the_photo(
    command: Command, png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that lies."""
    write = vaecodec.files.write_atomic

    def spoil(path: Path, data: bytes, **options: Any) -> None:
        write(path, data[:-1] + bytes([data[-1] ^ 1]), **options)

    monkeypatch.setattr("vaecodec.cli.jobs.write_atomic", spoil)
    done = command("compress", "photo.png", "--delete-original")
    assert (done.code, "CRC" in done.err) == (3, True)
    assert png.exists()


def test_what_networks_make_of_pictures_they_cannot_code_is_noticed(photo: NDArray[np.uint8]) -> None:
    page = np.full((64, 64, 3), 255, np.uint8)
    blotted = page.copy()
    blotted[16:32, 16:32] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    with pytest.raises(InputError, match="shows another picture"):
        compare_pictures(Picture(page), Picture(blotted))
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    compare_pictures(Picture(noise), Picture(np.full_like(noise, 128)))  # all of the noise is lost, no more
    alpha = np.zeros((61, 90), np.uint8)
    for other in (
        Picture(photo, mode="L"),
        Picture(photo, icc=b"x"),
        Picture(photo, xmp=b"x"),
        Picture(photo[:60]),
        Picture(photo, alpha),
    ):
        with pytest.raises(InputError, match="photo"):
            compare_pictures(Picture(photo), other)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_no_photo_is_lost_by_kills(tmp_path: Path, tiny_model: Path) -> None:
    """`python -m checks deleting` does the same with 200 photographs and 50 kills."""
    make_photos(tmp_path / "originals", 24, seed=8)
    outcome = run_with_kills(tmp_path / "originals", tmp_path, kills=3, jobs=2, model=str(tiny_model), seed=8)
    assert outcome.problems == []
    assert outcome.kills >= 1


def _with_text(photo: NDArray[np.uint8]) -> dict[str, bytes]:
    """Photos that say more than their .vaec file does, by file name."""
    image, files = Image.fromarray(photo), {}

    def saved(form: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        return buffer.getvalue()

    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "of the picture")
    files["text.png"] = saved("PNG", pnginfo=text)
    files["comment.jpg"] = saved("JPEG", comment=b"of the picture")
    caption = b"\x1c\x02\x78\x00\x05hello"
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(caption)) + caption
    files["caption.jpg"] = b"\xff\xd8\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + saved("JPEG")[2:]
    files["motion.jpg"] = saved("JPEG", progressive=True) + b"\0\0\0\x18ftypmp42" + bytes(range(100))
    files["sizes.ico"] = saved("ICO", sizes=[(16, 16), (32, 32)])
    return files


def test_what_a_photo_says_beside_its_picture_keeps_it(command: Command, photo: NDArray[np.uint8]) -> None:
    files = _with_text(photo)
    for name, data in files.items():
        Path(name).write_bytes(data)
    done = command("compress", *files, "--keep-extension", "--delete-original")
    assert done.code == 4
    words = {
        "text.png": "holds no text",
        "comment.jpg": "holds no comment",
        "caption.jpg": "holds no IPTC",
        "motion.jpg": "there are data behind its picture",
        "sizes.ico": "holds one of several sizes",
    }
    for name, word in words.items():
        assert Path(name).exists()
        assert f"{name} is kept: " in done.err
        assert word in done.err


def test_a_plain_jpeg_with_a_thumbnail_and_padding_goes(command: Command, photo: NDArray[np.uint8]) -> None:
    """The end of a picture within a picture is not the end, and zeros behind it are nothing."""
    inner, outer = io.BytesIO(), io.BytesIO()
    Image.fromarray(photo[:16, :16].copy()).save(inner, "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + inner.getvalue()
    Image.fromarray(photo).save(outer, "JPEG", exif=exif)
    Path("a.jpg").write_bytes(outer.getvalue() + bytes(40))
    done = command("compress", "a.jpg", "--delete-original")
    assert (done.code, os.listdir()) == (0, ["a.vaec"])


def test_a_see_through_colour_of_two_is_kept(command: Command, photo: NDArray[np.uint8]) -> None:
    Image.fromarray(photo).convert("1").save("one.png", transparency=0)
    expected = np.where(np.asarray(Image.open("one.png")), 255, 0)
    assert command("compress", "one.png", "--delete-original", "--verify").code == 0
    np.testing.assert_array_equal(to_picture(vaecodec.decode("one.vaec")).alpha, expected)


@pytest.mark.skipif(os.name == "nt", reason="POSIX links and pipes")
def test_links_and_pipes_are_not_deleted(command: Command, png: Path) -> None:
    """Without a link the photo would still be there, and a pipe cannot be read a second time."""
    Path("link.png").symlink_to("photo.png")
    done = command("compress", "link.png", "--delete-original")
    assert (done.code, "link.png is kept: it is a link" in done.err) == (4, True)
    assert Path("link.png").is_symlink()
    os.mkfifo("pipe.png")
    done = command("compress", "pipe.png", "--delete-original")
    assert (done.code, "pipe.png is no file that could be read again" in done.err) == (2, True)
