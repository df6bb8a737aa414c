"""Image files in and out, through Pillow."""

from __future__ import annotations

import importlib
import importlib.util
import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from vaecodec import urls
from vaecodec.cli.sources import PLUGINS
from vaecodec.container import salvage
from vaecodec.errors import InputError
from vaecodec.image import (
    DEEP,
    EXIF_FOLDERS,
    PILLOW_ERRORS,
    has_deep_tiles,
    mend_transparency,
    stripped,
    to_picture,
    to_pil,
    upright,
)
from vaecodec.urls import is_url

# What the plugins of Pillow raise on damaged files, over all formats.
_PILLOW_ERRORS = (*PILLOW_ERRORS, zlib.error, Image.DecompressionBombError)

# The picture has been through one lossy codec: the second file should add nothing that is seen.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    # With zlib's usual 6, a PNG takes longer to write than the picture to decode, and is 7 % smaller.
    "PNG": {"compress_level": 2},
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "JXL": {"quality": 95},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
_KEEPS_METADATA = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
_HAS_QUALITY = ("AVIF", "JPEG", "JXL", "WEBP")
_MOST_PROFILE = {
    # Pillow opens no PNG with more.
    "PNG": PngImagePlugin.MAX_TEXT_CHUNK,
    # 255 segments of 65,533 bytes with a header of 14 (ICC.1:2022, annex B.4). Pillow counts on from 0, and reads none.
    "JPEG": 255 * (65_533 - 14),
}
"""Bytes of the largest colour profile that a format holds."""
_XMP_TAG_OF_TIFF = 700
_LOSES_TRANSPARENCY = ("BMP", "DIB", "GIF", "PPM")
"""Formats that Pillow writes without transparency where there is some, and says nothing; a GIF is opaque or not."""
_OPAQUE = 255
_HIGH_BIT_DEPTH = 0x40
BITS = 8
"""Of a channel, in Pillow's modes of colour and in .vaec files."""


@dataclass(frozen=True)
class Saved:
    """An image file, and the size of the image in it."""

    data: bytes
    width: int
    height: int


def open_photo(data: bytes) -> Image.Image:
    """The image in ``data``, decoded. Raises ``InputError`` with Pillow's reason when it cannot be read."""
    _load_plugin_for(data)
    try:
        image = Image.open(io.BytesIO(data))
        if is_deep(image, data):
            warnings.warn(DEEP, UserWarning, stacklevel=2)
        mend_transparency(image)
        image.load()
    except UnidentifiedImageError as error:
        message = "not an image that Pillow can read"
        name = _plugin_for(data)
        if name is not None:
            message += f"; pip install {name.replace('_', '-')}{'-plugin' if name == 'pillow_jxl' else ''} teaches it"
        raise InputError(message) from error
    except _PILLOW_ERRORS as error:
        message = f"the image cannot be read: {error}"
        raise InputError(message) from error
    return image


def is_deep(image: Image.Image, data: bytes) -> bool:
    """True for the image of a file, not loaded yet, whose colours have more than the 8 bits that Pillow keeps."""
    bits = image.info.get("bit_depth", 8)  # as pillow-heif says it
    if image.format == "AVIF":
        at = data.find(b"av1C")  # AV1-ISOBMFF 2.3.3: the third byte of the box has the flag of 10 and 12 bits
        bits = 10 if at >= 0 and data[at + 6 : at + 7] and data[at + 6] & _HIGH_BIT_DEPTH else 8
    elif image.format == "JPEG2000" and image.mode not in ("I", "I;16"):
        at = data.find(b"\xff\x4f\xff\x51")  # ISO 15444-1 A.5.1: SIZ; its first channel has these bits, less 1
        bits = 1 + (data[at + 42] & 0x7F) if 0 <= at < len(data) - 42 else 8
    return has_deep_tiles(image) or bits > BITS


def size_of(name: str) -> tuple[int, int]:
    """Width and height of an image file, a path or a URL, from its header. Raises InputError and OSError."""
    with io.BytesIO(urls.read(name)) if is_url(name) else Path(name).open("rb") as file:
        _load_plugin_for(file.read(_START))
        file.seek(0)
        try:
            with Image.open(file) as image:
                return image.width, image.height
        except _PILLOW_ERRORS as error:
            message = f"the image cannot be read: {error}"
            raise InputError(message) from error


def scaled_down(image: Image.Image, max_dimension: int | None) -> Image.Image:
    """The image with sides of `max_dimension` pixels at most, its metadata kept; None: as it is."""
    if max_dimension is None or max(image.size) <= max_dimension:
        return image
    whole = to_pil(to_picture(image))
    factor = max_dimension / max(whole.size)
    width, height = (max(1, round(side * factor)) for side in whole.size)
    smaller = whole.resize((width, height), Image.Resampling.LANCZOS)
    smaller.info.update(whole.info)
    return smaller


_START = 16
"""Bytes that tell the formats of plugins."""


def _plugin_for(data: bytes) -> str | None:
    """The module that reads this format, where Pillow alone does not."""
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return PLUGINS[".jxl"]
    return PLUGINS[".heic"] if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1") else None


def _load_plugin_for(data: bytes) -> None:
    name = _plugin_for(data)
    if name is not None:
        _load(name)


def _load(name: str) -> None:
    """Load a plugin if it is installed."""
    if importlib.util.find_spec(name):
        module = importlib.import_module(name)
        if hasattr(module, "register_heif_opener"):
            module.register_heif_opener()


