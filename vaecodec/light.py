"""Small pictures are decoded without PyTorch, which takes ten times as long to load as they take.

Only for programs that end after a few pictures, as the command line: the integers are those of every decoder, but the
pixels are those of float32, from which those of bfloat16 (`Codec` on many processors) differ by up to 3 levels.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec.items import Crop, finish, read_item, window_of
from vaecodec.models.light import LightDecoder
from vaecodec.weights.manifest import entry_by_wire
from vaecodec.weights.store import read_model

LIGHT_PIXELS = 700_000
"""In all pictures of a process. For more, PyTorch is done sooner (`python -m bench practical`)."""


@dataclass
class Start:
    """How many pixels may still be decoded without PyTorch in this process."""

    left: int = LIGHT_PIXELS

    def takes(self, pixels: int) -> bool:
        """Whether so many more shall be. Not once PyTorch is there."""
        if pixels > self.left or "torch" in sys.modules:
            return False
        self.left -= pixels
        return True


_START = Start()
takes = _START.takes


def decode(data: bytes, *, crop: Crop | None = None) -> Image.Image:
    """As `vaecodec.decode`, for files of shipped models."""
    item = read_item(0, data, None, lambda header: entry_by_wire(header.model_id, header.model_hash))
    window = window_of(item.header, crop, 1)
    entry = entry_by_wire(item.header.model_id, item.header.model_hash)
    decoder = LightDecoder(read_model(entry.path, entry.sha256))
    whole: NDArray[np.uint8] = decoder.pixels(decoder.decode(item.stored))
    rgb = whole[window.top : window.bottom, window.left : window.right]
    return cast(Image.Image, finish(item, np.ascontiguousarray(rgb), window, 1, as_array=False))
