"""Rectangles of a picture on the grids of the networks: pixels, y (16 pixels), z (64 pixels)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Window:
    """Rows top..bottom and columns left..right of a grid, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def grown(self, halo: int, height: int, width: int) -> Window:
        """With `halo` more on every side, as far as the grid reaches: 0..height, 0..width."""
        return Window(
            max(0, self.top - halo),
            min(height, self.bottom + halo),
            max(0, self.left - halo),
            min(width, self.right + halo),
        )

    def clipped(self, height: int, width: int) -> Window:
        """The part of it within 0..height, 0..width."""
        return self.grown(0, height, width)

    def finer(self, factor: int) -> Window:
        """The same rectangle on a grid `factor` times as fine."""
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
