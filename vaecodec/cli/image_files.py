"""Image files in and out, through Pillow."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from vaecodec.container import salvage
from vaecodec.errors import InputError

# What the plugins of Pillow raise on damaged files, over all formats.
_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# The picture has been through one lossy codec: the second file should add nothing that is seen.
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
_KEEPS_METADATA = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
_XMP_TAG_OF_TIFF = 700


def open_photo(data: bytes) -> Image.Image:
    """The image in ``data``, decoded. Raises ``InputError`` with Pillow's reason when it cannot be read."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError as error:
        message = "not an image that Pillow can read"
        raise InputError(message) from error
    except _PILLOW_ERRORS as error:
        message = f"the image cannot be read: {error}"
        raise InputError(message) from error
    return image


def salvaged(data: bytes) -> bytes:
    """What is intact of a damaged file, as a whole file; a UserWarning tells what is missing. Raises FormatError."""
    found = salvage(data)
    if found.lost:
        warnings.warn(f"partial: {'; '.join(found.lost)}", UserWarning, stacklevel=2)
    return found.data


def format_of(output: str) -> str:
    """The Pillow format for an output file, by its extension; PNG for standard output. Raises ``InputError``."""
    suffix = Path(output).suffix.lower()
    if output == "-":
        return "PNG"
    Image.preinit()  # the common formats; the others' plugins only where they are asked for
    if suffix not in Image.EXTENSION:
        Image.init()
    form = Image.EXTENSION.get(suffix)
    if form is None or form not in Image.SAVE:
        message = (
            f"{output}: no image format is known by the extension {suffix!r}; try .png, .jpg, .webp, .tif or .avif"
        )
        raise InputError(message)
    return form


def save_photo(image: Image.Image, form: str) -> bytes:
    """``image`` with its metadata as a file of a Pillow format. Raises ``InputError`` for what it cannot hold."""
    options = dict(_SAVE_OPTIONS.get(form, {}))
    if form in _KEEPS_METADATA:
        options |= _metadata_options(image, form)
    elif image.info:
        warnings.warn(
            f"{form} cannot hold the metadata: {', '.join(sorted(map(str, image.info)))}", UserWarning, stacklevel=2
        )
    buffer = io.BytesIO()
    try:
        image.save(buffer, form, **options)
    except (OSError, ValueError) as error:
        message = f"cannot be written as {form}: {error}"
        raise InputError(message) from error
    return buffer.getvalue()


def _metadata_options(image: Image.Image, form: str) -> dict[str, Any]:
    keys = ("icc_profile", "exif")
    options: dict[str, Any] = {key: image.info[key] for key in keys if key in image.info}
    xmp = image.info.get("xmp")
    if not xmp:
        return options
    if form == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    elif form == "TIFF":
        options["exif"] = image.getexif()  # a TIFF file holds XMP as one of its tags
        options["exif"][_XMP_TAG_OF_TIFF] = xmp
    else:
        options["xmp"] = xmp
    return options
