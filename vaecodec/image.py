"""Pictures in and out: whatever a caller holds becomes one `Picture`, and a `Picture` becomes what the caller wants.

The codec itself sees only ``Picture.rgb``, uint8 [H, W, 3]. Everything else rides along: alpha (lossless), the true
mode, so that a gray image comes back gray, and the metadata.
"""

from __future__ import annotations

import io
import struct
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from vaecodec.errors import InputError, InputTypeError

Mode = Literal["RGB", "L", "RGBA", "LA"]
Pixels = NDArray[np.uint8]

# [H, W, channels] of an array or tensor -> the mode it stands for, as in Pillow.
MODE_OF_CHANNELS: dict[int, Mode] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

# Modes that Pillow turns into one of ours without losing anything that is seen.
_PLAIN_CONVERSIONS: dict[str, Mode] = {
    "1": "L",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "PA": "RGBA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}

# The signature that JPEG, and after it Pillow, puts before a TIFF structure; .vaec stores the structure alone.
_EXIF_PREFIX = b"Exif\x00\x00"

EXIF_FOLDERS = (0x8769, 0x8825)
"""Tags of EXIF that hold tags: of the camera and of GPS."""

# What a camera says about a photograph. The other tags of a TIFF file describe its own pixel layout.
_TIFF_CAMERA_TAGS = (
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    0x0112,  # Orientation
    0x0131,  # Software
    0x0132,  # DateTime
    0x013B,  # Artist
    0x8298,  # Copyright
    *EXIF_FOLDERS,
)


_ORIENTATION = 0x0112
_INTEGER_FORMATS = {3: "H", 4: "I"}
"""TIFF types of the orientation: SHORT, and LONG as some programs write it."""
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""EXIF orientation -> what turns the pixels upright."""

_PROBE = np.stack(np.meshgrid(*[np.arange(0, 256, 51, dtype=np.uint8)] * 3, indexing="ij"), axis=-1).reshape(36, 6, 3)
"""Colours from all over the cube [36, 6, 3], to see what a profile does."""
_SAME_COLOUR = 2
"""Levels that a profile may change a colour by and still be sRGB."""
_PROFILE_ERRORS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
)
"""What Pillow's readers and their plugins raise on damaged files, over all formats."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, taken apart.

    ``rgb`` is uint8 [H, W, 3] (a gray image has three equal channels), ``alpha`` uint8 [H, W] in the modes RGBA and
    LA and None in the others. ``exif`` is a TIFF structure without the ``Exif\\0\\0`` signature.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    mode: Mode = "RGB"
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.rgb.shape[1])


