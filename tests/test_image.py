"""image.py: what goes in comes out, in its true mode, with its metadata."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from vaecodec.errors import InputError
from vaecodec.image import Picture, strip_exif_prefix, stripped, to_array, to_picture, to_pil, upright


def _pil(photo: NDArray[np.uint8], mode: str) -> Image.Image:
    image = Image.fromarray(photo)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(photo[:, :, 0]))
        return image
    if mode == "LA":
        gray = image.convert("LA")
        gray.putalpha(Image.fromarray(photo[:, :, 1]))
        return gray
    return image.convert(mode)


def _reopen(image: Image.Image, form: str, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_own_modes_come_back_unchanged(photo: NDArray[np.uint8], mode: str) -> None:
    image = _pil(photo, mode)
    picture = to_picture(image)
    assert picture.mode == mode
    assert picture.rgb.shape == (61, 90, 3)
    assert (picture.height, picture.width) == (61, 90)
    assert to_pil(picture).mode == mode
    assert np.array_equal(to_array(picture), np.asarray(image))
    assert np.array_equal(np.asarray(to_pil(picture)), np.asarray(image))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("P", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("RGBX", "RGB"), ("RGBa", "RGBA"), ("La", "LA")],
)
def test_other_modes_look_as_pillow_shows_them(photo: NDArray[np.uint8], mode: str, expected: str) -> None:
    source = _pil(photo, {"RGBa": "RGBA", "La": "LA"}.get(mode, "RGB")).convert(mode)
    picture = to_picture(source)
    assert picture.mode == expected
    assert np.array_equal(to_array(picture), np.asarray(source.convert(expected)))


def test_palette_with_transparency_gets_alpha(photo: NDArray[np.uint8]) -> None:
    image = _pil(photo, "P")
    image.info["transparency"] = 0
    picture = to_picture(image)
    assert picture.mode == "RGBA"
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, np.asarray(image) == 0)


def test_palette_alpha_mode(photo: NDArray[np.uint8]) -> None:
    source = _pil(photo, "P").convert("PA")
    assert to_picture(source).mode == "RGBA"


def test_transparent_colour_of_a_png_gets_alpha() -> None:
    image = Image.new("RGB", (4, 3), (1, 2, 3))
    image.putpixel((2, 1), (9, 9, 9))
    opened = _reopen(image, "PNG", transparency=(1, 2, 3))
    picture = to_picture(opened)
    assert picture.mode == "RGBA"
    assert picture.alpha is not None
    assert picture.alpha[1, 2] == 255
    assert picture.alpha.sum() == 255


def test_16_bit_gray_is_reduced_with_a_warning() -> None:
    values = np.array([[0, 128, 129, 65535, 257 * 77]], dtype=np.uint16)
    with pytest.warns(UserWarning, match="reduced to 8 bits"):
        picture = to_picture(Image.fromarray(values))
    assert to_array(picture).tolist() == [[0, 0, 1, 255, 77]]


@pytest.mark.parametrize(("dtype", "values"), [(np.int32, [[0, 65535]]), (np.float32, [[0.0, 255.0]])])
def test_wide_gray_modes_are_reduced_with_a_warning(dtype: type, values: list[list[float]]) -> None:
    with pytest.warns(UserWarning, match="reduced to 8 bits"):
        picture = to_picture(Image.fromarray(np.array(values, dtype=dtype)))
    assert to_array(picture).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.int32, -1), (np.int32, 65536), (np.float32, np.nan), (np.float32, 256)]
)
def test_wide_gray_modes_out_of_range(dtype: type, value: float) -> None:
    with pytest.raises(InputError, match=r"outside 0\.\."):
        to_picture(Image.fromarray(np.array([[value]], dtype=dtype)))


def test_cmyk_is_converted_with_a_warning(photo: NDArray[np.uint8]) -> None:
    image = _pil(photo, "CMYK")
    with pytest.warns(UserWarning, match="CMYK"):
        picture = to_picture(image)
    assert picture.mode == "RGB"
    assert np.array_equal(to_array(picture), np.asarray(image.convert("RGB")))


def test_cmyk_with_a_profile_that_cannot_be_used_is_taken_as_plain_ink(photo: NDArray[np.uint8]) -> None:
    image = _pil(photo, "CMYK")
    image.info["icc_profile"] = b"not a profile"
    with pytest.warns(UserWarning, match="CMYK") as warned:
        picture = to_picture(image)
    assert any("profile of the CMYK image cannot be used" in str(warning.message) for warning in warned)
    assert np.array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert picture.icc is None


def test_lab_becomes_srgb() -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    colours = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    image = ImageCms.profileToProfile(Image.fromarray(colours), srgb, lab, outputMode="LAB")
    assert image is not None
    with pytest.warns(UserWarning, match="LAB is converted to sRGB"):
        picture = to_picture(image)
    assert np.abs(picture.rgb.astype(int) - colours).mean() < 2  # 8 bits of L, a and b are coarse


@pytest.mark.parametrize("top", [255, 65535])
def test_mode_i_holds_8_or_16_bits(top: int) -> None:
    values = np.arange(256, dtype=np.int32).reshape(16, 16) * (top // 255)
    with pytest.warns(UserWarning, match=rf"mode I is reduced to 8 bits, its values taken as 0\.\.{top}$"):
        picture = to_picture(Image.fromarray(values))
    assert np.array_equal(picture.rgb[:, :, 0], np.arange(256).reshape(16, 16))


def test_floats_up_to_one_are_shares_and_others_are_levels() -> None:
    shares = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    for values, top in ((shares, "0..1"), (shares * 255, "0..255")):
        with pytest.warns(UserWarning, match=f"mode F is reduced to 8 bits, its values taken as {top}"):
            picture = to_picture(Image.fromarray(values))
        assert np.array_equal(picture.rgb[:, :, 0], np.arange(256).reshape(16, 16))
    with pytest.raises(InputError, match="outside"):
        to_picture(Image.fromarray(np.full((2, 2), np.nan, np.float32)))


def test_the_frame_that_is_kept_is_named(photo: NDArray[np.uint8]) -> None:
    frames = [_pil(photo, "P"), _pil(photo[::-1], "P")]
    animation = _reopen(frames[0], "GIF", save_all=True, append_images=frames[1:])
    for number in (0, 1):
        animation.seek(number)
        with pytest.warns(UserWarning, match=f"only frame {number + 1} of 2 is kept"):
            to_picture(animation)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_upright_turns_as_pillow_does(photo: NDArray[np.uint8], orientation: int, order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112] = "Maker", orientation
    image = Image.fromarray(photo).convert("RGBA")
    image.putalpha(Image.fromarray(photo[:, :, 1]))
    image.info["exif"] = exif.tobytes()
    turned = to_pil(upright(to_picture(image)))
    assert np.array_equal(np.asarray(turned), np.asarray(ImageOps.exif_transpose(image)))
    left = turned.getexif()
    assert left[0x010F] == "Maker"
    assert left.get(0x0112, 1) == 1


@given(st.binary(max_size=80), st.sampled_from([b"", b"II*\0", b"MM\0*", b"II*\0\x08\0\0\0\x01\0\x12\x01"]))
def test_upright_takes_any_exif(rest: bytes, start: bytes) -> None:
    picture = Picture(np.zeros((2, 3, 3), np.uint8), exif=start + rest)
    assert upright(picture).rgb.size == 18


def test_stripping_keeps_the_look(photo: NDArray[np.uint8]) -> None:
    """A profile that is sRGB goes without a trace; one with red and blue exchanged is seen in the pixels."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(photo)
    image.info.update(icc_profile=plain, exif=exif.tobytes(), xmp=b"<x/>")
    bare = stripped(to_picture(image))
    assert (bare.icc, bare.exif, bare.xmp) == (None, None, None)
    assert np.array_equal(bare.rgb, np.rot90(photo, -1))
    swapped = bytearray(plain)
    places = [plain.index(name, 128) + 4 for name in (b"rXYZ", b"bXYZ")]  # of their entries in the tag table
    red, blue = (slice(place, place + 8) for place in places)
    swapped[red], swapped[blue] = swapped[blue], swapped[red]
    image.info["icc_profile"] = bytes(swapped)
    converted = stripped(to_picture(image)).rgb
    assert np.abs(converted.astype(int) - np.rot90(photo[:, :, ::-1], -1)).max() <= 2
    image.info["icc_profile"] = b"no profile"
    with pytest.warns(UserWarning, match="colour profile cannot be used"):
        assert np.array_equal(stripped(to_picture(image)).rgb, np.rot90(photo, -1))


