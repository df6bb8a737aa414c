"""Latent integers <-> the payload of a file. No torch: the entropy path can be run and checked without networks.

One rANS stream holds two segments: z_hat, channel by channel, then r at every place whose scale index isn't 0, in the
order [M, H/16, W/16]. A value beyond its table is coded as the table's last symbol of its sign and put in the outlier
list by its position among all coded symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from vaecodec.container import pack_outliers, parse_outliers
from vaecodec.entropy.coded import CodedImage, bad_outlier
from vaecodec.entropy.model import EntropyModel
from vaecodec.entropy.quantize import to_symbols, to_values
from vaecodec.errors import CodingError, CorruptStream
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import IntegerLayer, scale_index
from vaecodec.rans import bits_of, choice, choose_lanes, total_cost
from vaecodec.rans.choice import RansCoder
from vaecodec.rans.tables import CdfTables

R_LIMIT = 1 << 20
"""|r| stays below this: far beyond what any image gives, and exact in float32."""

MAX_LANES_LOG2 = 13

CHUNK = 1 << 17
"""Places that are turned into symbols, or back, at once: few enough for the cache."""

MAX_BITS_PER_BYTE = 17
"""Ideal content that a byte of payload can stand for at most: what a claimed size must be paid with.

A rANS step takes the state x = q * f + s (q >= 1) to at least x * (2^16 + f) / (2 * f) >= x * sqrt(2^16 / f), half of
the symbol's ideal bits (means, arithmetic and geometric); a word takes 16 bits out of the state, and at most one more
by its rounding. So two bytes hold at most 2 * 17 bits, and the four bytes of a lane's state less.
"""


IndexOf = Callable[[NDArray[np.int8], int, Sequence[IntegerLayer]], NDArray[np.uint8]]


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

    @classmethod
    def of(cls, image: CodedImage) -> CodedLatents:
        """The contents of the sections of a file."""
        outliers = pack_outliers(image.outlier_positions, image.outlier_values)
        return cls(bytes([image.lanes.bit_length() - 1]) + image.payload, outliers, image.information)


@dataclass(frozen=True)
class StoredLatents:
    """What a file says of its latents: level 0..63, z_shape = (H/64, W/64) of the padded image, and two sections."""

    level: int
    z_shape: tuple[int, int]
    payload: bytes
    outliers: bytes

    def symbols_at_most(self, model: EntropyModel) -> int:
        """All of z and of y; those of y whose scale index is 0 are not coded."""
        return (model.N + 16 * model.M) * self.z_shape[0] * self.z_shape[1]

    def open(self, model: EntropyModel) -> CodedImage:
        """What a coder decodes. Raises FormatError for what can be seen before that."""
        payload = self.payload
        if not payload or payload[0] > MAX_LANES_LOG2:
            message = f"lanes: log2 is {payload[0] if payload else 'absent'}; it must be 0..{MAX_LANES_LOG2}"
            raise CorruptStream(message)
        _check_paid(model, self.level, self.z_shape, payload)
        positions, values = parse_outliers(self.outliers, self.symbols_at_most(model))
        return CodedImage(1 << payload[0], payload[1:], positions, values)


@dataclass(frozen=True)
class _Segment:
    symbols: NDArray[np.uint16]
    index: NDArray[np.uint8]
    tables: CdfTables
    outlier_at: NDArray[np.int64]
    outlier_values: NDArray[np.int32]
    cost: int


def _segment(values: NDArray[np.int32], index: NDArray[np.uint8], tables: CdfTables) -> _Segment:
    largest = ((tables.sizes - 1) // 2).astype(np.int32)[index]
    clipped = np.clip(values, -largest, largest)
    outlier_at = np.flatnonzero(clipped != values)
    symbols = to_symbols(clipped).astype(np.uint16)
    return _Segment(symbols, index, tables, outlier_at, values[outlier_at], total_cost(symbols, index, tables))


def _coded_segment(
    values: NDArray[np.int32], index: NDArray[np.uint8], tables: CdfTables, coder: RansCoder
) -> _Segment:
    """The segment of all values whose index isn't 0."""
    loops = _compiled(coder)
    if loops is not None:
        coded, of_them, outlier_at, outlier_values, cost = loops.to_symbols(values, index, tables)
        return _Segment(coded, of_them, tables, outlier_at, outlier_values, cost)
    count = int(np.count_nonzero(index))
    symbols, kept = np.empty(count, np.uint16), np.empty(count, np.uint8)
    parts, starts, cost = [], [], 0
    for place, coded, at in _chunks(index):
        part = _segment(values[place][coded], index[place][coded], tables)
        symbols[at : at + len(part.symbols)], kept[at : at + len(part.symbols)] = part.symbols, part.index
        if len(part.outlier_at):
            parts.append(part)
            starts.append(part.outlier_at + at)
        cost += part.cost
    outlier_at = np.concatenate([np.empty(0, np.int64), *starts])
    outlier_values = np.concatenate([np.empty(0, np.int32), *(part.outlier_values for part in parts)])
    return _Segment(symbols, kept, tables, outlier_at, outlier_values, cost)


