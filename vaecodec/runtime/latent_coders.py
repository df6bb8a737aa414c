"""Latents of a batch <-> the sections of its files, on the CPU or on the GPU: all that differs is behind `LatentCoder`.

Both write the same bytes from the same latents, and read each other's files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaecodec.entropy import coding
from vaecodec.entropy.coding import R_LIMIT, CodedLatents, Latents, StoredLatents, decode_latents, encode_latents
from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import FormatError, InputError
from vaecodec.gpu.coder import GpuCoder
from vaecodec.runtime import choice
from vaecodec.runtime.context_steps import CompiledPasses, FusedPasses
from vaecodec.runtime.passes import Passes

Errors = list[FormatError | None]


@dataclass(frozen=True)
class LatentBatch:
    """Latents of pictures of equal size, beside the networks: z_hat int8 [B, N, h, w], r int32 [B, M, 4h, 4w]."""

    levels: Sequence[int]
    z_hat: Tensor
    r: Tensor

    def on_host(self, number: int) -> Latents:
        """Those of one picture."""
        z_hat, r = (tensor[number].contiguous().cpu().numpy() for tensor in (self.z_hat, self.r))
        return Latents(self.levels[number], z_hat, r)


@dataclass(frozen=True)
class DecodedFiles:
    """`latents` (None for none) of the files number `numbers` of a batch, which may still turn out to be damaged.

    errors(): for each file of the batch its error or None. It may wait for the device: ask when all that the latents
    are needed for is on its way.
    """

    latents: LatentBatch | None
    numbers: list[int]
    errors: Callable[[], Errors]

    def checked(self) -> LatentBatch:
        """The latents of all files. Raises the first error."""
        for error in self.errors():
            if error is not None:
                raise error
        if self.latents is None:
            message = "a batch of no files has no latents"
            raise InputError(message)
        return self.latents


class LatentCoder(Protocol):
    """What codes the latents of networks on one device."""

    @property
    def device(self) -> torch.device:
        """Where the networks are."""

    @property
    def passes(self) -> type[Passes]:
        """How the networks run there."""

    @property
    def layout(self) -> torch.memory_format:
        """Memory layout in which `encode` takes r."""

    def scale_index(self, z_hat: Tensor, levels: Sequence[int]) -> Tensor:
        """z_hat int8 [B, N, h, w] -> scale index uint8 [B, M, 4h, 4w]."""

    def encode(self, latents: LatentBatch, index: Tensor) -> list[CodedLatents]:
        """index: `scale_index` of z_hat; r is 0 where it is 0."""

    def decode(self, files: Sequence[StoredLatents]) -> DecodedFiles:
        """Files of equal z_shape. A damaged one doesn't keep the others from being decoded."""


def make_coder(model: EntropyModel, device: torch.device, wanted: choice.Coder = "auto") -> LatentCoder:
    """The coder for networks on `device`, see `choice.choose_coder`."""
    if choice.choose_coder(device, wanted) == "cpu":
        return CpuLatents(model, device)
    return GpuLatents(model, device, choice.LEAST_GPU_LANES if wanted == "auto" else 0)


class CpuLatents:
    """Coded on the CPU, one picture at a time."""

    layout = torch.contiguous_format

    def __init__(self, model: EntropyModel, device: torch.device) -> None:
        self._model, self.device = model, device

    @property
    def passes(self) -> type[Passes]:
        compiled = self.device.type == "cpu" and coding.compiled_loops() is not None
        return CompiledPasses if compiled else Passes

    def scale_index(self, z_hat: Tensor, levels: Sequence[int]) -> Tensor:
        pairs = zip(z_hat.cpu().numpy(), levels, strict=True)
        return self._tensor([choice.scale_index(z, level, self._model.layers) for z, level in pairs])

    def encode(self, latents: LatentBatch, index: Tensor) -> list[CodedLatents]:
        return [
            encode_latents(self._model, latents.on_host(number), there)
            for number, there in enumerate(index.cpu().numpy())
        ]

    def decode(self, files: Sequence[StoredLatents]) -> DecodedFiles:
        found: list[Latents] = []
        numbers: list[int] = []
        errors: Errors = [None] * len(files)
        for number, file in enumerate(files):
            try:
                found.append(decode_latents(self._model, file, index_of=choice.scale_index))
                numbers.append(number)
            except FormatError as error:
                errors[number] = error
        if not found:
            return DecodedFiles(None, [], lambda: errors)
        z_hat, r = self._tensor([item.z_hat for item in found]), self._tensor([item.r for item in found])
        return DecodedFiles(LatentBatch([item.level for item in found], z_hat, r), numbers, lambda: errors)

    def _tensor(self, arrays: Sequence[NDArray[np.generic]]) -> Tensor:
        """Equal arrays, one picture each, as a batch beside the networks."""
        joined = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        return torch.from_numpy(joined).to(self.device)


class GpuLatents:
    """Coded on the GPU, a batch at a time; see `GpuCoder`. Batches of fewer than `least_lanes` lanes in all are
    coded on the CPU: a GPU codes all lanes at once, but each of them more slowly."""

    passes = FusedPasses
    layout = torch.channels_last

    def __init__(self, model: EntropyModel, device: torch.device, least_lanes: int = 0) -> None:
        self._model, self.device, self._least_lanes = model, device, least_lanes
        self._cpu = CpuLatents(model, device)
        self._gpu = GpuCoder(model.layers, model.y_tables, model.z_tables, model.z_table, device)

    def scale_index(self, z_hat: Tensor, levels: Sequence[int]) -> Tensor:
        return self._gpu.scale_index(z_hat, levels)

    def encode(self, latents: LatentBatch, index: Tensor) -> list[CodedLatents]:
        batch = self._gpu.prepare(latents.z_hat, latents.r, index, latents.levels)
        if sum(batch.lanes) < self._least_lanes:
            return self._cpu.encode(latents, index)
        return [CodedLatents.of(image) for image in self._gpu.write(batch)]

    def decode(self, files: Sequence[StoredLatents]) -> DecodedFiles:
        images, numbers = [], []
        early: Errors = [None] * len(files)
        for number, file in enumerate(files):
            try:
                images.append(file.open(self._model))
                numbers.append(number)
            except FormatError as error:
                early[number] = error
        if sum(image.lanes for image in images) < self._least_lanes:
            return self._cpu.decode(files)
        if not images:
            return DecodedFiles(None, [], lambda: early)
        levels = [files[number].level for number in numbers]
        batch = self._gpu.decode(images, levels, files[0].z_shape, R_LIMIT)

        def errors() -> Errors:
            late = dict(zip(numbers, batch.errors, strict=True))
            return [error or late.get(number) for number, error in enumerate(early)]

        return DecodedFiles(LatentBatch(levels, batch.z_hat, batch.r), numbers, errors)
