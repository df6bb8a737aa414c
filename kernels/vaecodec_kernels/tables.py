"""Integer probability tables as the kernels read them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError

LOOKUP_BITS = 8
"""A decoder finds a symbol's neighbourhood by the upper 8 bits of the slot, then searches inside."""
MAX_SYMBOLS = 1 << 14
"""Symbols are held in int16."""


@dataclass(frozen=True)
class DeviceTables:
    """T tables on a device.

    cdf int32 [T, S + 1], row t padded with the total; sizes int32 [T]; lookup int16 [T, 257]: the last symbol s with
    cdf[s] <= b * 2^(prob_bits - 8); cost int32 [T, S]: of each symbol, in the caller's fixed point.
    """

    cdf: Tensor
    sizes: Tensor
    lookup: Tensor
    cost: Tensor
    prob_bits: int

    @property
    def count(self) -> int:
        """How many tables there are."""
        return int(self.sizes.shape[0])


def make_tables(cdf: Tensor, sizes: Tensor, cost: Tensor, prob_bits: int, device: torch.device | str) -> DeviceTables:
    """cdf int [T, S + 1] with 0 = cdf[0] < ... < cdf[size] = 2^prob_bits, sizes int [T], cost int32 [T, S]; all on the
    CPU. Sums of costs are int64.

    Raises KernelInputError for rows that a coder can't use.
    """
    total = 1 << prob_bits
    wide, counts = cdf.to(torch.int64), sizes.to(torch.int64)
    if wide.ndim != 2 or counts.shape != wide.shape[:1] or len(counts) == 0:
        message = f"cdf has shape {tuple(cdf.shape)}, sizes {tuple(sizes.shape)}; they must be (T, S + 1) and (T)"
        raise KernelInputError(message)
    if cost.dtype != torch.int32 or cost.shape != (wide.shape[0], wide.shape[1] - 1):
        message = f"cost is {cost.dtype} {tuple(cost.shape)}; it must be int32 {(wide.shape[0], wide.shape[1] - 1)}"
        raise KernelInputError(message)
    if int(counts.min()) < 1 or int(counts.max()) > min(wide.shape[1] - 1, MAX_SYMBOLS):
        message = f"sizes reach {int(counts.min())}..{int(counts.max())}; it must be 1..{wide.shape[1] - 1}"
        raise KernelInputError(message)
    frequencies = wide.diff(dim=1)
    inside = torch.arange(frequencies.shape[1])[None, :] < counts[:, None]
    bad = (wide[:, 0] != 0) | (wide[:, -1] != total) | ((frequencies >= 1) != inside).any(1) | (frequencies < 0).any(1)
    if bool(bad.any()):
        message = f"table {int(bad.int().argmax())} doesn't rise from 0 to {total} in steps of at least 1"
        raise KernelInputError(message)
    edges = torch.arange((1 << LOOKUP_BITS) + 1) << (prob_bits - LOOKUP_BITS)
    symbols = torch.searchsorted(wide.contiguous(), edges.expand(len(counts), -1).contiguous(), right=True) - 1
    lookup = torch.minimum(symbols, counts[:, None] - 1)
    cdf, sizes, lookup, cost = (t.contiguous().to(device) for t in (wide.int(), counts.int(), lookup.short(), cost))
    return DeviceTables(cdf, sizes, lookup, cost, prob_bits)
