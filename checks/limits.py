"""`python -m checks limits FOLDER`: are the limits that `auto` and `verify` judge by above all that photographs give?

For every photograph (its centre, 512 x 512) and model, at the levels of `auto.LIMIT_LEVELS`: the worst block
and the mean of the squared error, bits and bytes of outliers per pixel, and what the look sees. The limits
in `vaecodec.auto` are above all that 128 held-out photographs give; new weights have to pass this. 128 photographs take
about two minutes of one core for each model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from PIL import Image
from rich.progress import track

from vaecodec import auto, container
from vaecodec.codec import Codec
from vaecodec.container import Tag
from vaecodec.metrics import block_errors
from vaecodec.weights.manifest import manifest

SIDE = 512
Figures = tuple[float, float, float, float]
"""Worst block, mean error, bits and bytes of outliers per pixel."""


def centre(path: Path) -> auto.Pixels:
    """The middle of a photograph, at most 512 x 512."""
    with Image.open(path) as opened:
        rgb = np.asarray(opened.convert("RGB"))
    top, left = (max(0, (side - SIDE) // 2) for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE])


def measure(codec: Codec, pixels: auto.Pixels, level: int) -> Figures:
    """The figures of one neural file."""
    data = codec.encode(pixels, level=level, mode="neural")
    errors = block_errors(pixels, codec.decode(data, as_array=True), auto.BLOCK)
    lengths = {tag: section.length for tag, section in container.parse(data).sections.items()}
    count, outliers = pixels.shape[0] * pixels.shape[1], lengths.get(Tag.OUTLIERS, 0)
    return float(errors.max()), float(errors.mean()), 8 * (lengths[Tag.LATENTS] + outliers) / count, outliers / count


@click.command("limits")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "models", multiple=True, help="A shipped name or the path of a weights file; default: all.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.Choice([str(level) for level in auto.LIMIT_LEVELS]),
    help="One of those that have limits; default: all.",
)
@click.option("--limit", type=click.IntRange(1), help="Only this many photographs.")
def main(folder: Path, models: tuple[str, ...], levels: tuple[str, ...], limit: int | None) -> None:
    """Check the limits on the photographs in FOLDER. Exit code 1 if a photograph lies beyond one of them."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".avif", ".jpg", ".png"))[:limit]
    photos = [centre(path) for path in track(paths, "reading", disable=not sys.stderr.isatty())]
    unusual = [path.name for path, photo in zip(paths, photos, strict=True) if not auto.look(photo).is_photograph]
    click.echo(f"{len(photos)} photographs, {len(unusual)} that don't look like one: {' '.join(unusual)}")
    passed = True
    for name in models or [entry.name for entry in manifest()]:
        codec = Codec(name, device="cpu")
        for level in map(int, levels or auto.LIMIT_LEVELS):
            at = auto.LIMIT_LEVELS.index(level)
            measures = np.array([measure(codec, photo, level) for photo in photos])
            largest = measures.max(axis=0)
            limits = (auto.BLOCK_LIMITS[at], auto.IMAGE_LIMITS[at], auto.PHOTO_BPP[at], auto.PHOTO_OUTLIERS)
            beyond = bool((largest > limits).any())
            passed = passed and not beyond
            figures = ", ".join(f"{value:.4g} of {most:g}" for value, most in zip(largest, limits, strict=True))
            click.echo(f"{name} level {level:2}: block, image, bpp, outliers {figures}{'  BEYOND' if beyond else ''}")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main(prog_name="python -m checks limits")
