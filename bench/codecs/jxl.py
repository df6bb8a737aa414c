"""JPEG XL through pillow-jxl-plugin (libjxl)."""

from __future__ import annotations

from importlib.metadata import version as package_version

from bench.codecs.base import Codec
from vaecodec.compare.peers import JxlPeer


class JpegXl(JxlPeer, Codec):
    """JPEG XL with libjxl's own default of effort."""

    title = "JPEG XL (effort 7)"
    qualities = (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 98)

    def version(self) -> str:
        return f"pillow-jxl-plugin {package_version('pillow-jxl-plugin')}; effort={self.effort}"


class JpegXlSlow(JpegXl):
    """JPEG XL with the most effort that libjxl's manual recommends for photographs."""

    name = "jxl-slow"
    title = "JPEG XL (effort 9)"
    effort = 9
