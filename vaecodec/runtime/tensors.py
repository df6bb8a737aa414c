"""Large tensors of whole images: how they are made, copied and laid out in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

ROWS_AT_ONCE = 8
_NUMPY_TYPES = {torch.float32: np.float32, torch.int32: np.int32, torch.uint8: np.uint8}


def empty(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A large tensor, not initialized.

    On a CPU it is NumPy's memory, since NumPy asks Linux for pages of 2 MB. In pages of 4 KB, the first touch of what
    belongs to a whole picture takes a seventh of the time that coding it takes.
    """
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape, _NUMPY_TYPES[dtype]))
    return torch.empty(shape, dtype=dtype, device=device)


def relaid(source: Tensor, place: Tensor) -> Tensor:
    """[B, C, H, W] copied to `place`, of another type and order in memory: a few rows at a time, for the cache."""
    height = source.shape[2]
    step = ROWS_AT_ONCE if source.device.type == "cpu" else height
    for top in range(0, height, step):
        place[:, :, top : top + step] = source[:, :, top : top + step]
    return place


def channels_last(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """[B, C, H, W] for a whole picture, not initialized."""
    batch, channels, height, width = shape
    return empty((batch, height, width, channels), dtype, device).permute(0, 3, 1, 2)


def in_rows(values: Tensor) -> Tensor:
    """A copy of [B, C, H, W] in channels-last memory."""
    return relaid(values, channels_last(values.shape, values.dtype, values.device))


def upload(values: Sequence[int], device: torch.device) -> Tensor:
    """A few numbers as int64 on a device, without waiting for what it is doing."""
    host = torch.tensor(values, dtype=torch.int64)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)
