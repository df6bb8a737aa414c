"""What search compares of an image: its layout, coarse, in windows of several sizes, so that a part is known again.

An image is reduced to 32 x 32 squares by the preview head, which reads colours off y_hat without synthesis. Each window
of it is described by 8 x 8 means of luma and 4 x 4 of two colour differences, without their mean and of unit length
(so that brightness and contrast fall out), then whitened: neighbouring squares of photographs are much alike, and what
they share tells no two images apart. Their correlation is taken as exp(-distance / 0.3 of the window), so nothing has
to be learnt and descriptors of all indices and models compare. A mirrored image is looked for with mirrored windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Thumbnail = NDArray[np.uint8]
"""uint8 [32, 32, 3], RGB, stretched to a square."""
Vectors = NDArray[np.float32]

SIDE = 32
LUMA, COLOUR = 8, 4
COLOUR_WEIGHT = 0.5
"""Of the colour differences beside luma, in length."""
CORRELATION = 0.3
"""Distance, in sides of a window, at which the correlation of two squares is 1/e. Chosen on held-out photographs."""
LEAST_CONTRAST = 0.01, 0.05
"""Length of luma and of colour (0..1 each square) below which a window counts as plain."""
SIZE = LUMA**2 + 2 * COLOUR**2
DIMENSIONS = 80

WINDOWS_OF = ((1.0, 1), (0.84, 3), (0.68, 3), (0.56, 4))
"""Windows: side as a part of the image's, and positions along each side. Of an image in an index one of them is about
what a crop shows; of a query one is the image in a frame. An overlay leaves some free, in the same places in both."""
WINDOWS = sum(count**2 for _, count in WINDOWS_OF)

_LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def thumbnail(pixels: NDArray[np.uint8]) -> Thumbnail:
    """Means of the squares of an image uint8 [H, W, 3], or of its preview."""
    height, width, channels = pixels.shape
    rows = (_squares(height) @ pixels.reshape(height, -1).astype(np.float32)).reshape(SIDE, width, channels)
    return np.asarray(np.rint(_squares(width) @ rows).clip(0, 255), np.uint8)


def stored_vectors(thumbnails: NDArray[np.uint8]) -> Vectors:
    """Descriptors of thumbnails [B, 32, 32, 3] for an index: float32 [B, windows, 80], of unit length."""
    return _vectors(thumbnails, WINDOWS_OF)


def asked_vectors(asked: Thumbnail, *, brief: bool = False) -> Vectors:
    """Descriptors of a query, as it is and mirrored: float32 [windows, 80]. brief: of the whole image only."""
    both = np.stack([asked, asked[:, ::-1]])
    return _vectors(both, WINDOWS_OF[:1] if brief else WINDOWS_OF).reshape(-1, DIMENSIONS)


def similarities(asked: Vectors, stored: Vectors) -> NDArray[np.float32]:
    """The likeness of a query [windows, 80] to each of several images [B, windows, 80]: that of the two windows most
    alike, -1..1."""
    products = asked @ stored.reshape(-1, DIMENSIONS).T
    best: NDArray[np.float32] = products.reshape(len(asked), *stored.shape[:2]).max(axis=(0, 2))
    return best


def _vectors(thumbnails: NDArray[np.uint8], scales: Sequence[tuple[float, int]]) -> Vectors:
    """float32 [B, windows, 80]."""
    values = thumbnails.astype(np.float32) / 255
    luma = np.asarray(values @ _LUMA_WEIGHTS, np.float32)
    colour = np.asarray(np.stack([values[..., 0] - luma, values[..., 2] - luma], axis=1), np.float32)
    batch = len(thumbnails)
    of_luma = _pooled(luma[:, None], scales, LUMA).reshape(batch, -1, LUMA**2)
    of_colour = _pooled(colour, scales, COLOUR).reshape(batch, of_luma.shape[1], -1)
    parts = [_scaled(of_luma, LEAST_CONTRAST[0]), COLOUR_WEIGHT * _scaled(of_colour, LEAST_CONTRAST[1])]
    whitened = np.concatenate(parts, axis=2) @ _whitening()
    lengths: Vectors = np.linalg.norm(whitened, axis=2, keepdims=True)
    return np.asarray(whitened / np.maximum(lengths, np.float32(1e-6)), np.float32)


def _pooled(planes: NDArray[np.float32], scales: Sequence[tuple[float, int]], grid: int) -> NDArray[np.float32]:
    """Means, less their mean over the window, of a grid in each window: [B, P, 32, 32] -> [B, windows, P, grid^2]."""
    means = np.einsum("wgh,bphk->bwpgk", _rows(tuple(scales), grid, 0), planes, optimize=True)
    squares = np.einsum("bwpgk,wck->bwpgc", means, _rows(tuple(scales), grid, 1), optimize=True)
    flat = squares.reshape(*squares.shape[:3], -1)
    return np.asarray(flat - flat.mean(axis=3, keepdims=True), np.float32)


def _scaled(values: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    return np.asarray(values / (np.linalg.norm(values, axis=2, keepdims=True) + least), np.float32)


@lru_cache(maxsize=16)
def _squares(size: int) -> NDArray[np.float32]:
    """The weights of so many cells in the means over SIDE parts: float32 [32, size]."""
    return _means(0, 1, SIDE, size).astype(np.float32)


@lru_cache
def _rows(scales: tuple[tuple[float, int], ...], grid: int, axis: int) -> NDArray[np.float32]:
    """For each window the weights of the 32 rows (axis 0) or columns (1) in its grid: float32 [windows, grid, 32]."""
    windows = [
        (top, left, side)
        for side, count in scales
        for top in np.linspace(0, 1 - side, count)
        for left in np.linspace(0, 1 - side, count)
    ]
    return np.array([_means(window[axis], window[axis] + window[2], grid, SIDE) for window in windows], np.float32)


def _means(start: float, stop: float, parts: int, size: int) -> NDArray[np.float64]:
    """Weights of `size` cells in the means over `parts` equal parts of start..stop (0..1 is all cells)."""
    edges, cells = np.linspace(start, stop, parts + 1) * size, np.arange(size)
    overlaps = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    positive = overlaps.clip(0)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True), np.float64)


@lru_cache(maxsize=1)
def _whitening() -> NDArray[np.float32]:
    """float32 [96, 80]."""
    covariance = np.zeros((SIZE, SIZE))
    start = 0
    for grid, weight in ((LUMA, 1.0), (COLOUR, COLOUR_WEIGHT**2 / 2), (COLOUR, COLOUR_WEIGHT**2 / 2)):
        end = start + grid**2
        covariance[start:end, start:end] = weight * _covariance(grid)
        start = end
    values, directions = np.linalg.eigh(covariance)
    values, directions = values[::-1][:DIMENSIONS], directions[:, ::-1][:, :DIMENSIONS]
    return np.asarray(directions / np.sqrt(values + 1e-4 * values[0]), np.float32)


def _covariance(grid: int) -> NDArray[np.float64]:
    """The covariance of the squares of a window less their mean; its trace is 1."""
    rows, columns = np.divmod(np.arange(grid**2), grid)
    distances = np.hypot(rows[:, None] - rows, columns[:, None] - columns) / grid
    centre = np.eye(grid**2) - 1 / grid**2
    covariance = centre @ np.exp(-distances / CORRELATION) @ centre
    return np.asarray(covariance / np.trace(covariance), np.float64)
