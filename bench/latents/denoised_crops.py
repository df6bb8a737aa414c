"""`python -m bench latents denoised-crops PHOTO`: a noisy crop, coded plainly and by the denoising encoder.

From the left: the clean crop, the noisy one, then at about the same size AVIF, `base`, and `base` with its denoising
encoder.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import records
from bench.latents.denoising import MODEL, Noise
from vaecodec.codec import shared_codec
from vaecodec.metrics import psnr

Pixels = NDArray[np.uint8]

RESULT = records.ROOT / "docs" / "denoising.webp"
QUALITY = 50
SHEET_QUALITY = 86
GAP = 4


@click.command("denoised-crops")
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--box", type=(int, int, int, int), required=True, metavar="X Y W H", help="The crop, in pixels.")
@click.option("--sigma", type=float, default=25.0, show_default=True, help="Of the noise, in shades of 255.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(photo: Path, box: tuple[int, int, int, int], sigma: float, output: Path) -> None:
    """Write an image of crops: clean, noisy, AVIF, base, base with its denoising encoder."""
    left, top, width, height = box
    with Image.open(photo) as opened:
        clean = np.asarray(opened.convert("RGB").crop((left, top, left + width, top + height)))
    noisy, codec = Noise(sigma).added_to(clean, 1), shared_codec(MODEL)
    data = codec.encode(noisy, QUALITY, denoise=sigma)
    plain = codec.encode(noisy, target_bytes=len(data), mode="neural")
    avif, avif_size = _avif_of(noisy, len(data))
    crops = [clean, noisy, avif, *(codec.decode(file, as_array=True) for file in (plain, data))]
    for name, size, crop in zip(
        ("AVIF", MODEL, "denoised"), (avif_size, len(plain), len(data)), crops[2:], strict=True
    ):
        click.echo(f"{name}: {size} bytes, {psnr(clean, crop):.1f} dB")
    gap = np.full((height, GAP, 3), 255, np.uint8)
    sheet = np.hstack([part for crop in crops for part in (crop, gap)][:-1])
    Image.fromarray(sheet).save(output, quality=SHEET_QUALITY, method=6)


def _avif_of(pixels: Pixels, size: int) -> tuple[Pixels, int]:
    """The AVIF of the highest quality that is no larger than `size` bytes, or of the lowest quality."""
    low, high, best = 0, 100, _avif(pixels, 0)
    while low <= high:
        middle = (low + high) // 2
        data = _avif(pixels, middle)
        if len(data) <= size:
            best, low = data, middle + 1
        else:
            high = middle - 1
    with Image.open(BytesIO(best)) as opened:
        return np.asarray(opened.convert("RGB")), len(best)


def _avif(pixels: Pixels, quality: int) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "AVIF", quality=quality, speed=6)
    return out.getvalue()
