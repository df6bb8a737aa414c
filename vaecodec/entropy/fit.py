"""Tables of the 64 scales, fitted at export to what the network really produces.

The training law (logistic) is the prior; counts of residuals over training images, folded by sign, correct it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.quantize import pmf_to_frequencies
from vaecodec.entropy.scales import scale_table
from vaecodec.intnet.fixedpoint import SCALE_INDICES
from vaecodec.rans.tables import CdfTables

MAX_MAGNITUDE = 511
"""Largest magnitude with a symbol of its own (1,023 symbols); what lies beyond is an outlier."""
COUNT_BINS = MAX_MAGNITUDE + 1
TAIL = 1e-5
"""Mass left to the outlier list, about 40 bits each."""
PRIOR_COUNT = 2000.0
"""The prior weighs as much as this many observed residuals."""


def _logistic_cdf(x: NDArray[np.floating], scale: float) -> NDArray[np.floating]:
    return np.asarray(0.5 * (1 + np.tanh(x * math.pi / (2 * math.sqrt(3) * scale))))


def prior_magnitudes(scale: float) -> NDArray[np.float64]:
    """P(|r| = m) of the discretized logistic law, m = 0 .. MAX_MAGNITUDE (the last holds the tail)."""
    edges = np.arange(COUNT_BINS) + 0.5
    below = 2 * _logistic_cdf(edges, scale) - 1
    below[-1] = 1.0
    return np.diff(below, prepend=0.0)


def fit_magnitudes(counts: NDArray[np.int64], scale: float) -> NDArray[np.float64]:
    """Posterior mean of P(|r| = m), from counts [COUNT_BINS] (magnitudes beyond the last are counted in it)."""
    prior = prior_magnitudes(scale)
    return np.asarray((counts + PRIOR_COUNT * prior) / (counts.sum() + PRIOR_COUNT))


def table_row(magnitudes: NDArray[np.float64]) -> NDArray[np.uint32]:
    """P(|r| = m) -> quantized cdf [2K+2] over the symbols 0, 1, -1, ..., K, -K; +-K stand for all beyond, too."""
    beyond = 1 - np.cumsum(magnitudes)
    largest = int(np.argmax(beyond < TAIL)) if (beyond < TAIL).any() else MAX_MAGNITUDE
    largest = max(1, min(largest, MAX_MAGNITUDE))
    kept = magnitudes[: largest + 1].copy()
    kept[-1] += max(0.0, 1 - kept.sum())
    pmf = np.empty(2 * largest + 1)
    pmf[0] = kept[0]
    pmf[1::2] = pmf[2::2] = kept[1:] / 2
    frequencies = pmf_to_frequencies(pmf)
    return np.concatenate([[0], np.cumsum(frequencies)]).astype(np.uint32)


def fit_tables(counts: NDArray[np.int64]) -> CdfTables:
    """Counts of |r| per scale index [64, COUNT_BINS] -> the 64 tables (row 0, "surely zero", is never coded with)."""
    if counts.shape != (SCALE_INDICES, COUNT_BINS):
        message = f"counts have shape {counts.shape}; it must be ({SCALE_INDICES}, {COUNT_BINS})"
        raise ValueError(message)
    rows = [table_row(fit_magnitudes(c, scale)) for c, scale in zip(counts, scale_table(), strict=True)]
    return CdfTables.from_rows(rows)