def _compiled(coder: RansCoder) -> ModuleType | None:
    """The loops that numba has compiled, where the coder has loaded it; else NumPy does the same."""
    if not coder.is_compiled:
        return None
    from vaecodec.entropy import compiled

    return compiled


def _chunks(index: NDArray[np.uint8]) -> Iterator[tuple[slice, NDArray[np.bool_], int]]:
    """Parts of a flat index that stay in the cache: the place, where it is coded, how many are coded before it."""
    before = 0
    for start in range(0, len(index), CHUNK):
        place = slice(start, start + CHUNK)
        coded = index[place] > 0
        yield place, coded, before
        before += int(np.count_nonzero(coded))


def encode_latents(
    model: EntropyModel,
    latents: Latents,
    index: NDArray[np.uint8],
    *,
    lanes: int | None = None,
    coder: RansCoder = choice.AUTO,
) -> CodedLatents:
    """Code `latents`; `index` uint8 [M, 4h, 4w] is `scale_index` of z_hat, and r is 0 wherever it is 0.

    lanes: a power of two, 1..8192; default: as many as cost next to nothing. Raises CodingError for what
    `decode_latents` would refuse.
    """
    check_r(latents.r)
    z_index = model.z_index(latents.level, *latents.z_hat.shape[1:]).ravel()
    z = _segment(latents.z_hat.astype(np.int32).ravel(), z_index, model.z_tables)
    y = _coded_segment(latents.r.reshape(-1), index.reshape(-1), model.y_tables, coder)
    cost = z.cost + y.cost
    lanes = choose_lanes(cost) if lanes is None else lanes
    stream = coder.encode([(s.symbols, s.index, s.tables) for s in (z, y)], lanes)
    positions = np.concatenate([z.outlier_at, y.outlier_at + len(z.symbols)]).tolist()
    values = [*z.outlier_values.tolist(), *y.outlier_values.tolist()]
    return CodedLatents.of(CodedImage(lanes, stream, positions, values, bits_of(cost)))


def check_r(r: NDArray[np.number]) -> None:
    """Raise CodingError, naming the place, unless all of r [M, h, w] is finite and |r| below 2^20."""
    if r.size == 0 or (r.min() > -R_LIMIT and r.max() < R_LIMIT):  # a NaN is neither
        return
    bad = ~((r > -R_LIMIT) & (r < R_LIMIT))
    place = tuple(int(at) for at in np.argwhere(bad)[0])
    message = (
        f"r is {r[place]} at channel {place[0]}, row {place[1]}, column {place[2]} of the latents; |r| must be below "
        f"{R_LIMIT}: the networks cannot code this image"
    )
    raise CodingError(message)