def test_exif_that_cannot_be_read_is_left_out(photo: NDArray[np.uint8]) -> None:
    image = Image.fromarray(photo)
    image.info["Raw profile type exif"] = "\nexif\n       8\n4d4d4d4d4d4d4d4d"  # where a PNG may keep it
    with pytest.warns(UserWarning, match="EXIF data cannot be read"):
        assert to_picture(image).exif is None


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_arrays_and_tensors_agree(channels: int, mode: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    expected = array[:, :, 0] if channels == 1 else array
    for source in (array, tensor, tensor.float() / 255, tensor.double() / 255):
        picture = to_picture(source)
        assert picture.mode == mode
        assert np.array_equal(to_array(picture), expected)


def test_flat_array_is_gray() -> None:
    picture = to_picture(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert picture.mode == "L"
    assert picture.rgb.shape == (2, 3, 3)


def test_a_picture_does_not_change_with_its_source(photo: NDArray[np.uint8]) -> None:
    source = np.dstack([photo, photo[:, :, 0]])
    picture = to_picture(source)
    before = to_array(picture).copy()
    source[:] = 0
    assert np.array_equal(to_array(picture), before)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 3), np.float32), "dtype float32"),
        (np.zeros((3, 3, 5), np.uint8), r"shape \[3, 3, 5\]"),
        (np.zeros((3, 8, 9), np.uint8), r"shape \[3, 8, 9\]"),
        (np.zeros(3, np.uint8), r"shape \[3\]"),
        (np.zeros((0, 3, 3), np.uint8), "empty"),
        (torch.zeros(1, 3, 4, 4), r"\[1, 3, 4, 4\]"),
        (torch.zeros(5, 4, 4), r"\[5, 4, 4\]"),
        (torch.zeros(3, 0, 4), "empty"),
        (torch.full((3, 4, 4), 1.5), r"outside 0\.\.1"),
        (torch.full((3, 4, 4), float("nan")), r"outside 0\.\.1"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "dtype int32"),
        ("photo.jpg", "Image.open"),
        (Path("photo.jpg"), "Image.open"),
        (b"bytes", "Image.open"),
        (None, "NoneType"),
        (Image.new("RGB", (0, 4)), "empty"),
    ],
)
def test_anything_else_is_an_input_error(image: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_picture(image)


def test_metadata_survives(photo: NDArray[np.uint8]) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = _reopen(_pil(photo, "RGB"), "JPEG", exif=exif, icc_profile=icc, xmp=b"<x:xmpmeta/>")
    picture = to_picture(opened)
    assert (picture.width, picture.height) == (90, 61)  # the orientation stays metadata
    assert picture.icc == icc
    assert picture.xmp == b"<x:xmpmeta/>"
    assert picture.exif is not None
    assert picture.exif[:2] in (b"II", b"MM")
    back = to_pil(picture)
    assert back.info["icc_profile"] == icc
    assert back.info["xmp"] == b"<x:xmpmeta/>"
    assert back.getexif()[0x0112] == 6


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_exif_is_stored_alike_from_every_format(photo: NDArray[np.uint8], form: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    picture = to_picture(_reopen(_pil(photo, "RGB"), form, exif=exif.tobytes()))
    assert picture.exif == strip_exif_prefix(exif.tobytes())


def test_exif_of_a_tiff_is_the_camera_not_the_file(photo: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0note"
    picture = to_picture(_reopen(_pil(photo, "RGB"), "TIFF", exif=exif.tobytes()))
    back = to_pil(picture).getexif()
    assert dict(back)[0x010F] == "Maker"
    assert 0x0100 not in back  # ImageWidth
    assert back.get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0note"


def test_without_metadata_there_is_none(photo: NDArray[np.uint8]) -> None:
    picture = to_picture(_pil(photo, "RGB"))
    assert (picture.icc, picture.exif, picture.xmp) == (None, None, None)
    assert to_pil(picture).info == {}


def test_gray_is_the_nearest_to_three_decoded_channels() -> None:
    rgb = np.array([[[10, 10, 12], [10, 11, 11], [0, 0, 1], [255, 255, 255]]], np.uint8)
    assert to_array(Picture(rgb, mode="L")).tolist() == [[11, 11, 0, 255]]


def test_plain_images_warn_of_nothing(photo: NDArray[np.uint8]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_picture(_pil(photo, "RGB"))


def _gray_png(values: NDArray[np.integer], bits: int, see_through: int) -> Image.Image:
    """A PNG of one gray channel [H, W] with a value that is see-through, which Pillow cannot write."""

    def chunk(tag: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))

    height, width = values.shape
    text = ["".join(f"{value:0{bits}b}" for value in row) for row in values.tolist()]
    rows = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in text)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    body = chunk(b"tRNS", struct.pack(">H", see_through)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + head + body))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_see_through_gray_of_any_depth_gets_alpha(bits: int) -> None:
    """Pillow compares it with values that it has already brought to 8 bits."""
    values = np.arange(64).reshape(8, 8) * 1021 % 2**bits
    see_through = int(values[3, 5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if bits == 16 else "error")  # 16 bits become 8
        picture = to_picture(_gray_png(values, bits, see_through))
    assert picture.mode == "LA"
    np.testing.assert_array_equal(picture.alpha, np.where(values == see_through, 0, 255))
    np.testing.assert_array_equal(picture.rgb[..., 0], np.rint(values * (255 / (2**bits - 1))))


def test_frames_that_cannot_be_counted_are_an_input_error(photo: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(photo), Image.fromarray(photo[::-1].copy())]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    data, messages = buffer.getvalue(), set()
    for end in range(len(data) // 2, len(data), 7):
        with Image.open(io.BytesIO(data[:end])) as image, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                to_picture(image)
            except (InputError, OSError) as error:  # an OSError of Pillow's for a first frame that is cut
                messages.add(str(error))
    assert any("its frames cannot be counted, the file is damaged" in text for text in messages)


def test_gray_stays_gray_whatever_its_profile() -> None:
    """One for colours, whose curves differ, would give it a tint, which no gray file has."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = [profile.index(name, 128) + 4 for name in (b"rXYZ", b"bXYZ")]
    red, blue = (slice(place, place + 8) for place in places)
    profile[red], profile[blue] = profile[blue], profile[red]
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    image.info["icc_profile"] = bytes(profile)
    bare = stripped(to_picture(image))
    assert (bare.mode, bare.icc) == ("L", None)
    assert (bare.rgb == bare.rgb[..., :1]).all()


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG"])
def test_an_orientation_of_xmp_alone_stays_there(photo: NDArray[np.uint8], form: str) -> None:
    """Pillow reads it as EXIF; browsers don't turn such an image."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    buffer, text = io.BytesIO(), PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    Image.fromarray(photo).save(buffer, form, **({"pnginfo": text} if form == "PNG" else {"xmp": xmp}))
    image = Image.open(buffer)
    assert image.getexif()[0x0112] == 6
    picture = to_picture(image)
    assert (picture.exif, picture.xmp) == (None, xmp)
    assert stripped(picture).rgb.shape == photo.shape
