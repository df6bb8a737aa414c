"""`encode(verify=True)`: the finished file is decoded and compared with what went into it, before anyone relies on it.

Equal must be: the integers of the latents, alpha, metadata, and all pixels of a lossless file. Of a neural file no
16 x 16 block of the image may be worse than its level allows: `auto.BLOCK_LIMITS` says how that was measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from vaecodec import auto, container, lossless
from vaecodec.entropy.coding import Latents
from vaecodec.errors import CodingError
from vaecodec.image import Pixels
from vaecodec.metrics import block_errors
from vaecodec.picture_file import Source

DEBUG = "VAECODEC_DEBUG"
"""Environment variable: with 1, neural files of a quality or level are verified, and y_hat of both sides compared."""
NOISY_BLOCK = 4
"""A block of white noise has at most about 1.2 times its variance; a sensor's has twice that where it is bright."""
MOST_OFF = 1e-3
"""Steps of quantization by which y_hat of encoder and decoder may differ: bands of rows round differently."""


def is_debugging() -> bool:
    """Whether the environment asks for it."""
    return os.environ.get(DEBUG) == "1"


def verify_lossless(data: bytes, source: Source) -> None:
    """Raise CodingError unless a finished lossless file holds its image."""
    pixels = source.picture.width * source.picture.height
    check_file(data, source, lambda data: np.asarray(lossless.decode(data, as_array=True, max_pixels=pixels)))


def check_file(
    data: bytes,
    source: Source,
    decode: Callable[[bytes], Pixels],
    decode_latents: Callable[[bytes], Latents] | None = None,
    latents: Latents | None = None,
    *,
    noise: float = 0.0,
) -> None:
    """Raise CodingError, saying where, unless a finished file holds its image; FormatError if it can't be decoded.

    latents: what the encoder meant to write; None (of a file made for a target, or a lossless one): not compared.
    noise: the standard deviation of what was to be taken away, in shades 0..255.
    """
    file, picture = container.parse(data), source.picture
    contents = container.read_all(data, file)
    if [(tag, contents[tag]) for tag in sorted(contents) if tag in container.METADATA] != source.metadata:
        _fail("the metadata differ")
    if latents is not None and decode_latents is not None and not file.header.is_lossless:
        _check_latents(latents, decode_latents(data))
    decoded = decode(data)
    planes = decoded.reshape(picture.height, picture.width, -1)
    if picture.alpha is not None and not np.array_equal(planes[..., -1], picture.alpha):
        _fail("alpha differs")
    original = auto.colours(source)
    decoded = planes[..., 0] if original.ndim == 2 else planes[..., :3]
    if file.header.is_lossless:
        if not np.array_equal(decoded, original):
            _fail("pixels of a lossless file differ")
        return
    errors = block_errors(original, decoded, auto.BLOCK)
    row, column = (int(at) for at in np.unravel_index(int(np.argmax(errors)), errors.shape))
    limit = auto.at_level(auto.BLOCK_LIMITS, file.header.level) + NOISY_BLOCK * noise**2
    if errors[row, column] > limit:
        _fail(
            f"the block at x {column * auto.BLOCK}, y {row * auto.BLOCK} has a mean squared error of "
            f"{errors[row, column]:.0f}; level {file.header.level} allows {limit:.0f}"
        )


def _check_latents(latents: Latents, decoded: Latents) -> None:
    if decoded.level != latents.level:
        _fail(f"the level is {decoded.level}; {latents.level} was written")
    for name in ("z_hat", "r"):
        ours, theirs = getattr(latents, name), getattr(decoded, name)
        if ours.shape != theirs.shape:
            _fail(f"{name} is {theirs.shape}; {ours.shape} was written")
        if not np.array_equal(ours, theirs):
            place = tuple(int(at) for at in np.argwhere(ours != theirs)[0])
            _fail(f"{name} is {theirs[place]} at {place}; {ours[place]} was written")


def check_y_hat(encoder: NDArray[np.float32], decoder: NDArray[np.float32]) -> None:
    """Raise CodingError, saying where, unless y_hat [M, h, w] of encoder and decoder are equal but for rounding."""
    off = np.abs(encoder - decoder)
    if not off.max(initial=0) <= MOST_OFF * max(1.0, float(np.abs(encoder).max(initial=0))):  # a NaN is not
        place = tuple(int(at) for at in np.unravel_index(int(np.argmax(np.nan_to_num(off, nan=np.inf))), off.shape))
        _fail(f"y_hat is {decoder[place]} at {place} of the decoder, {encoder[place]} of the encoder")


def _fail(reason: str) -> NoReturn:
    message = f"the finished file does not hold the image: {reason}"
    raise CodingError(message)
