"""The codecs that an image is compared with, each moved by one number: on pages, and in the benchmark (`bench.codecs`).

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
from PIL import Image, features

from vaecodec.codec import Codec
from vaecodec.errors import TargetError, VaecodecError
from vaecodec.image import Pixels
from vaecodec.inspection import inspect
from vaecodec.levels import QUALITY_MAX, QUALITY_MIN
from vaecodec.modes import Mode
from vaecodec.refine import DEFAULT_EFFORT

# What codecs raise for a picture that they cannot do, such as WebP for a side above 16,383.
FAILURES = (OSError, ValueError, RuntimeError, MemoryError, VaecodecError)


class Peer(ABC):
    """A codec whose setting, from `low` to `high`, moves the size of the file up.

    requires: what to do where it is not `available`. threads: how many it may use for one image; None: as it likes.
    """

    name: str
    title: str
    low: float
    high: float
    whole: bool = False  # only whole numbers are settings
    any_size: bool = False  # `to_size` comes close to any size that the settings enclose
    mime: str | None = None  # of its files, where browsers show them
    requires: str = ""
    threads: int | None = None

    def available(self) -> bool:
        """Whether everything the codec needs is installed here."""
        return True

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
    """Formats that Pillow reads and writes.

    feature: Pillow's name of the library behind the format.
    """

    format: ClassVar[str]
    feature: ClassVar[str]
    low, high = 1, 100
    requires = "not part of this build of Pillow"

    def available(self) -> bool:
        return bool(features.check(self.feature))

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The file that Pillow writes with `options`."""
        out = BytesIO()
        Image.fromarray(pixels).save(out, self.format, **self.options(setting))
        return out.getvalue()

    def settings(self) -> dict[str, object]:
        """What Pillow's `save` takes beside the quality: it decides the bytes, too."""
        return {}

    def options(self, setting: float) -> dict[str, object]:
        """All that Pillow's `save` takes for a setting."""
        return {"quality": int(setting) if setting == int(setting) else setting, **self.settings()}

    def decode(self, data: bytes) -> Pixels:
        """The pixels that Pillow reads, uint8 [H, W, 3]."""
        with Image.open(BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"))


class JpegPeer(PillowPeer):
    """Pillow's JPEG, optimized; between two whole qualities its quantization tables lie between theirs."""

    name, title, format, mime = "jpeg", "JPEG", "JPEG", "image/jpeg"
    feature = "jpg"
    subsampling: ClassVar[str] = "4:2:0"

    def settings(self) -> dict[str, object]:
        """Huffman tables of the image's own, and the subsampling."""
        return {"optimize": True, "subsampling": self.subsampling}

    def options(self, setting: float) -> dict[str, object]:
        """Quality, or tables."""
        if setting == int(setting):
            return super().options(setting)
        lower, upper = (_jpeg_tables(int(whole)) for whole in (math.floor(setting), math.ceil(setting)))
        share = setting - math.floor(setting)
        tables = {i: [round(a + share * (b - a)) for a, b in zip(lower[i], upper[i], strict=True)] for i in lower}
        return {"qtables": tables, **self.settings()}


def _jpeg_tables(quality: int) -> dict[int, list[int]]:
    """libjpeg's quantization tables of a whole quality, as Pillow takes them."""
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", quality=quality)
    with Image.open(out) as opened:
        tables: dict[int, list[int]] = opened.quantization
        return tables


class WebpPeer(PillowPeer):
    """Pillow's WebP, by its slowest method."""

    name, title, format, mime = "webp", "WebP", "WEBP", "image/webp"
    feature = "webp"
    low = 0

    def settings(self) -> dict[str, object]:
        """The slowest method."""
        return {"method": 6}


class AvifPeer(PillowPeer):
    """Whole part of the setting: quality. Fraction: where in the quality step, by the delta-quantizer strength.

    tune: the metric that the encoder aims at; None: its own choice, which is how an image looks ("iq") in libavif 1.4.
    """

    name, title, format, mime = "avif", "AVIF", "AVIF", "image/avif"
    feature = "avif"
    low, high = 0, 100
    speed: ClassVar[int] = 6
    subsampling: ClassVar[str] = "4:2:0"
    tune: ClassVar[str | None] = None

    def settings(self) -> dict[str, object]:
        """Speed, subsampling and tune."""
        tune = {} if self.tune is None else {"tune": self.tune}
        return {"speed": self.speed, "subsampling": self.subsampling, **tune}

    def options(self, setting: float) -> dict[str, object]:
        """Quality; what is aom's own goes by its name."""
        options = super().options(int(setting))
        strength = _strength(setting)
        advanced: dict[str, object] = {} if strength == 100 else {"deltaq-strength": str(strength)}
        advanced |= {"tune": options.pop("tune")} if "tune" in options else {}
        options |= {"advanced": advanced} if advanced else {}
        return options | ({} if self.threads is None else {"max_threads": self.threads})

    def describe(self, setting: float) -> str:
        strength = _strength(setting)
        return f"quality {int(setting)}" + ("" if strength == 100 else f", deltaq-strength {strength}")


def _strength(setting: float) -> int:
    return 100 + round(100 * (setting - math.floor(setting)))


class JxlPeer(PillowPeer):
    """JPEG XL by pillow-jxl-plugin. Few browsers show it, so the page holds its decoded pixels."""

    name, title, format = "jxl", "JPEG XL", "JXL"
    effort: ClassVar[int] = 7
    requires = "pip install pillow-jxl-plugin"

    def available(self) -> bool:
        return importlib.util.find_spec("pillow_jxl") is not None

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The file that the plugin writes, or Pillow through it."""
        import pillow_jxl  # noqa: F401  (importing it registers the format with Pillow)

        return super().encode(pixels, setting)

    def decode(self, data: bytes) -> Pixels:
        import pillow_jxl  # noqa: F401

        return super().decode(data)

    def settings(self) -> dict[str, object]:
        """libjxl's own default of effort, unless a subclass has another."""
        return {"effort": self.effort}

    def options(self, setting: float) -> dict[str, object]:
        """Quality, effort and threads."""
        threads = {} if self.threads is None else {"num_threads": self.threads}
        return super().options(setting) | threads


class VaecodecPeer(Peer):
    """A vaecodec model; its settings are qualities, of which some neighbours are one level.

    mode, effort: as for `Codec.encode`.
    """

    low, high = QUALITY_MIN, QUALITY_MAX
    whole = True
    any_size = True
    mode: ClassVar[Mode] = "auto"
    effort: int = DEFAULT_EFFORT

    def __init__(self, codec: Codec, name: str | None = None) -> None:
        self._codec: Codec | None = codec
        model = Path(codec.model)
        self.name = name or f"vaecodec:{model.stem if model.suffix == '.safetensors' else codec.model}"
        self.title = self.name.replace(":", " ")

    @property
    def codec(self) -> Codec:
        """What encodes and decodes."""
        assert self._codec is not None  # noqa: S101  (a subclass may make it when it is needed)
        return self._codec

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """The file at a quality 1..100."""
        return self.codec.encode(pixels, setting, mode=self.mode, effort=self.effort)

    def decode(self, data: bytes) -> Pixels:
        """The pixels that the codec decodes."""
        return self.codec.decode(data, as_array=True)

    def to_size(self, pixels: Pixels, size: int) -> tuple[bytes, float] | None:
        try:
            data = self.codec.encode(pixels, target_bytes=size, mode=self.mode, effort=self.effort)
        except TargetError:
            return None
        return data, inspect(data).quality

    def describe_file(self, data: bytes, setting: float) -> str:
        return "lossless" if inspect(data).lossless else self.describe(setting)


PEERS: tuple[type[PillowPeer], ...] = (JpegPeer, WebpPeer, AvifPeer, JxlPeer)


def installed_peers() -> list[Peer]:
    """JPEG, and WebP, AVIF and JPEG XL where this Pillow can do them."""
    return [peer for peer in (kind() for kind in PEERS) if peer.available()]


def absent_peers() -> list[str]:
    """The others, each with what it needs: ``JPEG XL (pip install pillow-jxl-plugin)``."""
    return [f"{peer.title} ({peer.requires})" for peer in (kind() for kind in PEERS) if not peer.available()]
