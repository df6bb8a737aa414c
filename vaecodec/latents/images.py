"""What an index keeps of a file: from a .vaec file's latents through the preview head, from other images' pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from PIL import Image, ImageOps

from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.errors import VaecodecError
from vaecodec.latents.descriptors import SIDE, thumbnail
from vaecodec.latents.index import Entry

PICTURE_SIDE = 160
"""The longer side of the small picture for pages."""
PICTURE_QUALITY = 60
REDUCTION = 8


def describe_file(data: bytes, codec: Callable[[], Codec], path: str, time: int) -> Entry:
    """The entry of a .vaec file: its latents are decoded and the preview head gives 1/8 of the size; no synthesis.

    codec: makes the codec where it is needed. A model without a preview head is decoded in full. Raises as `decode`.
    """
    preview = codec().decode(data, reduction=REDUCTION)
    width, height = sizes_of(data)
    return _entry(preview, path, len(data), time, (width, height))


def describe_files(
    datas: Sequence[bytes], codec: Codec, paths: Sequence[str], times: Sequence[int]
) -> list[Entry | VaecodecError]:
    """The entries of several .vaec files; small ones of equal size share passes of the networks. A bad one's error."""
    previews = codec.decode_batch(datas, reduction=REDUCTION, on_error="collect")
    entries: list[Entry | VaecodecError] = []
    for preview, data, path, time in zip(previews, datas, paths, times, strict=True):
        if isinstance(preview, VaecodecError):
            entries.append(preview)
        else:
            entries.append(_entry(cast(Image.Image, preview), path, len(data), time, sizes_of(data)))
    return entries


def sizes_of(data: bytes) -> tuple[int, int]:
    """Width and height of a .vaec file, from its header."""
    header = container.parse_header(data).header
    return header.width, header.height


def describe_image(image: Image.Image, path: str, size: int, time: int) -> Entry:
    """The entry of any other image: its pixels are reduced, which is what the preview head estimates."""
    return _entry(image, path, size, time, image.size)


def _entry(image: Image.Image, path: str, size: int, time: int, sides: tuple[int, int]) -> Entry:
    upright = ImageOps.exif_transpose(image)
    if upright.size != image.size:
        sides = sides[1], sides[0]
    rgb = _rgb(upright)
    small = rgb.copy() if max(rgb.size) <= 4 * PICTURE_SIDE else rgb.reduce(max(rgb.size) // (2 * PICTURE_SIDE))
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=PICTURE_QUALITY)
    reduced = rgb if min(rgb.size) < 4 * SIDE else rgb.reduce(min(rgb.size) // (2 * SIDE))
    return Entry(path, size, time, *sides, thumbnail(np.asarray(reduced)), buffer.getvalue())


def _rgb(image: Image.Image) -> Image.Image:
    """Colours on white, where an image is transparent."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    below = Image.new("RGBA", image.size, "white")
    below.alpha_composite(image.convert("RGBA"))
    return below.convert("RGB")