def to_picture(image: object) -> Picture:
    """Read a PIL image, a uint8 array or a torch tensor.

    * PIL: L, LA, RGB, RGBA, and P, PA, 1, RGBa, La, RGBX, YCbCr, HSV; CMYK and LAB become sRGB with a ``UserWarning``;
      I;16 (0..65535), I (0..65535, or 0..255 if no value is more) and F (0..255, or 0..1 if no value is more) are
      reduced to 8 bits with one, and so are colours of 16 bits in a file that is not loaded yet. ICC profile, EXIF
      and XMP are kept; pixels are not rotated.
    * numpy: uint8 [H, W] or [H, W, C], C = 1 L, 2 LA, 3 RGB, 4 RGBA.
    * torch: [C, H, W], uint8 or floating point in 0..1.
    * A ``Picture`` is returned as it is.

    Raises ``InputError`` for anything else, for empty images and for values out of range.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    # A tensor can only come from a torch that is already imported: looking there costs no import.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        return _from_array(_tensor_to_array(image))
    message = f"image: expected a PIL image, a uint8 array or a torch tensor, got {type(image).__name__}"
    if isinstance(image, str | bytes) or hasattr(image, "__fspath__"):
        message += "; open it first: PIL.Image.open(path)"
    raise InputTypeError(message)


def stripped(picture: Picture) -> Picture:
    """The picture without metadata, looking the same: turned as its EXIF says, in sRGB."""
    return replace(in_srgb(upright(picture)), exif=None, xmp=None)


def upright(picture: Picture) -> Picture:
    """The picture with its pixels turned as its EXIF says, and an EXIF that says they are upright."""
    place = _orientation_place(picture.exif)
    if picture.exif is None or place is None:
        return picture
    offset, form = place
    (orientation,) = struct.unpack_from(form, picture.exif, offset)
    turn = _TURNS.get(orientation)
    if turn is None:
        return picture
    exif = bytearray(picture.exif)
    struct.pack_into(form, exif, offset, 1)
    alpha = None if picture.alpha is None else np.ascontiguousarray(turn(picture.alpha))
    return replace(picture, rgb=np.ascontiguousarray(turn(picture.rgb)), alpha=alpha, exif=bytes(exif))


def in_srgb(picture: Picture) -> Picture:
    """The picture without a colour profile, its colours converted to sRGB where the profile means others.

    A profile that cannot be used is left out with a UserWarning.
    """
    if picture.icc is None:
        return picture
    is_gray = picture.mode in ("L", "LA")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.icc))
        has_gray = profile.profile.xcolor_space.strip() == "GRAY"
        transform = ImageCms.buildTransform(
            profile, ImageCms.createProfile("sRGB"), "L" if has_gray and is_gray else "RGB", "RGB"
        )
        if np.abs(_transformed(_PROBE, transform, has_gray).astype(int) - _PROBE).max() <= _SAME_COLOUR:
            return replace(picture, icc=None)
        rgb = _transformed(picture.rgb, transform, has_gray)
        if is_gray:  # a profile of colours may give gray a tint
            rgb = np.repeat(_gray(rgb)[:, :, None], 3, axis=2)
    except _PROFILE_ERRORS as error:
        warnings.warn(f"the colour profile cannot be used and is left out: {error}", UserWarning, stacklevel=2)
        return replace(picture, icc=None)
    return replace(picture, rgb=rgb, icc=None)


def _transformed(rgb: Pixels, transform: ImageCms.ImageCmsTransform, is_gray: bool) -> Pixels:
    source = Image.fromarray(rgb[:, :, 1] if is_gray else rgb)
    converted = cast(Image.Image, ImageCms.applyTransform(source, transform))
    return np.asarray(converted)


def _orientation_place(exif: bytes | None) -> tuple[int, str] | None:
    """Where the orientation stands in a TIFF structure, with the format to unpack it; None where it does not."""
    form = {b"II*\0": "<", b"MM\0*": ">"}.get((exif or b"")[:4])
    if exif is None or form is None or len(exif) < 8:
        return None
    (start,) = struct.unpack_from(f"{form}I", exif, 4)
    if start + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(f"{form}H", exif, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, values = struct.unpack_from(f"{form}HHI", exif, entry)
        if tag == _ORIENTATION and values == 1 and kind in _INTEGER_FORMATS:
            return entry + 8, form + _INTEGER_FORMATS[kind]
    return None


def to_pil(picture: Picture) -> Image.Image:
    """The picture as a PIL image of its true mode, metadata in ``info`` as Pillow's own plugins leave it."""
    image = Image.fromarray(to_array(picture))
    image.info.update(pillow_info(picture.icc, picture.exif, picture.xmp))
    return image


