"""Samples: integers drawn from the priors instead of coded with them. What the model believes of images, as images.

The prior of z is a table per channel, that of r a table per place, chosen by the scale index; both are those of the
entropy coder, so a sample of temperature 1 is what random bits decode to. A temperature T raises probabilities to
1 / T: below 1 samples stay closer to what is likeliest, at 0 they are it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vaecodec.arguments import check_real
from vaecodec.entropy.coding import Latents
from vaecodec.entropy.model import EntropyModel
from vaecodec.entropy.quantize import to_values
from vaecodec.errors import InputError
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import check_level
from vaecodec.rans.tables import CdfTables
from vaecodec.runtime.windows import z_shape

MOST_TEMPERATURE = 4.0


def draw(
    model: EntropyModel, size: tuple[int, int], level: int, rng: np.random.Generator, temperature: float = 1.0
) -> Latents:
    """Latents of an image of `size` (width, height) from both priors.

    Raises InputError for a level beyond 0..63 or a temperature beyond 0..4.
    """
    index = model.z_index(check_level(level), *z_shape(size[1], size[0]))
    z = to_values(_symbols(model.z_tables, index, rng, check_temperature(temperature)))
    z_hat = z.clip(Z_MIN, Z_MAX).astype(np.int8)
    return redraw(model, Latents(level, z_hat, np.empty((0, 0, 0), np.int32)), rng, temperature)


def redraw(
    model: EntropyModel, latents: Latents, rng: np.random.Generator, temperature: float = 1.0, share: float = 1.0
) -> Latents:
    """Latents with r drawn anew from its prior, wherever it is coded, and z_hat kept.

    share: of the places that are drawn anew, 0..1; the others keep their r. Raises InputError as `draw`.
    """
    temperature, share = check_temperature(temperature), check_real("share", share)
    if not 0 <= share <= 1:
        message = f"share is {share}; it must be 0..1"
        raise InputError(message)
    index = scale_index(latents.z_hat, latents.level, model.layers)
    r = to_values(_symbols(model.y_tables, index, rng, temperature)) * (index > 0)
    if share < 1:
        r = np.where(rng.random(index.shape[1:]) < share, r, latents.r)
    return replace(latents, r=np.ascontiguousarray(r, np.int32))


def check_temperature(temperature: float) -> float:
    """The temperature itself. Raises InputError beyond 0..4."""
    value = check_real("temperature", temperature)
    if not (math.isfinite(value) and 0 <= value <= MOST_TEMPERATURE):
        message = f"temperature is {temperature}; it must be 0..{MOST_TEMPERATURE:g}"
        raise InputError(message)
    return float(value)


def _symbols(
    tables: CdfTables, index: NDArray[np.uint8], rng: np.random.Generator, temperature: float
) -> NDArray[np.int32]:
    """A symbol for each place, from the table of its index."""
    symbols = np.zeros(index.shape, np.int32)
    if temperature == 0:
        likeliest = np.array([int(np.argmin(bits)) for bits in tables.bits], np.int32)
        return likeliest[index]
    for table in np.unique(index):
        weights = np.exp2(-tables.bits[table, : tables.sizes[table]] / temperature)
        cumulated = np.cumsum(weights)
        place = index == table
        drawn = rng.random(int(place.sum())) * cumulated[-1]
        symbols[place] = np.minimum(np.searchsorted(cumulated, drawn, side="right"), tables.sizes[table] - 1)
    return symbols
