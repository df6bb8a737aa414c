"""What values of r cost, between whole numbers too, and the step that takes it into account exactly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaecodec.entropy.model import EntropyModel
from vaecodec.entropy.quantize import to_symbols

OUTLIER_BITS = 24.0
"""About what an entry of the list of outliers takes, beside the symbol at the end of the table."""


class RateCurve:
    """Bits of r by scale index, linear between the whole numbers, where they are those of the tables.

    Linear is what the penalty needs: a value between n and n + 1 stands for either of them, by chance.
    """

    def __init__(self, entropy: EntropyModel, device: torch.device) -> None:
        largest = (np.asarray(entropy.y_tables.sizes) - 1) // 2
        self._most = int(largest.max()) + 2
        values = np.arange(-self._most, self._most + 1)
        beyond = np.abs(values) - largest[:, None]
        symbols = to_symbols(np.clip(values, -largest[:, None], largest[:, None]))
        bits = np.take_along_axis(entropy.y_tables.bits, symbols, 1) + np.where(beyond > 0, OUTLIER_BITS + beyond, 0)
        self._width = len(values)
        self._bits = torch.from_numpy(bits.astype(np.float32)).flatten().to(device)

    def cell(self, index: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """Bits at the whole number `low` and how many more at the next; index int64, low float32, of equal shapes."""
        place = low.clamp(-self._most, self._most - 1).long() + self._most + index * self._width
        start = self._bits[place]
        return start, self._bits[place + 1] - start

    def bits(self, index: Tensor, v: Tensor) -> Tensor:
        """Bits of each value."""
        low = v.floor()
        start, more = self.cell(index, low)
        return start + more * (v - low)


def penalized(rates: RateCurve, index: Tensor, v: Tensor, pull: Tensor) -> Tensor:
    """Bits of each value plus the penalty pull / 2 * q (1 - q), q the part behind the point.

    With pull the curvature of the distortion (in bits) along v, the penalty is what the distortion grows by on average
    when v is rounded up with chance q and else down.
    """
    q = v - v.floor()
    return rates.bits(index, v) + 0.5 * pull * q * (1 - q)


def proximal(rates: RateCurve, index: Tensor, w: Tensor, stiffness: Tensor, pull: Tensor) -> Tensor:
    """The v nearest to w that is worth its bits: argmin of stiffness / 2 * (v - w)^2 + `penalized`, each for itself.

    Exact within the cell of w and its two neighbours: in a cell all is one parabola, and the least of three cells wins.
    """
    best, least = w, torch.full_like(w, torch.inf)
    bend = (stiffness - pull).clamp(min=1e-6)
    for step in (-1, 0, 1):
        low = w.floor() + step
        start, more = rates.cell(index, low)
        q = ((stiffness * (w - low) - more - 0.5 * pull) / bend).clamp(0, 1)
        v = low + q
        cost = 0.5 * stiffness * (v - w).square() + start + more * q + 0.5 * pull * q * (1 - q)
        best, least = torch.where(cost < least, v, best), torch.minimum(cost, least)
    return best
