"""Writes a page with samples as .vaec files, decoded by the page itself, beside JPEG files of the same size.

    python tools/make_example_page.py docs/example.html [--model fast-perceptual] [--quality 20]

The weights are inside, so the page has 3 MB (fast) or 6 MB (base); made anew when the weights change.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

from PIL import Image

import vaecodec
from vaecodec.files import write_atomic
from vaecodec.web.pages import assemble, embedded
from vaecodec.weights.manifest import entry_by_name, manifest

ROOT = Path(__file__).parents[1]
SAMPLES = ("mountain-lake", "osprey", "city-sunset")
WIDTH = 900
SCRIPT = "start(globalThis.document?.baseURI);\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--model", default="fast-perceptual", choices=[entry.name for entry in manifest()])
    parser.add_argument("--quality", type=float, default=20)
    options = parser.parse_args()
    template = (Path(__file__).parent / "example_page.html").read_text(encoding="utf-8")
    page = assemble(template, content(options.model, options.quality), SCRIPT)
    write_atomic(options.page, page.encode(), overwrite=True)


def content(model: str, quality: float) -> str:
    """The pairs of figures, and what they need."""
    pairs, named = [], []
    for name in SAMPLES:
        with Image.open(ROOT / "samples" / f"{name}.jpg") as photo:
            image = photo.convert("RGB")
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
        data = vaecodec.encode(image, quality, model=model, device="cpu", strip=True, mode="neural")
        named.append((f"{name}.vaec", data))
        pairs.append(pair(name, image, data))
    return "\n".join([*pairs, embedded(named, [entry_by_name(model)])])


def pair(name: str, image: Image.Image, data: bytes) -> str:
    """Two figures: the .vaec file, and the JPEG file next to it in size."""
    quality, jpeg = jpeg_of(image, len(data))
    title, pixels = name.replace("-", " "), image.width * image.height
    left = f'<vaec-image data-embedded="{name}.vaec" alt="{title}"></vaec-image>'
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    right = f'<img src="{source}" width="{image.width}" height="{image.height}" alt="{title}, as JPEG">'
    figures = (
        (left, "vaecodec", len(data), "decoded here"),
        (right, "JPEG", len(jpeg), f"quality {quality}"),
    )
    return f'<div class="pair">{"".join(_figure(*parts, pixels) for parts in figures)}</div>'


def _figure(element: str, codec: str, size: int, how: str, pixels: int) -> str:
    facts = f"<span>{size:,} bytes</span><span>{8 * size / pixels:.2f} bits a pixel</span><span>{how}</span>"
    return f"<figure>{element}<figcaption><b>{codec}</b>{facts}</figcaption></figure>"


def jpeg_of(image: Image.Image, size: int) -> tuple[int, bytes]:
    """Quality and bytes of the JPEG file nearest to this size."""
    files = []
    for quality in range(1, 96):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
        files.append((quality, buffer.getvalue()))
    return min(files, key=lambda each: abs(len(each[1]) - size))


if __name__ == "__main__":
    main()
