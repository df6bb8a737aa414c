"""The codecs of the benchmark by their command-line names; `family:variant` picks one of a family."""

from __future__ import annotations

from collections.abc import Callable

from bench.codecs.base import Codec, CodecError, Image
from bench.codecs.compressai import CompressAi
from bench.codecs.jxl import JpegXl, JpegXlSlow
from bench.codecs.pillow import (
    Avif,
    AvifPsnr,
    AvifSlow,
    AvifSlowPsnr,
    AvifSlowSsimulacra2,
    AvifSsimulacra2,
    Jpeg,
    Jpeg444,
    Jpegli,
    MozJpeg,
    WebP,
)
from bench.codecs.vaecodec import VaeCodec

__all__ = ["ANCHOR", "DEFAULT", "DEFAULT_RD", "FAMILIES", "PLAIN", "REFINED", "Codec", "CodecError", "Image", "make"]

COMMON = (Jpeg, Jpeg444, MozJpeg, Jpegli, WebP, Avif, AvifSlow, JpegXl)
ANCHORS = (AvifPsnr, AvifSlowPsnr, AvifSsimulacra2, AvifSlowSsimulacra2, JpegXlSlow)
"""At their best for one metric, or with all patience: what a rate-distortion table has to be measured against."""
PLAIN: dict[str, type[Codec]] = {codec.name: codec for codec in (*COMMON, *ANCHORS)}
FAMILIES: dict[str, Callable[[str, int], Codec]] = {"vaecodec": VaeCodec, "compressai": CompressAi}
ANCHOR = Jpeg.name
DEFAULT = (
    *(codec.name for codec in COMMON),
    "vaecodec:base",
    "vaecodec:base-perceptual",
    "vaecodec:fast-perceptual",
    "compressai:mbt2018-mean",
)
DEFAULT_RD = (*DEFAULT, *(codec.name for codec in ANCHORS))
REFINED = ("vaecodec:base@6", "vaecodec:base@9", "vaecodec:base-perceptual@9")
"""With efforts that take minutes a megapixel: of the Kodak images only."""


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
