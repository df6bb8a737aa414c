"""Photographs that somebody has worked on, and every filter of Pillow's."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageEnhance, ImageFilter, ImageOps

from checks.hostile.canvas import Image, MissingError, Random, as_array, cut, size

SUFFIXES = (".avif", ".jpg", ".jpeg", ".png", ".webp")
Edit = Callable[[PillowImage.Image], PillowImage.Image]
STRENGTHS = (0.0, 0.5, 1.5, 2.0, 4.0, 8.0, 16.0, -1.0)
"""Of ImageEnhance; 1 changes nothing."""


class Photographs:
    """Those of a folder, read when they are needed."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not self._paths:
            message = f"{folder} holds no photographs ({', '.join(SUFFIXES)})"
            raise MissingError(message)

    def part(self, rng: Random) -> PillowImage.Image:
        """A part of any photograph, as it is or reduced to 1/2 to 1/8: RGB, of the usual size."""
        whole = _opened(self._paths[rng.integers(0, len(self._paths))])
        if rng.random() < 0.6:
            factor = rng.uniform(2, 8)
            sides = (max(256, round(side / factor)) for side in whole.size)
            whole = whole.resize(tuple(sides), PillowImage.Resampling.LANCZOS)  # type: ignore[arg-type]
        return PillowImage.fromarray(cut(rng, np.asarray(whole)))


@functools.lru_cache(maxsize=16)
def _opened(path: Path) -> PillowImage.Image:
    with PillowImage.open(path) as image:
        return image.convert("RGB")


# What people do most


