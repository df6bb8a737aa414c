"""How well similarities find the right one among others: recall at 1, and micro-AP.

Recall at 1: the share of copies whose photograph comes first. Micro-AP (Douze et al. 2021, arXiv 2106.09672): the
average precision of all pairs of copy and photograph in one list, by similarity; a wrong pair above a right one counts
whichever copy it is of.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def recall_at_1(similarity: NDArray[Any], right: NDArray[np.int64]) -> float:
    """The share of rows whose largest value, alone, is in the right column; a tie counts as its share of chance."""
    best = similarity.max(axis=1, keepdims=True)
    first = similarity == best
    return float((first[np.arange(len(right)), right] / first.sum(axis=1)).mean())


def micro_ap(similarity: NDArray[Any], right: NDArray[np.int64]) -> float:
    """The average precision of all pairs in one list, of pairs of equal values that to be expected of any order.

    In a group of n such pairs, h of them right, behind N pairs with H right ones, the i-th place holds a right one in
    h of n orders, and then (i - 1) (h - 1) / (n - 1) others of the group before it (McSherry and Najork 2008).
    """
    is_right = np.arange(similarity.shape[1])[None] == right[:, None]
    order = np.argsort(-similarity, axis=None, kind="stable")
    values, hits = similarity.ravel()[order], is_right.ravel()[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    ends = np.append(starts[1:], len(values))
    before = np.concatenate([[0], np.cumsum(hits)])
    total = 0.0
    for start, end in zip(starts, ends, strict=True):
        pairs, of_right = end - start, before[end] - before[start]
        if of_right:
            place = np.arange(pairs)
            others = place * (of_right - 1) / max(1, pairs - 1)
            total += of_right / pairs * float(((before[start] + 1 + others) / (start + place + 1)).sum())
    return total / len(right)
