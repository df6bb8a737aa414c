"""The page of `vaecodec anomaly score`: images with maps of what is unlike normal over them."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vaecodec.latents.anomalies import Map, Score
from vaecodec.latents.pages import JPEG, data_uri, page, shown, uri_of

PICTURE_SIDE = 480
"""The longer side of an image on the page."""
MOST = 500
"""Images on a page: those with the highest scores."""
COLOUR = (255, 40, 0)
MOST_OPAQUE = 0.75


@dataclass(frozen=True, eq=False)
class Scored:
    """An image on the page. path: absolute. picture: a small image file."""

    path: str
    score: Score
    picture: bytes


def anomalies_page(title: str, note: str, images: Sequence[Scored]) -> str:
    """A page of images, the highest score first."""
    ordered = sorted(images, key=lambda image: (-image.score.value, image.path))
    return page("anomalies.html", title, note, {"CONTENT": "\n".join(_card(image) for image in ordered)})


def picture_of(image: Image.Image) -> bytes:
    """An RGB image, made small: a JPEG file."""
    small = image.convert("RGB")
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def heat(score: Score) -> bytes:
    """What lies over the picture, a PNG of a pixel for each position: nothing at the threshold, then more opaque."""
    width, height = score.size
    levels = np.clip((score.map - score.threshold) / max(abs(score.threshold), 1.0), 0, 1)
    values = np.empty((*levels.shape, 4), np.uint8)
    values[..., :3], values[..., 3] = COLOUR, np.rint(255 * MOST_OPAQUE * np.sqrt(levels))
    buffer = io.BytesIO()
    _without_padding(Image.fromarray(values), levels, width, height).save(buffer, "PNG")
    return buffer.getvalue()


def _without_padding(overlay: Image.Image, levels: Map, width: int, height: int) -> Image.Image:
    """Four pixels a position, smooth; the last position may reach beyond the image."""
    rows, columns = levels.shape
    large = overlay.resize((4 * columns, 4 * rows), Image.Resampling.BILINEAR)
    return large.crop((0, 0, max(1, round(width / 4)), max(1, round(height / 4))))


def _card(image: Scored) -> str:
    score, path = image.score, shown(image.path)
    name = html.escape(Path(path).name, quote=True)
    part = min(1.0, max(0.0, score.value / (2 * max(score.threshold, 1e-6))))
    verdict = "<strong>anomalous</strong>" if score.is_anomalous else "normal"
    return (
        f'<li><a href="{html.escape(uri_of(image.path), quote=True)}" title="{html.escape(path, quote=True)}">'
        f'<span class="stack"><img src="{data_uri(JPEG, image.picture)}" alt="{name}" loading="lazy">'
        f'<img src="{data_uri("image/png", heat(score))}" alt="" loading="lazy"></span>'
        f'<b>{name}</b></a><span class="bar" style="--part:{part:.3f}"></span>'
        f"<span>{score.value:.2f} · {verdict} · {score.size[0]} x {score.size[1]}</span></li>"
    )