def pillow_info(icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> dict[str, bytes]:
    """Metadata under the keys of ``Image.info``, without what is None; EXIF gets the signature Pillow expects."""
    signed = None if exif is None else _EXIF_PREFIX + exif
    named = {"icc_profile": icc, "exif": signed, "xmp": xmp}
    return {key: value for key, value in named.items() if value is not None}


def to_array(picture: Picture) -> Pixels:
    """The pixels as numpy sees the PIL image: [H, W] for L, [H, W, 2] LA, [H, W, 3] RGB, [H, W, 4] RGBA, uint8."""
    colour = _gray(picture.rgb) if picture.mode in ("L", "LA") else picture.rgb
    if picture.alpha is None:
        return np.ascontiguousarray(colour)
    return np.dstack([colour, picture.alpha])


def box_means(pixels: Pixels, factor: int) -> Pixels:
    """The means of factor x factor boxes of [H, W] or [H, W, C], rounded half up; of what there is of one at the edges.

    Exact, which Pillow's `reduce` is not at the edges.
    """
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    columns = np.arange(0, width, factor)
    means = np.empty((-(-height // factor), len(columns), *pixels.shape[2:]), np.uint8)
    counts = np.minimum(factor, width - columns).astype(np.uint32).reshape(-1, *[1] * (pixels.ndim - 2))
    for row, top in enumerate(range(0, height, factor)):
        band = pixels[top : top + factor]
        sums = np.add.reduceat(band.sum(axis=0, dtype=np.uint32), columns, axis=0)
        means[row] = (2 * sums + len(band) * counts) // (2 * len(band) * counts)
    return means


def strip_exif_prefix(exif: bytes) -> bytes:
    """The TIFF structure of an EXIF block, with or without the signature that JPEG and Pillow put before it."""
    return exif.removeprefix(_EXIF_PREFIX)


def _gray(rgb: Pixels) -> Pixels:
    """The rounded mean of the three channels [H, W, 3] -> [H, W]: nearest to the gray that all three were asked for."""
    return cast(Pixels, ((rgb.sum(axis=2, dtype=np.uint16) + 1) // 3).astype(np.uint8))


def _from_array(array: NDArray[Any]) -> Picture:
    if array.dtype != np.uint8:
        message = f"image: array dtype {array.dtype} is not uint8 (values 0..255)"
        raise InputError(message)
    planes = array[:, :, None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[2] not in MODE_OF_CHANNELS:
        message = f"image: array shape {list(array.shape)} is not [H, W] or [H, W, C] with C in 1..4"
        raise InputError(message)
    if 0 in planes.shape:
        message = f"image: array shape {list(array.shape)} is empty, both sides must be at least 1"
        raise InputError(message)
    return _from_planes(planes, MODE_OF_CHANNELS[planes.shape[2]])


def _from_planes(planes: Pixels, mode: Mode) -> Picture:
    """Split [H, W, C] into colour and alpha; the copies keep the picture whole when the caller edits the array."""
    alpha = np.array(planes[:, :, -1]) if mode in ("LA", "RGBA") else None
    if mode in ("L", "LA"):
        return Picture(np.repeat(planes[:, :, :1], 3, axis=2), alpha, mode)
    return Picture(np.array(planes[:, :, :3], order="C"), alpha, mode)


def _tensor_to_array(tensor: Any) -> NDArray[np.uint8]:
    """A tensor [C, H, W] on any device -> uint8 [H, W, C]."""
    if tensor.ndim != 3 or tensor.shape[0] not in MODE_OF_CHANNELS:
        message = f"image: tensor shape {list(tensor.shape)} is not [C, H, W] with C in 1..4"
        raise InputError(message)
    if tensor.is_meta or tensor.layout != sys.modules["torch"].strided:
        message = "image: a tensor without dense values (meta or sparse) has no pixels"
        raise InputError(message)
    values = tensor.detach().cpu()
    array = _levels_of_shares(values.double().numpy()) if values.is_floating_point() else values.numpy()
    return np.asarray(array.transpose(1, 2, 0))


def _levels_of_shares(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """0..1 -> 0..255."""
    if not ((shares >= 0) & (shares <= 1)).all():  # NaN fails both comparisons
        message = "image: tensor has values outside 0..1, the range of a floating point image"
        raise InputError(message)
    return np.rint(shares * 255).astype(np.uint8)


DEEP = "more than 8 bits a channel are reduced to 8"
_BYTE = 255
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
"""Modes of gray whose reduction is said by itself."""


def has_deep_tiles(image: Image.Image) -> bool:
    """True for an image that is not loaded yet, of which Pillow will keep 8 bits of more: colours of 16 bits.

    Pillow has no mode for them and says nothing; how a file is decoded (`tile`) is the place where it can be seen.
    """
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    words = [word for args in arguments for word in (args if isinstance(args, tuple) else (args,))]
    is_deep = any(";16" in word for word in words if isinstance(word, str))
    is_deep = is_deep or (image.format == "PPM" and any(isinstance(word, int) and word > _BYTE for word in words))
    return is_deep and image.mode not in _DEEP_MODES


_TRANSPARENT_FACTORS = {"L;2": 0x55, "L;4": 0x11}
"""What Pillow multiplies gray of 2 and 4 bits by."""
_WORDS = "RGB;16B"


def mend_transparency(image: Image.Image) -> None:
    """Bring the see-through colour of a PNG that is not loaded yet to the 8 bits that its pixels will have.

    Pillow leaves it as the file has it, and then finds it nowhere, or elsewhere. Of 16 bits the upper 8 are compared.
    """
    see_through, tiles = image.info.get("transparency"), getattr(image, "tile", [])
    if image.format != "PNG" or not tiles:
        return
    if tiles[0][3] in _TRANSPARENT_FACTORS and isinstance(see_through, int):
        image.info["transparency"] = see_through * _TRANSPARENT_FACTORS[tiles[0][3]]
    elif tiles[0][3] == _WORDS and isinstance(see_through, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in see_through)


def _from_pil(image: Image.Image) -> Picture:
    if 0 in image.size:
        message = f"image: size {image.width} x {image.height} is empty, both sides must be at least 1"
        raise InputError(message)
    if has_deep_tiles(image):
        warnings.warn(DEEP, UserWarning, stacklevel=2)
    mend_transparency(image)
    image.load()  # some formats keep their metadata behind the pixels
    _warn_of_frames(image)
    icc, xmp = _metadata_bytes(image, "icc_profile"), _metadata_bytes(image, "xmp")
    if image.mode in ("CMYK", "LAB"):
        pixels, icc = _to_srgb(image, icc), None
    else:
        pixels = _to_own_mode(image)
    array = np.asarray(pixels)
    picture = _from_planes(array if array.ndim == 3 else array[:, :, None], cast(Mode, pixels.mode))
    return replace(picture, icc=icc, exif=_exif_of(image), xmp=xmp)


def _metadata_bytes(image: Image.Image, key: str) -> bytes | None:
    """An entry of Image.info, None for an empty one. Raises InputTypeError for what is no bytes."""
    value = image.info.get(key)
    if value and not isinstance(value, bytes):
        message = f"image: info[{key!r}] is of type {type(value).__name__}; it must be bytes"
        raise InputTypeError(message)
    return value or None


def frames_of(image: Image.Image) -> int:
    """How many frames a file has. Raises InputError where one of them is damaged."""
    try:
        return int(getattr(image, "n_frames", 1))
    except PILLOW_ERRORS as error:
        message = f"image: its frames cannot be counted, the file is damaged: {error}"
        raise InputError(message) from error


def _warn_of_frames(image: Image.Image) -> None:
    # An MPO is a photograph whose further frames are the camera's own previews.
    frames = 1 if image.format == "MPO" else frames_of(image)
    if frames > 1:
        warnings.warn(f"only frame {image.tell() + 1} of {frames} is kept", UserWarning, stacklevel=2)


def _to_own_mode(image: Image.Image) -> Image.Image:
    """Any supported mode but CMYK and LAB -> L, LA, RGB or RGBA."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _reduce_to_8_bits(image)
    if image.mode == "P":
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("1", "L", "RGB") and "transparency" in image.info:  # one colour stands for "see-through"
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    if image.mode in _PLAIN_CONVERSIONS:
        return image.convert(_PLAIN_CONVERSIONS[image.mode])
    message = f"image: mode {image.mode} is not supported; convert it to RGB first"
    raise InputError(message)


_TOPS = {"I": (255, 65535), "F": (1, 255)}
"""What the largest value of a mode may stand for: white is the least of them that no value exceeds."""


def _reduce_to_8_bits(image: Image.Image) -> Image.Image:
    """I;16 holds 0..65535; I also 0..255, as `convert("I")` makes it; F holds 0..255 as everywhere in Pillow, or 0..1.

    Taken as the wider range, an image of the narrow one would be black: nobody means that.
    """
    values = np.asarray(image).astype(np.float64)
    tops = _TOPS.get(image.mode, (65535,))
    top = next((top for top in tops if values.max() <= top), tops[-1])
    if not ((values >= 0) & (values <= top)).all():
        message = f"image: mode {image.mode} has values outside 0..{top}"
        raise InputError(message)
    warnings.warn(f"mode {image.mode} is reduced to 8 bits, its values taken as 0..{top}", UserWarning, stacklevel=2)
    gray = Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))
    see_through = image.info.get("transparency")
    if isinstance(see_through, int):
        gray.putalpha(Image.fromarray(np.where(values == see_through, 0, 255).astype(np.uint8)))
    return gray


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Ink values (CMYK) or LAB to sRGB, through the image's own profile where it has one that can be used."""
    warnings.warn(f"{image.mode} is converted to sRGB", UserWarning, stacklevel=2)
    srgb = ImageCms.createProfile("sRGB")
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return cast(Image.Image, ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB"))
    if icc is None:
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return cast(Image.Image, ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB"))
    except _PROFILE_ERRORS as error:
        warnings.warn(
            f"the profile of the CMYK image cannot be used, inks are taken as they are: {error}",
            UserWarning,
            stacklevel=2,
        )
        return image.convert("RGB")


def _exif_of(image: Image.Image) -> bytes | None:
    raw = _metadata_bytes(image, "exif")
    if raw:
        return strip_exif_prefix(raw) or None
    try:
        exif = _camera_tags(image.getexif())  # TIFF files and PNG text chunks keep it elsewhere
        return strip_exif_prefix(exif.tobytes()) if len(exif) and not _is_of_xmp(image, exif) else None
    except PILLOW_ERRORS as error:
        warnings.warn(f"the EXIF data cannot be read and are left out: {error}", UserWarning, stacklevel=2)
        return None


def _is_of_xmp(image: Image.Image, exif: Image.Exif) -> bool:
    """Whether there is nothing but an orientation that Pillow has found in the XMP, which is kept as such: browsers
    don't turn such an image, and with an EXIF of its own they would."""
    is_from_file = hasattr(image, "tag_v2") or "Raw profile type exif" in image.info
    return set(exif) == {_ORIENTATION} and "xmp" in image.info and not is_from_file


def _camera_tags(exif: Image.Exif) -> Image.Exif:
    kept = Image.Exif()
    for tag in _TIFF_CAMERA_TAGS:
        if tag in exif:
            kept[tag] = exif.get_ifd(tag) if tag in EXIF_FOLDERS else exif[tag]
    return kept
