"""The networks of one model on a CPU: each pass goes over the rows of an image in bands, see `streaming`.

What is held of a whole image are its latents (y, y_hat, r and the prior features) as rows [h, w, channels]. Equal to
`networks.network` in float32 up to rounding; see there for what each part is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.networks.config import (
    ALIGNMENT,
    LATENT_MAX,
    PATCH,
    PRIOR_MAX,
    STEPS,
    step_positions,
)
from vaecodec.runtime.cpu.kernels import Block, Kernels, Pixels, Rows
from vaecodec.runtime.cpu.matrices import Floats, Matrix
from vaecodec.runtime.cpu.streaming import (
    BlockRows,
    Peaks,
    RowStream,
    RowWindow,
    SingleRows,
    Stage,
)
from vaecodec.runtime.cpu.tile_sizes import PEAK_WIDTH
from vaecodec.runtime.cpu.weights import NetworkWeights
from vaecodec.runtime.windows import Y_CELL, Z_CELL, Region, Window, padded_rows, padded_size

PREVIEW_REDUCTION = PATCH
PREVIEW_FACTOR = Y_CELL // PREVIEW_REDUCTION

Place = tuple[int, int, int]
"""A row, a column and a channel."""
Finish = Callable[[Place, Rows], None]
"""Is told the means mu of a quarter of the channels from a place on, at every second row and column."""

NARROW_ANALYSIS = 31
"""The level up to which all of g_a works in the blocks' type.

