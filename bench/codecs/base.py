"""What the benchmark asks of a codec: bytes out of pixels, pixels out of bytes, and its own name.

A new codec is one small class in this folder and one line in `bench/codecs/__init__.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # [H, W, 3] RGB, 0..255


class CodecError(RuntimeError):
    """A codec could not do one image; the benchmark records it beside that image and goes on."""


class Codec(ABC):
    """One codec with fixed settings; only `quality` moves along its rate-distortion curve.

    `threads` is how many threads the codec may use for one image; the benchmark states it.
    """

    name: str  # the word used on the command line and in file names
    title: str  # the name in plots and tables
    requires: ClassVar[str] = ""  # what to install where `available` is False
    tuned_for: ClassVar[str | None] = None  # the metric that its settings aim at; tables of others leave it out
    qualities: tuple[float, ...]  # the default ladder, from small files to large ones
    integer_quality: ClassVar[bool] = True
    openmp: ClassVar[bool] = False  # its threads are OpenMP's, bound by the environment of its process

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads

    @abstractmethod
    def available(self) -> bool:
        """Whether everything the codec needs is installed here."""

    @abstractmethod
    def encode(self, img: Image, quality: float) -> bytes:
        """Return the complete file for the uint8 RGB picture [H, W, 3]."""

    @abstractmethod
    def decode(self, data: bytes) -> Image:
        """Return the uint8 RGB picture [H, W, 3] that the file holds."""

    @abstractmethod
    def version(self) -> str:
        """Name everything that may change the bytes: library versions, settings, weights.

        Cached results made under another version are measured again.
        """

    def close(self) -> None:  # noqa: B027  (most codecs hold nothing)
        """Give back what the codec holds, such as a process."""
