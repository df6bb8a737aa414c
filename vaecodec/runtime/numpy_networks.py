"""The float networks in NumPy, for pictures that are coded sooner than PyTorch is loaded.

Rows are float32 [h, w, channels]. Equal to `network` in float32 up to rounding; see there for what each part is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.coding import CodedLatents, Latents, StoredLatents, decode_latents, encode_latents
from vaecodec.entropy.model import from_tensors
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import MAX_LEVEL
from vaecodec.networks.config import (
    CONFIGS,
    LATENT_MAX,
    PATCH,
    PRIOR_MAX,
    PRODUCT_MAX,
    STEPS,
    STREAM_MAX,
    step_positions,
)
from vaecodec.runtime.windows import padded_rows, padded_size
from vaecodec.weights.store import StoredModel

Rows = NDArray[np.float32]
Place = tuple[slice, slice, slice]
"""Rows, columns, channels."""


class LightNetworks:
    """Those of one model, and its entropy coder. Raises WeightsError for an integer part that is out of bounds."""

    def __init__(self, stored: StoredModel) -> None:
        self._tensors = stored.tensors
        self._config = CONFIGS[stored.card["config"]]
        self._entropy = from_tensors(stored.tensors)

    # Encoding

    def encode(self, pixels: NDArray[np.uint8], level: int) -> CodedLatents:
        """uint8 [H, W, 3] -> the latents of a picture, coded."""
        t = level / MAX_LEVEL
        y = self._analyse(pixels, t)
        z_hat = _channels(np.rint(self._hyper_analyse(y, t)).clip(Z_MIN, Z_MAX)).astype(np.int8)
        index = scale_index(z_hat, level, self._entropy.layers)
        r = self._quantize(self._prior(_rows(z_hat), t), y, index, t)
        return encode_latents(self._entropy, Latents(level, z_hat, _channels(r).astype(np.int32)), index)

    def _analyse(self, pixels: NDArray[np.uint8], t: float) -> Rows:
        """y."""
        height, width = padded_size(pixels)
        x: Rows = padded_rows(pixels, 0, height, width).astype(np.float32) / np.float32(255)
        features = self._convolve(_unshuffle(x - np.float32(0.5), PATCH), "g_a.stem")
        features = self._blocks(features, "g_a.blocks", self._config.blocks_a)
        return _bounded(self._down(features * self._level("log_q_enc", t), "g_a.down"), LATENT_MAX)

    def _hyper_analyse(self, y: Rows, t: float) -> Rows:
        """z, not rounded."""
        z = self._down(self._block(self._convolve(y, "h_a.0"), "h_a.1"), "h_a.2")
        return self._down(self._block(z, "h_a.3"), "h_a.4") * self._level("log_z_gain", t)

    def _quantize(self, p: Rows, y: Rows, index: NDArray[np.uint8], t: float) -> Rows:
        """r."""
        gain, coded, r = self._level("log_gain", t), _rows(index) > 0, np.zeros_like(y)

        def offset(place: Place, mu: Rows) -> Rows:
            gains = gain[place[2]]
            r[place] = np.rint((y[place] - mu) * gains) * coded[place]
            return r[place] / gains

        self._run_context(p, y.shape, offset)
        return r

    # Decoding

    def decode(self, stored: StoredLatents) -> Latents:
        """Raises FormatError."""
        return decode_latents(self._entropy, stored)

    def pixels(self, latents: Latents) -> NDArray[np.uint8]:
        """The padded picture, [H, W, 3]."""
        t = latents.level / MAX_LEVEL
        prior = self._prior(_rows(latents.z_hat), t)
        offsets = _rows(latents.r) / self._level("log_gain", t)
        y_hat = self._run_context(prior, offsets.shape, lambda place, _: offsets[place])
        features = self._up(y_hat, "g_s.up") * self._level("log_q_dec", t)
        features = self._blocks(features, "g_s.blocks", self._config.blocks_s)
        x_hat = _shuffle(self._convolve(features, "g_s.head"), PATCH)
        pixels: NDArray[np.uint8] = np.rint((x_hat + 0.5) * 255).clip(0, 255).astype(np.uint8)
        return pixels

    def _prior(self, z_hat: Rows, t: float) -> Rows:
        p = self._up(z_hat / self._level("log_z_gain", t), "h_mean.0")
        p = self._up(self._block(p, "h_mean.1"), "h_mean.2")
        return _bounded(self._block(p, "h_mean.3") * self._level("log_q_prior", t), PRIOR_MAX)

    # Both

    def _run_context(self, p: Rows, shape: Sequence[int], offset: Callable[[Place, Rows], Rows]) -> Rows:
        """y_hat, of this shape; offset: r / gain at a place, where the mean is known."""
        y_hat = np.zeros(shape, np.float32)
        for step in range(STEPS):
            features = p
            if step:
                known = self._convolve(np.concatenate([p, y_hat], 2), f"context.adaptors.{step - 1}")
                features = self._blocks(known, "context.trunk", self._config.blocks_context)
            for place in _places(step, shape[2]):
                mu = _bounded(self._convolve(features[place[:2]], f"context.heads.{step}", place[2]), LATENT_MAX)
                y_hat[place] = offset(place, mu) + mu
        return y_hat

    # Layers, by the names of their tensors

    def _tensor(self, name: str) -> NDArray[np.float32]:
        tensor: NDArray[np.float32] = self._tensors[f"net.{name}"].astype(np.float32)
        return tensor

    def _level(self, name: str, t: float) -> NDArray[np.float32]:
        """exp of a `LevelTable`, [channels]."""
        anchors = self._tensor(f"{name}.anchors")
        position = t * (len(anchors) - 1)
        low = min(int(position), len(anchors) - 2)
        vector: NDArray[np.float32] = anchors[low] + np.float32(position - low) * (anchors[low + 1] - anchors[low])
        return np.exp(vector)

    def _convolve(self, x: Rows, name: str, outputs: slice = slice(None)) -> Rows:
        """A 1x1 convolution; some of its outputs."""
        weight, bias = self._tensor(f"{name}.weight")[outputs, :, 0, 0], self._tensor(f"{name}.bias")[outputs]
        out: Rows = x @ weight.T
        out += bias
        return out

    def _depthwise(self, x: Rows, name: str) -> Rows:
        weight, (height, width, _) = self._tensor(f"{name}.weight"), x.shape
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        out: Rows = np.broadcast_to(self._tensor(f"{name}.bias"), x.shape).copy()
        for row in range(3):
            for column in range(3):
                out += padded[row : row + height, column : column + width] * weight[:, 0, row, column]
        return out

    def _down(self, x: Rows, name: str) -> Rows:
        return self._convolve(_unshuffle(x, 2), f"{name}.1")

    def _up(self, x: Rows, name: str) -> Rows:
        return _shuffle(self._convolve(x, f"{name}.0"), 2)

    def _block(self, x: Rows, name: str) -> Rows:
        """A `DepthConvBlock`."""
        mixed = self._depthwise(_silu(self._convolve(x, f"{name}.conv_in")), f"{name}.depthwise")
        x = x + self._convolve(mixed, f"{name}.conv_out")
        gate, value = np.split(self._convolve(x, f"{name}.ffn_in"), 2, axis=2)
        product = _bounded(_silu(gate) * value, PRODUCT_MAX)
        return _bounded(x + self._convolve(product, f"{name}.ffn_out"), STREAM_MAX)

    def _blocks(self, x: Rows, name: str, count: int) -> Rows:
        for number in range(count):
            x = self._block(x, f"{name}.{number}")
        return x


def _rows(latents: NDArray[np.integer]) -> Rows:
    """[channels, h, w] -> [h, w, channels]."""
    return np.ascontiguousarray(latents.transpose(1, 2, 0), np.float32)


def _channels(rows: Rows) -> Rows:
    """The inverse."""
    return np.ascontiguousarray(rows.transpose(2, 0, 1))


def _places(step: int, channels: int) -> Iterator[Place]:
    """What a step codes: rows, columns, a quarter of the channels."""
    size = channels // STEPS
    for number, (row, column) in enumerate(step_positions(step)):
        yield slice(row, None, 2), slice(column, None, 2), slice(number * size, (number + 1) * size)


def _bounded(x: Rows, most: float) -> Rows:
    """Clamp x to -most..most, in place."""
    return np.clip(x, -most, most, out=x)


def _silu(x: Rows) -> Rows:
    with np.errstate(over="ignore"):  # exp(-x) beyond float32 gives x / inf, which is right
        divisor: Rows = np.exp(-x)
    divisor += 1
    return np.divide(x, divisor, out=divisor)


def _shuffle(x: Rows, factor: int) -> Rows:
    """A pixel shuffle: [h, w, c f^2] -> [h f, w f, c]."""
    height, width, channels = x.shape
    cells = x.reshape(height, width, channels // factor**2, factor, factor).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(cells).reshape(height * factor, width * factor, -1)


def _unshuffle(x: Rows, factor: int) -> Rows:
    """The inverse."""
    height, width, channels = x.shape
    cells = x.reshape(height // factor, factor, width // factor, factor, channels).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells).reshape(height // factor, width // factor, -1)
