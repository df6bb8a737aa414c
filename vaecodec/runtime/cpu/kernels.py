"""What the networks are made of on a CPU: one interface, compiled by numba (here) or in NumPy (`plain`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vaecodec.errors import InputError
from vaecodec.native.loops import Loops
from vaecodec.native.processor import has_bfloat16
from vaecodec.networks.config import PATCH
from vaecodec.runtime.cpu.matrices import Floats, Matrix
from vaecodec.runtime.cpu.threads import share, thread_count
from vaecodec.runtime.cpu.tile_sizes import PEAK_WIDTH

Rows = NDArray[np.float32]
"""[rows, columns, channels], C-contiguous."""
Pixels = NDArray[np.uint8]
UNBOUNDED = float("inf")
LOOPS = Loops(
    "vaecodec.runtime.cpu.compiled",
    "vaecodec.runtime.cpu.tiles",
    "vaecodec.runtime.cpu.tile_sizes",
    "vaecodec.networks.config",
)
ENCODING = ("product_float32", "requantize", "unfold", "quantize")
DECODING = ("product_float32", "requantize", "dequantize", "to_bytes")
"""Which loops each takes, besides those of the networks' type."""
WIDE, NARROW = ("block_float32",), ("product_bfloat16", "block_bfloat16")
"""The loops of networks in float32 and in bfloat16, where the processor has products of it."""


@dataclass(frozen=True)
class Block:
    """The weights of a `networks.layers.DepthConvBlock`. depthwise [9, channels]."""

    enter: Matrix
    depthwise: Floats
    depthwise_bias: Floats
    leave: Matrix
    gated: Matrix
    back: Matrix


@dataclass
class Above:
    """What a block needs of the rows above a band: they are not computed again with it. Kernels keep it up to date.

    rows: how many rows there were. row [0 or 1, columns, channels]: the last of them. entered: what the last two are as
    the depthwise convolution sees them, in the kernels' own form.
    """

    rows: int = 0
    row: Rows | None = None
    entered: Floats | None = None

    def follow(self, x: Rows, entered: Floats) -> None:
        """These rows came, and entered."""
        self.rows, self.entered = self.rows + len(x), entered
        if len(x):
            self.row = x[-1:].copy()


class Kernels(Protocol):
    """narrow: products of bfloat16, where the processor has them and the networks' type asks for them."""

    def share(self, rows: int, work: Callable[[int, int], None]) -> None:
        """Call work(start, stop) for parts of range(rows), as `threads.share` does."""

    def product(
        self,
        x: Rows,
        matrix: Matrix,
        *,
        other: Rows | None = None,
        corner: tuple[int, int] | None = None,
        fold: int = 1,
        spread: int = 1,
        bound: float = UNBOUNDED,
        narrow: bool = False,
    ) -> Rows:
        """A 1x1 convolution, its results clamped to -bound..bound.

        other: more channels at the same positions. corner: only every second row and column, from these on. fold: the
        inputs are squares of fold x fold positions, row by row. spread: so are the outputs.
        """

    def block(
        self,
        x: Rows,
        weights: Block,
        start: int,
        stop: int,
        *,
        narrow: bool,
        images: int = 1,
        peaks: Floats | None = None,
        above: Above | None = None,
    ) -> Rows:
        """Rows start..stop of x through a block. Beyond the rows of x its depthwise convolution sees zeros.

        images: so many of equal width are side by side in x; they do not see each other.
        peaks [stop - start, columns / PEAK_WIDTH, rounded up]: becomes the largest gated products, before their bound.
        above: of the image that x goes on with. Where it has rows, start is -1: the last of them. It becomes that of
        the rows that follow; the last but one of x must be among those asked for, or the last of the image.
        """

    def unfold(self, pixels: Pixels) -> Rows:
        """uint8 [8h, 8w, 3] -> [h, w, 192]: squares of 8 x 8 pixels, row by row."""

    def to_bytes(self, shades: Rows, side: int) -> Pixels:
        """[h, w, 3 side^2] of 0..255 -> uint8 [side h, side w, 3]: the inverse, rounded."""

    def requantize(self, sums: Rows, bias: Floats, factor: float, most: int, spread: int) -> Pixels:
        """A layer of integers: floor((sums + bias) * factor), clamped to 0..most.

        spread: the outputs are squares of spread x spread positions, row by row.
        """

    def quantize(
        self, y: Rows, mu: Rows, gain: Floats, index: Pixels, widths: Floats, y_hat: Rows, place: tuple[int, int, int]
    ) -> None:
        """A quarter of a context step, in place: r replaces y, and y_hat = mu + r / gain.

        place: row, column, channel. mu [h, w, size] belongs to every second row and column from there on, and to `size`
        channels; y, y_hat and index uint8 (the scale index; where it is 0, so is r) are [rows, columns, M]. widths
        [256]: by how much (y - mu) * gain moves toward zero before it is rounded, for each index.
        """

    def dequantize(
        self, r: NDArray[np.int32], mu: Rows, gain: Floats, y_hat: Rows, place: tuple[int, int, int]
    ) -> None:
        """One quarter of a context step of the decoder: r -> y_hat."""


