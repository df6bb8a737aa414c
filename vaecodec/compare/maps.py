"""Where a picture lost what, and where the neural codec spent its bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.entropy.content import position_bits
from vaecodec.image import Pixels
from vaecodec.intnet.layers import scale_index

Map = NDArray[np.float32]  # [rows, columns] of blocks

ERROR_BLOCK = 8
BITS_BLOCK = 16


def error_map(original: Pixels, decoded: Pixels, block: int = ERROR_BLOCK) -> Map:
    """Root mean square error of each block x block square over RGB, in gray levels 0..255 [ceil(H/b), ceil(W/b)]."""
    squared = np.mean((original.astype(np.float32) - decoded) ** 2, axis=2)
    height, width = squared.shape
    padded = np.pad(squared, ((0, -height % block), (0, -width % block)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block)
    return np.asarray(np.sqrt(blocks.mean(axis=(1, 3))), np.float32)


def bits_map(data: bytes, codec: Codec) -> Map | None:
    """Ideal bits per pixel of each 16 x 16 block of a .vaec file [ceil(H/16), ceil(W/16)]; None of a lossless one.

    The bits of z, one value for 64 x 64 pixels, are spread evenly over its blocks; padding is cut off.
    """
    header = container.parse(data, max_pixels=None).header
    if header.is_lossless:
        return None
    latents = codec.decode_latents(data)
    model = codec.loaded_model(header).entropy
    bits = position_bits(model, latents, scale_index(latents.z_hat, latents.level, model.layers))
    rows, columns = -(-header.height // BITS_BLOCK), -(-header.width // BITS_BLOCK)
    return np.asarray(bits[:rows, :columns] / BITS_BLOCK**2, np.float32)
