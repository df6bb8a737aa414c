"""Pixels -> latents and back, for batches of pictures that are equal in size once padded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaecodec.entropy.coding import R_LIMIT, CodedLatents, Latents, StoredLatents
from vaecodec.errors import CodingError, FormatError
from vaecodec.intnet.fixedpoint import SCALE_INDICES
from vaecodec.networks.config import ALIGNMENT
from vaecodec.networks.network import level_position, round_z
from vaecodec.runtime.context_steps import ContextSteps
from vaecodec.runtime.interface import dead_zone_widths, latents_one_by_one
from vaecodec.runtime.latent_coders import DecodedFiles, LatentBatch, LatentCoder
from vaecodec.runtime.loading import TorchModel
from vaecodec.runtime.memory import Memory, Task
from vaecodec.runtime.passes import Passes, to_bytes
from vaecodec.runtime.streaming import cut_rows
from vaecodec.runtime.tensors import empty, relaid, upload
from vaecodec.runtime.windows import Y_CELL, Z_CELL, Pixels, Region, Window, padded_size


@dataclass(frozen=True)
class Quantized:
    """What goes into the files of a batch: latents and the scale index uint8 [B, M, h, w] of every r; y_hat beside."""

    latents: LatentBatch
    index: Tensor
    y_hat: Tensor
    extremes: Tensor
    """Least and largest of z, y_hat and r, float [3, 2]; NaN where there is one."""

    def latents_of(self, number: int) -> Latents:
        """The integers of one image."""
        return self.latents.on_host(number)


class TorchPipeline:
    """`interface.Pipeline` in PyTorch."""

    def __init__(self, loaded: TorchModel, steps: ContextSteps, coder: LatentCoder, memory: Memory) -> None:
        self._loaded, self._coder, self._steps, self._memory = loaded, coder, steps, memory
        self._device = coder.device

    def _passes(self, batch: int, height: int, width: int, task: Task) -> Passes:
        network = self._loaded.network
        band = self._memory.band_pixels(network.config, batch * height * width, task)
        return Passes(network, band, self._steps)

    def _t(self, levels: Sequence[int]) -> Tensor:
        return level_position(upload(levels, self._device))

    # Encoding

    @torch.inference_mode()
    def quantize(self, pictures: Sequence[Pixels], level: int, *, dead_zone: float = 0.0) -> Quantized:
        """Compute what `interface.Pipeline.quantize` says."""
        return self._quantized(level, *self._quantize(pictures, level, dead_zone))

    def _quantized(
        self, level: int, z_hat: Tensor, index: Tensor, y_hat: Tensor, r: Tensor, extremes: Tensor
    ) -> Quantized:
        integers = _integers(r, self._coder.layout, None)
        return Quantized(LatentBatch([level] * len(z_hat), z_hat, integers), index, y_hat, extremes)

    @torch.inference_mode()
    def analyse(self, pixels: Pixels, level: int) -> Tensor:
        """Compute what `interface.Pipeline.analyse` says."""
        return self._passes(1, *padded_size(pixels), "feedback").analyse([pixels], self._t([level]))[0]

    @torch.inference_mode()
    def quantize_y(self, y: Tensor, level: int, *, dead_zone: float = 0.0) -> Quantized:
        """Compute what `interface.Pipeline.quantize_y` says."""
        passes = self._passes(1, Y_CELL * y.shape[1], Y_CELL * y.shape[2], "feedback")
        own = y[None].clone(memory_format=torch.channels_last)
        return self._quantized(level, *self._quantize_y(passes, own, level, dead_zone))

    @torch.inference_mode()
    def encode(self, quantized: Quantized) -> list[CodedLatents]:
        """The bytes of each picture's latents. Raises CodingError for what no decoder could read."""
        coded = self._coder.encode(quantized.latents, quantized.index)
        _check(quantized.extremes)
        return coded

    @torch.inference_mode()
    def encode_pictures(self, pictures: Sequence[Pixels], level: int) -> list[CodedLatents]:
        """The coded latents of images: `encode(quantize(...))` in less memory, since y_hat isn't kept."""
        z_hat, index, y_hat, r, extremes = self._quantize(pictures, level, 0.0)
        integers = _integers(r, self._coder.layout, y_hat)
        del y_hat, r
        coded = self._coder.encode(LatentBatch([level] * len(z_hat), z_hat, integers), index)
        _check(extremes)
        return coded

    def _quantize(
        self, pictures: Sequence[Pixels], level: int, dead_zone: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """z_hat int8, scale index, y_hat, r as whole numbers of any type, and the extremes of `Quantized`."""
        passes = self._passes(len(pictures), *padded_size(pictures[0]), "encode")
        return self._quantize_y(passes, passes.analyse(pictures, self._t([level])), level, dead_zone)

    def _quantize_y(
        self, passes: Passes, y: Tensor, level: int, dead_zone: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Quantize y [B, M, h, w], which is overwritten."""
        t = self._t([level])
        z = passes.hyper_analyse(y, t)
        z_float = round_z(z)
        z_hat = z_float.to(torch.int8).contiguous()
        index = self._coder.scale_index(z_hat, [level] * len(y))
        widths = (
            torch.from_numpy(dead_zone_widths(self._loaded.entropy, dead_zone)[:SCALE_INDICES]).to(self._device)
            if dead_zone
            else None
        )
        y_hat, r = passes.quantize(passes.prior(z_float, t), y, t, index, widths)
        return z_hat, index, y_hat, r, torch.stack([_extremes(values) for values in (z, y_hat, r)])

    # Decoding

    def decode_latents(self, file: StoredLatents) -> Latents:
        """The latents of one file. Raises FormatError."""
        return self.decode([file]).checked().on_host(0)

    def latents(self, files: Sequence[StoredLatents]) -> list[tuple[Latents, NDArray[np.float32]] | FormatError]:
        """Compute what `interface.Pipeline.latents` says."""
        return latents_one_by_one(self, files)

    @torch.inference_mode()
    def decode(self, files: Sequence[StoredLatents]) -> DecodedFiles:
        """The latents of files of equal z_shape."""
        return self._coder.decode(files)

    @torch.inference_mode()
    def y_hat(self, latents: Latents) -> NDArray[np.float32]:
        """Compute what `Pipeline.y_hat` says."""
        height, width = (ALIGNMENT * side for side in latents.z_hat.shape[1:])
        passes, t = self._passes(1, height, width, "decode"), self._t([latents.level])
        z_hat, r = (torch.from_numpy(values)[None].to(self._device) for values in (latents.z_hat, latents.r))
        p = passes.prior(z_hat.float(), t)
        return passes.reconstruct(p, r.contiguous(memory_format=self._coder.layout), t)[0].cpu().numpy()

    def pixels(
        self, files: Sequence[StoredLatents], window: Window, *, reduction: int = 1
    ) -> list[NDArray[np.uint8] | FormatError]:
        """Files of equal z_shape -> the pixels of a rectangle of each, or its error; as `synthesize`."""
        decoded = self.decode(files)
        by_number: dict[int, NDArray[np.uint8]] = {}
        if decoded.latents is not None:
            by_number = dict(
                zip(decoded.numbers, self.synthesize(decoded.latents, window, reduction=reduction), strict=True)
            )
        return [by_number[number] if error is None else error for number, error in enumerate(decoded.errors())]

    @torch.inference_mode()
    def synthesize(self, latents: LatentBatch, window: Window, *, reduction: int = 1) -> NDArray[np.uint8]:
        """Latents -> the pixels of a rectangle, uint8 [B, height, width, 3].

        reduction: 1, 2, 4, 8 reduces the picture by that factor; `window` counts the pixels of the reduced picture.
        """
        pixels = empty((len(latents.z_hat), window.height, window.width, 3), torch.uint8, self._device)
        height, width = (ALIGNMENT * side for side in latents.z_hat.shape[2:])
        passes, t = self._passes(len(latents.z_hat), height, width, "decode"), self._t(latents.levels)
        region = passes.region(window.finer(reduction).clipped(height, width), height, width, reduction)
        y_hat = _reconstruct(passes, latents, region, t)
        computed = region.y.finer(Y_CELL // reduction)
        top, left = computed.top, window.left - computed.left
        for rows in passes.synthesize(y_hat, t, reduction):
            bottom = top + rows.shape[1]
            first, last = max(top, window.top), min(bottom, window.bottom)
            if first < last:
                place = pixels[:, first - window.top : last - window.top]
                place[...] = rows[:, first - top : last - top, left : left + window.width]
            top = bottom
        return pixels.cpu().numpy()

    def decoded_rows(self, quantized: Quantized, level: int) -> Iterator[NDArray[np.uint8]]:
        """Compute what `interface.Pipeline.decoded_rows` says."""
        yield from self.pixel_rows(quantized.y_hat[0], level)

    @torch.inference_mode()
    def pixel_rows(self, y_hat: Tensor | NDArray[np.float32], level: int) -> Iterator[NDArray[np.uint8]]:
        """The decoded picture of y_hat [M, h, w], band by band from the top: uint8 [rows, 16w, 3]."""
        passes = self._passes(1, Y_CELL * y_hat.shape[1], Y_CELL * y_hat.shape[2], "target")
        beside = torch.as_tensor(y_hat, device=self._device)[None].contiguous(memory_format=torch.channels_last)
        for rows in passes.synthesize(beside, self._t([level])):
            yield rows[0].cpu().numpy()


def _extremes(values: Tensor) -> Tensor:
    """Least and largest, [2]; NaN if anything is."""
    return torch.stack(torch.aminmax(values)).float()


def _check(extremes: Tensor) -> None:
    """Raise CodingError unless z and y_hat are finite and |r| is below its limit.

    Asked for when the bytes are there, which a GPU has been waited for anyway; the integers themselves are checked
    before they are packed (`entropy.coding.check_r`).
    """
    for name, (least, largest), limit in zip(
        ("z", "y_hat", "r"), extremes.tolist(), (math.inf, math.inf, R_LIMIT), strict=True
    ):
        if not (-limit < least and largest < limit):
            bound = "finite" if limit == math.inf else f"above -{limit} and below {limit}"
            message = f"{name} reaches {least:g}..{largest:g}; it must be {bound}: the networks cannot code this image"
            raise CodingError(message)


def _reconstruct(passes: Passes, latents: LatentBatch, region: Region, t: Tensor) -> Tensor:
    """y_hat of the rectangle `region.y`."""
    context = region.context.finer(Z_CELL)
    z_hat = region.prior.cut(latents.z_hat).float()
    p = cut_rows(passes.prior(z_hat, t), context.relative_to(region.prior.finer(Z_CELL)))
    y_hat: Tensor = region.y.relative_to(context).cut(passes.reconstruct(p, context.cut(latents.r), t))
    return y_hat


def _integers(r: Tensor, layout: torch.memory_format, spare: Tensor | None) -> Tensor:
    """Whole numbers of any type as int32. spare: a tensor like r in channels-last memory that may be overwritten."""
    if layout == torch.channels_last or r.is_contiguous():
        return r.to(torch.int32).contiguous(memory_format=layout)
    if spare is None:
        return relaid(r, empty(r.shape, torch.int32, r.device))
    return relaid(r, spare.permute(0, 2, 3, 1).view(torch.int32).view(r.shape))


def to_pixels(x_hat: Tensor) -> NDArray[np.uint8]:
    """x_hat [B, 3, H, W] about 0..1 -> uint8 [B, H, W, 3], rounded."""
    return to_bytes(x_hat.mul(255), torch.nn.Identity()).contiguous().cpu().numpy()
