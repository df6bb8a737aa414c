"""Pixels -> latents and back on a CPU, one image after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.coding import (
    CodedLatents,
    Latents,
    StoredLatents,
    check_finite,
    check_r,
    decode_latents,
    encode_latents,
)
from vaecodec.errors import FormatError
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import IntegerLayer, RunLayer, scale_index
from vaecodec.networks.config import ALIGNMENT, PATCH
from vaecodec.rans.choice import RansCoder
from vaecodec.runtime.cpu.kernels import Kernels, Pixels, Rows
from vaecodec.runtime.cpu.networks import Networks
from vaecodec.runtime.cpu.streaming import channels_first, cut_rows
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.interface import dead_zone_widths
from vaecodec.runtime.memory import Memory, Task
from vaecodec.runtime.windows import Y_CELL, Z_CELL, Window, padded_size


@dataclass(frozen=True)
class Quantized:
    """What goes into the files of a batch: for each image latents, the scale index uint8 [M, h, w] of every r, and
    y_hat as rows [h, w, M]."""

    latents: list[Latents]
    indices: list[NDArray[np.uint8]]
    known: list[Rows]

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
        run_layer: RunLayer,
        memory: Memory,
        *,
        narrow: bool,
    ) -> None:
        self._weights, self._kernels, self._coder, self._run_layer = weights, kernels, coder, run_layer
        self._memory, self._narrow = memory, narrow

    def _networks(self, level: int, height: int, width: int, task: Task) -> Networks:
        band = self._memory.band_pixels(self._weights.config, height * width, task)
        return Networks(self._weights, self._kernels, level, narrow=self._narrow, band_pixels=band)

    # Encoding

    def features(self, pictures: Sequence[Pixels]) -> list[Rows]:
        """Compute what `Pipeline.features` says."""
        return [self._networks(0, *padded_size(pixels), "target").features(pixels) for pixels in pictures]

    def quantize(self, source: Sequence[NDArray[Any]], level: int, *, dead_zone: float = 0.0) -> Quantized:
        """Compute what `Pipeline.quantize` says."""
        parts = [self._quantize(self._analyse(image, level), level, dead_zone) for image in source]
        return Quantized(*map(list, zip(*parts, strict=True)))

    def _analyse(self, image: NDArray[Any], level: int) -> tuple[Networks, Rows]:
        """y of an image (uint8) or of its features."""
        if image.dtype == np.uint8:
            networks = self._networks(level, *padded_size(image), "encode")
            return networks, networks.analyse(image)
        networks = self._networks(level, PATCH * image.shape[0], PATCH * image.shape[1], "target")
        return networks, networks.analyse_features(image)

    def _quantize(
        self, analysed: tuple[Networks, Rows], level: int, dead_zone: float
    ) -> tuple[Latents, NDArray[np.uint8], Rows]:
        """Latents, scale index, y_hat; y is overwritten. Raises CodingError for what no decoder could read."""
        networks, y = analysed
        z = networks.hyper_analyse(y)
        check_finite("z", z)
        z_rows = np.rint(z).clip(Z_MIN, Z_MAX)
        z_hat = np.ascontiguousarray(z_rows.transpose(2, 0, 1), np.int8)
        index = self._scale_index(z_hat, level, self._weights.entropy.layers)
        widths = dead_zone_widths(self._weights.entropy, dead_zone)
        y_hat = networks.quantize(networks.prior(z_rows), y, np.ascontiguousarray(index.transpose(1, 2, 0)), widths)
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
        latents, index, y_hat = self._quantize(self._analyse(pixels, level), level, 0.0)
        del y_hat
        return encode_latents(self._weights.entropy, latents, index, coder=self._coder)

    # Decoding

    def decode_latents(self, file: StoredLatents) -> Latents:
        """The latents of one file. Raises FormatError."""
        return decode_latents(self._weights.entropy, file, index_of=self._scale_index, coder=self._coder)

    def y_hat(self, latents: Latents) -> Rows:
        """Compute what `Pipeline.y_hat` says."""
        height, width = (ALIGNMENT * side for side in latents.z_hat.shape[1:])
        networks = self._networks(latents.level, height, width, "decode")
        prior = networks.prior(np.ascontiguousarray(latents.z_hat.transpose(1, 2, 0), np.float32))
        rows: Rows = networks.reconstruct(prior, np.ascontiguousarray(latents.r.transpose(1, 2, 0)))
        return np.moveaxis(rows, 2, 0)

    def pixels(
        self, files: Sequence[StoredLatents], window: Window, *, reduction: int = 1
    ) -> list[NDArray[np.uint8] | FormatError]:
        """Compute what `Pipeline.pixels` says."""
        return [self._pixels(file, window, reduction) for file in files]

    def _pixels(self, file: StoredLatents, window: Window, reduction: int) -> NDArray[np.uint8] | FormatError:
        try:
            latents = self.decode_latents(file)
        except FormatError as error:
            return error
        return self.synthesize(latents, window, reduction=reduction)

    def synthesize(self, latents: Latents, window: Window, *, reduction: int = 1) -> Pixels:
        """Latents -> the pixels of a rectangle, uint8 [height, width, 3].

        reduction: 1, 2, 4, 8 reduces the image by that factor; `window` counts the pixels of the reduced image.
        """
        pixels = np.empty((window.height, window.width, 3), np.uint8)
        height, width = (ALIGNMENT * side for side in latents.z_hat.shape[1:])
        networks = self._networks(latents.level, height, width, "decode")
        region = networks.region(window.finer(reduction).clipped(height, width), height, width, reduction)
        context = region.context.finer(Z_CELL)
        z_hat = np.ascontiguousarray(region.prior.cut(latents.z_hat).transpose(1, 2, 0), np.float32)
        p = cut_rows(networks.prior(z_hat), context.relative_to(region.prior.finer(Z_CELL)))
        r = np.ascontiguousarray(context.cut(latents.r).transpose(1, 2, 0))
        inner = region.y.relative_to(context)
        y_hat = networks.reconstruct(p, r)
        del r
        y_hat = np.ascontiguousarray(y_hat[inner.top : inner.bottom, inner.left : inner.right])
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

    def pixel_rows(self, y_hat: Rows, level: int) -> Iterator[Pixels]:
        """The decoded image, see `Pipeline.pixel_rows`."""
        rows = np.ascontiguousarray(y_hat.transpose(1, 2, 0))
        return self._networks(level, Y_CELL * rows.shape[0], Y_CELL * rows.shape[1], "target").synthesize(rows)

    def _scale_index(self, z_hat: NDArray[np.int8], level: int, layers: Sequence[IntegerLayer]) -> NDArray[np.uint8]:
        return scale_index(z_hat, level, layers, run=self._run_layer)
