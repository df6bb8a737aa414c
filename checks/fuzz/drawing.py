"""Bytes -> an image: a small program of rectangles, lines, text and filters, so that a fuzzer can draw.

Any bytes are a program; what is missing at its end is zeros.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

LONGEST_SIDE = 128
MOST_STEPS = 24
MODES = ("RGB", "L", "RGBA", "LA")


@dataclass(frozen=True)
class Drawing:
    """An image, and how it is to be coded: the choices are any whole numbers, to be taken modulo what there is."""

    pixels: NDArray[np.uint8]
    quality: int
    choices: tuple[int, int, int]


class _Bytes:
    """What is left of a program."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def colour(self) -> tuple[int, int, int]:
        """Black, white and the other corners for even bytes: what is worst for a codec must not be rare."""
        first = self.take()
        if first % 2 == 0:
            corner = tuple(255 * (first >> bit & 1) for bit in (1, 2, 3))
            return corner[0], corner[1], corner[2]
        return first, self.take(), self.take()

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, upper, right, lower, in order and within an image of this size."""
        left, right = sorted((self.take() % size[0], self.take() % size[0]))
        upper, lower = sorted((self.take() % size[1], self.take() % size[1]))
        return left, upper, right, lower


def draw(data: bytes) -> Drawing:
    """Run a program."""
    program = _Bytes(data)
    quality, choices = program.take() % 100 + 1, (program.take(), program.take(), program.take())
    mode, size = MODES[program.take() % 4], (program.take() % LONGEST_SIDE + 1, program.take() % LONGEST_SIDE + 1)
    image = Image.new("RGB", size, program.colour())
    for _ in range(MOST_STEPS):
        if not program:
            break
        image = STEPS[program.take() % len(STEPS)](image, program)
    image = image.convert(mode.removesuffix("A"))
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(size))
    return Drawing(np.array(image), quality, choices)


Step = Callable[[Image.Image, _Bytes], Image.Image]


def _rectangle(image: Image.Image, program: _Bytes) -> Image.Image:
    ImageDraw.Draw(image).rectangle(program.box(image.size), fill=program.colour())
    return image


def _outline(image: Image.Image, program: _Bytes) -> Image.Image:
    draw_, box = ImageDraw.Draw(image), program.box(image.size)
    shape = (draw_.rectangle, draw_.ellipse)[program.take() % 2]
    shape(box, outline=program.colour(), width=program.take() % 4 + 1)
    return image


def _line(image: Image.Image, program: _Bytes) -> Image.Image:
    ends = [(program.take() % image.width, program.take() % image.height) for _ in range(2)]
    ImageDraw.Draw(image).line(ends, fill=program.colour(), width=program.take() % 5 + 1)
    return image


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _text(image: Image.Image, program: _Bytes) -> Image.Image:
    draw_ = ImageDraw.Draw(image)
    draw_.fontmode = "1" if program.take() % 2 else "L"
    font, place = _font(6 + program.take() % 32), (program.take() % image.width, program.take() % image.height)
    letters = "".join(chr(33 + program.take() % 94) for _ in range(12))
    draw_.text(place, letters, fill=program.colour(), font=font)
    return image


def _grid(image: Image.Image, program: _Bytes) -> Image.Image:
    """A checkerboard, or stripes where one of its sides is long, in a part of the image."""
    left, upper, right, lower = program.box(image.size)
    rows, columns = np.mgrid[upper : lower + 1, left : right + 1]
    bits = (rows // (program.take() % 40 + 1) + columns // (program.take() % 40 + 1)) % 2
    colours = np.array([program.colour(), program.colour()], np.uint8)
    image.paste(Image.fromarray(colours[bits]), (left, upper))
    return image


def _noise(image: Image.Image, program: _Bytes) -> Image.Image:
    """Noise of any values, or of 0 and 255 only, in a part of the image."""
    left, upper, right, lower = program.box(image.size)
    rng, bilevel = np.random.default_rng(program.take()), program.take() % 2
    values = rng.integers(0, 256, (lower - upper + 1, right - left + 1, 3), np.uint8)
    image.paste(Image.fromarray(values // 128 * 255 if bilevel else values), (left, upper))
    return image


def _gradient(image: Image.Image, program: _Bytes) -> Image.Image:
    box, first, second = program.box(image.size), program.colour(), program.colour()
    ramp = Image.linear_gradient("L").rotate(90 * (program.take() % 4))
    ramp = ramp.resize((box[2] - box[0] + 1, box[3] - box[1] + 1))
    image.paste(ImageOps.colorize(ramp, first, second), box[:2])
    return image


def _filter(image: Image.Image, program: _Bytes) -> Image.Image:
    strength = program.take()
    filters = (
        ImageFilter.SHARPEN, ImageFilter.FIND_EDGES, ImageFilter.EDGE_ENHANCE_MORE, ImageFilter.EMBOSS,
        ImageFilter.CONTOUR, ImageFilter.UnsharpMask(1 + strength % 8, 4 * strength, 0),
        ImageFilter.BoxBlur(strength % 6),
        ImageFilter.MinFilter(3), ImageFilter.MaxFilter(3),
    )  # fmt: skip
    return image.filter(filters[program.take() % len(filters)])


def _tone(image: Image.Image, program: _Bytes) -> Image.Image:
    tones: tuple[Callable[[Image.Image], Image.Image], ...] = (
        ImageOps.invert, ImageOps.equalize, ImageOps.autocontrast, ImageOps.solarize,
        lambda source: ImageOps.posterize(source, 1), lambda source: source.convert("1").convert("RGB"),
        lambda source: source.quantize(4).convert("RGB"),
    )  # fmt: skip
    return tones[program.take() % len(tones)](image)


def _enlarge(image: Image.Image, program: _Bytes) -> Image.Image:
    """A part of the image as large as the whole, by nearest neighbour."""
    left, upper, right, lower = program.box(image.size)
    return image.crop((left, upper, right + 1, lower + 1)).resize(image.size, Image.Resampling.NEAREST)


STEPS: tuple[Step, ...] = (
    _rectangle, _outline, _line, _text, _grid, _noise, _gradient, _filter, _tone, _enlarge,
)  # fmt: skip
