"""What `compress` aims at: the quality, or the size or PSNR that each file shall have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from vaecodec.levels import DEFAULT_QUALITY

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec import Codec
    from vaecodec.refine import Progress


@dataclass(frozen=True)
class Target:
    """How good or how small a file shall be: a quality, unless one of the other three is given."""

    quality: float = DEFAULT_QUALITY
    n_bytes: int | None = None
    psnr: float | None = None
    bpp: float | None = None

    @classmethod
    def of_options(
        cls,
        quality: float | None,
        target_size: int | None,
        target_psnr: float | None,
        target_bpp: float | None,
    ) -> Target:
        """The target of these options, of which one may be given. Raises UsageError for several."""
        options = {
            "--quality": quality,
            "--target-size": target_size,
            "--target-psnr": target_psnr,
            "--target-bpp": target_bpp,
        }
        given = [name for name, value in options.items() if value is not None]
        if len(given) > 1:
            message = f"{' and '.join(given)} cannot be combined: give one of them."
            raise click.UsageError(message)
        return cls(DEFAULT_QUALITY if quality is None else quality, target_size, target_psnr, target_bpp)

    @property
    def is_quality(self) -> bool:
        """True where one encoding does it, without a search."""
        return self.n_bytes is None and self.psnr is None and self.bpp is None

    def encode(self, codec: Codec, image: Image.Image, *, strip: bool, effort: int, progress: Progress | None) -> bytes:
        """The .vaec file of an image that meets this target; effort and progress as in `Codec.encode`."""
        return codec.encode(
            image,
            self.quality,
            target_bytes=self.n_bytes,
            target_psnr=self.psnr,
            target_bpp=self.bpp,
            strip=strip,
            effort=effort,
            progress=progress,
        )
