"""What all kinds of images share: sizes, colours, words, fonts, and the programs that draw."""

from __future__ import annotations

import functools
import shutil
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFont

Image = NDArray[np.uint8]
"""[H, W, 3], or [H, W] for gray."""
Random = np.random.Generator
Colour = tuple[int, int, int]

PACKAGES = (
    "chromium crawl-tiles-data fonts-cmu fonts-courier-prime fonts-jetbrains-mono fonts-sil-andika "
    "fonts-sil-gentiumplus fonts-terminus-otb fonts-texgyre fonts-urw-base35 ghostscript gnuplot-nox graphviz groff "
    "poppler-utils qrencode zint"
)
"""Debian packages that the images are drawn with."""
FONT_FOLDERS = (
    "/usr/share/fonts/opentype/courier-prime",
    "/usr/share/fonts/opentype/urw-base35",
    "/usr/share/fonts/truetype/andika",
    "/usr/share/fonts/truetype/cmu",
    "/usr/share/fonts/truetype/gentiumplus",
    "/usr/share/fonts/truetype/jetbrains-mono",
    "/usr/share/texmf/fonts/opentype/public/tex-gyre",
)
BITMAP_FONTS = "/usr/share/fonts/opentype/terminus"
BITMAP_SIZES = (12, 14, 16, 18, 20, 22, 24, 28, 32)
NO_LETTERS = ("D050000L", "StandardSymbolsPS", "math")
"""Fonts of signs."""
TEXTS = Path("/usr/share/common-licenses")
"""English that every Debian has."""
SIDES = (64, 128, 192, 256)
"""Sides of the padded images: few of them, so that many images share a pass of the networks."""
SIDE_CHANCES = (0.35, 0.35, 0.15, 0.15)
LONGEST_RUN = 120
"""Seconds for a program that draws."""


class MissingError(Exception):
    """A program, font or package that the images need is not installed."""


def random_of(seed: int, kind: str, number: int) -> Random:
    """The random numbers of one image: neither other kinds nor other images change them."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), number])


def size(rng: Random) -> tuple[int, int]:
    """Height and width, 1..256 pixels each: multiples of 64 in half of the cases, else anything below one."""
    height, width = rng.choice(SIDES, 2, p=SIDE_CHANCES)
    if rng.random() < 0.5:
        height, width = height - rng.integers(0, 64), width - rng.integers(0, 64)
    return int(height), int(width)


def cut_busy(rng: Random, image: Image) -> Image:
    """The part with most contrast of four that `cut` gives: pages are mostly empty."""
    return max((cut(rng, image) for _ in range(4)), key=lambda part: float(part.std()))


def cut(rng: Random, image: Image) -> Image:
    """A part of a larger image, of the usual size or as large as there is."""
    height, width = (min(side, most) for side, most in zip(size(rng), image.shape[:2], strict=True))
    top, left = (
        int(rng.integers(0, most - side + 1)) for side, most in zip((height, width), image.shape, strict=False)
    )
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def colour(rng: Random) -> Colour:
    """Any colour; every other one is a corner of the cube, black and white most of all."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return ((0, 0, 0), (255, 255, 255))[rng.integers(0, 2)]
    values = rng.integers(0, 2, 3) * 255 if kind == 1 else rng.integers(0, 256, 3)
    return int(values[0]), int(values[1]), int(values[2])


def two_colours(rng: Random) -> tuple[Colour, Colour]:
    """Two that differ: black on white in half of the cases."""
    if rng.random() < 0.5:
        return (0, 0, 0), (255, 255, 255)
    first, second = colour(rng), colour(rng)
    return (first, second) if first != second else ((0, 0, 0), (255, 255, 255))


def as_array(image: PillowImage.Image) -> Image:
    """[H, W] where gray is all there is, else [H, W, 3]."""
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))
    return np.array(image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB"))


# Words and fonts


@functools.cache
def _words() -> tuple[str, ...]:
    paths = sorted(path for path in TEXTS.glob("*") if path.is_file() and not path.is_symlink())
    if not paths:
        message = f"{TEXTS} holds no texts"
        raise MissingError(message)
    return tuple(" ".join(path.read_text(encoding="utf-8", errors="replace") for path in paths).split())


def words(rng: Random, count: int) -> list[str]:
    """Words of a real text, from any place on."""
    start = int(rng.integers(0, len(_words()) - count))
    return list(_words()[start : start + count])


@functools.cache
def _fonts() -> tuple[Path, ...]:
    fonts = []
    for folder in FONT_FOLDERS:
        paths = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".ttf", ".otf"))
        fonts += [path for path in paths if not any(name in path.name for name in NO_LETTERS)]
        if not paths:
            message = f"no fonts in {folder}; install {PACKAGES}"
            raise MissingError(message)
    return tuple(fonts)


@functools.cache
def _bitmap_fonts() -> tuple[Path, ...]:
    fonts = tuple(sorted(Path(BITMAP_FONTS).glob("*.otb")))
    if not fonts:
        message = f"no fonts in {BITMAP_FONTS}; install {PACKAGES}"
        raise MissingError(message)
    return fonts


def font(rng: Random, smallest: float = 7, largest: float = 48) -> ImageFont.FreeTypeFont:
    """Any font of any size in between, in pixels; one of ten is a bitmap font."""
    if rng.random() < 0.1:
        return ImageFont.truetype(_bitmap_fonts()[rng.integers(0, len(_bitmap_fonts()))], int(rng.choice(BITMAP_SIZES)))
    side = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    return ImageFont.truetype(_fonts()[rng.integers(0, len(_fonts()))], float(round(side, 1)))


# Programs


def need(program: str) -> None:
    """Raise MissingError where a program is not installed."""
    if shutil.which(program) is None:
        message = f"{program} is not installed; install {PACKAGES}"
        raise MissingError(message)


def run(command: Sequence[str], text: str = "") -> bytes:
    """What a program writes. Raises MissingError where it is not installed."""
    need(command[0])
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=LONGEST_RUN, check=True)
    return done.stdout
