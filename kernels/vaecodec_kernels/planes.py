"""Where the elements of several images lie in one buffer, and in which order they are coded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.launch import MAX_ELEMENTS, check_range, upload

FIELDS = 6


@dataclass(frozen=True)
class Planes:
    """Images of [channels, area] elements; the coding order is channel by channel, then position by position.

    table int64 [B, 6] on the device: buffer offset, channels, area, channel stride, position stride, and the image's
    offset in packed buffers (the elements of the images before it).
    shapes: (channels, area) of each image on the host.
    """

    table: Tensor
    shapes: tuple[tuple[int, int], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each image."""
        return tuple(channels * area for channels, area in self.shapes)

    @property
    def starts(self) -> tuple[int, ...]:
        """Offset of each image in a packed buffer, on the host."""
        return tuple(itertools.accumulate((0, *self.sizes[:-1])))

    @property
    def packed(self) -> Tensor:
        """Offset of each image in a packed buffer, int64 [B]."""
        return self.table[:, 5].contiguous()

    @property
    def total(self) -> int:
        """Elements of all planes together."""
        return sum(self.sizes)

    @property
    def bounds(self) -> Tensor:
        """Where each image begins in the buffer, and where the last one ends, int64 [B + 1]."""
        return torch.cat([self.packed, self.packed[-1:] + self.sizes[-1]])

    @classmethod
    def of(cls, tensor: Tensor) -> Planes:
        """The images of a [B, M, h, w] tensor, contiguous or channels last. Raises KernelInputError for others."""
        batch, channels, height, width = tensor.shape
        if tensor.is_contiguous():
            strides = (height * width, 1)
        elif tensor.is_contiguous(memory_format=torch.channels_last):
            strides = (1, channels)
        else:
            message = f"tensor of shape {tuple(tensor.shape)} has strides {tensor.stride()}; it must be dense"
            raise KernelInputError(message)
        return cls._make([(channels, height * width)] * batch, [strides] * batch, tensor)

    @classmethod
    def _make(cls, shapes: list[tuple[int, int]], strides: list[tuple[int, int]], like: Tensor) -> Planes:
        check_range("images", len(shapes), 1, 65535)
        rows, offset = [], 0
        for (channels, area), (channel_stride, position_stride) in zip(shapes, strides, strict=True):
            check_range("elements of an image", channels * area, 1, MAX_ELEMENTS)
            rows.append([offset, channels, area, channel_stride, position_stride, offset])
            offset += channels * area
        return cls(upload(rows, torch.int64, like), tuple(shapes))
