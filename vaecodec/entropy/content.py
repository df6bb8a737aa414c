"""Where the bits of a file are: the ideal content of every position, from the tables that code it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.coding import Latents
from vaecodec.entropy.model import EntropyModel
from vaecodec.entropy.quantize import to_symbols
from vaecodec.intnet.layers import GROWTH
from vaecodec.rans.tables import CdfTables


def position_bits(model: EntropyModel, latents: Latents, index: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Ideal bits of each position of y, all its M channels: float32 [4h, 4w]. Their sum is the content of the file.

    index: `scale_index` of z_hat. The bits of a position of z are spread evenly over its 4 x 4 positions of y. A value
    beyond its table counts as the table's last symbol; its place in the outlier list isn't counted.
    """
    z_index = model.z_index(latents.level, *latents.z_hat.shape[1:])
    z_bits = _bits(model.z_tables, z_index, latents.z_hat.astype(np.int32)).sum(axis=0)
    y_bits = np.where(index > 0, _bits(model.y_tables, index, latents.r), 0).sum(axis=0)
    return np.asarray(y_bits + np.kron(z_bits / GROWTH**2, np.ones((GROWTH, GROWTH))), np.float32)


def _bits(tables: CdfTables, index: NDArray[np.uint8], values: NDArray[np.int32]) -> NDArray[np.float64]:
    """-log2 of each value's probability; a value beyond its table costs what its clamp symbol costs."""
    largest = ((tables.sizes - 1) // 2).astype(np.int32)[index]
    bits: NDArray[np.float64] = tables.bits[index, to_symbols(np.clip(values, -largest, largest))]
    return bits
