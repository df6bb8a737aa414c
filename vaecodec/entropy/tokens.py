"""The integers of a file as one array, for programs that learn from them: int16 [h, w, N + 16 M].

One row for each cell of 64 x 64 pixels, cells row by row: first the N channels of z_hat, then r of the cell's 16
positions of y (16 x 16 pixels each), row by row, the M channels of a position side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.coding import R_LIMIT, Latents
from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import InputError, InputTypeError
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import GROWTH

_LEAST, _MOST = np.iinfo(np.int16).min, np.iinfo(np.int16).max


def to_tokens(latents: Latents) -> NDArray[np.int16]:
    """The tokens of latents. Raises InputError for an r beyond int16, which no photograph has."""
    r = latents.r
    if r.size and not (r.min() >= _LEAST and r.max() <= _MOST):
        message = f"r reaches {r.min()}..{r.max()}; tokens hold {_LEAST}..{_MOST}"
        raise InputError(message)
    h, w = latents.z_hat.shape[1:]
    # [M, 4h, 4w] -> [h, w, 4, 4, M]
    cells = r.reshape(len(r), h, GROWTH, w, GROWTH).transpose(1, 3, 2, 4, 0).reshape(h, w, -1)
    return np.concatenate([latents.z_hat.transpose(1, 2, 0).astype(np.int16), cells.astype(np.int16)], axis=2)


def from_tokens(tokens: NDArray[np.integer], level: int, model: EntropyModel) -> Latents:
    """The latents of tokens; the inverse of `to_tokens`.

    Raises InputTypeError for what is no array of integers, InputError for another shape, a z_hat beyond int8 or an r
    that no coder takes.
    """
    if not isinstance(tokens, np.ndarray) or not np.issubdtype(tokens.dtype, np.integer):
        shown = tokens.dtype if isinstance(tokens, np.ndarray) else type(tokens).__name__
        message = f"tokens are {shown}; they must be an array of integers"
        raise InputTypeError(message)
    each = model.N + GROWTH**2 * model.M
    if tokens.ndim != 3 or tokens.shape[2] != each:
        message = f"tokens have shape {tokens.shape}; this model's are [h, w, {each}]"
        raise InputError(message)
    z, cells = tokens[..., : model.N], tokens[..., model.N :]
    if z.size and not (z.min() >= Z_MIN and z.max() <= Z_MAX):
        message = f"z_hat reaches {z.min()}..{z.max()}; it must be {Z_MIN}..{Z_MAX}"
        raise InputError(message)
    if cells.size and not (cells.min() > -R_LIMIT and cells.max() < R_LIMIT):
        message = f"r reaches {cells.min()}..{cells.max()}; it must be above -{R_LIMIT} and below {R_LIMIT}"
        raise InputError(message)
    h, w = tokens.shape[:2]
    # [h, w, 4, 4, M] -> [M, 4h, 4w]
    r = cells.reshape(h, w, GROWTH, GROWTH, model.M).transpose(4, 0, 2, 1, 3).reshape(model.M, GROWTH * h, GROWTH * w)
    z_hat = np.ascontiguousarray(z.transpose(2, 0, 1), np.int8)
    return Latents(level, z_hat, np.ascontiguousarray(r, np.int32))