class CompiledKernels:
    """Imports numba and compiles where no earlier process has. threads: None for `thread_count`."""

    def __init__(self, threads: int | None = None) -> None:
        from vaecodec.runtime.cpu import tile_sizes

        self._fixed_threads, self._sizes = threads, tile_sizes

    @property
    def _threads(self) -> int:
        return thread_count() if self._fixed_threads is None else self._fixed_threads

    def share(self, rows: int, work: Callable[[int, int], None]) -> None:
        """Do what `Kernels.share` says."""
        share(rows, self._threads, work)

    def _packed(self, matrix: Matrix, *, narrow: bool) -> tuple[NDArray[np.generic], Floats]:
        """Without products of bfloat16, what is narrow are the weights alone. Raises InputError for a size that no
        network has."""
        if max(matrix.depth, matrix.outputs) > self._sizes.DEPTH:
            message = f"a matrix of {matrix.depth} x {matrix.outputs}; the most is {self._sizes.DEPTH} of each"
            raise InputError(message)
        if narrow and not has_bfloat16():
            return matrix.rounded.packed(self._sizes.WIDTH, narrow=False)
        return matrix.packed(self._sizes.WIDTH, narrow=narrow)

    def _scratch(self, *kinds: DTypeLike | None) -> list[NDArray[Any]]:
        """Memory that a loop works in: tiles of rows of these types, and where None stands, of sums."""
        sums, rows = (self._sizes.ROWS, self._sizes.WIDTH), (self._sizes.ROWS, self._sizes.STRIDE)
        return [np.zeros(sums, np.float32) if kind is None else np.zeros(rows, kind) for kind in kinds]

    def product(
        self,
        x: Rows,
        matrix: Matrix,
        *,
        other: Rows | None = None,
        corner: tuple[int, int] | None = None,
        fold: int = 1,
        spread: int = 1,
        bound: float = UNBOUNDED,
        narrow: bool = False,
    ) -> Rows:
        """Compute what `Kernels.product` says."""
        top, left, step = (*corner, 2) if corner is not None else (0, 0, fold)
        height, width = (len(range(start, side, step)) for start, side in zip((top, left), x.shape, strict=False))
        more = np.empty((1, 1, 0), np.float32) if other is None else other
        self._check(x, np.float32, (None, None, None))
        self._check(more, np.float32, (1, 1, 0) if other is None else (height, width, None))
        depth = fold * fold * x.shape[2] + more.shape[2]
        if (x.shape[0] % fold, x.shape[1] % fold, depth) != (0, 0, matrix.depth) or matrix.outputs % spread**2:
            message = f"{x.shape} and {more.shape}, folded by {fold}, do not fit {matrix.depth} x {matrix.outputs}"
            raise InputError(message)
        out = np.empty((spread * height, spread * width, matrix.outputs // spread**2), np.float32)
        packed = self._packed(matrix, narrow=narrow)
        loop = LOOPS.product_bfloat16 if packed[0].dtype == np.uint16 else LOOPS.product_float32

        def work(start: int, stop: int) -> None:
            rows, narrow_rows, sums, results = self._scratch(np.float32, packed[0].dtype, None, np.float32)
            place = (width, top, left, step, fold, spread)
            loop(x, more, *place, *packed, bound, out, start, stop, rows, narrow_rows, sums, results)

        self.share(height, work)
        return out

    def block(
        self,
        x: Rows,
        weights: Block,
        start: int,
        stop: int,
        *,
        narrow: bool,
        images: int = 1,
        peaks: Floats | None = None,
        above: Above | None = None,
    ) -> Rows:
        """Compute what `Kernels.block` says."""
        before = Above() if above is None else above
        places = _places(x.shape[1], images)
        row = np.empty((0, *x.shape[1:]), np.float32) if before.row is None else before.row
        self._check(x, np.float32, (None, None, weights.enter.depth))
        self._check(row, np.float32, (-start if start < 0 else None, *x.shape[1:]))
        out = np.empty((stop - start, *x.shape[1:]), np.float32)
        matrices = (weights.leave, weights.gated, weights.back)
        rest = [array for matrix in matrices for array in self._packed(matrix, narrow=narrow)]
        enter = self._packed(weights.enter, narrow=narrow)
        kind = enter[0].dtype
        loop = LOOPS.block_bfloat16 if kind == np.uint16 else LOOPS.block_float32
        shape, lanes = (stop - start, -(-x.shape[1] // PEAK_WIDTH)), self._sizes.LANES
        reached = np.zeros((*shape, lanes), np.float32)
        entered: dict[int, Floats] = {}  # of each part, by where it ends

        def work(first: int, last: int) -> None:
            known = before.entered if first == 0 else None
            ring = np.zeros((3, (int(places[-1]) + 2) * x.shape[2]), np.float32) if known is None else known
            unentered = start + first + (-1 if known is None else 1)
            parts = (x, row, before.rows, out, reached, places, start, start + first, start + last, unentered)
            scratch = self._scratch(np.float32, kind, kind, np.float32, None)
            peak = np.zeros(lanes, np.float32)
            loop(*parts, *enter, weights.depthwise, weights.depthwise_bias, *rest, *scratch, ring, peak)
            entered[last] = ring

        if start < stop:
            self.share(stop - start, work)
        else:
            work(0, 0)  # the first row of an image alone: it enters
        if above is not None:
            above.follow(x, entered[stop - start])
        if peaks is not None:
            self._check(peaks, np.float32, shape)
            reached.max(2, out=peaks)
        return out

    def unfold(self, pixels: Pixels) -> Rows:
        """Compute what `Kernels.unfold` says."""
        self._check(pixels, np.uint8, (None, None, 3))
        height, width = (side // PATCH for side in pixels.shape[:2])
        out = np.empty((height, width, 3 * PATCH**2), np.float32)
        flat = pixels.reshape(-1)
        self.share(height, lambda start, stop: LOOPS.unfold(flat, out, start, stop))
        return out

    def to_bytes(self, shades: Rows, side: int) -> Pixels:
        """Compute what `Kernels.to_bytes` says."""
        self._check(shades, np.float32, (None, None, 3 * side**2))
        out = np.empty((side * shades.shape[0], side * shades.shape[1], 3), np.uint8)
        flat = out.reshape(-1)
        self.share(len(shades), lambda start, stop: LOOPS.to_bytes(shades, side, flat, start, stop))
        return out

    def requantize(self, sums: Rows, bias: Floats, factor: float, most: int, spread: int) -> Pixels:
        """Compute what `Kernels.requantize` says."""
        height, width, outputs = sums.shape
        self._check(sums, np.float32, (None, None, None))
        self._check(bias, np.float32, (outputs,))
        out = np.empty((spread * height, spread * width, outputs // spread**2), np.uint8)

        def work(start: int, stop: int) -> None:
            LOOPS.requantize(sums, bias, factor, most, spread, out, start, stop)

        self.share(height, work)
        return out

    def quantize(
        self, y: Rows, mu: Rows, gain: Floats, index: Pixels, widths: Floats, y_hat: Rows, place: tuple[int, int, int]
    ) -> None:
        """Compute what `Kernels.quantize` says."""
        self._check_place(mu, gain, place, y.shape)
        for array, dtype in ((y, np.float32), (index, np.uint8), (y_hat, np.float32)):
            self._check(array, dtype, y.shape)
        self._check(widths, np.float32, (256,))
        LOOPS.quantize(y, mu, gain, index, widths, y_hat, *place)

    def dequantize(
        self, r: NDArray[np.int32], mu: Rows, gain: Floats, y_hat: Rows, place: tuple[int, int, int]
    ) -> None:
        """Compute what `Kernels.dequantize` says."""
        self._check_place(mu, gain, place, r.shape)
        self._check(r, np.int32, r.shape)
        self._check(y_hat, np.float32, r.shape)
        LOOPS.dequantize(r, mu, gain, y_hat, *place)

    def _check_place(self, mu: Rows, gain: Floats, place: tuple[int, int, int], whole: tuple[int, ...]) -> None:
        self._check(mu, np.float32, (None, None, None))
        self._check(gain, np.float32, (whole[2],))
        ends = [start + 2 * (size - 1) for start, size in zip(place[:2], mu.shape[:2], strict=True)]
        if min(place) < 0 or ends[0] >= whole[0] or ends[1] >= whole[1] or place[2] + mu.shape[2] > whole[2]:
            message = f"means {mu.shape} from {place} on lead out of {whole}"
            raise InputError(message)

    def _check(self, array: NDArray[np.generic], dtype: type[np.generic], shape: tuple[int | None, ...]) -> None:
        """Raises InputError for what numba would read wrongly."""
        fits = len(shape) == array.ndim and all(
            side in (None, length) for side, length in zip(shape, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits or not array.flags.c_contiguous:
            form = f"{array.dtype} {array.shape}, strides {array.strides}"
            message = f"a layer got {form}; it must be {dtype.__name__} {shape} in one piece"
            raise InputError(message)


def _places(width: int, images: int) -> NDArray[np.int64]:
    """Where the columns of images side by side are, when a column of zeros is before and after each image."""
    if images < 1 or width % images:
        message = f"{images} images in {width} columns; all have as many"
        raise InputError(message)
    columns = np.arange(width, dtype=np.int64)
    return columns + columns // (width // images) + 1
