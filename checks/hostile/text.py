"""Text, documents and scans."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFilter

from checks.hostile.canvas import Image, Random, as_array, cut_busy, font, need, run, size, two_colours, words

PAGES = 3
"""Of one document."""


def text(rng: Random) -> Image:
    """Lines in one font, close or far apart, smooth; a fifth of them turned."""
    return as_array(_lines(rng, smooth=True))


def bilevel_text(rng: Random) -> Image:
    """Such lines without gray: two colours and nothing between."""
    return as_array(_lines(rng, smooth=False))


def _lines(rng: Random, *, smooth: bool) -> PillowImage.Image:
    height, width = size(rng)
    ink, paper = two_colours(rng)
    side = int(np.hypot(height, width)) + 1
    image = PillowImage.new("RGB", (side, side), paper)
    draw, face = ImageDraw.Draw(image), font(rng)
    draw.fontmode = "L" if smooth else "1"
    step, top = face.size * rng.uniform(0.9, 2.0), -face.size * rng.random()
    while top < side:
        draw.text((-face.size * rng.random(), top), " ".join(words(rng, 60)), font=face, fill=ink)
        top += step
    if rng.random() < 0.2:
        quality = PillowImage.Resampling.BICUBIC if smooth else PillowImage.Resampling.NEAREST
        image = image.rotate(rng.uniform(-90, 90), quality, fillcolor=paper)
    left, top = (side - width) // 2, (side - height) // 2
    return image.crop((left, top, left + width, top + height))


def documents(rng: Random) -> list[Image]:
    """Pages that groff sets, at the resolution of a screen or of a bad scan."""
    source = "\n".join(_paragraphs(rng))
    resolution = str(int(rng.choice([40, 60, 72, 96, 120, 150, 200])))
    need("gropdf")  # groff-base has groff, but not this
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "document.pdf"
        path.write_bytes(run(["groff", "-ms", "-t", "-e", "-Tpdf", "-Kutf8"], source))
        options = ["-r", resolution, "-l", str(PAGES), *(["-gray"] if rng.random() < 0.3 else [])]
        run(["pdftoppm", *options, str(path), str(Path(folder) / "page")])
        return [as_array(PillowImage.open(page)) for page in sorted(Path(folder).glob("page*.p?m"))]


def _paragraphs(rng: Random) -> list[str]:
    lines = [f".nr PS {rng.integers(8, 13)}p", f".fam {rng.choice(['T', 'H', 'P', 'N', 'BM'])}"]
    if rng.random() < 0.5:
        lines.append(".2C")
    for _ in range(30):
        plain = _plain(" ".join(words(rng, int(rng.integers(20, 120)))))
        kind = rng.integers(0, 6)
        if kind == 0:
            lines += [f".NH {rng.integers(1, 4)}", plain[:40]]
        elif kind == 1:
            lines += [".EQ", "x sub {i+1} = {sqrt {a sup 2 + b}} over {sum from {k=0} to n {alpha sub k}}", ".EN"]
        elif kind == 2:
            numbers = "\n".join("\t".join(f"{value:.2f}" for value in rng.uniform(0, 1e4, 3)) for _ in range(6))
            lines += [".TS", "allbox;", "n n n.", numbers, ".TE"]
        lines += [(".LP", ".PP", ".QP")[rng.integers(0, 3)], plain]
    return lines


def _plain(line: str) -> str:
    """Without what groff would take for a command, and what eqn would take for a delimiter."""
    return "".join(letter for letter in line if letter.isalnum() or letter in " ,;:()-").strip() or "-"


def scan(rng: Random, page: Image) -> Image:
    """A part of a page as a copier gives it: turned, blurred, noisy, and bilevel in half of the cases."""
    gray = (
        PillowImage.fromarray(page)
        .convert("L")
        .rotate(rng.normal(0, 1.5), PillowImage.Resampling.BILINEAR, fillcolor=255)
    )
    soft = np.asarray(gray.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2))), np.float64)
    noisy = soft * rng.uniform(0.8, 1) + rng.normal(0, rng.uniform(0, 12), soft.shape)
    if rng.random() < 0.5:
        noisy = np.where(noisy > rng.uniform(100, 220), 255.0, 0.0)
    return cut_busy(rng, noisy.round().clip(0, 255).astype(np.uint8))


def encoded(data: bytes) -> Image:
    """An image file -> its pixels."""
    with PillowImage.open(io.BytesIO(data)) as image:
        return as_array(image)
