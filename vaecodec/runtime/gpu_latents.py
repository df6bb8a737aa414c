"""Latents of a batch <-> the sections of its files on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaecodec.entropy.coding import R_LIMIT, CodedLatents, StoredLatents
from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import FormatError
from vaecodec.gpu.coder import GpuCoder
from vaecodec.runtime.choice import Plan
from vaecodec.runtime.latent_coders import CpuLatents, DecodedFiles, Errors, LatentBatch


class GpuLatents:
    """Coded on the GPU, a batch at a time; see `GpuCoder`. Batches of fewer than `least_gpu_lanes` lanes in all
    are coded on the CPU: a GPU codes all lanes at once, but each of them more slowly."""

    layout = torch.channels_last

    def __init__(self, model: EntropyModel, plan: Plan) -> None:
        """Raises BackendError where the kernels can't run on the plan's device."""
        self._model, self.device, self._least_lanes = model, torch.device(plan.device), plan.least_gpu_lanes
        self._cpu = CpuLatents(model, plan)
        self._gpu = GpuCoder(model.layers, model.y_tables, model.z_tables, model.z_table, self.device)

    def scale_index(self, z_hat: Tensor, levels: Sequence[int]) -> Tensor:
        """The scale index of z_hat, see `LatentCoder.scale_index`."""
        return self._gpu.scale_index(z_hat, levels)

    def encode(self, latents: LatentBatch, index: Tensor) -> list[CodedLatents]:
        """The coded latents of each image of a batch."""
        batch = self._gpu.prepare(latents.z_hat, latents.r, index, latents.levels)
        if sum(batch.lanes) < self._least_lanes:
            return self._cpu.encode(latents, index)
        return [CodedLatents.of(image) for image in self._gpu.write(batch)]

    def decode(self, files: Sequence[StoredLatents]) -> DecodedFiles:
        """The latents of files of equal z_shape; a damaged one does not keep the others from being decoded."""
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
