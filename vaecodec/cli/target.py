"""What `compress` aims at: the quality, or the size or PSNR that each file shall have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

import vaecodec
from vaecodec.levels import DEFAULT_QUALITY

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec import Codec
    from vaecodec.denoising import Denoise
    from vaecodec.modes import Mode
    from vaecodec.refine import Progress

LOSSLESS = "lossless"


@dataclass(frozen=True)
class Target:
    """How good or how small a file shall be: a quality, unless one of the other three is given."""

    quality: float = DEFAULT_QUALITY
    n_bytes: int | None = None
    psnr: float | None = None
    bpp: float | None = None
    mode: Mode = "auto"
    verify: bool = False
    denoise: Denoise | None = None

    @classmethod
    def of_options(
        cls,
        quality: float | str | None,
        target_size: int | None,
        target_psnr: float | None,
        target_bpp: float | None,
        mode: Mode | None,
        verify: bool,
        denoise: Denoise | None,
    ) -> Target:
        """The target of these options, of which one may be given. Raises UsageError for what contradicts."""
        options = {
            "--quality": quality,
            "--target-size": target_size,
            "--target-psnr": target_psnr,
            "--target-bpp": target_bpp,
        }
        named = [name for name, value in options.items() if value is not None]
        if mode == LOSSLESS and quality != LOSSLESS:
            named.append("--mode lossless")
        if len(named) > 1:
            message = f"{' and '.join(named)} cannot be combined: give one of them."
            raise click.UsageError(message)
        if quality == LOSSLESS and mode not in (None, LOSSLESS):
            message = f"--quality {LOSSLESS} and --mode {mode} cannot be combined."
            raise click.UsageError(message)
        if isinstance(quality, str):
            quality, mode = None, "lossless"
        if denoise is not None and (target_psnr is not None or mode == LOSSLESS):
            message = f"--denoise and {'--target-psnr' if target_psnr is not None else LOSSLESS} cannot be combined."
            raise click.UsageError(message)
        level = DEFAULT_QUALITY if quality is None else quality
        return cls(level, target_size, target_psnr, target_bpp, mode or "auto", verify, denoise)

    @property
    def is_quality(self) -> bool:
        """True where one encoding does it, without a search, and by the model's own encoder."""
        return self.denoise is None and self.n_bytes is None and self.psnr is None and self.bpp is None

    def encode(
        self,
        make_codec: Callable[[], Codec],
        image: Image.Image,
        *,
        strip: bool,
        effort: int,
        progress: Progress | None,
        max_memory: int | None = None,
    ) -> bytes:
        """The .vaec file of an image that meets this target. A lossless one needs no codec, and makes none.

        effort and progress as in `Codec.encode`. max_memory: that of the codec, in bytes.
        """
        if self.mode == LOSSLESS:
            return vaecodec.encode(image, lossless=True, strip=strip, verify=self.verify, max_memory=max_memory)
        return make_codec().encode(
            image, self.quality, target_bytes=self.n_bytes, target_psnr=self.psnr, target_bpp=self.bpp,
            mode=self.mode, strip=strip, verify=self.verify, effort=effort, progress=progress, denoise=self.denoise,
        )  # fmt: skip

    def encode_alone(self, image: Image.Image, *, model: str, strip: bool, effort: int) -> bytes:
        """Encode as `encode` does, in a process that codes one small image at a quality, without numba."""
        from vaecodec import numpy_codec

        return numpy_codec.encode(
            image, self.quality, model=model, mode=self.mode, strip=strip, verify=self.verify, effort=effort
        )
