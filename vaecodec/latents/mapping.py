"""A map of images: alike ones close together, by t-SNE of what their latents are like."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec.image_latents import ImageLatents
from vaecodec.latents.extra import library

PERPLEXITY = 30
COMPONENTS = 50
"""Principal components of the features that are laid out: what is beyond is noise, and time."""
FEWEST = 5
"""Images from which t-SNE says anything; fewer lie along their first two principal components."""
NEIGHBOURS = 8


@dataclass(frozen=True)
class Place:
    """An image of a map. name: its path. picture: a small image file. features: see `features_of`."""

    name: str
    width: int
    height: int
    picture: bytes
    features: NDArray[np.float32]


def features_of(latents: ImageLatents) -> NDArray[np.float32]:
    """What is on an image, wherever on it: mean and deviation of each channel of y_hat, float32 [2 M]."""
    values = latents.inside(latents.y_hat)
    return np.concatenate([values.mean(axis=(1, 2)), values.std(axis=(1, 2))]).astype(np.float32)


def standardized(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features [n, F] as principal components [n, 50 or fewer], each of the channels weighing as much as another."""
    spread = features.std(axis=0)
    values = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    left, singular, _ = np.linalg.svd(values, full_matrices=False)
    count = min(COMPONENTS, len(features))
    return np.asarray(left[:, :count] * singular[:count], np.float32)


def layout(components: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Places on the map, float32 [n, 2] within 0..1. Raises BackendError without scikit-learn."""
    if len(components) < FEWEST:
        flat = np.zeros((len(components), 2), np.float32)
        flat[:, : components.shape[1]] = components[:, :2]
    else:
        perplexity = min(PERPLEXITY, (len(components) - 1) / 3)
        tsne = library("sklearn.manifold").TSNE(perplexity=perplexity, init="pca", random_state=seed)
        flat = np.asarray(tsne.fit_transform(components), np.float32)
    least, most = flat.min(axis=0), flat.max(axis=0)
    return np.asarray((flat - least) / np.maximum(most - least, np.float32(1e-9)), np.float32)


def neighbours(components: NDArray[np.float32], count: int = NEIGHBOURS) -> NDArray[np.int64]:
    """The numbers of the images nearest to each in the space of the features, int64 [n, count], the nearest first."""
    count = min(count, len(components) - 1)
    squares = (components**2).sum(axis=1)
    nearest = []
    for start in range(0, len(components), 256):
        part = slice(start, start + 256)
        distances = squares[part, None] + squares - 2 * components[part] @ components.T
        distances[np.arange(len(distances)), np.arange(len(components))[part]] = np.inf
        first = np.argpartition(distances, max(0, count - 1), axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distances, first, 1), axis=1, kind="stable")
        nearest.append(np.take_along_axis(first, order, 1))
    return np.concatenate(nearest) if nearest else np.empty((0, count), np.int64)


def sprites(pictures: Sequence[bytes], tile: int) -> tuple[bytes, int, list[tuple[int, int]]]:
    """All pictures on one sheet, a JPEG: its bytes, its columns, and width and height of each picture in its tile."""
    columns = max(1, math.ceil(math.sqrt(len(pictures))))
    sheet = Image.new("RGB", (columns * tile, max(1, math.ceil(len(pictures) / columns)) * tile))
    sizes = []
    for number, data in enumerate(pictures):
        with Image.open(io.BytesIO(data)) as picture:
            picture.thumbnail((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(picture, (number % columns * tile, number // columns * tile))
            sizes.append(picture.size)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=75)
    return buffer.getvalue(), columns, sizes
