"""How well scores tell defects: area under the ROC curve, and overlap per region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

MOST_FALSE = 0.3
"""Up to which false-positive rate the overlap per region is averaged."""


def auroc(scores: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    """The probability that a defective sample scores above a good one; ties count a half."""
    positive = int(truth.sum())
    ranks = float(rankdata(scores)[truth].sum())
    return (ranks - positive * (positive + 1) / 2) / (positive * (truth.size - positive))


def aupro(maps: Sequence[NDArray[Any]], masks: Sequence[NDArray[np.bool_]], most_false: float = MOST_FALSE) -> float:
    """The mean part of each connected region that is found, over false-positive rates of pixels 0..most_false, 0..1.

    Per-region overlap: Bergmann et al. 2021, section 5.2. Good pixels of all images together give the rate.
    """
    weights = [region_weights(mask) for mask in masks]
    scores, weight = np.concatenate([m.ravel() for m in maps]), np.concatenate([w.ravel() for w in weights])
    order = np.argsort(-scores, kind="stable")
    scores, weight = scores[order], weight[order]
    is_good = weight == 0
    last = np.append(scores[1:] != scores[:-1], True)  # equal scores are found together
    false_rate = np.concatenate([[0], (np.cumsum(is_good) / is_good.sum())[last]])
    overlap = np.concatenate([[0], (np.cumsum(weight) / weight.sum())[last]])
    inside = false_rate < most_false
    end = np.interp(most_false, false_rate, overlap)
    rates, overlaps = np.append(false_rate[inside], most_false), np.append(overlap[inside], end)
    return float(np.trapezoid(overlaps, rates) / most_false)


def region_weights(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each pixel 1 over the size of its region (8-connected), 0 where it is good: each region sums to 1."""
    regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    return np.where(mask, 1 / sizes[regions], 0.0)
