"""The integer path on a GPU, for batches of images of equal size: scale network, compaction, rANS.

The twin of `entropy.coding`: equal files, byte for byte.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaecodec.entropy.coded import CodedImage, outlier_error
from vaecodec.errors import BackendError, CorruptStream, FormatError, InputError, Truncated
from vaecodec.gpu import kernels_missing
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import SHUFFLED_LAYERS, IntegerLayer
from vaecodec.rans import bits_of, choose_lanes
from vaecodec.rans.lanes import GROUP_LANES, WORD_BYTES, group_bounds
from vaecodec.rans.tables import PROB_BITS, CdfTables
from vaecodec_kernels import intnet, tables
from vaecodec_kernels.compaction import Coded, Order, coding_order, gather, scatter
from vaecodec_kernels.estimate import estimate_bits
from vaecodec_kernels.launch import upload
from vaecodec_kernels.planes import Planes
from vaecodec_kernels.rans import RansDecoder as KernelDecoder
from vaecodec_kernels.rans import Segment as KernelSegment
from vaecodec_kernels.rans import Status, rans_encode
from vaecodec_kernels.tables import DeviceTables

UINT8_OFFSET = 128
"""int8 units multiply int8: uint8 activations are stored less 128."""


@dataclass(frozen=True)
class DecodedBatch:
    """z_hat int8 [B, N, h, w], r int32 and index uint8 [B, M, 4h, 4w] on the GPU, where they may still be on their way.

    What belongs to an image with an error is undefined, but whole: any of it may go through the networks.
    """

    z_hat: Tensor
    r: Tensor
    index: Tensor
    find_errors: Callable[[], list[FormatError | None]]

    @functools.cached_property
    def errors(self) -> list[FormatError | None]:
        """For each image its error or None. Waits for the device, so ask when there is nothing more to start."""
        return self.find_errors()


@dataclass(frozen=True)
class PreparedBatch:
    """What is to be coded, gathered on the GPU. numbers, on the host, for each image: cost, coded z, coded y, outliers
    of z, outliers of y."""

    z: Coded
    y: Coded
    numbers: list[list[int]]

    @functools.cached_property
    def lanes(self) -> list[int]:
        """The lanes of each image."""
        return [choose_lanes(row[0]) for row in self.numbers]


class GpuCoder:
    """The integer path on a GPU: scale network and entropy coder for batches of images of equal size.

    Files are equal, byte for byte, to those of the CPU coder. Encoding waits for the device twice (sizes, then bytes),
    decoding not before its errors are asked for.
    """

    def __init__(
        self,
        layers: Sequence[IntegerLayer],
        y_tables: CdfTables,
        z_tables: CdfTables,
        z_table: NDArray[np.uint8],
        device: torch.device,
    ) -> None:
        """z_table uint8 [levels, N]: table of each z channel. Raises BackendError where kernels can't run."""
        problem = kernels_missing(device)
        if problem is not None:
            raise BackendError(problem)

        def on_device(t: CdfTables) -> DeviceTables:
            cdf, sizes = torch.from_numpy(t.quantized_cdf.astype(np.int32)), torch.from_numpy(t.sizes.copy())
            return tables.make_tables(cdf, sizes, torch.from_numpy(t.costs.copy()), PROB_BITS, device)

        self.device = device
        self._y_tables, self._z_tables = on_device(y_tables), on_device(z_tables)
        self._z_table = torch.from_numpy(z_table.copy()).to(device)
        self._layers = [
            intnet.make_layer(
                torch.from_numpy(layer.weight.copy()),
                torch.from_numpy(layer.bias.copy()),
                shift=layer.form.shift,
                output_max=layer.form.output_max,
                offset=UINT8_OFFSET if number else 0,
                shuffle=number in SHUFFLED_LAYERS,
                device=device,
            )
            for number, layer in enumerate(layers)
        ]

    def scale_index(self, z_hat: Tensor, levels: Sequence[int]) -> Tensor:
        """z_hat int8 [B, N, h, w] -> scale index uint8 [B, M, 4h, 4w] in channels-last memory."""

        return intnet.run_network(self._layers, z_hat, levels)

    def _z_order(self, levels: Sequence[int], height: int, width: int) -> Order:

        rows = self._z_table[upload(list(levels), torch.int64, self._z_table)]
        index = rows[:, :, None, None].expand(-1, -1, height, width).contiguous()
        return coding_order(index, Planes.of(index), skip_zero=False)

    # Encoding

    def prepare(self, z_hat: Tensor, r: Tensor, index: Tensor, levels: Sequence[int]) -> PreparedBatch:
        """z_hat int8 [B, N, h, w]; r int32, index uint8 [B, M, 4h, 4w], contiguous or channels last; r is 0 where index
        is 0. Waits for the device."""

        z_order = self._z_order(levels, *z_hat.shape[2:])
        y_order = _y_order(index)
        z_values = z_hat.int().contiguous()
        y_values = r if r.stride() == index.stride() else torch.empty_like(index, dtype=torch.int32).copy_(r)
        z, y = gather(z_order, z_values, self._z_tables), gather(y_order, y_values, self._y_tables)
        costs = _costs(z_order, z_values, self._z_tables) + _costs(y_order, y_values, self._y_tables)
        columns = [costs, z.counts, y.counts, z.outlier_counts.long(), y.outlier_counts.long()]
        return PreparedBatch(z, y, torch.stack(columns, 1).tolist())  # waits for the device

    def write(self, batch: PreparedBatch) -> list[CodedImage]:
        """The streams of a batch. Waits for the device."""

        z, y, numbers = batch.z, batch.y, batch.numbers
        segments = [
            KernelSegment(part.symbols, part.index, part.offsets, part.counts, tables, [row[column] for row in numbers])
            for part, tables, column in ((z, self._z_tables, 1), (y, self._y_tables, 2))
        ]
        coded = rans_encode(segments, batch.lanes, group_lanes=GROUP_LANES)
        sizes = torch.cat([coded.begins, coded.status.long()]).tolist()  # waits for the device
        begins, status = sizes[: len(numbers) + 1], sizes[len(numbers) + 1 :]
        for b, problem in enumerate(status):
            if problem:
                message = f"image {b} of the batch: {Status(problem).name} while encoding"
                raise InputError(message)
        data = coded.payload[: begins[-1]].cpu().numpy().tobytes()
        z_listed, y_listed = z.outliers([row[3] for row in numbers]), y.outliers([row[4] for row in numbers])
        images = []
        for b, (cost, z_count, *_) in enumerate(numbers):
            positions = z_listed[b][0] + [at + z_count for at in y_listed[b][0]]
            payload = data[WORD_BYTES * begins[b] : WORD_BYTES * begins[b + 1]]
            values = z_listed[b][1] + y_listed[b][1]
            images.append(CodedImage(batch.lanes[b], payload, positions, values, bits_of(cost)))
        return images

    def encode(self, z_hat: Tensor, r: Tensor, index: Tensor, levels: Sequence[int]) -> list[CodedImage]:
        """`prepare` and `write`."""
        return self.write(self.prepare(z_hat, r, index, levels))

    # Decoding

    def decode(
        self, images: Sequence[CodedImage], levels: Sequence[int], z_shape: tuple[int, int], value_limit: int
    ) -> DecodedBatch:
        """The inverse of `encode`: z_shape = (h, w) of z; outliers must stay below `value_limit` in magnitude.

        Never waits for the device; the result's `errors` do, once.
        """

        stream = _Stream.open(images, self.device)
        z_order = self._z_order(levels, *z_shape)
        z_count = z_order.planes.sizes[0]
        z = gather(z_order, None, self._z_tables)
        z_symbols = stream.decode(z, self._z_tables, z_count, last=False)
        z_status = stream.decoder.status.long()
        values = torch.empty_like(z_order.index, dtype=torch.int32)
        scatter(z_order, stream.with_outliers(z_symbols, z_count, first=0, limit=value_limit), values)
        z_bad = ((values < Z_MIN) | (values > Z_MAX)).flatten(1).any(1)
        z_hat = values.clamp(Z_MIN, Z_MAX).to(torch.int8)
        index = self.scale_index(z_hat, levels)
        y_order = _y_order(index)
        y_count = y_order.planes.sizes[0]
        y = gather(y_order, None, self._y_tables)
        y_symbols = stream.decode(y, self._y_tables, y_count, last=True)
        r = torch.empty_like(index, dtype=torch.int32)
        scatter(y_order, stream.with_outliers(y_symbols, y_count, first=z_count, limit=value_limit), r)
        numbers = torch.stack([z_status, z_bad.long(), stream.decoder.status.long(), z_count + y.counts], 1)
        return DecodedBatch(z_hat, r, index, lambda: stream.errors(numbers.tolist(), value_limit))