def dithered(rng: Random, image: PillowImage.Image) -> Image:
    """Few colours, with Floyd and Steinberg's dither or an ordered one."""
    if rng.random() < 0.3:
        matrix = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16
        tiled = np.tile(matrix, (image.height // 4 + 1, image.width // 4 + 1))[: image.height, : image.width]
        return ((np.asarray(image) > tiled[:, :, None]) * 255).astype(np.uint8)
    return as_array(
        image.quantize(int(rng.choice([2, 3, 4, 8, 16, 32, 256])), dither=PillowImage.Dither.FLOYDSTEINBERG).convert(
            "RGB"
        )
    )


def bilevel(rng: Random, image: PillowImage.Image) -> Image:
    """Black and white, dithered or by a threshold: what faxes are."""
    if rng.random() < 0.5:
        return as_array(image.convert("1"))
    threshold = int(rng.integers(40, 216))
    return as_array(image.convert("L").point(lambda value: 255 * (value > threshold)))


def posterized(rng: Random, image: PillowImage.Image) -> Image:
    """1 to 4 bits of each colour, or a palette without dither."""
    if rng.random() < 0.5:
        return as_array(ImageOps.posterize(image, int(rng.integers(1, 5))))
    return as_array(image.quantize(int(rng.integers(2, 24)), dither=PillowImage.Dither.NONE).convert("RGB"))


def inverted(rng: Random, image: PillowImage.Image) -> Image:
    """A negative, or one of the colours, or the channels in another order."""
    array = np.array(image)
    kind = rng.integers(0, 3)
    if kind == 0:
        return 255 - array
    if kind == 1:
        array[:, :, rng.integers(0, 3)] ^= 255
        return array
    return np.ascontiguousarray(array[:, :, rng.permutation(3)])


def sharpened(rng: Random, image: PillowImage.Image) -> Image:
    """Unsharp masks from mild to absurd, and SHARPEN once or several times."""
    if rng.random() < 0.3:
        for _ in range(rng.integers(1, 6)):
            image = image.filter(ImageFilter.SHARPEN)
        return as_array(image)
    mask = ImageFilter.UnsharpMask(rng.uniform(0.5, 8), int(rng.integers(50, 1000)), int(rng.integers(0, 6)))
    return as_array(image.filter(mask))


def contrasted(rng: Random, image: PillowImage.Image) -> Image:
    """Too much contrast, too many colours, too steep a curve."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return as_array(ImageEnhance.Contrast(image).enhance(rng.uniform(1.5, 12)))
    if kind == 1:
        return as_array(ImageEnhance.Color(image).enhance(rng.uniform(2, 16)))
    if kind == 2:
        return as_array(ImageOps.autocontrast(image, cutoff=rng.uniform(1, 45)))
    steep = 255 / (1 + np.exp(-(np.asarray(image, np.float64) - rng.uniform(60, 200)) / rng.uniform(2, 30)))
    return steep.round().astype(np.uint8)


def noisy(rng: Random, image: PillowImage.Image) -> Image:
    """Normal noise, salt and pepper, or the blocks of a bad JPEG."""
    array, kind = np.asarray(image, np.float64), rng.integers(0, 3)
    if kind == 0:
        array = array + rng.normal(0, 2 ** rng.uniform(2, 7.5), array.shape)
    elif kind == 1:
        hit = rng.random(array.shape[:2]) < rng.uniform(0.01, 0.6)
        array = np.where(hit[:, :, None], 255.0 * rng.integers(0, 2, (*hit.shape, 1)), array)
    else:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(1, 30)))
        return as_array(PillowImage.open(buffer))
    return array.round().clip(0, 255).astype(np.uint8)


def upscaled(rng: Random, image: PillowImage.Image) -> Image:
    """The image enlarged by nearest neighbour, to squares or to rectangles."""
    factors = rng.uniform(1.1, 12, 2)
    if rng.random() < 0.7:
        factors = np.array([int(rng.integers(2, 13))] * 2)
    small = [max(1, round(side / factor)) for side, factor in zip(image.size, factors, strict=True)]
    reduced = image.resize((small[0], small[1]), PillowImage.Resampling.BOX)
    return as_array(reduced.resize(image.size, PillowImage.Resampling.NEAREST))


# Everything that Pillow has


@functools.cache
def filters() -> tuple[tuple[str, Edit], ...]:
    """ImageFilter, each at several strengths."""
    named_filters: list[tuple[str, ImageFilter.Filter]] = []
    plain = (
        "BLUR",
        "CONTOUR",
        "DETAIL",
        "EDGE_ENHANCE",
        "EDGE_ENHANCE_MORE",
        "EMBOSS",
        "FIND_EDGES",
        "SHARPEN",
        "SMOOTH",
        "SMOOTH_MORE",
    )
    named_filters += [(name, getattr(ImageFilter, name)()) for name in plain]
    for radius in (1, 3, 10):
        named_filters += [
            (f"GaussianBlur {radius}", ImageFilter.GaussianBlur(radius)),
            (f"BoxBlur {radius}", ImageFilter.BoxBlur(radius)),
        ]
    for radius, percent, threshold in ((2, 150, 3), (1, 80, 0), (2, 250, 0), (2, 500, 0), (5, 300, 0), (20, 1000, 0)):
        named_filters.append(
            (f"UnsharpMask {radius} {percent} {threshold}", ImageFilter.UnsharpMask(radius, percent, threshold))
        )
    for side in (3, 5, 9):
        named_filters += [
            (f"MedianFilter {side}", ImageFilter.MedianFilter(side)),
            (f"MinFilter {side}", ImageFilter.MinFilter(side)),
            (f"MaxFilter {side}", ImageFilter.MaxFilter(side)),
            (f"ModeFilter {side}", ImageFilter.ModeFilter(side)),
            (f"RankFilter {side}", ImageFilter.RankFilter(side, side)),
        ]
    for strength in (2, 5, 20):
        laplace = [-strength] * 4 + [1 + 8 * strength] + [-strength] * 4
        named_filters.append((f"Kernel {strength}", ImageFilter.Kernel((3, 3), laplace, 1)))
    swapped = ImageFilter.Color3DLUT.generate(5, lambda r, g, b: (b * b, 1 - r, min(1.0, 2 * g)))
    steep = ImageFilter.Color3DLUT.generate(9, lambda *rgb: tuple(round(value) for value in rgb))
    named_filters += [("Color3DLUT swapped", swapped), ("Color3DLUT steep", steep)]
    return tuple((name, functools.partial(_filtered, filter_=filter_)) for name, filter_ in named_filters)


def _filtered(image: PillowImage.Image, filter_: ImageFilter.Filter) -> PillowImage.Image:
    return image.filter(filter_)


class _Wave:
    """A deformer: squares of 32 pixels, each as a leaning one."""

    def getmesh(self, image: PillowImage.Image) -> list[tuple[tuple[int, int, int, int], tuple[int, ...]]]:
        boxes = [(x, y, x + 32, y + 32) for y in range(0, image.height, 32) for x in range(0, image.width, 32)]
        return [(box, (box[0], box[1], box[0] + 9, box[3], box[2] + 9, box[3], box[2], box[1])) for box in boxes]


@functools.cache
def operations() -> tuple[tuple[str, Edit], ...]:
    """ImageOps, each at several strengths."""
    edits: list[tuple[str, Edit]] = [
        ("equalize", ImageOps.equalize), ("invert", ImageOps.invert), ("grayscale", ImageOps.grayscale),
        ("flip", ImageOps.flip), ("mirror", ImageOps.mirror),
        ("exif_transpose", lambda image: ImageOps.exif_transpose(image)),
        ("deform", lambda image: ImageOps.deform(image, _Wave())),
        ("crop", lambda image: ImageOps.crop(image, min(image.size) // 5)),
        ("expand", lambda image: ImageOps.expand(image, 17, (255, 0, 90))),
        ("contain", lambda image: ImageOps.contain(image, (111, 111))),
        ("cover", lambda image: ImageOps.cover(image, (70, 90))),
        ("fit", lambda image: ImageOps.fit(image, (120, 65), PillowImage.Resampling.NEAREST)),
        ("pad", lambda image: ImageOps.pad(image, (150, 200), color=(0, 255, 0))),
        ("colorize", lambda image: ImageOps.colorize(image.convert("L"), "#200060", "#ffff00", mid="#ff0000")),
        ("colorize two", lambda image: ImageOps.colorize(image.convert("L"), "white", "black")),
    ]  # fmt: skip
    edits += [
        (f"autocontrast {cutoff}", functools.partial(ImageOps.autocontrast, cutoff=cutoff)) for cutoff in (0, 2, 20, 45)
    ]
    edits += [(f"posterize {bits}", functools.partial(ImageOps.posterize, bits=bits)) for bits in range(1, 8)]
    edits += [(f"solarize {most}", functools.partial(ImageOps.solarize, threshold=most)) for most in (0, 64, 128, 200)]
    edits += [
        (f"scale {factor}", functools.partial(ImageOps.scale, factor=factor, resample=PillowImage.Resampling.NEAREST))
        for factor in (0.3, 0.5, 1.7)
    ]
    return tuple(edits)


@functools.cache
def enhancements() -> tuple[tuple[str, Edit], ...]:
    """ImageEnhance, each at several strengths."""
    return tuple(
        (f"{name} {strength:g}", functools.partial(_enhanced, name=name, strength=strength))
        for name in ("Brightness", "Color", "Contrast", "Sharpness")
        for strength in STRENGTHS
    )


def _enhanced(image: PillowImage.Image, name: str, strength: float) -> PillowImage.Image:
    return getattr(ImageEnhance, name)(image).enhance(strength)  # type: ignore[no-any-return]


def in_turn(edits: Sequence[tuple[str, Edit]], number: int, image: PillowImage.Image) -> tuple[str, Image]:
    """The number-th of the edits, beginning again after the last: its name and what it makes."""
    name, edit = edits[number % len(edits)]
    return name, as_array(edit(image))


def at_random(rng: Random, image: PillowImage.Image) -> Image:
    """One to four edits of any kind, one after the other."""
    everything = [*filters(), *operations(), *enhancements()]
    for place in rng.integers(0, len(everything), rng.integers(1, 5)):
        image = everything[place][1](image.convert("RGB"))
    height, width = size(rng)
    return as_array(image.crop((0, 0, min(width, image.width), min(height, image.height))))
