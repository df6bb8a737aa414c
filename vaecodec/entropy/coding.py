"""Latent integers <-> the payload of a file. No torch: the entropy path can be run and checked without networks.

One rANS stream holds two segments: z_hat, channel by channel, then r at every place whose scale index isn't 0, in the
order [M, H/16, W/16]. A value beyond its table is coded as the table's last symbol of its sign and put in the outlier
list by its position among all coded symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaecodec import backend
from vaecodec.container import pack_outliers, parse_outliers
from vaecodec.entropy.model import EntropyModel
from vaecodec.entropy.quantize import to_symbols, to_values
from vaecodec.errors import CorruptStream
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import scale_index
from vaecodec.rans import choose_lanes, information
from vaecodec.rans.tables import CdfTables

R_LIMIT = 1 << 20
"""|r| stays below this: far beyond what any image gives, and exact in float32."""

MAX_LANES_LOG2 = 13

MAX_BITS_PER_BYTE = 17
"""Ideal content that a byte of payload can stand for at most: what a claimed size must be paid with.

A rANS step takes the state x = q * f + s (q >= 1) to at least x * (2^16 + f) / (2 * f) >= x * sqrt(2^16 / f), half of
the symbol's ideal bits (means, arithmetic and geometric); a word takes 16 bits out of the state, and at most one more
by its rounding. So two bytes hold at most 2 * 17 bits, and the four bytes of a lane's state less.
"""


@dataclass(frozen=True)
class Latents:
    """The decoded integers of a file: level 0..63, z_hat int8 [N, h, w], r int32 [M, 4h, 4w] (0 where not coded)."""

    level: int
    z_hat: NDArray[np.int8]
    r: NDArray[np.int32]


@dataclass(frozen=True)
class CodedLatents:
    """`payload` (lane byte and rANS stream), `outliers` (may be empty), and the ideal content in bits."""

    payload: bytes
    outliers: bytes
    information: float


@dataclass(frozen=True)
class _Segment:
    symbols: NDArray[np.uint16]
    index: NDArray[np.uint8]
    tables: CdfTables
    outlier_at: NDArray[np.int64]
    outlier_values: NDArray[np.int32]


def _segment(values: NDArray[np.int32], index: NDArray[np.uint8], tables: CdfTables) -> _Segment:
    largest = ((tables.sizes - 1) // 2).astype(np.int32)[index]
    clipped = np.clip(values, -largest, largest)
    outlier_at = np.flatnonzero(clipped != values)
    return _Segment(to_symbols(clipped).astype(np.uint16), index, tables, outlier_at, values[outlier_at])


def encode_latents(
    model: EntropyModel, latents: Latents, index: NDArray[np.uint8], *, lanes: int | None = None
) -> CodedLatents:
    """Code `latents`; `index` uint8 [M, 4h, 4w] is `scale_index` of z_hat, and r is 0 wherever it is 0.

    lanes: a power of two, 1..8192; default: as many as cost next to nothing.
    """
    z_index = model.z_index(latents.level, *latents.z_hat.shape[1:]).ravel()
    z = _segment(latents.z_hat.astype(np.int32).ravel(), z_index, model.z_tables)
    coded = index > 0
    y = _segment(latents.r[coded], index[coded], model.y_tables)
    bits = sum(information(s.symbols, s.index, s.tables) for s in (z, y))
    lanes = choose_lanes(bits) if lanes is None else lanes
    stream = backend.rans_encode([(s.symbols, s.index, s.tables) for s in (z, y)], lanes)
    positions = np.concatenate([z.outlier_at, y.outlier_at + len(z.symbols)])
    outliers = pack_outliers(positions.tolist(), [*z.outlier_values.tolist(), *y.outlier_values.tolist()])
    return CodedLatents(bytes([lanes.bit_length() - 1]) + stream, outliers if len(positions) else b"", bits)


def decode_latents(
    model: EntropyModel, level: int, z_shape: tuple[int, int], payload: bytes, outliers: bytes
) -> Latents:
    """The inverse: z_shape = (H/64, W/64) of the padded image. Raises FormatError (CorruptStream, Truncated)."""
    if not payload or payload[0] > MAX_LANES_LOG2:
        message = f"lanes: log2 is {payload[0] if payload else 'absent'}; legal is 0..{MAX_LANES_LOG2}"
        raise CorruptStream(message)
    _check_paid(model, level, z_shape, payload)
    decoder = backend.rans_decoder(payload[1:], 1 << payload[0])
    z_index = model.z_index(level, *z_shape)
    z = to_values(decoder.decode(z_index.ravel(), model.z_tables))
    symbols_at_most = z.size + 16 * model.M * z_shape[0] * z_shape[1]
    listed = np.array(parse_outliers(outliers, symbols_at_most), np.int64).reshape(-1, 2)
    positions, true_values = listed[:, 0], listed[:, 1]
    of_z = positions < z.size
    _apply(z, positions[of_z], true_values[of_z])
    if z.size and (int(z.min()) < Z_MIN or int(z.max()) > Z_MAX):
        message = f"z_hat reaches {z.min()}..{z.max()}; legal is {Z_MIN}..{Z_MAX}"
        raise CorruptStream(message)
    z_hat = z.astype(np.int8).reshape(z_index.shape)
    index = scale_index(z_hat, level, model.layers)
    coded = index > 0
    y = to_values(decoder.decode(index[coded], model.y_tables))
    decoder.finish()
    _apply(y, positions[~of_z] - z.size, true_values[~of_z])
    r = np.zeros(index.shape, np.int32)
    r[coded] = y
    return Latents(level, z_hat, r)


def _check_paid(model: EntropyModel, level: int, z_shape: tuple[int, int], payload: bytes) -> None:
    """Raises CorruptStream for a payload too short for its picture, before anything of the picture's size exists."""
    needed = model.least_z_bits(level) * z_shape[0] * z_shape[1]
    if needed > MAX_BITS_PER_BYTE * len(payload):
        message = (
            f"payload has {len(payload)} bytes; {z_shape[0]} x {z_shape[1]} positions of z "
            f"take at least {needed / MAX_BITS_PER_BYTE:.0f}"
        )
        raise CorruptStream(message)


def _apply(values: NDArray[np.int32], positions: NDArray[np.int64], true_values: NDArray[np.int64]) -> None:
    """Put the true values of outliers in place. A position or value out of range raises CorruptStream."""
    bad = (positions >= values.size) | (np.abs(true_values) >= R_LIMIT)
    if bad.any():
        at = int(np.argmax(bad))
        message = (
            f"outlier {true_values[at]} at {positions[at]}; "
            f"legal are positions below {values.size}, magnitudes below {R_LIMIT}"
        )
        raise CorruptStream(message)
    values[positions] = true_values
