"""The latents of an image without its pixels: what `Codec.latents` gives, and what `Codec.from_latents` takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec import container
from vaecodec.arguments import check_integer
from vaecodec.container import Header, Mode
from vaecodec.entropy.coding import Latents, check_r
from vaecodec.entropy.content import position_bits
from vaecodec.entropy.model import EntropyModel
from vaecodec.entropy.tokens import from_tokens, to_tokens
from vaecodec.errors import HashMismatch, InputError
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import GROWTH, scale_index
from vaecodec.levels import check_level
from vaecodec.runtime.interface import LoadedModel
from vaecodec.runtime.windows import Y_CELL, z_shape


@dataclass(frozen=True, eq=False)
class ImageLatents:
    """An image in the latent space of its model, before g_s. Arrays cover the image padded to whole cells of 64 pixels.

    header: size, mode, level and model of the file. integers: what the entropy coder codes, equal on every machine.
    y_hat: float32 [M, 4h, 4w], the means plus r divided by the gain; of one level of quality and another it differs by
    quantization only. A position is 16 x 16 pixels; h and w count cells of 64 x 64.
    """

    header: Header
    integers: Latents
    y_hat: NDArray[np.float32]
    entropy: EntropyModel

    @cached_property
    def scale_index(self) -> NDArray[np.uint8]:
        """Which table codes each r, uint8 [M, 4h, 4w]: 0 says that r is surely 0, 63 is the widest."""
        return scale_index(self.integers.z_hat, self.integers.level, self.entropy.layers)

    @cached_property
    def bits(self) -> NDArray[np.float32]:
        """Ideal bits of each position, float32 [4h, 4w], see `entropy.content`: -log2 of the prior's probability."""
        return position_bits(self.entropy, self.integers, self.scale_index)

    @property
    def tokens(self) -> NDArray[np.int16]:
        """All integers as int16 [h, w, N + 16 M], in the order that `entropy.tokens` says."""
        return to_tokens(self.integers)

    def inside(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array [..., 4h, 4w] without the positions that are padding only."""
        return array[..., : -(-self.header.height // Y_CELL), : -(-self.header.width // Y_CELL)]


def is_file(item: object) -> bool:
    """True for what `reading.read_data` reads, False for an image."""
    return isinstance(item, bytes | bytearray | memoryview | str | os.PathLike) or hasattr(item, "read")


def header_of(
    latents: ImageLatents | Latents, size: tuple[int, int] | None, model: LoadedModel, model_id: int
) -> Header:
    """The header of a file of latents. size: width and height, where latents do not say them.

    Raises HashMismatch for latents of another model, InputError for a missing or impossible size.
    """
    if isinstance(latents, ImageLatents):
        if size is not None:
            message = f"size is {size}; latents of an image have the size of their image"
            raise InputError(message)
        header = latents.header
        if header.model_hash != model.wire_hash:
            message = f"the latents are of weights {header.model_hash.hex()}; the codec has {model.wire_hash.hex()}"
            raise HashMismatch(message)
        mode, width, height = Mode.L if header.mode in (Mode.L, Mode.LA) else Mode.RGB, header.width, header.height
    else:
        if size is None:
            message = "size is None; it must be (width, height) for integers without an image"
            raise InputError(message)
        if not isinstance(size, tuple | list) or len(size) != 2:
            message = f"size is {size}; it must be (width, height)"
            raise InputError(message)
        mode, (width, height) = Mode.RGB, (check_integer("size", side) for side in size)
        container.check_size(width, height)
    level = check_level(latents.header.level if isinstance(latents, ImageLatents) else latents.level)
    return Header(model_id, model.wire_hash, level, mode, width, height)


def integers_of(
    latents: ImageLatents | Latents | NDArray[np.integer], level: int | None, entropy: EntropyModel
) -> ImageLatents | Latents:
    """Tokens as latents; latents as they are. Raises InputError where the level is missing or given twice."""
    if isinstance(latents, ImageLatents | Latents):
        if level is not None:
            message = f"level is {level}; latents have a level of their own, tokens need one"
            raise InputError(message)
        return latents
    if level is None:
        message = "level is None; tokens need the level 0..63 that they were made at"
        raise InputError(message)
    return from_tokens(latents, check_level(level), entropy)


def checked_index(latents: Latents, header: Header, entropy: EntropyModel) -> NDArray[np.uint8]:
    """The scale index of latents that fit a header and can be coded, uint8 [M, 4h, 4w]. Raises InputError, CodingError.

    r must be 0 wherever the scale index is 0: the decoder knows it to be 0 there.
    """
    h, w = z_shape(header.height, header.width)
    shapes = {"z_hat": (entropy.N, h, w), "r": (entropy.M, GROWTH * h, GROWTH * w)}
    for name, shape in shapes.items():
        values = getattr(latents, name)
        if values.shape != shape:
            message = f"{name} has shape {values.shape}; {header.width} x {header.height} pixels have {shape}"
            raise InputError(message)
    if not (int(latents.z_hat.min()) >= Z_MIN and int(latents.z_hat.max()) <= Z_MAX):
        message = f"z_hat reaches {latents.z_hat.min()}..{latents.z_hat.max()}; it must be {Z_MIN}..{Z_MAX}"
        raise InputError(message)
    check_r(latents.r)
    index = scale_index(latents.z_hat, latents.level, entropy.layers)
    uncoded = (index == 0) & (latents.r != 0)
    if uncoded.any():
        place = tuple(int(at) for at in np.argwhere(uncoded)[0])
        message = f"r is {latents.r[place]} at {place}, where the scale index is 0; it must be 0 there"
        raise InputError(message)
    return index
