"""Chunks of Zarr arrays as .vaec files: `Vaec`, a codec of numcodecs, for Zarr's format 2 and what is built on it.

    zarr.create_array("photos.zarr", shape=(100, 512, 768, 3), chunks=(1, 512, 768, 3), dtype="uint8",
                      compressors=Vaec(quality=60), zarr_format=2)

numcodecs knows it by the name "vaecodec" (an entry point of this package), so readers import nothing. For format 3
there is `vaecodec.zarr3`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.api import decode, encode
from vaecodec.container import MAX_SIDE
from vaecodec.errors import InputError
from vaecodec.levels import DEFAULT_QUALITY
from vaecodec.weights.manifest import DEFAULT_MODEL

try:
    from numcodecs.abc import Codec
    from numcodecs.compat import ensure_bytes, ndarray_copy
except ImportError as error:
    message = "vaecodec.zarr needs numcodecs: pip install 'vaecodec[zarr]'"
    raise ImportError(message) from error

CHANNELS = (1, 3, 4)


class Vaec(Codec):
    """A codec of numcodecs: one image a chunk, uint8, [H, W] or [H, W, 1|3|4], axes of length 1 before them.

    quality, model and lossless as for `vaecodec.encode`. Without lossless=True chunks change: pixels come back about as
    they were. Raises InputError for a chunk that is no image, and what `encode` and `decode` raise.
    """

    codec_id = "vaecodec"

    def __init__(self, quality: float = DEFAULT_QUALITY, *, model: str = DEFAULT_MODEL, lossless: bool = False) -> None:
        self.quality, self.model, self.lossless = quality, model, lossless

    def encode(self, buf: Any) -> bytes:
        """The .vaec file of a chunk."""
        return encode(image_of(np.asarray(buf)), self.quality, model=self.model, lossless=self.lossless)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The pixels of a chunk, uint8 [H, W] or [H, W, 3|4]; into `out`, where that is given."""
        return ndarray_copy(pixels_of(ensure_bytes(buf)), out)


def image_of(chunk: NDArray[Any]) -> NDArray[Any]:
    """The one image in a chunk. Raises InputError."""
    image = chunk
    while image.ndim > 3 or (image.ndim == 3 and image.shape[-1] not in CHANNELS):
        if image.shape[0] != 1:
            break
        image = image[0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[-1] not in CHANNELS):
        message = f"a chunk has shape {chunk.shape}; it must be one image, as chunks=(1, height, width, 3)"
        raise InputError(message)
    if chunk.flags.f_contiguous and not chunk.flags.c_contiguous:
        message = "a chunk is not in C order; it must be: order='C'"
        raise InputError(message)
    return image


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a chunk's file; an array's chunks have the size that its owner chose, so no limit holds."""
    return np.ascontiguousarray(decode(data, as_array=True, max_pixels=MAX_SIDE**2))
