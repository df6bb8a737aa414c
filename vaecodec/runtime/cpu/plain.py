"""The layers on a CPU in NumPy, for images that are coded sooner than numba is loaded. `compiled` has the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vaecodec.networks.config import PATCH, PRODUCT_MAX, STREAM_MAX
from vaecodec.runtime.cpu.kernels import UNBOUNDED, Above, Block, Pixels, Rows
from vaecodec.runtime.cpu.matrices import Floats, Matrix
from vaecodec.runtime.cpu.tile_sizes import PEAK_WIDTH

_Number = TypeVar("_Number", bound=np.generic)


class PlainKernels:
    """`kernels.Kernels` in float32, whatever `narrow` says."""

    def share(self, rows: int, work: Callable[[int, int], None]) -> None:
        """Do it all: NumPy's products have threads of their own."""
        work(0, rows)

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
        narrow: bool = False,  # noqa: ARG002
    ) -> Rows:
        """Compute what `Kernels.product` says."""
        if corner is not None:
            x = x[corner[0] :: 2, corner[1] :: 2]
        if fold > 1:
            x = _folded(x, fold)
        if other is not None:
            x = np.concatenate([x, other], 2)
        out = _multiply(x, matrix)
        if bound != UNBOUNDED:
            np.clip(out, -bound, bound, out=out)
        return out if spread == 1 else _spread(out, spread)

    def block(
        self,
        x: Rows,
        weights: Block,
        start: int,
        stop: int,
        *,
        narrow: bool,  # noqa: ARG002
        images: int = 1,
        peaks: Floats | None = None,
        above: Above | None = None,
    ) -> Rows:
        """Compute what `Kernels.block` says."""
        before = Above() if above is None else above
        entered = _silu(_multiply(x[max(start - 1, 0) : stop + 1], weights.enter))
        if before.entered is not None:
            entered = np.concatenate([before.entered, entered])
        apart = entered.reshape(len(entered), images, x.shape[1] // images, x.shape[2])
        padded = np.pad(apart, ((int(start == 0), int(stop == len(x))), (0, 0), (1, 1), (0, 0)))
        rows = x[max(start, 0) : stop] if before.row is None else np.concatenate([before.row[start:], x[:stop]])
        if above is not None:
            above.follow(x, padded[-2:, :, 1:-1].reshape(-1, *x.shape[1:]))
        mixed = np.empty((stop - start, images, x.shape[1] // images, x.shape[2]), np.float32)
        mixed[...] = weights.depthwise_bias
        for tap, weight in enumerate(weights.depthwise):
            row, column = divmod(tap, 3)
            mixed += padded[row : row + len(mixed), :, column : column + mixed.shape[2]] * weight
        out: Rows = _multiply(mixed.reshape(-1, *x.shape[1:]), weights.leave)
        out += rows
        gates, values = np.split(_multiply(out, weights.gated), 2, axis=2)
        inner = _silu(gates)
        inner *= values
        if peaks is not None:
            np.maximum.reduceat(np.abs(inner).max(2), range(0, x.shape[1], PEAK_WIDTH), 1, out=peaks)
        out += _multiply(np.clip(inner, -PRODUCT_MAX, PRODUCT_MAX, out=inner), weights.back)
        return np.clip(out, -STREAM_MAX, STREAM_MAX, out=out)

    def unfold(self, pixels: Pixels) -> Rows:
        """Compute what `Kernels.unfold` says."""
        return _folded(pixels, PATCH).astype(np.float32)

    def to_bytes(self, shades: Rows, side: int) -> Pixels:
        """Compute what `Kernels.to_bytes` says."""
        return _spread(np.rint(np.clip(shades, 0, 255)).astype(np.uint8), side)

    def requantize(self, sums: Rows, bias: Floats, factor: float, most: int, spread: int) -> Pixels:
        """Compute what `Kernels.requantize` says. sums are overwritten."""
        sums += bias
        sums *= np.float32(factor)
        np.floor(sums, out=sums)
        return _spread(np.clip(sums, 0, most, out=sums).astype(np.uint8), spread)

    def quantize(
        self, y: Rows, mu: Rows, gain: Floats, index: Pixels, widths: Floats, y_hat: Rows, place: tuple[int, int, int]
    ) -> None:
        """Compute what `Kernels.quantize` says."""
        at = _place(place, mu)
        gains, indices = gain[at[2]], index[at]
        v = (y[at] - mu) * gains
        limits = widths[indices]
        v -= np.clip(v, -limits, limits)
        y[at] = np.rint(v) * (indices > 0)
        y_hat[at] = y[at] / gains + mu

    def dequantize(
        self, r: NDArray[np.int32], mu: Rows, gain: Floats, y_hat: Rows, place: tuple[int, int, int]
    ) -> None:
        """Compute what `Kernels.dequantize` says."""
        at = _place(place, mu)
        y_hat[at] = r[at].astype(np.float32) / gain[at[2]] + mu


def _place(place: tuple[int, int, int], mu: Rows) -> tuple[slice, slice, slice]:
    top, left, first = place
    return (
        slice(top, top + 2 * mu.shape[0], 2),
        slice(left, left + 2 * mu.shape[1], 2),
        slice(first, first + mu.shape[2]),
    )


def _multiply(x: Rows, matrix: Matrix) -> Rows:
    out: Rows = x @ matrix.weight
    out += matrix.bias
    return out


def _silu(x: Rows) -> Rows:
    with np.errstate(over="ignore"):  # exp(-x) beyond float32 gives x / inf, which is right
        divisor: Rows = np.exp(-x)
    divisor += 1
    return np.divide(x, divisor, out=divisor)


def _folded(x: NDArray[_Number], factor: int) -> NDArray[_Number]:
    """[h f, w f, c] -> [h, w, f f c]."""
    height, width, channels = x.shape
    cells = x.reshape(height // factor, factor, width // factor, factor, channels).swapaxes(1, 2)
    return np.ascontiguousarray(cells).reshape(height // factor, width // factor, -1)


def _spread(x: NDArray[_Number], factor: int) -> NDArray[_Number]:
    """Squares of positions in the channels -> in rows and columns: the inverse of `_folded`."""
    height, width, channels = x.shape
    cells = x.reshape(height, width, factor, factor, channels // factor**2).swapaxes(1, 2)
    return np.ascontiguousarray(cells).reshape(height * factor, width * factor, -1)