def check_finite(name: str, values: NDArray[np.floating]) -> None:
    """Raise CodingError, naming the place, unless all values are finite."""
    if values.size == 0 or (values.min() > -np.inf and values.max() < np.inf):  # a NaN is neither
        return
    place = tuple(int(at) for at in np.argwhere(~np.isfinite(values))[0])
    message = f"{name} is {values[place]} at {place}; it must be finite: the networks cannot code this image"
    raise CodingError(message)


def decode_latents(
    model: EntropyModel,
    stored: StoredLatents,
    *,
    index_of: IndexOf = scale_index,
    coder: RansCoder = choice.AUTO,
) -> Latents:
    """The latents of a file. index_of: `scale_index` or its equal. Raises FormatError (CorruptStream, Truncated)."""
    reader = LatentsReader(model, stored, coder)
    return reader.finish(index_of(reader.z_hat, stored.level, model.layers))


class LatentsReader:
    """The latents of a file halfway: z_hat int8 [N, h, w] is decoded, r waits for the scale index of it."""

    def __init__(self, model: EntropyModel, stored: StoredLatents, coder: RansCoder) -> None:
        """Raises FormatError (CorruptStream, Truncated)."""
        image = stored.open(model)
        self._model, self._level, self._coder = model, stored.level, coder
        self._decoder = coder.decoder(image.payload, image.lanes, stored.symbols_at_most(model))
        z_index = model.z_index(stored.level, *stored.z_shape)
        z = to_values(self._decoder.decode(z_index.ravel(), model.z_tables))
        positions = np.array(image.outlier_positions, np.int64)
        true_values = np.array(image.outlier_values, np.int64)
        of_z = positions < z.size
        _apply(z, positions[of_z], true_values[of_z])
        if z.size and (int(z.min()) < Z_MIN or int(z.max()) > Z_MAX):
            message = f"z_hat reaches {z.min()}..{z.max()}; it must be {Z_MIN}..{Z_MAX}"
            raise CorruptStream(message)
        self._outliers = positions[~of_z] - z.size, true_values[~of_z]
        self.z_hat = z.astype(np.int8).reshape(z_index.shape)

    def finish(self, index: NDArray[np.uint8]) -> Latents:
        """The latents. index: `scale_index` of z_hat. Raises FormatError (CorruptStream, Truncated)."""
        symbols = self._decoder.decode(_coded(index, self._coder), self._model.y_tables)
        self._decoder.finish()
        return Latents(self._level, self.z_hat, _to_r(symbols, index, *self._outliers, self._coder))


def _coded(index: NDArray[np.uint8], coder: RansCoder) -> NDArray[np.uint8]:
    """The indices that are not 0."""
    loops = _compiled(coder)
    coded: NDArray[np.uint8] = index[index > 0] if loops is None else loops.coded(index)
    return coded


def _to_r(
    symbols: NDArray[np.uint16],
    index: NDArray[np.uint8],
    positions: NDArray[np.int64],
    true_values: NDArray[np.int64],
    coder: RansCoder,
) -> NDArray[np.int32]:
    """Symbols of all places whose index isn't 0, and outliers by their position among them -> r, shaped as index."""
    _check_outliers(symbols.size, positions, true_values)
    loops = _compiled(coder)
    if loops is not None:
        compiled: NDArray[np.int32] = loops.to_values(symbols, index, positions, true_values)
        return compiled
    r = np.zeros(index.size, np.int32)
    for place, coded, at in _chunks(index.reshape(-1)):
        values = to_values(symbols[at : at + int(np.count_nonzero(coded))])
        first, last = np.searchsorted(positions, (at, at + len(values)))
        values[positions[first:last] - at] = true_values[first:last]
        r[place][coded] = values
    return r.reshape(index.shape)


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
    _check_outliers(values.size, positions, true_values)
    values[positions] = true_values


def _check_outliers(size: int, positions: NDArray[np.int64], true_values: NDArray[np.int64]) -> None:
    bad = (positions >= size) | (np.abs(true_values) >= R_LIMIT)
    if bad.any():
        at = int(np.argmax(bad))
        raise bad_outlier(int(true_values[at]), int(positions[at]), size, R_LIMIT)