In bfloat16 that costs about 0.01 dB up to there, and 0.1 dB at the highest level; in g_s it would cost twice that.
"""

NARROW_PRODUCT, CONTEXT_PRODUCT = 2.75, 3.0
"""The largest gated products in g_s and in the context that bfloat16 is trusted with. Where they are larger, as on text
and patterns, the networks make much of little: rounding changed pixels by 4 to 255 levels there, and by 3 at most
elsewhere (`python -m checks hostile` measures it). So beyond the first a part of the image is decoded again in float32,
beyond the second the whole is coded in it. Most photographs stay below both."""


class Networks:
    """Those of one model at one level. narrow: the blocks' products are of bfloat16. band_pixels: about how many pixels
    of the image go through them at once. images: so many of equal size are side by side in all rows; for `prior`,
    `reconstruct` and `synthesize`. peaks, context_peaks: the products of g_s and the context that ran last."""

    def __init__(
        self,
        weights: NetworkWeights,
        kernels: Kernels,
        level: int,
        *,
        narrow: bool,
        band_pixels: int,
        images: int = 1,
    ) -> None:
        self._weights, self._kernels, self._level = weights, kernels, level
        self._narrow, self._band_pixels, self._images = narrow, band_pixels, images
        self._config = weights.config
        self.peaks, self.context_peaks = Peaks(0, 0), Peaks(0, 0)

    @property
    def is_steady(self) -> bool:
        """Whether y_hat is that of float32 but for rounding."""
        return not self._narrow or self.context_peaks.largest <= CONTEXT_PRODUCT

    def untrusted(self) -> list[Window]:
        """Where the pixels are not those of float32 but for rounding: rectangles, one below the other."""
        if not self._narrow or self.peaks.largest <= NARROW_PRODUCT:
            return []
        # A product reaches no further than a square: g_s has a block for each position of it, or fewer.
        reach = -(-self._config.blocks_s // PEAK_WIDTH)
        hot, (rows, columns) = np.argwhere(self.peaks.squares > NARROW_PRODUCT), self.peaks.squares.shape
        joined: list[Window] = []
        for row, column in hot.tolist():  # from the top
            square = Window(row, row + 1, column, column + 1).grown(reach, rows, columns)
            if joined and square.top <= joined[-1].bottom:
                square = joined.pop().joined(square)
            joined.append(square)
        return [square.finer(PEAK_WIDTH * PATCH) for square in joined]

    def widened(self) -> Networks:
        """These networks in float32."""
        return Networks(self._weights, self._kernels, self._level, narrow=False, band_pixels=self._band_pixels)

    def region(self, pixels: Window, height: int, width: int, reduction: int = 1) -> Region:
        """What the decoder must compute for a rectangle of an image of height * width pixels (padded)."""
        y_size, z_size = (height // Y_CELL, width // Y_CELL), (height // ALIGNMENT, width // ALIGNMENT)
        # Blocks reach one of their positions far: those of g_s have PATCH pixels, those of h_mean half and a quarter
        # of a position of z, the preview head's and the context's are those of y.
        y_reach = 1 if self._previews(reduction) else -(-self._config.blocks_s * PATCH // Y_CELL)
        y = pixels.coarser(Y_CELL).grown(y_reach, *y_size)
        context = y.grown((STEPS - 1) * self._config.blocks_context, *y_size).coarser(Z_CELL)
        return Region(pixels, y, context, context.grown(1, *z_size))

    def _bands(self, rows: int, pixels_per_row: int) -> Iterator[tuple[slice, bool]]:
        """Bands of rows of about equal size, and whether each is the last."""
        most = max(1, self._band_pixels // pixels_per_row)
        step = -(-rows // -(-rows // most))
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            yield slice(start, stop), stop == rows

    def _blocks(self, blocks: Iterable[Block], peaks: Peaks | None = None, *, narrow: bool = True) -> Sequence[Stage]:
        how: dict[str, Any] = {"narrow": narrow and self._narrow, "images": self._images, "peaks": peaks}
        return [BlockRows(self._kernels, block, **how) for block in blocks]

    def _product(self, matrix: Matrix, **how: int) -> SingleRows:
        """A layer between blocks of h_a, in the blocks' type: it costs nothing there. g_a and g_s need more than 8 bits
        of mantissa at the high qualities, as do y, z, the means and the pixels."""
        return self._stage(matrix, narrow=self._narrow, **how)

    def _stage(self, matrix: Matrix, *, narrow: bool, fold: int = 1, spread: int = 1) -> SingleRows:
        return SingleRows(
            lambda rows: self._kernels.product(rows, matrix, fold=fold, spread=spread, narrow=narrow), fold
        )

    # Encoding

    def analyse(self, pixels: Pixels) -> Rows:
        """uint8 [H, W, 3] -> y [H/16, W/16, M]."""
        narrow = self._narrow and self._level <= NARROW_ANALYSIS
        height, width = padded_size(pixels)
        down = self._weights.down("g_a.down", self._level, inputs="log_q_enc")
        stage = SingleRows(lambda rows: self._kernels.product(rows, down, fold=2, bound=LATENT_MAX, narrow=narrow), 2)
        y = np.empty((height // Y_CELL, width // Y_CELL, self._config.M), np.float32)
        parts = (stage.push(rows, last=False) for rows in self._feature_rows(pixels, narrow=narrow))
        return _filled(y, (part for part in parts if part is not None))

    def _feature_rows(self, pixels: Pixels, *, narrow: bool) -> Iterator[Rows]:
        height, width = padded_size(pixels)
        stem = self._weights.stem(self._level)
        stream = RowStream(self._blocks(self._weights.blocks("g_a.blocks", self._config.blocks_a)))
        for band, last in self._bands(height // Y_CELL, width * Y_CELL):
            x = padded_rows(pixels, Y_CELL * band.start, Y_CELL * band.stop, width)
            entered = self._kernels.product(self._kernels.unfold(np.ascontiguousarray(x)), stem, narrow=narrow)
            rows = stream.push(entered, last=last)
            if rows is not None:
                yield rows

    def hyper_analyse(self, y: Rows) -> Rows:
        """y -> z (not rounded) [h/4, w/4, N]."""
        weights = self._weights
        last_down = weights.down("h_a.4", self._level, outputs="log_z_gain")
        stream = RowStream(
            [
                self._product(weights.matrix("h_a.0")),
                *self._blocks([weights.block("h_a.1")]),
                self._product(weights.down("h_a.2"), fold=2),
                *self._blocks([weights.block("h_a.3")]),
                self._stage(last_down, narrow=False, fold=2),
            ]
        )
        height, width, _ = y.shape
        whole = np.empty((height // Z_CELL, width // Z_CELL, self._config.N), np.float32)
        parts = (stream.push(y[band], last=last) for band, last in self._bands(height, width * Y_CELL**2))
        return _filled(whole, (part for part in parts if part is not None))

    def prior(self, z_hat: Rows) -> Iterator[Rows]:
        """z_hat [h, w, N] -> prior features p [rows, 4w, P], band by band from the top.

        In float32, for a hundredth of the time: what the context makes of checkerboards depends on the last bits of p,
        and rounding to bfloat16 changed pixels by 4 levels.
        """
        weights = self._weights
        scale = weights.vector("log_q_prior", self._level)
        shift = weights.shift("shift_prior", self._level, self._config.P)
        stream = RowStream(
            [
                self._stage(weights.up("h_mean.0", self._level, divisors="log_z_gain"), narrow=False, spread=2),
                *self._blocks([weights.block("h_mean.1")], narrow=False),
                self._stage(weights.up("h_mean.2"), narrow=False, spread=2),
                *self._blocks([weights.block("h_mean.3")], narrow=False),
            ]
        )
        height, width, _ = z_hat.shape
        for band, last in self._bands(height, width * ALIGNMENT**2):
            rows = stream.push(z_hat[band], last=last)
            if rows is not None:
                rows *= scale
                rows += shift
                yield np.clip(rows, -PRIOR_MAX, PRIOR_MAX, out=rows)

    def quantize(self, p: Iterable[Rows], y: Rows, index: Pixels, widths: Floats) -> Rows:
        """The four steps of the encoder -> y_hat; y becomes r, in whole numbers.

        p: bands of rows, as `prior` gives them. index uint8 [h, w, M]: the scale index; where it is 0, so is r. widths
        [256]: see `Kernels.quantize`.
        """
        gain, y_hat = self._weights.vector("log_gain", self._level), np.empty_like(y)

        def finish(place: Place, mu: Rows) -> None:
            self._kernels.quantize(y, mu, gain, index, widths, y_hat, place)

        self._for_means(p, y_hat, finish)
        return y_hat

    # Decoding

    def reconstruct(self, p: Iterable[Rows], r: NDArray[np.int32]) -> Rows:
        """The four steps of the decoder: r int32 [h, w, M] and bands of p -> y_hat."""
        gain, y_hat = self._weights.vector("log_gain", self._level), np.empty(r.shape, np.float32)

        def finish(place: Place, mu: Rows) -> None:
            self._kernels.dequantize(r, mu, gain, y_hat, place)

        self._for_means(p, y_hat, finish)
        return y_hat

    def _for_means(self, p: Iterable[Rows], y_hat: Rows, finish: Finish) -> None:
        """The four steps. Each is finished before the next; rows of one in several threads at the same time. y_hat need
        not be initialized."""
        for step, rows, features in self._context_rows(p, y_hat):
            self._kernels.share(len(features), partial(self._finish_rows, finish, step, rows.start, features))

    def _finish_rows(self, finish: Finish, step: int, top: int, features: Rows, start: int, stop: int) -> None:
        """A step of rows start..stop of `features`, which row `top` of the image is the first of."""
        for number, (row, column) in enumerate(step_positions(step)):
            first = (row - top - start) % 2
            if start + first < stop:
                matrix = self._weights.quarters(step)[number]
                mu = self._kernels.product(features[start:stop], matrix, corner=(first, column), bound=LATENT_MAX)
                finish((top + start + first, column, number * matrix.outputs), mu)

    def _context_rows(self, p: Iterable[Rows], y_hat: Rows) -> Iterator[tuple[int, slice, Rows]]:
        """The four steps: the number of one, rows, and the features of the context there.

        Every step follows on the heels of the one before, a few rows behind, so that p and y_hat stay in the cache. It
        reads a row before it writes there: what it writes counts from the next step on.
        """
        trunk = self._weights.blocks("context.trunk", self._config.blocks_context)
        adaptors = [self._weights.matrix(f"context.adaptors.{number}") for number in range(STEPS - 1)]
        self.context_peaks = Peaks(*y_hat.shape[:2])
        streams = [RowStream(self._blocks(trunk, self.context_peaks)) for _ in adaptors]
        done, kept = [0] * STEPS, RowWindow()
        for band in p:
            rows = kept.push(band)
            y_hat[rows] = 0
            for step in range(STEPS):
                features: Rows | None = kept.rows(rows)
                if step:
                    # In float32: y_hat of stripes and checkerboards is so large that rounding it to bfloat16 would
                    # change pixels by 4 and 5 levels; for a hundredth of the time.
                    known = self._kernels.product(kept.rows(rows), adaptors[step - 1], other=y_hat[rows])
                    features = streams[step - 1].push(known, last=rows.stop == len(y_hat))
                if features is None:
                    break
                rows = slice(done[step], done[step] + len(features))
                yield step, rows, features
                done[step] = rows.stop
            kept.drop(done[STEPS - 2])

    def synthesize(self, y_hat: Rows, reduction: int = 1) -> Iterator[Pixels]:
        """y_hat [h, w, M] -> pixels uint8 [rows, 16w / reduction, 3], band by band from the top.

        reduction: 1, or 2, 4, 8 for the mean of each square of that many pixels. Of 8 it is the preview head's
        estimate, where the model has one.
        """
        if self._previews(reduction):
            yield from self._preview(y_hat)
            return
        up = self._weights.up("g_s.up", self._level, outputs="log_q_dec", shifts="shift_dec")
        head, side = self._weights.head(reduction), PATCH // reduction
        self.peaks = Peaks(*(Y_CELL // PATCH * length for length in y_hat.shape[:2]))
        stream = RowStream(
            [
                self._stage(up, narrow=False, spread=2),
                *self._blocks(self._weights.blocks("g_s.blocks", self._config.blocks_s), self.peaks),
                self._stage(head, narrow=False),
            ]
        )
        for band, last in self._bands(len(y_hat), y_hat.shape[1] * Y_CELL**2):
            shades = stream.push(y_hat[band], last=last)
            if shades is not None:
                yield self._kernels.to_bytes(shades, side)

    def _previews(self, reduction: int) -> bool:
        return reduction == PREVIEW_REDUCTION and self._weights.has_preview

    def _preview(self, y_hat: Rows) -> Iterator[Pixels]:
        """Rows, as `synthesize` gives. Beyond the edges are zeros, as for g_s: several dB better than the last rows."""
        taps, bias = self._weights.preview()
        for band, last in self._bands(len(y_hat), y_hat.shape[1] * Y_CELL**2):
            above, below = int(band.start == 0), int(last)
            near = self._kernels.product(y_hat[band.start - 1 + above : band.stop + 1 - below], taps)
            apart = near.reshape(len(near), self._images, -1, 9, len(bias))
            padded = np.pad(apart, ((above, below), (0, 0), (1, 1), (0, 0), (0, 0)))
            rows, columns = len(padded) - 2, apart.shape[2]
            shades = np.broadcast_to(bias, (rows, self._images, columns, len(bias))).copy()
            for tap, (row, column) in enumerate(np.ndindex(3, 3)):
                shades += padded[row : row + rows, :, column : column + columns, tap]
            yield self._kernels.to_bytes(shades.reshape(rows, -1, len(bias)), PREVIEW_FACTOR)


def _filled(whole: Rows, parts: Iterator[Rows]) -> Rows:
    """`whole` with parts of its rows, from the top."""
    top = 0
    for rows in parts:
        whole[top : top + len(rows)] = rows
        top += len(rows)
    return whole
