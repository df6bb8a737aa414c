"""The codecs that come with Pillow, and two encoders of better JPEGs: mozjpeg's optimizer and jpegli."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as package_version

import numpy as np
from PIL import features

from bench.codecs.base import Codec, Image, LadderCodec
from vaecodec.compare.peers import AvifPeer, JpegPeer, PillowPeer, WebpPeer

JPEG_QUALITIES = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 97)


class PillowCodec(PillowPeer, Codec):
    """Whatever `Image.save` can write."""

    def version(self) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in self.settings().items())
        library = features.version("libjpeg_turbo" if self.feature == "jpg" else self.feature)
        return f"Pillow {package_version('pillow')}, {self.feature} {library}; {settings}"


class Jpeg(JpegPeer, PillowCodec):
    """Pillow's JPEG as everyone saves it: the anchor of every BD-rate in this project."""

    title = "JPEG 4:2:0 (libjpeg-turbo)"
    qualities: tuple[float, ...] = JPEG_QUALITIES


class Jpeg444(Jpeg):
    name = "jpeg444"
    title = "JPEG 4:4:4 (libjpeg-turbo)"
    subsampling = "4:4:4"


class MozJpeg(Jpeg):
    """Pillow's JPEG with mozjpeg's progressive scans and Huffman tables (lossless: the pixels stay).

    No pip package has the whole mozjpeg encoder; its trellis quantization is not in these numbers.
    """

    name = "mozjpeg"
    title = "JPEG 4:2:0 + mozjpeg optimizer"
    requires = "pip install mozjpeg-lossless-optimization"

    def available(self) -> bool:
        return importlib.util.find_spec("mozjpeg_lossless_optimization") is not None

    def encode(self, pixels: Image, setting: float) -> bytes:
        from mozjpeg_lossless_optimization import optimize

        return bytes(optimize(super().encode(pixels, setting)))

    def version(self) -> str:
        return f"{super().version()}; optimizer {package_version('mozjpeg-lossless-optimization')}"


class Jpegli(LadderCodec):
    """Google's JPEG encoder: adaptive quantization in the old format."""

    name = "jpegli"
    title = "JPEG (jpegli)"
    mime = "image/jpeg"
    requires = "pip install pyjpegli"
    qualities = (10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 97)

    def available(self) -> bool:
        return importlib.util.find_spec("pyjpegli") is not None

    def encode(self, pixels: Image, setting: float) -> bytes:
        import pyjpegli

        height, width, _ = pixels.shape
        return bytes(pyjpegli.encode(np.ascontiguousarray(pixels), width, height, quality=int(setting)))

    def decode(self, data: bytes) -> Image:
        return JpegPeer().decode(data)

    def version(self) -> str:
        return f"pyjpegli {package_version('pyjpegli')}, decoded by Pillow {package_version('pillow')}"


class WebP(WebpPeer, PillowCodec):
    title = "WebP (method 6)"
    qualities = (1, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 98)


class Avif(AvifPeer, PillowCodec):
    """Pillow's AVIF with its default speed and subsampling."""

    title = "AVIF 4:2:0 (speed 6, tune iq as by default)"
    qualities: tuple[float, ...] = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)


class AvifSlow(Avif):
    """What a patient user gets: AV1 without colour subsampling and with a thorough search."""

    name = "avif-slow"
    title = "AVIF 4:4:4 (speed 2, tune iq as by default)"
    qualities = (10, 30, 50, 70, 90)  # each takes seconds
    speed = 2
    subsampling = "4:4:4"


class AvifPsnr(Avif):
    name = "avif-psnr"
    title = "AVIF 4:2:0 (speed 6, tune psnr)"
    tune = "psnr"
    tuned_for = "psnr"


class AvifSlowPsnr(AvifSlow):
    name = "avif-slow-psnr"
    title = "AVIF 4:4:4 (speed 2, tune psnr)"
    tune = "psnr"
    tuned_for = "psnr"


class AvifSsimulacra2(Avif):
    name = "avif-ssimulacra2"
    title = "AVIF 4:2:0 (speed 6, tune ssimulacra2)"
    tune = "ssimulacra2"
    tuned_for = "ssimulacra2"


class AvifSlowSsimulacra2(AvifSlow):
    name = "avif-slow-ssimulacra2"
    title = "AVIF 4:4:4 (speed 2, tune ssimulacra2)"
    tune = "ssimulacra2"
    tuned_for = "ssimulacra2"
