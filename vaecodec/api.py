"""`vaecodec.encode` and `vaecodec.decode`: a codec is made where an image needs one, and shared."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec import container
from vaecodec import lossless as lossless_codec
from vaecodec.denoising import Denoise, check_denoise
from vaecodec.levels import DEFAULT_QUALITY
from vaecodec.modes import Mode, chosen_mode
from vaecodec.picture_file import Crop, Result, as_it_is, make_source, pixel_limit
from vaecodec.reading import Data, read_data
from vaecodec.refine import DEFAULT_EFFORT, Progress, passes_of
from vaecodec.verification import verify_lossless
from vaecodec.weights.lookup import find_model
from vaecodec.weights.manifest import DEFAULT_MODEL, manifest


def encode(
    image: object,
    quality: float = DEFAULT_QUALITY,
    *,
    model: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    mode: Mode = "auto",
    lossless: bool = False,
    target_bytes: int | None = None,
    target_psnr: float | None = None,
    target_bpp: float | None = None,
    strip: bool = False,
    verify: bool = False,
    max_memory: int | None = None,
    effort: int = DEFAULT_EFFORT,
    progress: Progress | None = None,
    denoise: Denoise | None = None,
) -> bytes:
    """An image -> the bytes of a .vaec file; see `Codec.encode`. A lossless one is made without a codec."""
    passes_of(effort)
    targets = {"target_bytes": target_bytes, "target_psnr": target_psnr, "target_bpp": target_bpp}
    chosen = chosen_mode(mode, lossless=lossless, targets=targets)
    if denoise is not None:
        check_denoise(denoise, chosen, target_psnr)
    if chosen == "lossless":
        return _encode_lossless(image, strip, verify, max_memory)
    from vaecodec.codec import shared_codec

    codec = shared_codec(model, device, max_memory)
    options = {"effort": effort, "progress": progress, "denoise": denoise, **targets}
    return codec.encode(image, quality, mode=mode, strip=strip, verify=verify, **options)  # type: ignore[arg-type]


def _encode_lossless(image: object, strip: bool, verify: bool, max_memory: int | None) -> bytes:
    source = make_source(as_it_is(image), strip=strip)
    data = lossless_codec.encode(source, max_memory=max_memory)
    if verify:
        verify_lossless(data, source)
    return data


@overload
def decode(
    data: Data,
    *,
    as_array: Literal[False] = False,
    model: str | Path | None = None,
    device: str = "auto",
    max_pixels: int | None = None,
    crop: Crop | None = None,
    reduction: int = 1,
    max_memory: int | None = None,
) -> Image.Image: ...
@overload
def decode(
    data: Data,
    *,
    as_array: Literal[True],
    model: str | Path | None = None,
    device: str = "auto",
    max_pixels: int | None = None,
    crop: Crop | None = None,
    reduction: int = 1,
    max_memory: int | None = None,
) -> NDArray[np.uint8]: ...
def decode(
    data: Data,
    *,
    as_array: bool = False,
    model: str | Path | None = None,
    device: str = "auto",
    max_pixels: int | None = None,
    crop: Crop | None = None,
    reduction: int = 1,
    max_memory: int | None = None,
) -> Result:
    """A .vaec file (bytes, path or open file) -> image; see `Codec.decode`. A lossless one is read without a codec.

    model: the weights file of an own model; those of shipped models, and of models in the folder that the environment
    variable VAECODEC_MODELS names, are found without.
    """
    content = read_data(data)
    header = container.parse(content, max_pixels=pixel_limit(max_pixels)).header
    if header.is_lossless:
        return lossless_codec.decode(
            content, as_array=as_array, max_pixels=max_pixels, crop=crop, reduction=reduction, max_memory=max_memory
        )
    from vaecodec.codec import shared_codec

    if model is None:  # no other model is loaded than the file's own
        entry = find_model(header.model_id, header.model_hash)
        model = entry.name if entry in manifest() else entry.path
    codec = shared_codec(model, device, max_memory)
    return codec.decode(content, as_array=as_array, max_pixels=max_pixels, crop=crop, reduction=reduction)  # type: ignore[call-overload,no-any-return]
