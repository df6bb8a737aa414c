"""Pixels -> latents and back on a CPU, one image after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.coding import CodedLatents, Latents, StoredLatents, decode_latents, encode_latents
from vaecodec.entropy.model import EntropyModel
from vaecodec.intnet.fixedpoint import SCALE_INDICES, Z_MAX, Z_MIN
from vaecodec.intnet.layers import IntegerLayer, scale_index
from vaecodec.networks.config import ALIGNMENT, PATCH
from vaecodec.runtime.cpu.kernels import Kernels, Pixels, Rows
from vaecodec.runtime.cpu.networks import Y_CELL, Z_CELL, Networks
from vaecodec.runtime.cpu.streaming import cut_rows
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.memory import Memory, Task
from vaecodec.runtime.windows import Window, padded_size


@dataclass(frozen=True)
class Quantized:
    """What goes into a file: latents and the scale index uint8 [M, h, w] of every r; y_hat [h, w, M] beside."""

    latents: Latents
    index: NDArray[np.uint8]
    y_hat: Rows


class CpuPipeline:
    """The networks of one model and the coder of their latents. Safe to share between threads."""

    def __init__(self, weights: NetworkWeights, kernels: Kernels, memory: Memory, *, narrow: bool) -> None:
        self._weights, self._kernels, self._memory, self._narrow = weights, kernels, memory, narrow

    def _networks(self, level: int, height: int, width: int, task: Task) -> Networks:
        band = self._memory.band_pixels(self._weights.config, height * width, task)
        return Networks(self._weights, self._kernels, level, narrow=self._narrow, band_pixels=band)

    # Encoding

    def features(self, pixels: Pixels) -> Rows:
        """What the encoder knows of an image uint8 [H, W, 3] before it knows the level: C / 16 bytes a pixel."""
        return self._networks(0, *padded_size(pixels), "target").features(pixels)

    def quantize(self, pixels: Pixels, level: int) -> Quantized:
        """An image uint8 [H, W, 3] -> latents."""
        networks = self._networks(level, *padded_size(pixels), "encode")
        return self._quantize(networks, networks.analyse(pixels), level, 0.0)

    def quantize_features(self, features: Rows, level: int, *, dead_zone: float = 0.0) -> Quantized:
        """What `features` gave -> latents. dead_zone: see `dead_zone_widths`."""
        networks = self._networks(level, PATCH * features.shape[0], PATCH * features.shape[1], "target")
        return self._quantize(networks, networks.analyse_features(features), level, dead_zone)

    def _quantize(self, networks: Networks, y: Rows, level: int, dead_zone: float) -> Quantized:
        """y is overwritten."""
        z_rows = np.rint(networks.hyper_analyse(y)).clip(Z_MIN, Z_MAX)
        z_hat = np.ascontiguousarray(z_rows.transpose(2, 0, 1), np.int8)
        index = self._scale_index(z_hat, level, self._weights.entropy.layers)
        widths = dead_zone_widths(self._weights.entropy, dead_zone)
        y_hat = networks.quantize(networks.prior(z_rows), y, np.ascontiguousarray(index.transpose(1, 2, 0)), widths)
        return Quantized(Latents(level, z_hat, np.ascontiguousarray(y.transpose(2, 0, 1), np.int32)), index, y_hat)

    def encode(self, quantized: Quantized) -> CodedLatents:
        """The bytes of an image's latents."""
        return encode_latents(self._weights.entropy, quantized.latents, quantized.index)

    def encode_image(self, pixels: Pixels, level: int) -> CodedLatents:
        """The coded latents of an image: `encode(quantize(...))`."""
        return self.encode(self.quantize(pixels, level))

    # Decoding

    def decode(self, file: StoredLatents) -> Latents:
        """Raises FormatError."""
        return decode_latents(self._weights.entropy, file, index_of=self._scale_index)

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
        """The decoded image of y_hat [h, w, M], band by band from the top: uint8 [rows, 16w, 3]."""
        return self._networks(level, Y_CELL * y_hat.shape[0], Y_CELL * y_hat.shape[1], "target").synthesize(y_hat)

    def _scale_index(self, z_hat: NDArray[np.int8], level: int, layers: Sequence[IntegerLayer]) -> NDArray[np.uint8]:
        return scale_index(z_hat, level, layers)


def dead_zone_widths(entropy: EntropyModel, strength: float) -> NDArray[np.float32]:
    """The amount by which r moves toward zero before it is rounded, for each scale index: float32 [256], 0..0.5.

    Rounding v = 0.5 + d down to 0 instead of up to 1 adds 2d to the squared error (in units of the step) and saves the
    bits by which 1 is dearer than 0 in the index's table. So the widths that save most for an error are in
    proportion to these bits: 0.5 * strength * bits.
    """
    all_widths = np.zeros(256, np.float32)  # every uint8 has one: no index leads out of the table
    if not strength:
        return all_widths
    bits = entropy.y_tables.bits[:SCALE_INDICES]
    dearer = np.where(np.isfinite(bits[:, 1]), bits[:, 1] - bits[:, 0], np.inf)
    with np.errstate(invalid="ignore"):
        widths = np.nan_to_num(0.5 * strength * dearer, nan=0.0, posinf=0.5)
    all_widths[:SCALE_INDICES] = widths.clip(0, 0.5)
    return all_widths