def _y_order(index: Tensor) -> Order:

    return coding_order(index, Planes.of(index))


def _costs(order: Order, values: Tensor, tables: DeviceTables) -> Tensor:
    """Cost of the coded values of each image, int64 [B]; values are laid out like the index."""

    planes, total = order.planes, (order.planes.total,)
    flat, index = values.as_strided(total, (1,)), order.index.as_strided(total, (1,))
    skip_zero = order.first_coded > 0
    return estimate_bits(flat, index, planes.bounds, tables, most=max(planes.sizes), skip_zero=skip_zero)


@dataclass(frozen=True)
class _Stream:
    """The payloads of a batch on their way through the decoder. early: errors found before anything was decoded."""

    images: Sequence[CodedImage]
    decoder: KernelDecoder
    early: list[FormatError | None]

    @classmethod
    def open(cls, images: Sequence[CodedImage], device: torch.device) -> _Stream:

        words: list[NDArray[np.int16]] = []
        starts, ends, lanes, at = [], [], [], 0
        early: list[FormatError | None] = []
        for image in images:
            payload, count = image.payload, image.lanes
            try:
                bounds = group_bounds(payload, count)
                early.append(None)
            except FormatError as error:  # the image's place is kept by a stream of one idle lane
                payload, count = b"\0\0\1\0", 1
                bounds = group_bounds(payload, count)
                early.append(error)
            words.append(np.frombuffer(payload, "<i2"))
            starts += [at + start for start in bounds[0]]
            ends += [at + end for end in bounds[1]]
            lanes.append(count)
            at += len(words[-1])
        joined = torch.from_numpy(np.concatenate(words))
        uploaded = joined.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else joined
        return cls(images, KernelDecoder(uploaded, starts, ends, lanes, GROUP_LANES), early)

    def decode(self, part: Coded, tables: DeviceTables, most: int, *, last: bool) -> Tensor:
        """The next segment's symbols, int16, packed as `part` says."""

        # Places beyond an image's coded symbols stay 0.
        symbols = torch.zeros(part.index.shape, dtype=torch.int16, device=part.index.device)
        counts = [most] * len(self.images)
        self.decoder.decode(KernelSegment(symbols, part.index, part.offsets, part.counts, tables, counts), last=last)
        return symbols

    def with_outliers(self, symbols: Tensor, room: int, *, first: int, limit: int) -> Tensor:
        """Symbols, or where an image has outliers among them: signed values with these in place.

        An image's part of the packed buffer has `room` elements, and its first element is number `first`.
        """

        places, values = [], []
        for b, image in enumerate(self.images):
            for at, value in zip(image.outlier_positions, image.outlier_values, strict=True):
                if first <= at < first + room and abs(value) < limit:
                    places.append(b * room + at - first)
                    values.append(value)
        if not places:
            return symbols
        wide = symbols.int()
        signed = torch.where(wide & 1 == 1, (wide + 1) >> 1, -(wide >> 1))
        signed[upload(places, torch.int64, symbols)] = upload(values, torch.int32, symbols)
        return signed

    def errors(self, numbers: list[list[int]], limit: int) -> list[FormatError | None]:
        """numbers: status after z, whether z_hat is out of range, status after y, coded symbols, for each image."""
        errors = []
        for image, early, (z_status, z_bad, status, count) in zip(self.images, self.early, numbers, strict=True):
            errors.append(early or outlier_error(image, count, limit) or _stream_error(z_status, bool(z_bad), status))
        return errors


def _stream_error(z_status: int, z_bad: bool, status: int) -> FormatError | None:

    if z_bad and z_status == Status.OK:
        return CorruptStream(f"z_hat leaves {Z_MIN}..{Z_MAX}")
    if status == Status.WORDS_MISSING:
        return Truncated("rANS: the words of a lane group end in the middle of the symbols")
    if status != Status.OK:
        return CorruptStream(f"rANS: {Status(status).name} at the end of the stream; no word or state may be left")
    return None
