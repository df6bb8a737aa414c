"""JPEG XL through pillow-jxl-plugin (libjxl)."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as package_version
from io import BytesIO

from PIL import Image as PillowImage

from bench.codecs.base import Codec, Image
from bench.codecs.pillow import decode_with_pillow

EFFORT = 7  # libjxl's own default


class JpegXl(Codec):
    name = "jxl"
    title = f"JPEG XL (effort {EFFORT})"
    requires = "pip install pillow-jxl-plugin"
    qualities = (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 98)

    def available(self) -> bool:
        return importlib.util.find_spec("pillow_jxl") is not None

    def encode(self, img: Image, quality: float) -> bytes:
        import pillow_jxl  # noqa: F401  (importing it registers the format with Pillow)

        out = BytesIO()
        picture = PillowImage.fromarray(img)
        picture.save(out, "JXL", quality=int(quality), effort=EFFORT, num_threads=self.threads)
        return out.getvalue()

    def decode(self, data: bytes) -> Image:
        import pillow_jxl  # noqa: F401

        return decode_with_pillow(data)

    def version(self) -> str:
        return f"pillow-jxl-plugin {package_version('pillow-jxl-plugin')}; effort={EFFORT}"