def salvaged(data: bytes) -> bytes:
    """What is intact of a damaged file, as a whole file; a UserWarning tells what is missing. Raises FormatError."""
    rescued = salvage(data)
    if rescued.lost:
        warnings.warn(f"partial: {'; '.join(rescued.lost)}", UserWarning, stacklevel=2)
    return rescued.data


def format_of(suffix: str) -> str:
    """The Pillow format for files with an extension, such as ".png". Raises ``InputError``."""
    suffix = suffix.lower()
    if suffix in PLUGINS:
        _load(PLUGINS[suffix])
    if suffix not in Image.EXTENSION:
        Image.preinit()  # the common formats; the others' plugins only where they are asked for
    if suffix not in Image.EXTENSION:
        Image.init()
    form = Image.EXTENSION.get(suffix)
    if form is None or form not in Image.SAVE:
        message = f"no image format is known by the extension {suffix!r}; try .png, .jpg, .webp, .tif or .avif"
        raise InputError(message)
    return form


def save_photo(
    image: Image.Image, form: str, *, quality: int | None = None, strip: bool = False, auto_rotate: bool = False
) -> Saved:
    """``image`` with its metadata as a file of a Pillow format. Raises ``InputError`` for what it cannot hold.

    quality: of a lossy format. strip: no metadata; then, and in a format without metadata, the pixels are turned
    upright and converted to sRGB, so that they look the same. auto_rotate: turned upright, with metadata.
    """
    if quality is not None and form not in _HAS_QUALITY:
        message = f"--output-quality: {form} has none; {', '.join(_HAS_QUALITY)} have"
        raise InputError(message)
    options = dict(_SAVE_OPTIONS.get(form, {})) if quality is None else _SAVE_OPTIONS[form] | {"quality": quality}
    if form == "WEBP" and quality is not None:
        options["lossless"] = False
    if strip or form not in _KEEPS_METADATA:
        lost = sorted(map(str, image.info))
        image = to_pil(stripped(to_picture(image)))
        if lost and not strip:
            text = f"{form} is written without the metadata: {', '.join(lost)}; the picture is turned upright, in sRGB"
            warnings.warn(text, UserWarning, stacklevel=2)
    elif auto_rotate:
        image = to_pil(upright(to_picture(image)))
    options |= _metadata_options(image, form)
    buffer = io.BytesIO()
    try:
        image.save(buffer, form, **options)
    except _PILLOW_ERRORS as error:
        message = f"cannot be written as {form}: {error}"
        if not _holds_mode(form, image.mode):
            message += "; .png, .webp, .avif and .tif hold transparency" if image.mode in ("LA", "RGBA") else ""
        elif image.info:
            message += "; --strip leaves the metadata out"
        raise InputError(message) from error
    if form in _LOSES_TRANSPARENCY and _is_seen_through(image):
        warnings.warn(f"{form} is written without the transparency, or with a part of it", UserWarning, stacklevel=2)
    return Saved(buffer.getvalue(), image.width, image.height)


def _holds_mode(form: str, mode: str) -> bool:
    """Whether Pillow writes images of this mode in a format."""
    try:
        Image.new(mode, (1, 1)).save(io.BytesIO(), form)
    except _PILLOW_ERRORS:
        return False
    return True


def _is_seen_through(image: Image.Image) -> bool:
    """Whether any pixel is not opaque."""
    return image.mode in ("LA", "RGBA") and image.getextrema()[-1] != (_OPAQUE, _OPAQUE)


def _metadata_options(image: Image.Image, form: str) -> dict[str, Any]:
    options: dict[str, Any] = {key: image.info[key] for key in ("icc_profile", "exif") if key in image.info}
    profile = options.get("icc_profile", b"")
    most = _MOST_PROFILE.get(form)
    if most is not None and len(profile) > most:
        message = f"the colour profile has {len(profile)} bytes; the most in a {form} that can be read are {most}"
        message += ": --strip leaves it out, .tif holds it"
        raise InputError(message)
    exif = _readable_exif(image) if form in ("TIFF", "AVIF") and "exif" in options else None
    if form in ("TIFF", "AVIF") and "exif" in options and exif is None:
        del options["exif"]
        warnings.warn("the EXIF data are damaged and left out", UserWarning, stacklevel=2)
    if form == "TIFF" and exif is not None and any(tag in exif for tag in EXIF_FOLDERS):
        options["compression"] = None  # Pillow cannot write it otherwise
    xmp = image.info.get("xmp")
    if not xmp:
        return options
    if form == "PNG":
        try:
            text = xmp.decode("utf-8")
        except UnicodeDecodeError:
            warnings.warn("the XMP data are no UTF-8, as PNG asks: left out", UserWarning, stacklevel=2)
            return options
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", text)
    elif form == "TIFF":
        options["exif"] = Image.Exif() if exif is None else exif  # a TIFF file holds XMP as one of its tags
        options["exif"][_XMP_TAG_OF_TIFF] = xmp
    else:
        options["xmp"] = xmp
    return options


def _readable_exif(image: Image.Image) -> Image.Exif | None:
    """The EXIF of the image for those formats of which Pillow takes it apart; None where it cannot."""
    try:
        exif = Image.Exif()
        exif.load(image.info["exif"])
        exif.tobytes()
    except _PILLOW_ERRORS:
        return None
    return exif
