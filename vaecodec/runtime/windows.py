"""A picture on the grids of the networks, pixels, y (16 pixels) and z (64 pixels): its rectangles, and its padding."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.networks.config import ALIGNMENT, PATCH

Pixels = NDArray[np.uint8]

Y_CELL = 2 * PATCH
"""Pixels along the side of a position of y."""
Z_CELL = ALIGNMENT // Y_CELL
"""Positions of y along the side of a position of z."""


@dataclass(frozen=True)
class Window:
    """Rows top..bottom and columns left..right of a grid, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.right - self.left

    def grown(self, halo: int, height: int, width: int) -> Window:
        """This rectangle with `halo` more on every side, as far as the grid reaches: 0..height, 0..width."""
        return Window(
            max(0, self.top - halo),
            min(height, self.bottom + halo),
            max(0, self.left - halo),
            min(width, self.right + halo),
        )

    def joined(self, other: Window) -> Window:
        """The smallest rectangle that covers both."""
        tops, bottoms, lefts, rights = zip(astuple(self), astuple(other), strict=True)
        return Window(min(tops), max(bottoms), min(lefts), max(rights))

    def shared(self, other: Window) -> Window:
        """What both cover; without rows or columns where that is nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Window(top, max(top, bottom), left, max(left, right))

    def moved(self, down: int, right: int) -> Window:
        """The rectangle, further down and to the right."""
        return Window(self.top + down, self.bottom + down, self.left + right, self.right + right)

    def clipped(self, height: int, width: int) -> Window:
        """The part of it within 0..height, 0..width."""
        return self.grown(0, height, width)

    def finer(self, factor: int) -> Window:
        """This rectangle on a grid `factor` times as fine."""
        return Window(self.top * factor, self.bottom * factor, self.left * factor, self.right * factor)

    def coarser(self, factor: int) -> Window:
        """The smallest rectangle of a grid `factor` times as coarse that covers this one."""
        return Window(self.top // factor, -(-self.bottom // factor), self.left // factor, -(-self.right // factor))

    def cut(self, array: Any) -> Any:
        """This rectangle of an array or tensor [..., rows, columns]."""
        return array[..., self.top : self.bottom, self.left : self.right]

    def relative_to(self, outer: Window) -> Window:
        """This rectangle in an array that holds `outer`."""
        return Window(self.top - outer.top, self.bottom - outer.top, self.left - outer.left, self.right - outer.left)


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels, and the rectangles of the latents that it depends on."""

    pixels: Window
    y: Window
    """Positions of y (1/16) that g_s needs, or the preview head."""
    context: Window
    """Positions of z (1/64) over which the context runs."""
    prior: Window
    """Positions of z that h_mean needs for them."""


def z_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of z of an image of so many pixels."""
    return -(-height // ALIGNMENT), -(-width // ALIGNMENT)


def padded_size(pixels: Pixels) -> tuple[int, int]:
    """Height and width of uint8 [H, W, 3] once padded."""
    height, width = (-(-side // ALIGNMENT) * ALIGNMENT for side in pixels.shape[:2])
    return height, width


def padded_rows(pixels: Pixels, top: int, bottom: int, width: int) -> Pixels:
    """Rows top..bottom of uint8 [H, W, 3] as if its last row and column went on, up to `width` columns."""
    height = pixels.shape[0]
    rows = pixels[min(top, height - 1) : bottom]
    missing = (bottom - top - len(rows), width - pixels.shape[1])
    if not any(missing):
        return rows
    return np.pad(rows, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
