"""The codecs that come with Pillow, and two encoders of better JPEGs: mozjpeg's optimizer and jpegli."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as package_version
from io import BytesIO
from typing import ClassVar

import numpy as np
from PIL import Image as PillowImage
from PIL import features

from bench.codecs.base import Codec, Image

JPEG_QUALITIES = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 97)


def decode_with_pillow(data: bytes) -> Image:
    with PillowImage.open(BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


class PillowCodec(Codec):
    """Whatever `Image.save` can write; a subclass names the format and its settings."""

    format: ClassVar[str]
    feature: ClassVar[str]  # Pillow's name of the library behind the format
    settings: ClassVar[dict[str, object]]

    def available(self) -> bool:
        return bool(features.check(self.feature))

    def encode(self, img: Image, quality: float) -> bytes:
        out = BytesIO()
        PillowImage.fromarray(img).save(out, self.format, quality=int(quality), **self.options())
        return out.getvalue()

    def options(self) -> dict[str, object]:
        return dict(self.settings)

    def decode(self, data: bytes) -> Image:
        return decode_with_pillow(data)

    def version(self) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        library = features.version("libjpeg_turbo" if self.feature == "jpg" else self.feature)
        return f"Pillow {package_version('pillow')}, {self.feature} {library}; {settings}"


class Jpeg(PillowCodec):
    """Pillow's JPEG as everyone saves it: the anchor of every BD-rate in this project."""

    name = "jpeg"
    title = "JPEG 4:2:0 (libjpeg-turbo)"
    format = "JPEG"
    feature = "jpg"
    qualities: tuple[float, ...] = JPEG_QUALITIES
    settings: ClassVar[dict[str, object]] = {"optimize": True, "subsampling": "4:2:0"}


class Jpeg444(Jpeg):
    name = "jpeg444"
    title = "JPEG 4:4:4 (libjpeg-turbo)"
    settings: ClassVar[dict[str, object]] = {"optimize": True, "subsampling": "4:4:4"}


class MozJpeg(Jpeg):
    """Pillow's JPEG with mozjpeg's progressive scans and Huffman tables (lossless: the pixels stay).

    No pip package has the whole mozjpeg encoder; its trellis quantization is not in these numbers.
    """

    name = "mozjpeg"
    title = "JPEG 4:2:0 + mozjpeg optimizer"
    requires = "pip install mozjpeg-lossless-optimization"

    def available(self) -> bool:
        return importlib.util.find_spec("mozjpeg_lossless_optimization") is not None

    def encode(self, img: Image, quality: float) -> bytes:
        from mozjpeg_lossless_optimization import optimize

        return bytes(optimize(super().encode(img, quality)))

    def version(self) -> str:
        return f"{super().version()}; optimizer {package_version('mozjpeg-lossless-optimization')}"


class Jpegli(Codec):
    """Google's JPEG encoder: adaptive quantization in the old format."""

    name = "jpegli"
    title = "JPEG (jpegli)"
    requires = "pip install pyjpegli"
    qualities = (10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 97)

    def available(self) -> bool:
        return importlib.util.find_spec("pyjpegli") is not None

    def encode(self, img: Image, quality: float) -> bytes:
        import pyjpegli

        height, width, _ = img.shape
        return bytes(pyjpegli.encode(np.ascontiguousarray(img), width, height, quality=int(quality)))

    def decode(self, data: bytes) -> Image:
        return decode_with_pillow(data)

    def version(self) -> str:
        return f"pyjpegli {package_version('pyjpegli')}, decoded by Pillow {package_version('pillow')}"


class WebP(PillowCodec):
    name = "webp"
    title = "WebP (method 6)"
    format = "WEBP"
    feature = "webp"
    qualities = (1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 98)
    settings: ClassVar[dict[str, object]] = {"method": 6}


class Avif(PillowCodec):
    """Pillow's AVIF with its default speed and subsampling."""

    name = "avif"
    title = "AVIF 4:2:0 (speed 6, tune iq as by default)"
    format = "AVIF"
    feature = "avif"
    qualities: tuple[float, ...] = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
    settings: ClassVar[dict[str, object]] = {"speed": 6, "subsampling": "4:2:0"}

    def options(self) -> dict[str, object]:
        return {**self.settings, "max_threads": self.threads}


class AvifSlow(Avif):
    """What a patient user gets: AV1 without colour subsampling and with a thorough search."""

    name = "avif-slow"
    title = "AVIF 4:4:4 (speed 2, tune iq as by default)"
    qualities = (10, 30, 50, 70, 90)  # each takes seconds
    settings: ClassVar[dict[str, object]] = {"speed": 2, "subsampling": "4:4:4"}


class TunedAvif(Avif):
    """Pillow's AVIF where its encoder aims at one metric. libavif 1.4 tunes for looks ("iq") unless it is told."""

    tune: ClassVar[str]

    def options(self) -> dict[str, object]:
        return {**super().options(), "advanced": {"tune": self.tune}}

    def version(self) -> str:
        return f"{super().version()}, tune={self.tune}"


class AvifPsnr(TunedAvif):
    name = "avif-psnr"
    title = "AVIF 4:2:0 (speed 6, tune psnr)"
    tune = "psnr"
    tuned_for = "psnr"


class AvifSlowPsnr(TunedAvif):
    name = "avif-slow-psnr"
    title = "AVIF 4:4:4 (speed 2, tune psnr)"
    tune = "psnr"
    tuned_for = "psnr"
    qualities = AvifSlow.qualities
    settings: ClassVar[dict[str, object]] = AvifSlow.settings


class AvifSsimulacra2(TunedAvif):
    name = "avif-ssimulacra2"
    title = "AVIF 4:2:0 (speed 6, tune ssimulacra2)"
    tune = "ssimulacra2"
    tuned_for = "ssimulacra2"


class AvifSlowSsimulacra2(TunedAvif):
    name = "avif-slow-ssimulacra2"
    title = "AVIF 4:4:4 (speed 2, tune ssimulacra2)"
    tune = "ssimulacra2"
    tuned_for = "ssimulacra2"
    qualities = AvifSlow.qualities
    settings: ClassVar[dict[str, object]] = AvifSlow.settings
