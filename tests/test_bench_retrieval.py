"""The figures of a search: average precision, with ties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.latents.retrieval import micro_ap


def test_ties_count_as_their_mean_over_all_orders() -> None:
    """By brute force: every order of the pairs of equal values."""
    similarity, right = np.array([[2, 1, 1], [1, 1, 0], [2, 0, 1]]), np.array([1, 0, 0])
    is_right = (np.arange(3)[None] == right[:, None]).ravel()
    values, precisions = similarity.ravel(), []
    for order in itertools.permutations(range(9)):
        ranked = sorted(order, key=lambda pair: -values[pair])
        hits = is_right[ranked]
        precisions.append((np.cumsum(hits) / np.arange(1, 10))[hits].sum() / 3)
    assert micro_ap(similarity, right) == pytest.approx(np.mean(precisions), abs=1e-9)


def test_without_ties_it_is_the_average_precision() -> None:
    similarity = np.random.default_rng(0).normal(size=(20, 30))
    right = np.arange(20)
    hits = (np.arange(30)[None] == right[:, None]).ravel()[np.argsort(-similarity.ravel())]
    expected = (np.cumsum(hits) / np.arange(1, 601))[hits].sum() / 20
    assert micro_ap(similarity, right) == pytest.approx(expected, abs=1e-12)
