"""The codecs of the benchmark by their command-line names; `family:variant` picks one of a family."""

from __future__ import annotations

from collections.abc import Callable

from bench.codecs.base import Codec, CodecError, Image
from bench.codecs.compressai import CompressAi
from bench.codecs.jxl import JpegXl
from bench.codecs.pillow import Avif, AvifSlow, Jpeg, Jpeg444, Jpegli, MozJpeg, WebP
from bench.codecs.vaecodec import VaeCodec

__all__ = ["ANCHOR", "DEFAULT", "FAMILIES", "PLAIN", "Codec", "CodecError", "Image", "make"]

PLAIN: dict[str, type[Codec]] = {
    codec.name: codec for codec in (Jpeg, Jpeg444, MozJpeg, Jpegli, WebP, Avif, AvifSlow, JpegXl)
}
FAMILIES: dict[str, Callable[[str, int], Codec]] = {"vaecodec": VaeCodec, "compressai": CompressAi}
ANCHOR = Jpeg.name
DEFAULT = (
    *PLAIN,
    "vaecodec:base",
    "vaecodec:base-perceptual",
    "vaecodec:fast",
    "vaecodec:fast-perceptual",
    "compressai:mbt2018-mean",
)


def make(spec: str, threads: int = 1) -> Codec:
    """Return the codec called `spec`, for example `jpeg` or `vaecodec:base`; ValueError for an unknown name."""
    family, _, variant = spec.partition(":")
    if family in FAMILIES and variant:
        return FAMILIES[family](variant, threads)
    if spec in PLAIN:
        return PLAIN[spec](threads)
    known = ", ".join([*PLAIN, *(f"{name}:MODEL" for name in FAMILIES)])
    message = f"codec: {spec!r} is not one of {known}"
    raise ValueError(message)
