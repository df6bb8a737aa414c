"""The post filter of a file as a loop, see `native`. `postfilter` has the same in NumPy."""

from __future__ import annotations

import numpy as np

from vaecodec.container.postfilter import COLOURS, OFFSETS, REACH
from vaecodec.native.loops import loop

RING = 2 * REACH + 1
"""Rows of the picture that one row of the result depends on."""
DOWN = tuple(down for down, _ in OFFSETS)
RIGHT = tuple(right for _, right in OFFSETS)


@loop(
    "void(uint8[::1], int64, int64, int32[:, :, ::1], int64, uint8[::1], int64, int64, int32[:, :, ::1], int32[:, ::1])"
)
def filter_rows(pixels, height, width, taps, shift, out, start, stop, planes, sums):  # type: ignore[no-untyped-def]
    """Rows start..stop of a picture [height, width, 3], filtered. taps [to, from, OFFSETS] as `PostFilter.taps`.

    planes [RING, 3, width + 2 REACH]: row i of the picture is in i % RING, the pixels at its ends repeated. sums [3,
    width].
    """
    half = np.int32(1) << np.int32(shift + 1)
    scale = np.int32(shift + 2)
    for row in range(start - REACH, stop + REACH):
        source = min(max(row, 0), height - 1)
        plane = planes[(row + RING) % RING]
        for c in range(COLOURS):
            for j in range(np.uint64(width)):
                plane[c, np.uint64(REACH) + j] = np.int32(
                    pixels[(np.uint64(source) * np.uint64(width) + j) * np.uint64(COLOURS) + np.uint64(c)]
                )
            for j in range(np.uint64(REACH)):
                plane[c, j] = plane[c, np.uint64(REACH)]
                plane[c, np.uint64(width + REACH) + j] = plane[c, np.uint64(width + REACH - 1)]
        here = row - REACH
        if here < start:
            continue
        middle = planes[(here + RING) % RING]
        for c in range(COLOURS):
            for j in range(np.uint64(width)):
                sums[c, j] = half
        for k in range(len(OFFSETS)):
            below, above = planes[(here + DOWN[k] + RING) % RING], planes[(here - DOWN[k] + RING) % RING]
            ahead, behind = np.uint64(REACH + RIGHT[k]), np.uint64(REACH - RIGHT[k])
            for d in range(COLOURS):
                red, green, blue = taps[0, d, k], taps[1, d, k], taps[2, d, k]
                if red == 0 and green == 0 and blue == 0:
                    continue
                for j in range(np.uint64(width)):
                    bend = below[d, ahead + j] + above[d, behind + j] - 2 * middle[d, np.uint64(REACH) + j]
                    sums[0, j] += np.int32(red * bend)
                    sums[1, j] += np.int32(green * bend)
                    sums[2, j] += np.int32(blue * bend)
        at = np.uint64(here) * np.uint64(width)
        for c in range(COLOURS):
            for j in range(np.uint64(width)):
                value = middle[c, np.uint64(REACH) + j] + (sums[c, j] >> scale)
                out[(at + j) * np.uint64(COLOURS) + np.uint64(c)] = np.uint8(min(max(value, 0), 255))
