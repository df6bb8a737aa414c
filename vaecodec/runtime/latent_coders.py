"""Latents of a batch <-> the sections of its files, on the CPU here and on the GPU in `gpu_latents`.

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

from vaecodec.entropy.coding import CodedLatents, Latents, StoredLatents, decode_latents, encode_latents
from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import FormatError, InputError
from vaecodec.intnet.layers import IntegerLayer, scale_index
from vaecodec.rans.choice import rans_coder
from vaecodec.runtime.choice import Plan
from vaecodec.runtime.cpu.engine import tile_runner

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
    def layout(self) -> torch.memory_format:
        """Memory layout in which `encode` takes r."""

    def scale_index(self, z_hat: Tensor, levels: Sequence[int]) -> Tensor:
        """z_hat int8 [B, N, h, w] -> scale index uint8 [B, M, 4h, 4w]."""

    def encode(self, latents: LatentBatch, index: Tensor) -> list[CodedLatents]:
        """index: `scale_index` of z_hat; r is 0 where it is 0."""

    def decode(self, files: Sequence[StoredLatents]) -> DecodedFiles:
        """Files of equal z_shape. A damaged one doesn't keep the others from being decoded."""


class CpuLatents:
    """Coded on the CPU, one picture at a time."""

    layout = torch.contiguous_format

    def __init__(self, model: EntropyModel, plan: Plan) -> None:
        self._model, self.device = model, torch.device(plan.device)
        self._coder, self._run_tile = rans_coder(plan.loops), tile_runner(plan)

    def scale_index(self, z_hat: Tensor, levels: Sequence[int]) -> Tensor:
        """The scale index of z_hat, see `LatentCoder.scale_index`."""
        pairs = zip(z_hat.cpu().numpy(), levels, strict=True)
        return self._tensor([self._scale_index(z, level, self._model.layers) for z, level in pairs])

    def encode(self, latents: LatentBatch, index: Tensor) -> list[CodedLatents]:
        """The coded latents of each image of a batch."""
        return [
            encode_latents(self._model, latents.on_host(number), of_image, coder=self._coder)
            for number, of_image in enumerate(index.cpu().numpy())
        ]

    def decode(self, files: Sequence[StoredLatents]) -> DecodedFiles:
        """The latents of files of equal z_shape; a damaged one does not keep the others from being decoded."""
        decoded: list[Latents] = []
        numbers: list[int] = []
        errors: Errors = [None] * len(files)
        for number, file in enumerate(files):
            try:
                decoded.append(decode_latents(self._model, file, index_of=self._scale_index, coder=self._coder))
                numbers.append(number)
            except FormatError as error:
                errors[number] = error
        if not decoded:
            return DecodedFiles(None, [], lambda: errors)
        z_hat, r = self._tensor([item.z_hat for item in decoded]), self._tensor([item.r for item in decoded])
        return DecodedFiles(LatentBatch([item.level for item in decoded], z_hat, r), numbers, lambda: errors)

    def _scale_index(self, z_hat: NDArray[np.int8], level: int, layers: Sequence[IntegerLayer]) -> NDArray[np.uint8]:
        """What `intnet.layers.scale_index` computes, beside the networks."""
        return scale_index(z_hat, level, layers, run=self._run_tile)

    def _tensor(self, arrays: Sequence[NDArray[np.generic]]) -> Tensor:
        """Equal arrays, one picture each, as a batch beside the networks."""
        joined = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        return torch.from_numpy(joined).to(self.device)
