"""The integer part of a model: everything that decides bytes, without torch.

z: symbols of z_hat, channel by channel, with one table index per channel and level. y: symbols of r with the scale
index as table index. Index 0 means "surely zero": nothing is coded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import WeightsError
from vaecodec.intnet.fixedpoint import LAYER_FORMATS, SCALE_INDICES
from vaecodec.intnet.layers import IntegerLayer, make_layers
from vaecodec.rans.tables import MAX_SYMBOLS, PROB_BITS, CdfTables


@dataclass(frozen=True)
class EntropyModel:
    """h_scale, the tables of y and z, and the table index of every z channel: z_table uint8 [levels, N]."""

    layers: tuple[IntegerLayer, ...]
    y_tables: CdfTables
    z_tables: CdfTables
    z_table: NDArray[np.uint8]

    @property
    def N(self) -> int:
        """The number of channels of z."""
        return int(self.z_table.shape[1])

    @property
    def M(self) -> int:
        """The number of channels of y."""
        return int(self.layers[-1].weight.shape[0]) // 4

    def z_index(self, level: int, height: int, width: int) -> NDArray[np.uint8]:
        """Table index of every z [N, h, w]."""
        return np.broadcast_to(self.z_table[level][:, None, None], (self.N, height, width))

    def least_z_bits(self, level: int) -> float:
        """Ideal content of the likeliest z there is at one position, all N channels, in bits."""
        return float(self._least_z_bits[level])

    @cached_property
    def _least_z_bits(self) -> NDArray[np.float64]:
        least: NDArray[np.float64] = self.z_tables.bits.min(axis=1)[self.z_table].sum(axis=1)
        return least


def tables_to_tensors(prefix: str, tables: CdfTables) -> dict[str, NDArray[Any]]:
    """Tables as integer tensors: sizes int32 [T], frequencies - 1 of all rows one after the other, uint16."""
    rows = [np.diff(tables.quantized_cdf[t, : size + 1].astype(np.int64)) for t, size in enumerate(tables.sizes)]
    return {
        f"{prefix}.sizes": tables.sizes.astype(np.int32),
        f"{prefix}.frequencies": (np.concatenate(rows) - 1).astype(np.uint16),
    }


def tables_from_tensors(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> CdfTables:
    """The inverse of `tables_to_tensors`. Raises WeightsError when a row doesn't sum to 2^16."""
    sizes = tensors[f"{prefix}.sizes"]
    frequencies = tensors[f"{prefix}.frequencies"].astype(np.int64) + 1
    fits = sizes.shape == (SCALE_INDICES,) and int(sizes.sum()) == len(frequencies)
    if not fits or int(sizes.min()) < 1 or int(sizes.max()) > MAX_SYMBOLS:
        message = f"{prefix}: {len(frequencies)} frequencies for sizes of shape {sizes.shape} summing to {sizes.sum()}"
        message += f"; it must be ({SCALE_INDICES},), each 1..{MAX_SYMBOLS}"
        raise WeightsError(message)
    rows = [np.concatenate([[0], np.cumsum(row)]) for row in np.split(frequencies, np.cumsum(sizes)[:-1])]
    for number, row in enumerate(rows):
        if row[-1] != 1 << PROB_BITS:
            message = f"{prefix} table {number}: frequencies sum to {row[-1]}; they must sum to {1 << PROB_BITS}"
            raise WeightsError(message)
    return CdfTables.from_rows([row.astype(np.uint32) for row in rows])


def to_tensors(model: EntropyModel) -> dict[str, NDArray[Any]]:
    """The integer tensors of a weights file, all named `int.*`."""
    tensors: dict[str, NDArray[Any]] = {"int.z_table": model.z_table}
    for number, layer in enumerate(model.layers):
        tensors[f"int.h_scale.{number}.weight"] = layer.weight
        tensors[f"int.h_scale.{number}.bias"] = _narrowed(layer.bias)
    return tensors | tables_to_tensors("int.y", model.y_tables) | tables_to_tensors("int.z", model.z_tables)


def _narrowed(bias: NDArray[np.int32]) -> NDArray[np.int16] | NDArray[np.int32]:
    """The biases as int16 where all of them fit: they are two fifths of the integer part."""
    narrow = bias.astype(np.int16)
    return narrow if np.array_equal(narrow, bias) else bias


def _widened(bias: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `_narrowed`; what is of another type stays, for the check of the layers to refuse."""
    return bias.astype(np.int32) if bias.dtype == np.int16 else bias


def from_tensors(tensors: Mapping[str, NDArray[Any]]) -> EntropyModel:
    """Build and check the integer part. Raises WeightsError naming what is missing or out of bounds."""
    numbers = range(len(LAYER_FORMATS))
    try:
        layers = make_layers(
            [tensors[f"int.h_scale.{n}.weight"] for n in numbers],
            [_widened(tensors[f"int.h_scale.{n}.bias"]) for n in numbers],
        )
        z_table = tensors["int.z_table"]
        y_tables, z_tables = tables_from_tensors("int.y", tensors), tables_from_tensors("int.z", tensors)
    except KeyError as error:
        message = f"weights file has no tensor {error}"
        raise WeightsError(message) from error
    if z_table.dtype != np.uint8 or z_table.ndim != 2 or int(z_table.max(initial=0)) >= SCALE_INDICES:
        shown = f"{z_table.dtype} {z_table.shape} up to {z_table.max(initial=0)}"
        message = f"int.z_table is {shown}; it must be uint8 below {SCALE_INDICES}"
        raise WeightsError(message)
    return EntropyModel(layers, y_tables, z_tables, z_table)
