"""The post filter of a file, applied: whole numbers, the same on every machine (`container.postfilter` says what)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vaecodec.container import OFFSETS, REACH, PostFilter
from vaecodec.native import loops as native
from vaecodec.runtime.cpu.threads import share, thread_count
from vaecodec.runtime.windows import Pixels

Loops = Literal["compiled", "plain"]
"""By what a picture is filtered: compiled loops, or NumPy."""

_loops = native.Loops("vaecodec.runtime.cpu.postfilter_loops", "vaecodec.container.postfilter")
_BAND_PIXELS = 1 << 14
"""Pixels whose second differences are looked at together: in the cache, and whatever a picture's size 10 MB."""


def filtered(rgb: Pixels, postfilter: PostFilter, loops: Loops) -> Pixels:
    """A picture uint8 [H, W, 3], filtered as a whole: its edges are repeated."""
    taps = np.array(postfilter.taps, np.int32)
    source = np.ascontiguousarray(rgb)
    if loops == "plain":
        return _plain(source, taps, postfilter.shift)
    height, width, colours = source.shape
    out = np.empty_like(source)

    def rows(start: int, stop: int) -> None:
        planes = np.empty((2 * REACH + 1, colours, width + 2 * REACH), np.int32)
        sums = np.empty((colours, width), np.int32)
        flat = source.reshape(-1), height, width, taps, postfilter.shift, out.reshape(-1)
        _loops.filter_rows(*flat, start, stop, planes, sums)

    share(height, thread_count(), rows)
    return out


def second_differences(rgb: Pixels, start: int, stop: int) -> NDArray[np.int16]:
    """What the weights of a filter are of, for rows start..stop of a picture [H, W, 3]: int16 [3, OFFSETS, rows, W]."""
    height = len(rgb)
    numbers = np.arange(start - REACH, stop + REACH).clip(0, height - 1)
    planes = np.pad(rgb[numbers].transpose(2, 0, 1).astype(np.int16), ((0, 0), (0, 0), (REACH, REACH)), "edge")
    rows, width = stop - start, rgb.shape[1]

    def moved(down: int, right: int) -> NDArray[np.int16]:
        part: NDArray[np.int16] = planes[:, REACH + down : REACH + down + rows, REACH + right : REACH + right + width]
        return part

    middle = moved(0, 0) * np.int16(2)
    return np.stack([moved(down, right) + moved(-down, -right) - middle for down, right in OFFSETS], axis=1)


def bands(rgb: Pixels) -> Iterator[tuple[int, int]]:
    """The rows start..stop of a picture [H, W, 3], a few at a time."""
    rows = max(1, _BAND_PIXELS // rgb.shape[1])
    return ((start, min(start + rows, len(rgb))) for start in range(0, len(rgb), rows))


def _plain(rgb: Pixels, taps: NDArray[np.int32], shift: int) -> Pixels:
    out = np.empty_like(rgb)
    matrix = taps.reshape(len(taps), -1).astype(np.float64)  # sums of products stay exact, far below 2^53
    for start, stop in bands(rgb):
        bends = second_differences(rgb, start, stop)
        sums = (matrix @ bends.reshape(matrix.shape[1], -1)).astype(np.int32).reshape(len(taps), stop - start, -1)
        more = (sums + (1 << (shift + 1))) >> (shift + 2)
        out[start:stop] = (rgb[start:stop] + more.transpose(1, 2, 0)).clip(0, 255)
    return out
