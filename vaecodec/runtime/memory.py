"""How much memory coding takes, and how many pixels may go through the networks at once.

Counted is what coding allocates: not the interpreter, its libraries and the weights, nor the caller's picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vaecodec.errors import InputError
from vaecodec.networks.config import ModelConfig

Task = Literal["encode", "decode", "target", "feedback"]

CPU_BAND = 400_000
"""Pixels in a band for each thread of a CPU: few enough for its caches, many enough to keep it busy.

For a hidden width of 256 in the blocks; the cost of a call is spread over up to twice as many where they are narrower.
"""
SHARED_BAND = 1_500_000
"""Pixels in a band of several threads at least: handing over takes a tenth of a millisecond for each layer of each
band, which for a megapixel in two bands is a tenth of the time."""
CPU_BAND_WIDTH = 256
GPU_BAND = 16_000_000
LEAST_BAND = 16 * 64
"""A row of latents of a picture as narrow as the padding allows."""


def bytes_per_pixel(config: ModelConfig, task: Task) -> float:
    """Held of the whole picture at the peak: uint8 pixels, latents, entropy coder (`python -m bench scale`).

    A position of the latents is 256 pixels. Encoding: y and y_hat of 4 bytes, the scale index twice; or later r of 4
    bytes, the index, symbols, words. Decoding: r, y_hat, and the pixels twice. A target: y_hat, r and the index, and
    what decoding them takes. Feedback: y three times, and twice what goes into a file; pixels twice, filtered once.
    """
    latents = {"encode": 10, "decode": 8, "target": 17, "feedback": 34}[task] * config.M
    pixels = {"encode": 3.0, "decode": 7.0, "target": 6.0, "feedback": 19.0}[task]
    return latents / 256 + pixels


def bytes_per_band_pixel(config: ModelConfig) -> float:
    """Held of a band: the widest block, and the pixels in float32 several times."""
    return (44 * config.C + 16 * 192) / 64 * 1.3


@dataclass(frozen=True)
class Memory:
    """limit: bytes, or None for what is fastest."""

    limit: int | None
    device_type: str
    threads: int

    @property
    def batch_pixels(self) -> int:
        """Small pictures that together have no more pixels share a pass."""
        return CPU_BAND * self.threads if self.device_type == "cpu" else GPU_BAND

    def band_pixels(self, config: ModelConfig, pixels: int, task: Task) -> int:
        """For pictures of `pixels` pixels in all. Raises InputError naming the least limit that would do."""
        most = self._most(config)
        if self.limit is None:
            return most
        needed = self._needed(config, pixels, task)
        if self.limit < needed:
            message = f"max_memory is {self.limit} bytes; to {task} {pixels} pixels it must be at least {needed}"
            raise InputError(message)
        return min(most, int((self.limit - bytes_per_pixel(config, task) * pixels) / bytes_per_band_pixel(config)))

    def allows(self, config: ModelConfig, pixels: int, task: Task) -> bool:
        """Whether `band_pixels` would not raise."""
        return self.limit is None or self.limit >= self._needed(config, pixels, task)

    def _needed(self, config: ModelConfig, pixels: int, task: Task) -> int:
        """Bytes, with the narrowest band."""
        least = max(LEAST_BAND, min(pixels, CPU_BAND // 4))
        return math.ceil(bytes_per_pixel(config, task) * pixels + bytes_per_band_pixel(config) * least)

    def _most(self, config: ModelConfig) -> int:
        """Pixels in a band where memory is no matter."""
        wider = max(1.0, min(2.0, CPU_BAND_WIDTH / (config.C * config.ffn))) if self.device_type == "cpu" else 1.0
        shared = SHARED_BAND if self.device_type == "cpu" and self.threads > 1 else 0
        return max(round(wider * self.batch_pixels), shared)
