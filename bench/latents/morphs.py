"""`python -m bench latents morphs PHOTOS`: what a mean of latents keeps of the details of two photographs.

Neighbours in the list are paired. Of an image between both, its details (the image less its blur) are written as a sum
of those of the two ends, by least squares: the weights say how much of each is there. In a cross-fade of pixels they
are its own weights. Decoded ends are taken, so that what the codec leaves out counts for neither.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

import vaecodec
from bench import records
from bench.latents.folders import images_of
from vaecodec.latents.blending import aligned

RESULT = records.RESULTS / "latents" / "morphs.json"
TIMES = (0.1, 0.25, 0.5)
BLUR = 3


@click.command("morphs")
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most", type=int, default=24, show_default=True, metavar="N", help="Take so many of PHOTOS.")
@click.option("--side", type=int, default=384, show_default=True, help="Sides of all photographs, in pixels.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(photos: Path, most: int, side: int, output: Path) -> None:
    """Measure how much detail of both photographs is in the images between them."""
    codec = vaecodec.Codec()
    images = [_square(path, side) for path in images_of(photos)[:most]]
    weights: dict[float, list[NDArray[np.float64]]] = {t: [] for t in TIMES}
    for first, second in zip(images[::2], images[1::2], strict=False):
        start, end = aligned([first, second], codec)
        ends = [_details(codec.synthesize(latents)) for latents in (start, end)]
        for t in TIMES:
            between = _details(codec.synthesize(start, (1 - t) * start.y_hat + t * end.y_hat))
            weights[t].append(np.linalg.lstsq(np.stack(ends, axis=1), between, rcond=None)[0])
    rows = [{"cross_fade": [1 - t, t], "latents": np.median(weights[t], axis=0).tolist()} for t in TIMES]
    for row in rows:
        click.echo(f"pixels {row['cross_fade']}, latents {np.round(row['latents'], 3).tolist()}")
    options = {"pairs": len(images) // 2, "side": side}
    records.save(output, records.header() | {"options": options, "rows": rows})


def _square(path: Path, side: int) -> Image.Image:
    with Image.open(path) as opened:
        return ImageOps.fit(opened.convert("RGB"), (side, side), Image.Resampling.LANCZOS)


def _details(image: Image.Image) -> NDArray[np.float64]:
    gray = image.convert("L")
    blurred = gray.filter(ImageFilter.GaussianBlur(BLUR))
    return (np.asarray(gray, np.float64) - np.asarray(blurred, np.float64)).ravel()
