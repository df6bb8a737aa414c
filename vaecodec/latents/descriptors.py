"""What search compares of an image: its layout, coarse, in windows of several sizes, so that a part is known again.

An image is reduced to 32 x 32 squares by the preview head, which reads colours off y_hat without synthesis. Each window
of it is described by 8 x 8 means of luma and 4 x 4 of two colour differences, without their mean and of unit length
(so that brightness and contrast fall out), then whitened: neighbouring squares of photographs are much alike, and what
they share tells no two images apart. Their correlation is taken as exp(-distance / 0.3 of the window), so nothing has
to be learnt and descriptors of all indices and models compare. A mirrored image is looked for with mirrored windows.

A few strong edges, as those of a logo, outweigh all else in such a sum. So the whole image is also described by signs:
whether each of 16 x 16 squares is lighter or darker than the 3 x 3 around it (the census transform, Zabih and Woodfill
1994). There what covers a quarter of an image counts a quarter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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
LEAST_LENGTH = 3.5
"""Of a whitened window, below which it stays short: 0 where an image is plain. In photographs they are 3.7 to 12."""
FULL = 20
"""Squares of luma, of 64, that share the contrast of a window which counts in full: 999 of 1000 windows of photographs,
half of which have 44 and more. The corner of a thing on white paper has 4."""
SIZE = LUMA**2 + 2 * COLOUR**2
DIMENSIONS = 80

WINDOWS_OF = ((1.0, 1), (0.84, 3), (0.68, 3), (0.56, 4))
"""Windows: side as a part of the image's, and positions along each side. Of an image in an index one of them is about
what a crop shows; of a query one is the image in a frame. An overlay leaves some free, in the same places in both."""
WINDOWS = sum(count**2 for _, count in WINDOWS_OF)
SIGNS = 16
"""Squares along a side that have a sign."""
LEAST_STEP = 0.5 / 255
"""Of a square from those around it, below which it has no sign: two images do not agree where both are plain."""
LEAST_SIGNS = 128
"""Signs without which two images cannot be alike by signs, whatever these few say."""
_UNIT = 127
"""What 1 is as a byte, in an index."""

_LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def thumbnail(pixels: NDArray[np.uint8]) -> Thumbnail:
    """Means of the squares of an image uint8 [H, W, 3], or of its preview."""
    height, width, channels = pixels.shape
    rows = (_squares(height) @ pixels.reshape(height, -1).astype(np.float32)).reshape(SIDE, width, channels)
    return np.asarray(np.rint(_squares(width) @ rows).clip(0, 255), np.uint8)


@dataclass(frozen=True)
class Descriptors:
    """What is compared of images. windows: float32 [B, windows, 80], signs: float32 [B, 256], positive, negative or 0.
    Both have unit length, or less where an image is plain.

    Of queries there are twice as many, of the image as it is and mirrored: [B, 2 * windows, 80] and [B, 2, 256].
    """

    windows: Vectors
    signs: Vectors

    def packed(self) -> list[bytes]:
        """For an index: a byte each number, two bits each sign; similarities differ by 0.01 at most."""
        count = len(self.windows)
        whole = np.rint(_UNIT * self.windows).astype(np.int8).reshape(count, -1).view(np.uint8)
        signs = (np.packbits(which, axis=1) for which in (self.signs > 0, self.signs < 0))
        rows = np.concatenate([whole, *signs], axis=1)
        return [row.tobytes() for row in rows]


def unpacked(contents: Sequence[bytes]) -> Descriptors:
    """The descriptors of images of an index."""
    rows = np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)
    split = WINDOWS * DIMENSIONS
    windows = rows[:, :split].view(np.int8).astype(np.float32) / np.float32(_UNIT)
    above, below = np.split(np.unpackbits(rows[:, split:], axis=1).view(np.int8), 2, axis=1)
    return Descriptors(windows.reshape(-1, WINDOWS, DIMENSIONS), _shortened((above - below).astype(np.float32)))


def describe(thumbnails: NDArray[np.uint8]) -> Descriptors:
    """Descriptors of thumbnails [B, 32, 32, 3] for an index."""
    luma = _luma(thumbnails)
    return Descriptors(_vectors(thumbnails, luma, WINDOWS_OF), _signs(luma))


def describe_queries(thumbnails: NDArray[np.uint8], *, brief: bool = False) -> Descriptors:
    """Descriptors of queries [B, 32, 32, 3], as they are and mirrored. brief: of the whole images only."""
    both = np.stack([thumbnails, thumbnails[:, :, ::-1]], 1).reshape(-1, SIDE, SIDE, 3)
    luma, count = _luma(both), len(thumbnails)
    vectors = _vectors(both, luma, WINDOWS_OF[:1] if brief else WINDOWS_OF)
    return Descriptors(vectors.reshape(count, -1, DIMENSIONS), _signs(luma).reshape(count, 2, -1))


def similarities(asked: Descriptors, stored: Descriptors) -> NDArray[np.float32]:
    """The likeness of each query to each image, [queries, images], 0..1: that of the two windows most alike, or that of
    the signs.

    The signs of two Gaussian variables of correlation c have a mean product m, and c = sin(pi / 2 * m). The root of c
    is as large as the likeness of windows, between images that have nothing in common.
    """
    queries, views = asked.windows.shape[:2]
    products = stored.windows.reshape(-1, DIMENSIONS) @ asked.windows.reshape(-1, DIMENSIONS).T
    alike = (
        products.reshape(len(stored.windows), -1, queries * views).max(axis=1).reshape(-1, queries, views).max(axis=2)
    )
    agreement = (stored.signs @ asked.signs.reshape(2 * queries, -1).T).reshape(-1, queries, 2).max(axis=2)
    correlation = np.sin(np.float32(np.pi / 2) * agreement)
    best: NDArray[np.float32] = np.maximum(alike, np.sqrt(correlation.clip(0))).clip(0, 1)
    return np.ascontiguousarray(best.T)


def _luma(thumbnails: NDArray[np.uint8]) -> Vectors:
    """[B, 32, 32], 0..1."""
    return np.asarray(thumbnails.astype(np.float32) @ (_LUMA_WEIGHTS / np.float32(255)), np.float32)


def _signs(luma: Vectors) -> Vectors:
    """float32 [B, 256]."""
    squares = luma.reshape(len(luma), SIGNS, SIDE // SIGNS, SIGNS, -1).mean(axis=(2, 4))
    around = sliding_window_view(np.pad(squares, ((0, 0), (1, 1), (1, 1)), "edge"), (3, 3), (1, 2)).mean(axis=(3, 4))
    differences = (squares - around).reshape(len(luma), -1)
    return _shortened(np.sign(differences) * (np.abs(differences) > LEAST_STEP))


def _shortened(signs: Vectors) -> Vectors:
    """Signs -1, 0 and 1 of an image at unit length, or less where few are not 0."""
    counts = np.abs(signs).sum(axis=1, keepdims=True)
    return np.asarray(signs / np.sqrt(np.maximum(counts, np.float32(LEAST_SIGNS))), np.float32)


def _vectors(thumbnails: NDArray[np.uint8], luma: Vectors, scales: Sequence[tuple[float, int]]) -> Vectors:
    """float32 [B, windows, 80]."""
    ends = thumbnails[..., ::2].astype(np.float32) / np.float32(255)  # red and blue
    colour = np.moveaxis(ends - luma[..., None], 3, 1)
    batch = len(thumbnails)
    of_luma = _pooled(luma[:, None], tuple(scales), LUMA).reshape(batch, -1, LUMA**2)
    of_colour = _pooled(colour, tuple(scales), COLOUR).reshape(batch, of_luma.shape[1], -1)
    parts = [_scaled(of_luma, LEAST_CONTRAST[0]), COLOUR_WEIGHT * _scaled(of_colour, LEAST_CONTRAST[1])]
    whitened = np.concatenate(parts, axis=2) @ _whitening()
    lengths = np.maximum(np.linalg.norm(whitened, axis=2), np.float32(LEAST_LENGTH))
    return np.asarray(whitened * (_fullness(of_luma) / lengths)[..., None], np.float32)


def _fullness(of_luma: Vectors) -> Vectors:
    """How far windows count, 0..1 [B, windows]: parts where little is beside a plain ground are alike by chance."""
    squares: Vectors = np.abs(of_luma).sum(axis=2) ** 2 / np.maximum((of_luma**2).sum(axis=2), np.float32(1e-9))
    fullness: Vectors = np.minimum(squares / np.float32(FULL), np.float32(1))
    fullness[:, 0] = 1  # the whole image, which another one has to be like in all
    return fullness


def _pooled(planes: Vectors, scales: tuple[tuple[float, int], ...], grid: int) -> Vectors:
    """Means, less their mean over the window, of a grid in each window: [B, P, 32, 32] -> [B, windows, P, grid^2]."""
    bands = _bands(scales, grid)
    means = bands @ (planes.reshape(-1, SIDE) @ bands.T).reshape(*planes.shape[:3], -1)
    parts, start = [], 0
    for _, count in scales:
        end = start + count * grid
        cells = means[:, :, start:end, start:end].reshape(*planes.shape[:2], count, grid, count, grid)
        parts.append(cells.transpose(0, 2, 4, 1, 3, 5).reshape(len(planes), count**2, planes.shape[1], -1))
        start = end
    flat = np.concatenate(parts, axis=1)
    return np.asarray(flat - flat.mean(axis=3, keepdims=True), np.float32)


def _scaled(values: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    return np.asarray(values / (np.linalg.norm(values, axis=2, keepdims=True) + least), np.float32)


@lru_cache(maxsize=16)
def _squares(size: int) -> NDArray[np.float32]:
    """The weights of so many cells in the means over SIDE parts: float32 [32, size]."""
    return _means(0, 1, SIDE, size).astype(np.float32)


@lru_cache
def _bands(scales: tuple[tuple[float, int], ...], grid: int) -> Vectors:
    """The weights of 32 cells in the grid of each window of a row or column, one window after the other: [.., 32]."""
    starts = [(start, side) for side, count in scales for start in np.linspace(0, 1 - side, count)]
    return np.concatenate([_means(start, start + side, grid, SIDE) for start, side in starts]).astype(np.float32)


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
