"""Pixels -> latents and back on a CPU, one image after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vaecodec.collecting import or_error
from vaecodec.entropy.coding import (
    CodedLatents,
    Latents,
    LatentsReader,
    StoredLatents,
    check_finite,
    check_r,
    decode_latents,
    encode_latents,
)
from vaecodec.errors import FormatError
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import IntegerLayer, RunTile, scale_index, scale_indices
from vaecodec.networks.config import ALIGNMENT
from vaecodec.rans.choice import RansCoder
from vaecodec.runtime.cpu.kernels import Kernels, Pixels, Rows
from vaecodec.runtime.cpu.networks import PREVIEW_REDUCTION, Networks
from vaecodec.runtime.cpu.streaming import channels_first, channels_last, cut_rows
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.interface import dead_zone_widths, latents_one_by_one
from vaecodec.runtime.memory import Memory, Task
from vaecodec.runtime.windows import Y_CELL, Z_CELL, Region, Window, padded_size

_Value = TypeVar("_Value")

STACKED_CELLS = 256
"""Cells of 64 x 64 pixels in one pass over several small images: beyond it a call costs nothing beside its numbers."""


@dataclass(frozen=True)
class Quantized:
    """What goes into the files of a batch: for each image latents, the scale index uint8 [M, h, w] of every r, y_hat as
    rows [h, w, M], and whether it is of float32 because bfloat16 was not trusted: then its pixels are, too."""

    latents: list[Latents]
    indices: list[NDArray[np.uint8]]
    known: list[Rows]
    is_widened: list[bool]

    @property
    def y_hat(self) -> Rows:
        """What g_s makes the images of, [B, M, h, w]."""
        return np.stack([rows.transpose(2, 0, 1) for rows in self.known])

    def latents_of(self, number: int) -> Latents:
        """The integers of one image."""
        return self.latents[number]


class CpuPipeline:
    """`interface.Pipeline` in NumPy and numba: one image after the other. Safe to share between threads."""

    def __init__(
        self,
        weights: NetworkWeights,
        kernels: Kernels,
        coder: RansCoder,
        run_tile: RunTile,
        memory: Memory,
        *,
        narrow: bool,
    ) -> None:
        self._weights, self._kernels, self._coder, self._run_tile = weights, kernels, coder, run_tile
        self._memory, self._narrow = memory, narrow

    def _networks(self, level: int, height: int, width: int, task: Task, images: int = 1) -> Networks:
        band = self._memory.band_pixels(self._weights.config, height * width, task)
        return Networks(self._weights, self._kernels, level, narrow=self._narrow, band_pixels=band, images=images)

    # Encoding

    def quantize(self, pictures: Sequence[Pixels], level: int, *, dead_zone: float = 0.0) -> Quantized:
        """Compute what `Pipeline.quantize` says."""
        parts = [self._quantize(pixels, level, dead_zone) for pixels in pictures]
        return Quantized(*map(list, zip(*parts, strict=True)))

    def _quantize(self, pixels: Pixels, level: int, dead_zone: float) -> tuple[Latents, NDArray[np.uint8], Rows, bool]:
        """The parts of a `Quantized` for an image. Raises CodingError for what no decoder could read."""
        networks = self._networks(level, *padded_size(pixels), "encode")
        quantized = self._quantize_with(networks, pixels, level, dead_zone)
        if networks.is_steady:
            return *quantized, False
        del quantized
        return *self._quantize_with(networks.widened(), pixels, level, dead_zone), True

    def analyse(self, pixels: Pixels, level: int) -> Rows:
        """Compute what `Pipeline.analyse` says."""
        return np.moveaxis(self._networks(level, *padded_size(pixels), "feedback").analyse(pixels), 2, 0)

    def quantize_y(self, y: Rows, level: int, *, dead_zone: float = 0.0) -> Quantized:
        """Compute what `Pipeline.quantize_y` says."""
        rows = np.moveaxis(y, 0, 2)
        networks, is_widened = self._networks(level, Y_CELL * rows.shape[0], Y_CELL * rows.shape[1], "feedback"), False
        latents, index, y_hat = self._quantize_rows(networks, np.array(rows, order="C"), level, dead_zone)
        if not networks.is_steady:
            wide, is_widened = networks.widened(), True
            latents, index, y_hat = self._quantize_rows(wide, np.array(rows, order="C"), level, dead_zone)
        return Quantized([latents], [index], [y_hat], [is_widened])

    def _quantize_with(
        self, networks: Networks, pixels: Pixels, level: int, dead_zone: float
    ) -> tuple[Latents, NDArray[np.uint8], Rows]:
        return self._quantize_rows(networks, networks.analyse(pixels), level, dead_zone)

    def _quantize_rows(
        self, networks: Networks, y: Rows, level: int, dead_zone: float
    ) -> tuple[Latents, NDArray[np.uint8], Rows]:
        """y [h, w, M] -> latents, scale index and y_hat; y is overwritten."""
        z = networks.hyper_analyse(y)
        check_finite("z", z)
        z_rows = np.rint(z).clip(Z_MIN, Z_MAX)
        z_hat = np.ascontiguousarray(z_rows.transpose(2, 0, 1), np.int8)
        index = self._scale_index(z_hat, level, self._weights.entropy.layers)
        widths = dead_zone_widths(self._weights.entropy, dead_zone)
        y_hat = networks.quantize(networks.prior(z_rows), y, channels_last(index), widths)
        check_r(y.transpose(2, 0, 1))
        check_finite("y_hat", y_hat)
        return Latents(level, z_hat, channels_first(y)), index, y_hat

    def encode(self, quantized: Quantized) -> list[CodedLatents]:
        """The bytes of each image's latents."""
        pairs = zip(quantized.latents, quantized.indices, strict=True)
        return [encode_latents(self._weights.entropy, latents, index, coder=self._coder) for latents, index in pairs]

    def encode_pictures(self, pictures: Sequence[Pixels], level: int) -> list[CodedLatents]:
        """The coded latents of images, one after the other."""
        return [self._encode(pixels, level) for pixels in pictures]

    def _encode(self, pixels: Pixels, level: int) -> CodedLatents:
        latents, index, *rest = self._quantize(pixels, level, 0.0)
        del rest  # y_hat, which takes memory
        return encode_latents(self._weights.entropy, latents, index, coder=self._coder)

    # Decoding

    def decode_latents(self, file: StoredLatents) -> Latents:
        """The latents of one file. Raises FormatError."""
        return decode_latents(self._weights.entropy, file, index_of=self._scale_index, coder=self._coder)

    def y_hat(self, latents: Latents) -> Rows:
        """Compute what `Pipeline.y_hat` says."""
        networks, whole = self._networks_of(latents), _whole(latents)
        _, y_hat = self._steady_y_hat(networks, latents, networks.region(whole, whole.height, whole.width))
        return np.moveaxis(y_hat, 2, 0)

    def _networks_of(self, latents: Latents) -> Networks:
        whole = _whole(latents)
        return self._networks(latents.level, whole.height, whole.width, "decode")

    def _steady_y_hat(self, networks: Networks, latents: Latents, region: Region) -> tuple[Networks, Rows]:
        """y_hat of `region.y`, in float32 if it has to be, and the networks that gave it."""
        y_hat = _reconstructed(networks, latents, region)
        if networks.is_steady:
            return networks, y_hat
        del y_hat
        wide = networks.widened()
        return wide, _reconstructed(wide, latents, region)

    def pixels(
        self, files: Sequence[StoredLatents], window: Window, *, reduction: int = 1
    ) -> list[NDArray[np.uint8] | FormatError]:
        """Compute what `Pipeline.pixels` says. Previews of small images go through the networks together."""
        is_free = self._memory.limit is None  # with a limit, each image is held to it by itself
        if reduction != PREVIEW_REDUCTION or not self._weights.has_preview or not is_free:
            return [self._pixels(file, window, reduction) for file in files]
        return self._in_groups(files, lambda latents: self._previews(latents, window))

    def latents(self, files: Sequence[StoredLatents]) -> list[tuple[Latents, Rows] | FormatError]:
        """Compute what `Pipeline.latents` says. Small images go through the networks together."""
        if self._memory.limit is not None:
            return latents_one_by_one(self, files)
        return self._in_groups(files, lambda latents: list(zip(latents, self._y_hats(latents), strict=True)))

    def _in_groups(
        self, files: Sequence[StoredLatents], work: Callable[[list[Latents]], Sequence[_Value]]
    ) -> list[_Value | FormatError]:
        """What `work` gives of the latents of files of one level and size, or the errors of bad files; in order."""
        groups: dict[tuple[int, tuple[int, int]], list[int]] = {}
        for number, file in enumerate(files):
            groups.setdefault((file.level, file.z_shape), []).append(number)
        results: dict[int, _Value | FormatError] = {}
        for (_, (rows, columns)), numbers in groups.items():
            most = max(1, STACKED_CELLS // (rows * columns))
            for start in range(0, len(numbers), most):
                part = numbers[start : start + most]
                decoded = dict(zip(part, self._decode_equal([files[number] for number in part]), strict=True))
                good = {number: each for number, each in decoded.items() if not isinstance(each, FormatError)}
                results |= {number: each for number, each in decoded.items() if isinstance(each, FormatError)}
                results |= dict(zip(good, work(list(good.values())), strict=True))
        return [results[number] for number in range(len(files))]

    def _decode_equal(self, files: Sequence[StoredLatents]) -> list[Latents | FormatError]:
        """The latents of files of one level and size: the scale network runs for all of them together."""
        entropy = self._weights.entropy
        readers = [or_error(FormatError, LatentsReader, entropy, file, self._coder) for file in files]
        good = [reader for reader in readers if isinstance(reader, LatentsReader)]
        z_hats = [reader.z_hat for reader in good]
        indices = iter(scale_indices(z_hats, files[0].level, entropy.layers, run=self._run_tile) if good else ())
        return [
            or_error(FormatError, reader.finish, next(indices)) if isinstance(reader, LatentsReader) else reader
            for reader in readers
        ]

    def _previews(self, latents: Sequence[Latents], window: Window) -> list[Pixels]:
        """`synthesize` with the preview head, of images of one level and size: side by side."""
        stacked = self._stacked(latents)
        if stacked is None:
            return [self.synthesize(each, window, reduction=PREVIEW_REDUCTION) for each in latents]
        networks, y_hat = stacked
        shades = np.concatenate(list(networks.synthesize(y_hat, PREVIEW_REDUCTION)))
        images = np.split(shades, len(latents), axis=1)
        return [np.ascontiguousarray(image[window.top : window.bottom, window.left : window.right]) for image in images]

    def _y_hats(self, latents: Sequence[Latents]) -> list[Rows]:
        """`y_hat` of images of one level and size."""
        stacked = self._stacked(latents)
        if stacked is None:
            return [self.y_hat(each) for each in latents]
        return [np.moveaxis(rows, 2, 0) for rows in np.split(stacked[1], len(latents), axis=1)]

    def _stacked(self, latents: Sequence[Latents]) -> tuple[Networks, Rows] | None:
        """y_hat of several images of one level and size, side by side, and the networks that gave it; None for fewer,
        and where float32 is needed."""
        if len(latents) < 2:
            return None
        whole, level, count = _whole(latents[0]), latents[0].level, len(latents)
        networks = self._networks(level, whole.height, count * whole.width, "decode", images=count)
        z_hat, r = (_side_by_side([getattr(each, name) for each in latents]) for name in ("z_hat", "r"))
        y_hat = networks.reconstruct(networks.prior(z_hat.astype(np.float32)), r)
        return (networks, y_hat) if networks.is_steady else None

    def _pixels(self, file: StoredLatents, window: Window, reduction: int) -> NDArray[np.uint8] | FormatError:
        latents = or_error(FormatError, self.decode_latents, file)
        if isinstance(latents, FormatError):
            return latents
        return self.synthesize(latents, window, reduction=reduction)

    def synthesize(self, latents: Latents, window: Window, *, reduction: int = 1) -> Pixels:
        """Latents -> the pixels of a rectangle, uint8 [height, width, 3].

        reduction: 1, 2, 4, 8 reduces the image by that factor; `window` counts the pixels of the reduced image. What
        bfloat16 is not trusted with is computed in float32 (`networks.NARROW_PRODUCT`).
        """
        whole, networks = _whole(latents), self._networks_of(latents)
        needed = window.finer(reduction).clipped(whole.height, whole.width)
        region = networks.region(needed, whole.height, whole.width, reduction)
        networks, y_hat = self._steady_y_hat(networks, latents, region)
        pixels = _synthesized(networks, y_hat, region, window, reduction)
        del y_hat
        _mend(pixels, networks, latents, region, window, reduction)
        return pixels

    def pixel_rows(self, y_hat: Rows, level: int) -> Iterator[Pixels]:
        """Compute what `Pipeline.pixel_rows` says."""
        rows = channels_last(y_hat)
        networks = self._networks(level, Y_CELL * rows.shape[0], Y_CELL * rows.shape[1], "target")
        if not self._narrow:
            yield from networks.synthesize(rows)
            return
        pixels = list(networks.synthesize(rows))
        yield from pixels if not networks.untrusted() else networks.widened().synthesize(rows)

    def decoded_rows(self, quantized: Quantized, level: int) -> Iterator[Pixels]:
        """Compute what `Pipeline.decoded_rows` says."""
        y_hat, latents = np.ascontiguousarray(quantized.known[0]), quantized.latents[0]
        whole = _whole(latents)
        networks = self._networks(level, whole.height, whole.width, "target")
        if not self._narrow or quantized.is_widened[0]:
            yield from networks.widened().synthesize(y_hat)
            return
        region = networks.region(whole, whole.height, whole.width)
        pixels = _synthesized(networks, y_hat, region, whole, 1)
        _mend(pixels, networks, latents, region, whole, 1)
        yield pixels

    def _scale_index(self, z_hat: NDArray[np.int8], level: int, layers: Sequence[IntegerLayer]) -> NDArray[np.uint8]:
        return scale_index(z_hat, level, layers, run=self._run_tile)


def _side_by_side(images: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [channels, rows, columns] -> one of [rows, all columns, channels]."""
    return channels_last(np.concatenate(images, axis=2))


def _whole(latents: Latents) -> Window:
    """All pixels of a padded image."""
    height, width = (ALIGNMENT * side for side in latents.z_hat.shape[1:])
    return Window(0, height, 0, width)


def _reconstructed(networks: Networks, latents: Latents, region: Region) -> Rows:
    """y_hat of `region.y`."""
    context = region.context.finer(Z_CELL)
    z_hat = np.ascontiguousarray(region.prior.cut(latents.z_hat).transpose(1, 2, 0), np.float32)
    p = cut_rows(networks.prior(z_hat), context.relative_to(region.prior.finer(Z_CELL)))
    inner = region.y.relative_to(context)
    y_hat = networks.reconstruct(p, channels_last(context.cut(latents.r)))
    return np.ascontiguousarray(y_hat[inner.top : inner.bottom, inner.left : inner.right])


def _synthesized(networks: Networks, y_hat: Rows, region: Region, window: Window, reduction: int) -> Pixels:
    """The pixels of `window` from y_hat of `region.y`."""
    pixels = np.empty((window.height, window.width, 3), np.uint8)
    computed = region.y.finer(Y_CELL // reduction)
    top, left = computed.top, window.left - computed.left
    for rows in networks.synthesize(y_hat, reduction):
        bottom = top + len(rows)
        first, last = max(top, window.top), min(bottom, window.bottom)
        if first < last:
            place = pixels[first - window.top : last - window.top]
            place[...] = rows[first - top : last - top, left : left + window.width]
        top = bottom
    return pixels


def _mend(pixels: Pixels, networks: Networks, latents: Latents, region: Region, window: Window, reduction: int) -> None:
    """Replace pixels of `window` that bfloat16 is not trusted with by those of float32."""
    whole, wide = _whole(latents), networks.widened()
    for part in networks.untrusted():
        moved = part.moved(Y_CELL * region.y.top, Y_CELL * region.y.left)
        place = moved.coarser(reduction).shared(window)
        if place.height and place.width:
            needed = place.finer(reduction).clipped(whole.height, whole.width)
            part_region = wide.region(needed, whole.height, whole.width, reduction)
            y_hat = _reconstructed(wide, latents, part_region)
            inside = place.relative_to(window)
            pixels[inside.top : inside.bottom, inside.left : inside.right] = _synthesized(
                wide, y_hat, part_region, place, reduction
            )
