"""Pixels -> latents and back, for batches of pictures that are equal in size once padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaecodec.entropy.coding import Latents
from vaecodec.entropy.model import EntropyModel
from vaecodec.intnet.fixedpoint import SCALES
from vaecodec.intnet.layers import scale_index
from vaecodec.models.config import ALIGNMENT, PATCH
from vaecodec.models.loading import LoadedModel
from vaecodec.models.memory import Memory, Task
from vaecodec.models.network import level_position, round_z
from vaecodec.models.passes import Y_CELL, Z_CELL, Passes, Pixels, Region, padded_size
from vaecodec.models.windows import Window


@dataclass(frozen=True)
class Quantized:
    """What goes into one file: the latents and the scale index uint8 [M, h, w] of every r; y_hat [M, h, w]."""

    latents: Latents
    index: NDArray[np.uint8]
    y_hat: Tensor


class Pipeline:
    """The networks of one model on one device."""

    def __init__(self, loaded: LoadedModel, device: torch.device, memory: Memory) -> None:
        self._loaded, self._device, self._memory = loaded, device, memory

    def _passes(self, batch: int, height: int, width: int, task: Task) -> Passes:
        network = self._loaded.network
        return Passes(network, self._memory.band_pixels(network.config, batch * height * width, task))

    def _t(self, levels: Sequence[int]) -> Tensor:
        return level_position(torch.tensor(levels, device=self._device))

    @torch.inference_mode()
    def features(self, pictures: Sequence[Pixels]) -> Tensor:
        """What the encoder knows of pictures uint8 [H, W, 3] before it knows the level: C / 16 bytes a pixel."""
        return self._passes(len(pictures), *padded_size(pictures[0]), "target").features(pictures)

    @torch.inference_mode()
    def quantize(self, source: Sequence[Pixels] | Tensor, level: int, *, dead_zone: float = 0.0) -> list[Quantized]:
        """Pictures (or their `features`) -> latents of each. dead_zone: see `dead_zone_widths`."""
        entropy, t = self._loaded.entropy, self._t([level])
        if isinstance(source, Tensor):
            passes = self._passes(len(source), PATCH * source.shape[2], PATCH * source.shape[3], "target")
            y = passes.analyse_features(source, t)
        else:
            passes = self._passes(len(source), *padded_size(source[0]), "encode")
            y = passes.analyse(source, t)
        z_float = round_z(passes.hyper_analyse(y, t))
        z_hat = z_float.to(torch.int8).cpu().numpy()
        index = np.stack([scale_index(z, level, entropy.layers) for z in z_hat])
        widths = dead_zone_widths(entropy, dead_zone).to(self._device) if dead_zone else None
        index_there = torch.from_numpy(index).to(self._device)
        y_hat, r = passes.quantize(passes.prior(z_float, t), y, t, index_there, widths)
        integers = r.to(torch.int32).contiguous().cpu().numpy()
        latents = [Latents(level, *pair) for pair in zip(z_hat, integers, strict=True)]
        return [Quantized(*parts) for parts in zip(latents, index, y_hat, strict=True)]

    @torch.inference_mode()
    def synthesize(self, latents: Sequence[Latents], region: Window, *, scale: int = 1) -> NDArray[np.uint8]:
        """Latents of equal shape -> the pixels of a rectangle, uint8 [B, height, width, 3].

        scale: 1, 2, 4, 8 reduces the picture by that factor; `region` counts the pixels of the reduced picture.
        """
        found = np.empty((len(latents), region.height, region.width, 3), np.uint8)
        for rows, pixels in self._pixel_rows(latents, region, scale):
            found[:, rows] = pixels
        return found

    @torch.inference_mode()
    def pixel_rows(self, y_hat: Tensor, level: int) -> Iterator[NDArray[np.uint8]]:
        """The decoded picture of y_hat [M, h, w], band by band from the top: uint8 [rows, 16w, 3]."""
        passes = self._passes(1, Y_CELL * y_hat.shape[1], Y_CELL * y_hat.shape[2], "target")
        for x_hat in passes.synthesize(y_hat[None], self._t([level])):
            yield to_pixels(x_hat)[0]

    def _pixel_rows(
        self, latents: Sequence[Latents], wanted: Window, scale: int
    ) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        height, width = (ALIGNMENT * side for side in latents[0].z_hat.shape[1:])
        passes = self._passes(len(latents), height, width, "decode")
        t = self._t([item.level for item in latents])
        region = passes.region(wanted.finer(scale).clipped(height, width), height, width)
        y_hat = self._reconstruct(passes, latents, region, t)
        computed = region.y.finer(Y_CELL // scale)
        top, left = computed.top, wanted.left - computed.left
        for x_hat in passes.synthesize(y_hat, t, scale):
            bottom = top + x_hat.shape[2]
            first, last = max(top, wanted.top), min(bottom, wanted.bottom)
            if first < last:
                cut = x_hat[:, :, first - top : last - top, left : left + wanted.width]
                yield slice(first - wanted.top, last - wanted.top), to_pixels(cut)
            top = bottom

    def _reconstruct(self, passes: Passes, latents: Sequence[Latents], region: Region, t: Tensor) -> Tensor:
        """y_hat of the rectangle `region.y`."""
        context = region.context.finer(Z_CELL)
        z_hat = self._stacked([region.prior.cut(item.z_hat) for item in latents]).float()
        r = self._stacked([context.cut(item.r) for item in latents])
        p = context.relative_to(region.prior.finer(Z_CELL)).cut(passes.prior(z_hat, t))
        y_hat: Tensor = region.y.relative_to(context).cut(passes.reconstruct(p, r, t))
        return y_hat

    def _stacked(self, arrays: Sequence[NDArray[np.integer]]) -> Tensor:
        joined = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        return torch.from_numpy(np.ascontiguousarray(joined)).to(self._device)


def to_pixels(x_hat: Tensor) -> NDArray[np.uint8]:
    """x_hat [B, 3, H, W] about 0..1 -> uint8 [B, H, W, 3], rounded."""
    scaled = x_hat.mul(255).round_().clamp_(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def dead_zone_widths(entropy: EntropyModel, strength: float) -> Tensor:
    """By how much r moves toward zero before it is rounded, for each scale index: float32 [64], 0..0.5.

    Rounding v = 0.5 + d down to 0 instead of up to 1 adds 2d to the squared error (in units of the step) and saves the
    bits by which 1 is dearer than 0 in the index's table. So the widths that save most for an error are in
    proportion to these bits: 0.5 * strength * bits.
    """
    bits = entropy.y_tables.bits[:SCALES]
    dearer = np.where(np.isfinite(bits[:, 1]), bits[:, 1] - bits[:, 0], np.inf)
    with np.errstate(invalid="ignore"):
        widths = np.nan_to_num(0.5 * strength * dearer, nan=0.0, posinf=0.5)
    return torch.from_numpy(widths.clip(0, 0.5).astype(np.float32))
