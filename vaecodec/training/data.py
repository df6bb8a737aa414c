"""The training corpus: every image decoded once to uint8, kept in memory."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from vaecodec.errors import InputError
from vaecodec.training.shards import SHARD_SUFFIX, list_shard, read_from_shard

SUFFIXES = {".avif", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
READERS = 2
"""Threads that decode the corpus."""


@dataclass(frozen=True)
class Corpus:
    """Images as one flat uint8 tensor; image i is `flat[offsets[i]:]` viewed as [heights[i], widths[i], 3].

    `digest` is the SHA-256 of the pixels. `weights` float64: an image's chance to give a crop, not normalized. Only
    `flat` may live on a GPU; the rest stays on the CPU.
    """

    flat: Tensor
    offsets: Tensor
    heights: Tensor
    widths: Tensor
    digest: str
    weights: Tensor

    def __len__(self) -> int:
        return len(self.offsets)

    def image(self, number: int) -> Tensor:
        """uint8 [H, W, 3], a view."""
        height, width = int(self.heights[number]), int(self.widths[number])
        start = int(self.offsets[number])
        return self.flat[start : start + height * width * 3].view(height, width, 3)

    def to(self, device: torch.device) -> Corpus:
        """This corpus with its pixels on `device`."""
        return replace(self, flat=self.flat.to(device))


@dataclass(frozen=True)
class Source:
    """One image file: its path in the folder with forward slashes, and a function that gives its bytes."""

    name: str
    read: Callable[[], bytes]


def find_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def find_sources(folder: Path) -> list[Source]:
    """All images below `folder`, those in shards included, sorted by path: packing changes no order."""
    sources = [Source(path.relative_to(folder).as_posix(), path.read_bytes) for path in find_images(folder)]
    for shard in sorted(folder.rglob(f"*{SHARD_SUFFIX}")):
        sources += [Source(name, partial(read_from_shard, shard, name)) for name in list_shard(shard)]
    return sorted(sources, key=lambda source: source.name.split("/"))


def _open(source: Source) -> Image.Image:
    try:
        return Image.open(io.BytesIO(source.read()))
    except UnidentifiedImageError as error:
        message = f"{source.name}: not an image that this Pillow can read"
        raise InputError(message) from error


def _size(source: Source) -> tuple[int, int]:
    """(height, width), from the header."""
    with _open(source) as image:
        return image.height, image.width


def _read_into(source: Source, target: Tensor) -> None:
    try:
        with _open(source) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        message = f"{source.name}: cannot be decoded ({error})"
        raise InputError(message) from error
    target.copy_(torch.from_numpy(pixels.reshape(-1).copy()))


def load_corpus(folder: Path, crop: int, limit: int | None = None) -> Corpus:
    """Decode the images below `folder` (files and shards) whose sides are at least `crop`.

    `limit` takes the first ones only, in order of name. Raises InputError if none is left or one can't be read.
    """
    sources = find_sources(folder)[:limit]
    with ThreadPoolExecutor(READERS) as pool:
        sizes = list(pool.map(_size, sources))
        kept = [number for number, size in enumerate(sizes) if min(size) >= crop]
        if not kept:
            message = f"{folder}: no image with both sides of at least {crop} pixels"
            raise InputError(message)
        heights, widths = torch.tensor([sizes[number] for number in kept]).T
        counts = heights * widths * 3
        flat = torch.empty(int(counts.sum()), dtype=torch.uint8)
        list(pool.map(_read_into, [sources[number] for number in kept], torch.split(flat, counts.tolist())))
    digest = hashlib.sha256(flat.numpy().data).hexdigest()
    areas = (heights * widths).double()
    return Corpus(flat, counts.cumsum(0) - counts, heights.contiguous(), widths.contiguous(), digest, areas)


def mix(photographs: Corpus, graphics: Corpus, share: float) -> Corpus:
    """Return one corpus in which `share` of the crops (0..1) come from `graphics`, by area within each of the two."""
    flat = torch.cat([photographs.flat, graphics.flat])
    offsets = torch.cat([photographs.offsets, graphics.offsets + len(photographs.flat)])
    heights, widths = (
        torch.cat([getattr(part, side) for part in (photographs, graphics)]) for side in ("heights", "widths")
    )
    digest = hashlib.sha256(f"{photographs.digest} {graphics.digest}".encode()).hexdigest()
    chances = ((photographs, 1 - share), (graphics, share))
    weights = torch.cat([part.weights / part.weights.sum() * chance for part, chance in chances])
    return Corpus(flat, offsets, heights, widths, digest, weights)
