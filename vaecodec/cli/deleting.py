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
from vaecodec.image import Picture, stripped, to_picture
from vaecodec.metrics import psnr
from vaecodec.urls import is_url

if TYPE_CHECKING:
    from PIL import Image

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


def delete_original(
    job: Job, image: Image.Image, state: os.stat_result, decode: Callable[[bytes], Image.Image], *, strip: bool
) -> None:
    """Delete the source of a job whose output is whole.

    image: the source, decoded; state: of its file when it was read. Raises InputError where the .vaec file does not
    hold all of the photo or the photo has changed since, FormatError where the file is damaged, and OSError.
    """
    reason = _what_is_lost(image) or _what_was_not_read(job.read())
    if reason is not None:
        message = f"{job.source} is kept: {reason}"
        raise InputError(message)
    output = Path(str(job.output))
    expected = to_picture(image)
    compare_pictures(stripped(expected) if strip else expected, to_picture(decode(output.read_bytes())))
    sync_folder(output.parent)
    now = Path(job.source).stat()
    if (now.st_ino, now.st_size, now.st_mtime_ns) != (state.st_ino, state.st_size, state.st_mtime_ns):
        message = f"{job.source} is kept: it has changed since it was read"
        raise InputError(message)
    Path(job.source).unlink()


def _what_is_lost(image: Image.Image) -> str | None:
    """What of a photo its .vaec file does not hold; None where it holds everything."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        return f"its .vaec file holds one of {frames} frames"
    if image.mode not in WHOLE_MODES:
        return f"its .vaec file holds the picture of mode {image.mode} in 8 bits of sRGB"
    return None


def _what_was_not_read(data: bytes) -> str | None:
    """What of a photo Pillow has left out without a word; None where it has read everything."""
    from PIL import Image

    from vaecodec.cli.image_files import is_deep

    with Image.open(io.BytesIO(data)) as image:
        if image.format == "JXL":
            return "its .vaec file holds 8 bits a channel, and how many a JPEG XL has Pillow does not say"
        return "its .vaec file holds 8 bits a channel, the photo has more" if is_deep(image, data) else None


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
