"""The training corpus: every image decoded once to uint8, crops taken in memory."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SUFFIXES = {".avif", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
MIN_SCALE = 0.5


@dataclass(frozen=True)
class Corpus:
    """Images as one flat uint8 tensor; image i is `flat[offsets[i]:]` viewed as [heights[i], widths[i], 3]."""

    flat: Tensor
    offsets: Tensor
    heights: Tensor
    widths: Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.offsets)

    def image(self, number: int) -> Tensor:
        """uint8 [H, W, 3], a view."""
        height, width = int(self.heights[number]), int(self.widths[number])
        start = int(self.offsets[number])
        return self.flat[start : start + height * width * 3].view(height, width, 3)


def find_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def load_corpus(folder: Path, crop: int, limit: int | None = None) -> Corpus:
    """Decode the images below `folder` whose sides are at least `crop`. Raises ValueError if there is none."""
    paths = find_images(folder)[:limit]
    with ThreadPoolExecutor(2) as pool:
        arrays = [a for a in pool.map(_read, paths) if min(a.shape[:2]) >= crop]
    if not arrays:
        message = f"{folder}: no image with both sides of at least {crop} pixels"
        raise ValueError(message)
    flat = np.concatenate([a.reshape(-1) for a in arrays])
    sizes = torch.tensor([a.size for a in arrays])
    return Corpus(
        torch.from_numpy(flat),
        torch.cumsum(sizes, 0) - sizes,
        torch.tensor([a.shape[0] for a in arrays]),
        torch.tensor([a.shape[1] for a in arrays]),
        hashlib.sha256(flat.data).hexdigest(),
    )


class Sampler:
    """Random crops with flips, transposes and 0.5-1x rescaling; an image's chance is proportional to its area."""

    def __init__(self, corpus: Corpus, crop: int, generator: torch.Generator, rescale_chance: float = 0.3) -> None:
        self.corpus, self.crop, self.generator, self.rescale_chance = corpus, crop, generator, rescale_chance
        self.weights = (corpus.heights * corpus.widths).double()

    def batch(self, count: int) -> Tensor:
        """uint8 [count, 3, crop, crop]."""
        numbers = torch.multinomial(self.weights, count, replacement=True, generator=self.generator)
        return torch.stack([self._crop(int(number)) for number in numbers])

    def _crop(self, number: int) -> Tensor:
        image = self.corpus.image(number)
        chance, factor, row, column, *flips = torch.rand(7, generator=self.generator).tolist()
        side = self.crop
        if chance < self.rescale_chance:
            largest = min(*image.shape[:2], int(self.crop / MIN_SCALE))
            side = self.crop + int(factor * (largest - self.crop + 1))
        top, left = int(row * (image.shape[0] - side + 1)), int(column * (image.shape[1] - side + 1))
        patch = image[top : top + side, left : left + side].permute(2, 0, 1)
        if side != self.crop:
            size = (self.crop, self.crop)
            shrunk = F.interpolate(patch[None].float(), size, mode="bicubic", antialias=True)[0]
            patch = shrunk.round().clamp(0, 255).to(torch.uint8)
        return _turn(patch, flips)


def _turn(patch: Tensor, flips: list[float]) -> Tensor:
    if flips[0] < 0.5:
        patch = patch.flip(-1)
    if flips[1] < 0.5:
        patch = patch.flip(-2)
    return patch.transpose(-1, -2) if flips[2] < 0.5 else patch
