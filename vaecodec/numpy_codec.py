"""Small images are coded without numba, which takes longer to load than NumPy takes for them.

Only for programs that end after one image, as the command line often does: everything is as float32 makes it, from
which `Codec` differs on processors that have bfloat16. Files are then other files of the same image, and decoded
pixels differ by up to 3 levels, or 4 behind a post filter; the integers of a file are those of every decoder.
"""

from __future__ import annotations

from typing import cast

from PIL import Image

from vaecodec import container, lossless
from vaecodec.codec import Codec
from vaecodec.modes import Mode
from vaecodec.picture_file import Crop, pixel_limit
from vaecodec.refine import DEFAULT_EFFORT
from vaecodec.runtime.choice import choose_brief
from vaecodec.weights.lookup import find_model
from vaecodec.weights.manifest import manifest


def encode(
    image: object,
    quality: float,
    *,
    model: str,
    mode: Mode = "auto",
    strip: bool = False,
    verify: bool = False,
    effort: int = DEFAULT_EFFORT,
) -> bytes:
    """The bytes of a .vaec file, made as by `vaecodec.encode`. model: the name of a shipped one; effort: one that needs
    no PyTorch."""
    return Codec(model, plan=choose_brief()).encode(
        image, quality, mode=mode, strip=strip, verify=verify, effort=effort
    )


def decode(data: bytes, *, crop: Crop | None = None) -> Image.Image:
    """The image of a file of a shipped model, or of a lossless one, as `vaecodec.decode` gives it."""
    header = container.parse(data, max_pixels=pixel_limit(None)).header
    if header.is_lossless:
        return cast(Image.Image, lossless.decode(data, crop=crop))
    entry = find_model(header.model_id, header.model_hash)
    return Codec(entry.name if entry in manifest() else entry.path, plan=choose_brief()).decode(data, crop=crop)
