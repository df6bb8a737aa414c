"""Latent arithmetic: sums of the y_hat of several images, weighted, and what g_s makes of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vaecodec import container
from vaecodec.arguments import check_real
from vaecodec.codec import Codec, shared_codec
from vaecodec.errors import InputError
from vaecodec.image_latents import ImageLatents, is_file
from vaecodec.levels import DEFAULT_QUALITY
from vaecodec.picture_file import make_source
from vaecodec.reading import Content, read_data

CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
}
"""How a morph passes through time 0..1: evenly, or slowly at both ends."""


def blend(items: Sequence[tuple[float, object]], *, codec: Codec | None = None) -> Image.Image:
    """The image of a weighted sum of latents: `blend([(0.5, "a.vaec"), (0.5, "b.vaec")])`.

    items: weights, and .vaec files or images as for `Codec.latents`. The others are scaled and cropped to the size of
    the first, those of another model or size encoded anew. Weights may be negative; where they do not sum to 1, the
    image is as much darker or lighter. Raises InputError for no items, or a weight that is not finite.
    """
    if not items:
        message = "items is empty; a blend needs at least one (weight, file)"
        raise InputError(message)
    weights = [_check_weight(weight) for weight, _ in items]
    codec = shared_codec() if codec is None else codec
    latents = aligned([item for _, item in items], codec)
    total = sum((weight * each.y_hat for weight, each in zip(weights, latents, strict=True)), np.float32(0))
    return codec.synthesize(latents[0], np.asarray(total, np.float32))


def morph(first: object, second: object, steps: int, codec: Codec, *, curve: str = "smooth") -> Iterator[Image.Image]:
    """The `steps` images on the straight line in latent space from one image to another, both ends included.

    Raises InputError for less than two steps or an unknown curve.
    """
    if steps < 2:
        message = f"steps is {steps}; a morph has at least 2: its ends"
        raise InputError(message)
    start, end = aligned([first, second], codec)
    for t in times(steps, curve):
        yield codec.synthesize(start, (1 - t) * start.y_hat + t * end.y_hat)


def cross_fade(first: Image.Image, second: Image.Image, steps: int, *, curve: str = "smooth") -> Iterator[Image.Image]:
    """The same of pixels, for comparison: of two RGB images of one size."""
    ends = [np.asarray(image, np.float32) for image in (first, second)]
    for t in times(steps, curve):
        yield Image.fromarray(np.asarray(np.rint((1 - t) * ends[0] + t * ends[1]), np.uint8))


def times(steps: int, curve: str) -> list[float]:
    """The place 0..1 of each step. Raises InputError for an unknown curve."""
    if curve not in CURVES:
        message = f"curve is {curve!r}; it must be one of {', '.join(CURVES)}"
        raise InputError(message)
    return [CURVES[curve](step / (steps - 1)) for step in range(steps)]


def aligned(items: Sequence[object], codec: Codec) -> list[ImageLatents]:
    """The latents of files and images, all of the codec's model and the size of the first."""
    first = _latents(items[0], codec, None)
    size = first.header.width, first.header.height
    return [first, *(_latents(item, codec, size) for item in items[1:])]


def _latents(item: object, codec: Codec, size: tuple[int, int] | None) -> ImageLatents:
    """size: what the image is brought to; None: its own."""
    content = opened(item)
    if isinstance(content, Content):
        header = container.parse_header(content).header
        fits = size is None or (header.width, header.height) == size
        if fits and not header.is_lossless and header.model_hash == codec.loaded_model().wire_hash:
            return codec.latents(content)
        item = codec.decode(content)
    else:
        item = content
    rgb = Image.fromarray(make_source(item, strip=True).picture.rgb)
    return codec.latents(rgb if size is None else ImageOps.fit(rgb, size, Image.Resampling.LANCZOS), DEFAULT_QUALITY)


def opened(item: object) -> object:
    """The bytes of a .vaec file, or an image, upright. A path may name either."""
    if not is_file(item):
        return item
    content = read_data(item)  # type: ignore[arg-type]
    if bytes(content[: len(container.MAGIC)]) == container.MAGIC or not isinstance(item, str | os.PathLike):
        return content
    with Image.open(Path(item)) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def _check_weight(weight: object) -> float:
    value = check_real("weight", weight)
    if not math.isfinite(value):
        message = f"weight is {value}; it must be finite"
        raise InputError(message)
    return float(value)
