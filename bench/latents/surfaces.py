"""What the benchmark of anomalies is made on: folders laid out as MVTec AD, or textures with synthetic defects.

Folders: `train/good`, `test/good`, `test/<kind>` and `ground_truth/<kind>/<name>_mask.png` (Bergmann et al. 2021,
doi 10.1007/s11263-020-01400-4). Your own copy: the licence of MVTec AD does not let others ship it.

Textures: the archive of Debian's package ufoai-textures (`0textures.pk3`, a ZIP file; GPL and CC licences). Of each
texture normal images are cut from one part and tested ones from another. Defects are made as DRAEM makes them
(Zavrtanik et al. 2021, arXiv 2108.07610): where Perlin noise is above a half, another texture is blended in. They are
synthetic: real defects have shapes and causes, these have neither.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

SIDE = 256
NORMAL, GOOD, DEFECTIVE, ALIKE = 24, 12, 18, 48
NORMAL_PART = 0.6
"""Of a texture's width: normal images are cut from the left of it, tested ones from the right."""
AREA = 0.005, 0.2
"""The least and the largest part of an image that is defective."""
LEAST_REGION = 64
"""Pixels of the smallest patch that is blended in."""
MOST_TRANSPARENT = 0.8
"""A defect is blended in with an opacity between 1 and what this leaves."""
_FOLDER = "textures"
CHOSEN_ON = (
    "tex_ctp1/concrete_g_6.jpg",
    "tex_ctp1/ground_b_1.jpg",
    "tex_mattn/wall_bricks006.png",
    "tex_nature/desert005.png",
    "tex_nature/desert009.png",
    "tex_nature/pjrock1.png",
    "tex_nature/rock004.png",
    "tex_nature/rock018.png",
)
"""Textures that features, shrinkage and combination were chosen on; no figure is of them."""
REPORTED = (
    "tex_ctp1/concrete_g_8.jpg",
    "tex_ctp1/grass_g_7.jpg",
    "tex_ctp1/hedge02.jpg",
    "tex_nature/desert002.png",
    "tex_nature/jungle002.png",
    "tex_nature/rock008.png",
)
BLENDED_IN = (
    "tex_buildings/wall_dirt3.png",
    "tex_ctp1/concrete_g_4.jpg",
    "tex_ctp1/dirt_b_2.jpg",
    "tex_ctp1/dirt_b_4.jpg",
    "tex_material/metal002.png",
    "tex_material/metall001.png",
    "tex_material/metall013.png",
    "tex_material/wood003.png",
    "tex_mattn/dirt002.jpg",
    "tex_nature/desert003.png",
    "tex_nature/desert007.png",
    "tex_nature/grass_lush.png",
    "tex_nature/grass_tall_dry_a.jpg",
    "tex_nature/railway.png",
    "tex_nature/snow003.png",
    "tex_nature/tree002.png",
)


@dataclass(frozen=True, eq=False)
class Tested:
    """An image to be judged. mask: where it is defective, None for a good one."""

    image: Pixels
    mask: Mask | None = None
    kind: str = "good"

    @property
    def truth(self) -> Mask:
        """The mask, all False for a good image."""
        return np.zeros(self.image.shape[:2], bool) if self.mask is None else self.mask


@dataclass(frozen=True, eq=False)
class Surface:
    """Normal images of one surface or product, and images to be judged. alike: more normal images, of where the others
    are from, which are judged for nothing but the rate of false alarms."""

    name: str
    normal: list[Pixels] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)
    alike: list[Pixels] = field(default_factory=list)


def surfaces(path: Path, *, chosen_on: bool = False) -> Iterator[Surface]:
    """Those of an archive of textures; or of a folder laid out as MVTec AD, or of each such folder in it."""
    if path.is_file():
        yield from of_textures(path, CHOSEN_ON if chosen_on else REPORTED)
    elif (path / "train").is_dir():
        yield of_folder(path)
    else:
        yield from (of_folder(folder) for folder in sorted(path.iterdir()) if (folder / "train").is_dir())


def of_folder(folder: Path) -> Surface:
    """A folder laid out as MVTec AD. Raises FileNotFoundError for a defective image without its mask."""
    tested = [
        Tested(_pixels(path), None if kind.name == "good" else _mask(folder, kind.name, path.stem), kind.name)
        for kind in sorted((folder / "test").iterdir())
        for path in _images(kind)
    ]
    return Surface(folder.name, [_pixels(path) for path in _images(folder / "train" / "good")], tested)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"))


