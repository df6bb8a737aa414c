"""The codecs that a photograph is compared with, each moved by one number.

JPEG, WebP and JPEG XL take fractions of a quality step here, so that their files can be brought to any size; AVIF
gets its fine steps from aom's delta-quantizer strength, which its defaults leave at 100.
"""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from vaecodec.codec import Codec
from vaecodec.errors import TargetError, VaecodecError
from vaecodec.inspection import inspect
from vaecodec.levels import LEVELS, level_to_quality

Pixels = NDArray[np.uint8]  # [H, W, 3] RGB

# What codecs raise for a picture that they cannot do, such as WebP for a side above 16,383.
FAILURES = (OSError, ValueError, RuntimeError, MemoryError, VaecodecError)


class Peer(ABC):
    """A codec whose setting, from `low` to `high`, moves the size of the file up."""

    name: str
    title: str
    low: float
    high: float
    whole: bool = False  # only whole numbers are settings
    mime: str | None = None  # of its files, where browsers show them

    @abstractmethod
    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The file of uint8 RGB [H, W, 3] at a setting between `low` and `high`."""

    @abstractmethod
    def decode(self, data: bytes) -> Pixels:
        """The pixels of a file, uint8 [H, W, 3]."""

    def to_size(self, pixels: Pixels, size: int) -> tuple[bytes, float] | None:  # noqa: ARG002
        """A file of about `size` bytes and its setting, if the codec has a way of its own to make one between two
        settings."""
        return None

    def describe(self, setting: float) -> str:
        """The setting in the codec's own words."""
        return f"quality {setting:.3g}"

    def describe_file(self, data: bytes, setting: float) -> str:  # noqa: ARG002
        """Return what `describe` says, with what a file of this setting is like."""
        return self.describe(setting)


class PillowPeer(Peer):
    """Formats that Pillow reads and writes."""

    format: ClassVar[str]
    low, high = 1, 100

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The file that Pillow writes with `options`."""
        out = BytesIO()
        Image.fromarray(pixels).save(out, self.format, **self.options(setting))
        return out.getvalue()

    def options(self, setting: float) -> dict[str, object]:
        """What Pillow's `save` takes for a setting."""
        return {"quality": setting}

    def decode(self, data: bytes) -> Pixels:
        """The pixels that Pillow reads, uint8 [H, W, 3]."""
        with Image.open(BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"))


class JpegPeer(PillowPeer):
    """Pillow's JPEG, optimized, with quantization tables between those of two whole qualities."""

    name, title, format, mime = "jpeg", "JPEG", "JPEG", "image/jpeg"

    def options(self, setting: float) -> dict[str, object]:
        """Quality, 4:2:0, Huffman tables of the image's own."""
        lower, upper = (_jpeg_tables(int(whole)) for whole in (math.floor(setting), math.ceil(setting)))
        share = setting - math.floor(setting)
        tables = {i: [round(a + share * (b - a)) for a, b in zip(lower[i], upper[i], strict=True)] for i in lower}
        return {"qtables": tables, "subsampling": "4:2:0", "optimize": True}


def _jpeg_tables(quality: int) -> dict[int, list[int]]:
    """libjpeg's quantization tables of a whole quality, as Pillow takes them."""
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", quality=quality)
    with Image.open(out) as opened:
        tables: dict[int, list[int]] = opened.quantization
        return tables


class WebpPeer(PillowPeer):
    name, title, format, mime = "webp", "WebP", "WEBP", "image/webp"
    low = 0

    def options(self, setting: float) -> dict[str, object]:
        """Quality, and the slowest method."""
        return {"quality": setting, "method": 6}


class AvifPeer(PillowPeer):
    """Whole part of the setting: quality. Fraction: where in the quality step, by the delta-quantizer strength."""

    name, title, format, mime = "avif", "AVIF", "AVIF", "image/avif"
    low, high = 0, 100

    def __init__(self, speed: int = 6, subsampling: str = "4:2:0") -> None:
        self.speed, self.subsampling = speed, subsampling

    def options(self, setting: float) -> dict[str, object]:
        """Quality and speed."""
        strength = 100 + round(100 * (setting - math.floor(setting)))
        fine = {} if strength == 100 else {"advanced": {"deltaq-strength": str(strength)}}
        return {"quality": int(setting), "speed": self.speed, "subsampling": self.subsampling, **fine}

    def describe(self, setting: float) -> str:
        strength = 100 + round(100 * (setting - math.floor(setting)))
        return f"quality {int(setting)}" + ("" if strength == 100 else f", deltaq-strength {strength}")


class JxlPeer(PillowPeer):
    """JPEG XL by pillow-jxl-plugin. Few browsers show it, so the page holds its decoded pixels."""

    name, title, format = "jxl", "JPEG XL", "JXL"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The file that the plugin writes, or Pillow through it."""
        import pillow_jxl  # noqa: F401  (importing it registers the format with Pillow)

        return super().encode(pixels, setting)


class VaecodecPeer(Peer):
    """A vaecodec model; its settings are the 64 levels."""

    low, high = 0, LEVELS - 1
    whole = True

    def __init__(self, codec: Codec, name: str | None = None) -> None:
        self.codec = codec
        model = Path(codec.model)
        self.name = name or f"vaecodec:{model.stem if model.suffix == '.safetensors' else codec.model}"
        self.title = self.name.replace(":", " ")

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The file at a level 0..63."""
        return self.codec.encode(pixels, level=int(setting))

    def decode(self, data: bytes) -> Pixels:
        """The pixels that the codec decodes."""
        return self.codec.decode(data, as_array=True)

    def to_size(self, pixels: Pixels, size: int) -> tuple[bytes, float] | None:
        try:
            data = self.codec.encode(pixels, target_bytes=size)
        except TargetError:
            return None
        return data, inspect(data).level

    def describe(self, setting: float) -> str:
        return f"quality {level_to_quality(int(setting))}"

    def describe_file(self, data: bytes, setting: float) -> str:
        return "lossless" if inspect(data).lossless else self.describe(setting)


def installed_peers() -> list[Peer]:
    """JPEG, and WebP, AVIF and JPEG XL where this Pillow can do them."""
    return [peer for peer, needs in _peers() if not needs]


def absent_peers() -> list[str]:
    """The others, each with what it needs: ``JPEG XL (pip install pillow-jxl-plugin)``."""
    return [f"{peer.title} ({needs})" for peer, needs in _peers() if needs]


def _peers() -> list[tuple[Peer, str]]:
    """Every codec, and what it needs where it is not installed."""
    build = "not part of this build of Pillow"
    return [
        (JpegPeer(), ""),
        (WebpPeer(), "" if features.check("webp") else build),
        (AvifPeer(), "" if features.check("avif") else build),
        (JxlPeer(), "" if importlib.util.find_spec("pillow_jxl") is not None else "pip install pillow-jxl-plugin"),
    ]
