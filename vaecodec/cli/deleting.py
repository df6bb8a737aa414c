"""`compress --delete-original`: a photo goes when its .vaec file is on the disk and decodes to the same picture."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from vaecodec.cli.jobs import STDIO, Job
from vaecodec.errors import InputError
from vaecodec.files import is_special, sync_folder
from vaecodec.image import PILLOW_ERRORS, Picture, frames_of, stripped, to_picture
from vaecodec.metrics import psnr
from vaecodec.urls import is_url

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

WHOLE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
"""Modes of which a .vaec file holds everything; of others it holds 8 bits, or other colours."""
LEAST_PSNR = 10.0
"""dB; what networks make of a picture that they cannot code lies below."""
BLOCK, MOST_OFF = 16, 48
"""Means of 16 x 16 squares may differ by so many levels; what is lost of noise and detail changes them less."""


def check_deletable(jobs: Sequence[Job]) -> None:
    """Before the run: every output must be a file that can take the place of its photo. Raises UsageError."""
    for job in jobs:
        if job.source == STDIO or is_url(job.source) or job.output_path is None or is_special(job.output_path):
            message = f"--delete-original: {job.output} is no file that could take the place of {job.name}."
            raise click.UsageError(message)
        if is_special(Path(job.source)):
            message = f"--delete-original: {job.name} is no file that could be read again."
            raise click.UsageError(message)


def delete_original(
    job: Job,
    image: Image.Image,
    state: Sequence[os.stat_result],
    decode: Callable[[bytes], Image.Image],
    *,
    strip: bool,
) -> None:
    """Delete the source of a job whose output is whole.

    image: the source, decoded; state: `Job.source_stat` when it was read. Raises InputError where the .vaec file does
    not hold all of the photo or the photo has changed since, FormatError where the file is damaged, and OSError.
    """
    reason = "it is a link" if Path(job.source).is_symlink() else _what_is_lost(image) or _what_was_not_read(job.read())
    if reason is not None:
        message = f"{job.source} is kept: {reason}"
        raise InputError(message)
    output = Path(str(job.output))
    expected = to_picture(image)
    compare_pictures(stripped(expected) if strip else expected, to_picture(decode(output.read_bytes())))
    sync_folder(output.parent)
    if not state or _version(job.source_stat()) != _version(state):
        message = f"{job.source} is kept: it has changed since it was read"
        raise InputError(message)
    Path(job.source).unlink()


def _version(state: Sequence[os.stat_result]) -> list[tuple[int, int, int]]:
    """What differs between a file and another in its place, or the same one written again."""
    return [(each.st_ino, each.st_size, each.st_mtime_ns) for each in state]


def _what_is_lost(image: Image.Image) -> str | None:
    """What of a photo its .vaec file does not hold; None where it holds everything."""
    frames = frames_of(image)
    if frames > 1:
        return f"its .vaec file holds one of {frames} frames"
    if image.mode not in WHOLE_MODES:
        return f"its .vaec file holds the picture of mode {image.mode} in 8 bits of sRGB"
    return None


def _what_was_not_read(data: bytes) -> str | None:
    """What of a photo is in no .vaec file, and nobody has said so; None where that is nothing but its resolution."""
    from PIL import Image

    from vaecodec.cli.image_files import is_deep

    with Image.open(io.BytesIO(data)) as image:
        if image.format == "JXL":
            return "its .vaec file holds 8 bits a channel, and how many a JPEG XL has Pillow does not say"
        if is_deep(image, data):
            return "its .vaec file holds 8 bits a channel, the photo has more"
        if len(image.info.get("sizes", ())) > 1:
            return "its .vaec file holds one of several sizes"
        if image.format == "JPEG" and data[_end_of_jpeg(data) :].strip(b"\0\xff"):
            return "there are data behind its picture, such as a film"
        texts = _texts_of(image)
        return f"its .vaec file holds no {' and no '.join(texts)}" if texts else None


def _texts_of(image: ImageFile) -> list[str]:
    """What a photo says of itself in places of which a .vaec file has none."""
    from PIL.IptcImagePlugin import getiptcinfo

    image.load()  # a PNG may have text behind its pixels
    texts = ["comment"] if image.info.get("comment") else []
    if set(getattr(image, "text", {})) - _READ_TEXTS:
        texts.append("text")
    try:
        has_iptc = bool(getiptcinfo(image))
    except PILLOW_ERRORS:
        has_iptc = True  # damaged, but something
    return texts + ["IPTC"] * has_iptc


_READ_TEXTS = {"XML:com.adobe.xmp", "Raw profile type exif"}
"""Text chunks of a PNG that are its XMP and its EXIF."""
_END_OF_IMAGE = 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


def _end_of_jpeg(data: bytes) -> int:
    """The place behind the picture of a JPEG file (ITU-T T.81, annex B): of its first one, and of all of a broken file.

    Segments are skipped by their length: a thumbnail in one of them has an end of its own.
    """
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return len(data)
        marker = data[at + 1]
        if marker == _END_OF_IMAGE:
            return at + 2
        if marker in (0x00, 0xFF) or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def compare_pictures(expected: Picture, decoded: Picture) -> None:
    """Raises InputError unless a decoded picture is another's: size, mode, transparency, metadata, and its look."""
    for name in ("mode", "icc", "exif", "xmp"):
        if getattr(expected, name) != getattr(decoded, name):
            message = f"the .vaec file has another {name} than the photo, which is kept"
            raise InputError(message)
    if expected.rgb.shape != decoded.rgb.shape or not _equal(expected.alpha, decoded.alpha):
        message = "the .vaec file has another size or transparency than the photo, which is kept"
        raise InputError(message)
    decibels = psnr(expected.rgb, decoded.rgb)
    off = float(np.abs(_block_means(expected.rgb) - _block_means(decoded.rgb)).max())
    if decibels < LEAST_PSNR or off > MOST_OFF:
        message = (
            f"the .vaec file shows another picture ({decibels:.1f} dB, squares off by {off:.0f}); the photo is kept"
        )
        raise InputError(message)


def _equal(a: NDArray[np.uint8] | None, b: NDArray[np.uint8] | None) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))


def _block_means(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Means over 16 x 16 squares [rows, columns, 3], over what is left of them at the edges."""
    rows, columns = np.arange(0, rgb.shape[0], BLOCK), np.arange(0, rgb.shape[1], BLOCK)
    sums = np.add.reduceat(np.add.reduceat(rgb, rows, axis=0, dtype=np.int64), columns, axis=1)
    heights, widths = np.diff([*rows, rgb.shape[0]]), np.diff([*columns, rgb.shape[1]])
    means: NDArray[np.float64] = sums / (heights[:, None, None] * widths[None, :, None])
    return means
