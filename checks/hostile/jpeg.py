"""The JPEG that is as large as a file: what any other codec has to be measured against."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from unittest import mock

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile

from checks.hostile.canvas import Image
from vaecodec.metrics import psnr

QUALITIES = range(1, 101)
SUBSAMPLINGS = ("4:2:0", "4:4:4")
START_OF_SCAN = b"\xff\xda"
LARGEST_JPEG = 1 << 20
"""Bytes."""
MOST_PSNR = 99.0
"""dB; stands for equal images, too: JSON has no infinity."""


class JpegLadder:
    """Pillow's JPEGs of one image, of both subsamplings, and its lossless WebP; each is made once."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._subsamplings = SUBSAMPLINGS if image.ndim == 3 else SUBSAMPLINGS[:1]
        self._data = functools.cache(self._encode)
        self._psnr = functools.cache(self._measure)

    def psnr_within(self, most: int) -> float | None:
        """The best PSNR, dB, in so many bytes; None where even quality 1 is larger."""
        return self._best(most, len)

    def psnr_of_scan_within(self, most: int) -> float | None:
        """The best PSNR, dB, as if headers and tables cost nothing, as they do in a large image."""
        return self._best(most, lambda data: len(data) - data.index(START_OF_SCAN))

    @functools.cached_property
    def webp_size(self) -> int:
        """Bytes of the lossless WebP."""
        return lossless_webp_bytes(self._image)

    def _best(self, most: int, size: Callable[[bytes], int]) -> float | None:
        best = []
        for subsampling in self._subsamplings:
            low, high = 0, len(QUALITIES)  # sizes grow with the quality
            while low < high:
                middle = (low + high) // 2
                if size(self._data(QUALITIES[middle], subsampling)) <= most:
                    low = middle + 1
                else:
                    high = middle
            if low:
                best.append(self._psnr(QUALITIES[low - 1], subsampling))
        return max(best, default=None)

    def _encode(self, quality: int, subsampling: str) -> bytes:
        out, image = io.BytesIO(), PillowImage.fromarray(self._image)
        with mock.patch.object(ImageFile, "MAXBLOCK", LARGEST_JPEG):  # optimize=True must have it in one piece
            image.save(out, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
        return out.getvalue()

    def _measure(self, quality: int, subsampling: str) -> float:
        with PillowImage.open(io.BytesIO(self._data(quality, subsampling))) as opened:
            return finite_psnr(self._image, np.asarray(opened))


def finite_psnr(first: Image, second: Image) -> float:
    """What `vaecodec.metrics.psnr` gives, at most 99 dB."""
    return min(MOST_PSNR, psnr(first, second))


def lossless_webp_bytes(image: Image) -> int:
    """Size of the lossless WebP."""
    out = io.BytesIO()
    PillowImage.fromarray(image).save(out, "WEBP", lossless=True, method=6)
    return len(out.getvalue())
