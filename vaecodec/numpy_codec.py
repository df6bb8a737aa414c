"""Small pictures are coded without PyTorch, which takes several times as long to load as they take.

Only for programs that end after one picture, as the command line often does: everything is as float32 makes it, from
which `Codec` differs on processors that have bfloat16. Files are then other files of the same picture, and decoded
pixels differ by up to 3 levels; the integers of a file are those of every decoder.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec import container, lossless
from vaecodec.levels import quality_to_level
from vaecodec.picture_file import Crop, finish, make_source, pack_item, pixel_limit, read_item, window_of
from vaecodec.runtime.numpy_networks import LightNetworks
from vaecodec.weights.lookup import find_model
from vaecodec.weights.manifest import entry_by_name
from vaecodec.weights.store import read_model


def encode(image: object, quality: float, *, model: str, strip: bool = False) -> bytes:
    """The bytes of a .vaec file, made as by `vaecodec.encode`. model: the name of a shipped one."""
    source, level, entry = make_source(image, strip=strip), quality_to_level(quality), entry_by_name(model)
    stored = read_model(entry.path, entry.sha256)
    coded = LightNetworks(stored).encode(source.picture.rgb, level)
    return pack_item(source, coded, level, entry.model_id, stored.wire_hash)


def decode(data: bytes, *, crop: Crop | None = None) -> Image.Image:
    """The image of a file of a shipped model, or of a lossless one, as `vaecodec.decode` gives it."""
    if container.parse(data, max_pixels=pixel_limit(None)).header.is_lossless:
        return cast(Image.Image, lossless.decode(data, crop=crop))
    item = read_item(0, data, None, lambda header: find_model(header.model_id, header.model_hash))
    window = window_of(item.header, crop, 1)
    entry = find_model(item.header.model_id, item.header.model_hash)
    networks = LightNetworks(read_model(entry.path, entry.sha256))
    whole: NDArray[np.uint8] = networks.pixels(networks.decode(item.stored))
    rgb = whole[window.top : window.bottom, window.left : window.right]
    return cast(Image.Image, finish(item, np.ascontiguousarray(rgb), window, 1, as_array=False))