def _pixels(file: Path | io.BytesIO) -> Pixels:
    with Image.open(file) as opened:
        return np.asarray(opened.convert("RGB"))


def _mask(folder: Path, kind: str, name: str) -> Mask:
    with Image.open(folder / "ground_truth" / kind / f"{name}_mask.png") as opened:
        return np.asarray(opened.convert("L")) > 127


def of_textures(archive: Path, names: tuple[str, ...]) -> Iterator[Surface]:
    """Textures of Debian's ufoai-textures with synthetic defects, the same in every run."""
    with zipfile.ZipFile(archive) as opened:

        def read(name: str) -> Pixels:
            return _pixels(io.BytesIO(opened.read(f"{_FOLDER}/{name}")))

        others = [read(name) for name in BLENDED_IN]
        for name in names:
            yield of_texture(Path(name).stem, read(name), others, np.random.default_rng(list(name.encode())))


def of_texture(name: str, texture: Pixels, others: list[Pixels], rng: np.random.Generator) -> Surface:
    """One texture: normal images, good ones and defective ones, all SIDE pixels a side."""
    edge = int(NORMAL_PART * texture.shape[1])
    left, right = texture[:, :edge], texture[:, edge:]
    good = [Tested(_crop(right, rng)) for _ in range(GOOD)]
    defective = [defect(_crop(right, rng), others[int(rng.integers(len(others)))], rng) for _ in range(DEFECTIVE)]
    normal = [_crop(left, rng) for _ in range(NORMAL)]
    return Surface(name, normal, [*good, *defective], [_crop(left, rng) for _ in range(ALIKE)])


def defect(image: Pixels, other: Pixels, rng: np.random.Generator) -> Tested:
    """The image with patches of another texture, which is turned and made lighter or darker."""
    mask = defect_mask(image.shape[:2], rng)
    patch = np.rot90(_crop(other, rng), int(rng.integers(4)))
    patch = 255 * (patch / 255.0) ** rng.uniform(0.6, 1.6)
    opacity = 1 - rng.uniform(0, MOST_TRANSPARENT)
    blended = (1 - opacity) * image + opacity * patch
    return Tested(np.where(mask[..., None], np.rint(blended), image).astype(np.uint8), mask, "blended")


def _crop(texture: Pixels, rng: np.random.Generator) -> Pixels:
    top, left = (int(rng.integers(side - SIDE + 1)) for side in texture.shape[:2])
    return texture[top : top + SIDE, left : left + SIDE]


def defect_mask(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Where Perlin noise of random scales, turned at random, is above a half; no more and no less than AREA."""
    while True:
        scales = [int(2 ** rng.integers(0, 7)) for _ in range(2)]
        noise = Image.fromarray(perlin(shape, (scales[0], scales[1]), rng).astype(np.float32))
        mask = np.asarray(noise.rotate(float(rng.uniform(-90, 90)))) > 0.5
        regions, _ = ndimage.label(mask)
        mask &= np.bincount(regions.ravel())[regions] >= LEAST_REGION
        if AREA[0] <= mask.mean() <= AREA[1]:
            return mask


def perlin(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Perlin noise of `cells` cells, times sqrt(2) so that it fills -1..1: float64 of this shape."""
    angles = rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    gradients = np.stack([np.cos(angles), np.sin(angles)])
    at = [np.linspace(0, count, side, endpoint=False) for count, side in zip(cells, shape, strict=True)]
    corner = [places.astype(int) for places in at]
    y, x = (places - first for places, first in zip(at, corner, strict=True))
    fade_y, fade_x = (6 * t**5 - 15 * t**4 + 10 * t**3 for t in (y[:, None], x[None]))

    def ramp(down: int, right: int) -> NDArray[np.float64]:
        gy, gx = gradients[:, corner[0] + down][:, :, corner[1] + right]
        return np.asarray(gy * (y[:, None] - down) + gx * (x[None] - right))

    upper = (1 - fade_x) * ramp(0, 0) + fade_x * ramp(0, 1)
    lower = (1 - fade_x) * ramp(1, 0) + fade_x * ramp(1, 1)
    return np.asarray(2**0.5 * ((1 - fade_y) * upper + fade_y * lower))
