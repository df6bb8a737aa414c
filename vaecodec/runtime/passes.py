"""The networks at run time: each pass goes over the rows of a picture in bands, see `streaming`.

What is held of a whole picture are its latents (y, y_hat, r and the prior features), never its pixels in float32.
Tensors of whole pictures are in channels-last memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaecodec.networks.config import ALIGNMENT, PATCH, PRIOR_MAX, STEPS
from vaecodec.networks.exact import convolve
from vaecodec.networks.network import CodecNetwork, bounded, in_shades
from vaecodec.networks.preview import PREVIEW_FACTOR, PREVIEW_REDUCTION
from vaecodec.runtime.context_steps import ContextSteps, TorchSteps
from vaecodec.runtime.streaming import RowStream, reach
from vaecodec.runtime.tensors import channels_last
from vaecodec.runtime.windows import Y_CELL, Z_CELL, Pixels, Region, Window, padded_rows, padded_size


class Passes:
    """The passes of one network.

    band_pixels: about how many pixels (of the picture) go through it at once. steps: how its context runs; by default
    in PyTorch.
    """

    def __init__(self, network: CodecNetwork, band_pixels: int, steps: ContextSteps | None = None) -> None:
        self._network, self._band_pixels = network, band_pixels
        self._steps = TorchSteps(network) if steps is None else steps
        self._device = network.log_gain.anchors.device

    def region(self, pixels: Window, height: int, width: int, reduction: int = 1) -> Region:
        """What the decoder must compute for a rectangle of a picture of height * width pixels (padded)."""
        network, y_size, z_size = (
            self._network,
            (height // Y_CELL, width // Y_CELL),
            (height // ALIGNMENT, width // ALIGNMENT),
        )
        last = self._preview_head(reduction) or network.g_s
        y = pixels.coarser(Y_CELL).grown(-(-reach(last, Y_CELL) // Y_CELL), *y_size)
        steps = (STEPS - 1) * -(-reach(network.context.trunk, Y_CELL) // Y_CELL)
        context = y.grown(steps, *y_size).coarser(Z_CELL)
        return Region(pixels, y, context, context.grown(-(-reach(network.h_mean, ALIGNMENT) // ALIGNMENT), *z_size))

    def _bands(self, rows: int, pixels_per_row: int) -> Iterator[tuple[slice, bool]]:
        """Bands of rows, and whether each is the last."""
        step = max(1, self._band_pixels // pixels_per_row)
        for start in range(0, rows, step):
            stop = min(rows, start + step)
            yield slice(start, stop), stop == rows

    def _whole(self, batch: int, channels: int, height: int, width: int) -> Tensor:
        """Float32 for a whole picture, not initialized."""
        return channels_last((batch, channels, height, width), torch.float32, self._device)

    # Encoding

    def analyse(self, pictures: Sequence[Pixels], t: Tensor) -> Tensor:
        """uint8 [H, W, 3] each, of equal size once padded -> y [B, M, H/16, W/16]; t = level / 63, [B]."""
        height, width = padded_size(pictures[0])
        y = self._whole(len(pictures), self._network.config.M, height // Y_CELL, width // Y_CELL)
        q_enc = self._network.log_q_enc(t).exp()
        return _filled(y, (self._network.g_a.leave(rows, q_enc) for rows in self._feature_rows(pictures, t)))

    def _feature_rows(self, pictures: Sequence[Pixels], t: Tensor) -> Iterator[Tensor]:
        """What leaves the blocks of g_a, in bands of an even number of rows."""
        g_a, shift = self._network.g_a, self._network.shift_enc(t)
        height, width = padded_size(pictures[0])
        stream, kept = RowStream(g_a.blocks), None
        for band, last in self._bands(height // Y_CELL, len(pictures) * width * Y_CELL):
            x = self._input(pictures, Y_CELL * band.start, Y_CELL * band.stop, width)
            rows = stream.push(g_a.enter_pixels(x, shift), last=last)
            if rows is None:
                continue
            rows = rows if kept is None else torch.cat([kept, rows], 2)
            even = rows.shape[2] // 2 * 2
            kept = rows[:, :, even:].clone() if even < rows.shape[2] else None
            if even:
                yield rows[:, :, :even]

    def _input(self, pictures: Sequence[Pixels], top: int, bottom: int, width: int) -> Tensor:
        """Rows of the padded pictures: uint8 [B, rows, width, 3]."""
        cut = np.stack([padded_rows(pixels, top, bottom, width) for pixels in pictures])
        return torch.from_numpy(cut).to(self._device)

    def hyper_analyse(self, y: Tensor, t: Tensor) -> Tensor:
        """y -> z (not rounded), float32 [B, N, h/4, w/4]."""
        batch, _, height, width = y.shape
        stream, parts = RowStream(self._network.h_a), []
        for band, last in self._bands(height, batch * width * Y_CELL**2):
            # The slice is a view of y, and a stream may overwrite what it is given: h_a begins with a convolution.
            rows = stream.push(y[:, :, band], last=last)
            if rows is not None:
                parts.append(rows.float())
        z: Tensor = torch.cat(parts, 2) * self._network.log_z_gain(t).exp()
        return z

    def prior(self, z_hat: Tensor, t: Tensor) -> Iterator[Tensor]:
        """z_hat float [B, N, h, w] -> prior features p [B, P, rows, 4w], band by band from the top."""
        network = self._network
        batch, _, height, width = z_hat.shape
        gain, scale = (-network.log_z_gain(t)).exp(), network.log_q_prior(t).exp()
        shift = network.shift_prior(t)
        stream = RowStream(network.h_mean)
        for band, last in self._bands(height, batch * width * ALIGNMENT**2):
            rows = stream.push(z_hat[:, :, band] * gain, last=last)
            if rows is not None:
                yield bounded(rows.float().mul_(scale).add_(shift), PRIOR_MAX)

    def quantize(
        self, p: Iterable[Tensor], y: Tensor, t: Tensor, index: Tensor, dead_zone: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """y_hat, and r as whole numbers of any type; see `context_steps.ContextSteps.quantize`. y is overwritten."""
        return self._steps.quantize(p, y, t, index, dead_zone)

    # Decoding

    def reconstruct(self, p: Iterable[Tensor], r: Tensor, t: Tensor) -> Tensor:
        """r int32 [B, M, h, w] and bands of p -> y_hat float32."""
        return self._steps.reconstruct(p, r, t)

    def synthesize(self, y_hat: Tensor, t: Tensor, reduction: int = 1) -> Iterator[Tensor]:
        """y_hat [B, M, h, w] -> pixels uint8 [B, rows, 16w/reduction, 3], band by band from the top.

        reduction: 1, or 2, 4, 8 for the mean of each square of so many pixels a side; with 8 it is the preview head's
        estimate, where the model has one.
        """
        preview = self._preview_head(reduction)
        if preview is not None:
            yield from self._preview(preview, y_hat)
            return
        g_s, q_dec, shift = self._network.g_s, self._network.log_q_dec(t).exp(), self._network.shift_dec(t)
        shades: Callable[[Tensor], Tensor] = g_s.shades
        shuffle = g_s.shuffle
        if reduction > 1:
            shades, shuffle = _reduced_head(*_weights(g_s.head), reduction), nn.PixelShuffle(PATCH // reduction)
        stream = RowStream(g_s.blocks)
        for band, last in self._bands(y_hat.shape[2], y_hat.shape[0] * y_hat.shape[3] * Y_CELL**2):
            rows = stream.push(g_s.enter(y_hat[:, :, band], q_dec, shift), last=last)
            if rows is not None:
                yield to_bytes(shades(rows), shuffle)

    def _preview_head(self, reduction: int) -> nn.Conv2d | None:
        """What replaces g_s at this reduction, if anything."""
        return self._network.preview if reduction == PREVIEW_REDUCTION else None

    def _preview(self, head: nn.Conv2d, y_hat: Tensor) -> Iterator[Tensor]:
        """Rows, as `synthesize` gives. Beyond the edges are zeros, as for g_s: several dB better than the last rows."""
        rows, shuffle = y_hat.shape[2], nn.PixelShuffle(PREVIEW_FACTOR)
        for band, last in self._bands(rows, y_hat.shape[0] * y_hat.shape[3] * Y_CELL**2):
            above, below = int(band.start == 0), int(last)
            near = y_hat[:, :, band.start - 1 + above : band.stop + 1 - below]
            yield to_bytes(in_shades(head(F.pad(near, (1, 1, above, below)))), shuffle)


def _filled(whole: Tensor, parts: Iterator[Tensor]) -> Tensor:
    """`whole` with parts of its rows, from the top."""
    top = 0
    for rows in parts:
        whole[:, :, top : top + rows.shape[2]] = rows
        top += rows.shape[2]
    return whole


def _weights(convolution: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias."""
    parameters = dict(convolution.named_parameters())
    return parameters["weight"], parameters["bias"]


def _reduced_head(weight: Tensor, bias: Tensor, reduction: int) -> Callable[[Tensor], Tensor]:
    """The last convolution of g_s, for the means of reduction x reduction pixels: exact, as both are linear."""
    side = PATCH // reduction
    shape = (-1, side, reduction, side, reduction)
    means = weight.reshape(*shape, weight.shape[1]).mean((2, 4)).reshape(-1, weight.shape[1], 1, 1)
    convolution = partial(convolve, weight=means, bias=bias.reshape(shape).mean((2, 4)).reshape(-1))
    return lambda features: in_shades(convolution(features))


def to_bytes(shades: Tensor, shuffle: nn.Module) -> Tensor:
    """255 x_hat, still to be shuffled -> uint8 [B, H, W, 3]. What is shuffled are bytes, not floats. `shades` is
    overwritten."""
    pixels: Tensor = shuffle(shades.round_().clamp_(0, 255).to(torch.uint8))
    return pixels.permute(0, 2, 3, 1)
