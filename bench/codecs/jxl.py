"""JPEG XL through pillow-jxl-plugin (libjxl)."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as package_version
from io import BytesIO
from typing import ClassVar

from PIL import Image as PillowImage

from bench.codecs.base import Codec, Image
from bench.codecs.pillow import decode_with_pillow


class JpegXl(Codec):
    """With libjxl's own default of effort."""

    name = "jxl"
    title = "JPEG XL (effort 7)"
    effort: ClassVar[int] = 7
    requires = "pip install pillow-jxl-plugin"
    qualities = (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 98)

    def available(self) -> bool:
        return importlib.util.find_spec("pillow_jxl") is not None

    def encode(self, img: Image, quality: float) -> bytes:
        import pillow_jxl  # noqa: F401  (importing it registers the format with Pillow)

        out = BytesIO()
        picture = PillowImage.fromarray(img)
        picture.save(out, "JXL", quality=int(quality), effort=self.effort, num_threads=self.threads)
        return out.getvalue()

    def decode(self, data: bytes) -> Image:
        import pillow_jxl  # noqa: F401

        return decode_with_pillow(data)

    def version(self) -> str:
        return f"pillow-jxl-plugin {package_version('pillow-jxl-plugin')}; effort={self.effort}"


class JpegXlSlow(JpegXl):
    """With the most effort that libjxl's manual recommends for photographs."""

    name = "jxl-slow"
    title = "JPEG XL (effort 9)"
    effort = 9
