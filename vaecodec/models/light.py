"""The float networks of the decoder in NumPy, for pictures that are decoded sooner than PyTorch is loaded.

Rows are float32 [h, w, channels]. Equal to `network` in float32 up to rounding; see there for what each part is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vaecodec.entropy.coding import Latents, StoredLatents, decode_latents
from vaecodec.entropy.model import from_tensors
from vaecodec.models.config import CONFIGS, LEVELS, PATCH, STEPS, step_positions
from vaecodec.weights.store import StoredModel

Rows = NDArray[np.float32]


class LightDecoder:
    """One model. Raises WeightsError for an integer part that is out of bounds."""

    def __init__(self, stored: StoredModel) -> None:
        self._tensors = stored.tensors
        self._config = CONFIGS[stored.card["config"]]
        self._entropy = from_tensors(stored.tensors)

    def decode(self, stored: StoredLatents) -> Latents:
        """Raises FormatError."""
        return decode_latents(self._entropy, stored)

    def pixels(self, latents: Latents) -> NDArray[np.uint8]:
        """The padded picture, [H, W, 3]."""
        t = latents.level / (LEVELS - 1)
        prior = self._prior(_rows(latents.z_hat), t)
        features = self._up(self._reconstruct(prior, _rows(latents.r), t), "g_s.up")
        features *= self._level("log_q_dec", t)
        features = self._blocks(features, "g_s.blocks", self._config.blocks_s)
        x_hat = _shuffle(self._convolve(features, "g_s.head"), PATCH)
        pixels: NDArray[np.uint8] = np.rint((x_hat + 0.5) * 255).clip(0, 255).astype(np.uint8)
        return pixels

    def _prior(self, z_hat: Rows, t: float) -> Rows:
        p = self._up(z_hat / self._level("log_z_gain", t), "h_mean.0")
        p = self._up(self._block(p, "h_mean.1"), "h_mean.2")
        return self._block(p, "h_mean.3") * self._level("log_q_prior", t)

    def _reconstruct(self, p: Rows, r: Rows, t: float) -> Rows:
        """y_hat."""
        y_hat = np.zeros_like(r)
        offsets = r / self._level("log_gain", t)
        for step in range(STEPS):
            features = p
            if step:
                known = self._convolve(np.concatenate([p, y_hat], 2), f"context.adaptors.{step - 1}")
                features = self._blocks(known, "context.trunk", self._config.blocks_context)
            for place in _places(step, r.shape[2]):
                mu = self._convolve(features[place[:2]], f"context.heads.{step}", place[2])
                y_hat[place] = offsets[place] + mu
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
        found: Rows = x @ weight.T
        found += bias
        return found

    def _depthwise(self, x: Rows, name: str) -> Rows:
        weight, (height, width, _) = self._tensor(f"{name}.weight"), x.shape
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        found: Rows = np.broadcast_to(self._tensor(f"{name}.bias"), x.shape).copy()
        for row in range(3):
            for column in range(3):
                found += padded[row : row + height, column : column + width] * weight[:, 0, row, column]
        return found

    def _up(self, x: Rows, name: str) -> Rows:
        return _shuffle(self._convolve(x, f"{name}.0"), 2)

    def _block(self, x: Rows, name: str) -> Rows:
        """A `DepthConvBlock`."""
        mixed = self._depthwise(_silu(self._convolve(x, f"{name}.conv_in")), f"{name}.depthwise")
        x = x + self._convolve(mixed, f"{name}.conv_out")
        gate, value = np.split(self._convolve(x, f"{name}.ffn_in"), 2, axis=2)
        return x + self._convolve(_silu(gate) * value, f"{name}.ffn_out")

    def _blocks(self, x: Rows, name: str, count: int) -> Rows:
        for number in range(count):
            x = self._block(x, f"{name}.{number}")
        return x


def _rows(latents: NDArray[np.int8] | NDArray[np.int32]) -> Rows:
    """[channels, h, w] -> [h, w, channels]."""
    return np.ascontiguousarray(latents.transpose(1, 2, 0), np.float32)


def _places(step: int, channels: int) -> Iterator[tuple[slice, slice, slice]]:
    """What a step codes: rows, columns, a quarter of the channels."""
    size = channels // STEPS
    for number, (row, column) in enumerate(step_positions(step)):
        yield slice(row, None, 2), slice(column, None, 2), slice(number * size, (number + 1) * size)


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
