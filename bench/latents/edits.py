"""Edited copies of a photograph, as they turn up elsewhere: the queries of the search benchmark.

Each edit takes an RGB image and a generator of its own, so that an image is edited alike in every run.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Photo = Image.Image
Edit = Callable[[Photo, np.random.Generator], Photo]

WORDS = ("SALE", "Summer 2024", "© Example", "new!", "Breaking news", "www.example.org")


@dataclass(frozen=True)
class Kind:
    """An edit, and the row of the table that it counts in."""

    group: str
    edit: Edit


def crop(area: float) -> Edit:
    """A part of `area` of the image's pixels, of its shape give or take a fifth, anywhere."""

    def edit(photo: Photo, rng: np.random.Generator) -> Photo:
        stretch = float(rng.uniform(0.9, 1.1))
        sides = (min(1.0, area**0.5 * stretch), min(1.0, area**0.5 / stretch))
        width, height = (max(16, round(side * part)) for side, part in zip(photo.size, sides, strict=True))
        left, top = (
            int(rng.integers(0, side - part + 1)) for side, part in zip(photo.size, (width, height), strict=True)
        )
        return photo.crop((left, top, left + width, top + height))

    return edit


def resize(factor: float) -> Edit:
    return lambda photo, _: ImageOps.scale(photo, factor, Image.Resampling.LANCZOS)


def jpeg(quality: int) -> Edit:
    def edit(photo: Photo, _: np.random.Generator) -> Photo:
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return edit


def text(photo: Photo, rng: np.random.Generator) -> Photo:
    """Three lines of large letters over the image."""
    edited = photo.copy()
    draw = ImageDraw.Draw(edited)
    for _ in range(3):
        font = ImageFont.load_default(size=int(rng.uniform(0.09, 0.16) * min(photo.size)) + 8)
        at = tuple(float(rng.uniform(0, 0.7) * side) for side in photo.size)
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        draw.text(at, WORDS[int(rng.integers(len(WORDS)))], fill=colour, font=font, stroke_width=1, stroke_fill="black")
    return edited


def logo(photo: Photo, rng: np.random.Generator) -> Photo:
    """A plain ellipse and a bar over a quarter of the image or so."""
    edited = photo.copy()
    draw = ImageDraw.Draw(edited)
    for shape, parts in ((draw.ellipse, (0.4, 0.4)), (draw.rectangle, (0.7, 0.15))):
        size = [part * side for part, side in zip(parts, photo.size, strict=True)]
        left, top = (float(rng.uniform(0, side - own)) for side, own in zip(photo.size, size, strict=True))
        shape((left, top, left + size[0], top + size[1]), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return edited


def frame(photo: Photo, rng: np.random.Generator) -> Photo:
    """A plain border around the image, a tenth of its sides or so, not the same on all sides."""
    left, top, right, bottom = (int(rng.uniform(0.04, 0.16) * min(photo.size)) for _ in range(4))
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    edited = Image.new("RGB", (photo.width + left + right, photo.height + top + bottom), colour)
    edited.paste(photo, (left, top))
    return edited


def brightness(factor: float) -> Edit:
    return lambda photo, _: ImageEnhance.Brightness(photo).enhance(factor)


def contrast(factor: float) -> Edit:
    return lambda photo, _: ImageEnhance.Contrast(photo).enhance(factor)


def flip(photo: Photo, _: np.random.Generator) -> Photo:
    return ImageOps.mirror(photo)


def several(*edits: Edit) -> Edit:
    def edit(photo: Photo, rng: np.random.Generator) -> Photo:
        for each in edits:
            photo = each(photo, rng)
        return photo

    return edit


KINDS = {
    "crop to 75 %": Kind("crops", crop(0.75)),
    "crop to 50 %": Kind("crops", crop(0.5)),
    "crop to 30 %": Kind("crops", crop(0.3)),
    "text": Kind("overlays", text),
    "logo": Kind("overlays", logo),
    "frame": Kind("overlays", frame),
    "half the size": Kind("resized", resize(0.5)),
    "a third of the size": Kind("resized", resize(1 / 3)),
    "JPEG 90": Kind("JPEG", jpeg(90)),
    "JPEG 60": Kind("JPEG", jpeg(60)),
    "JPEG 30": Kind("JPEG", jpeg(30)),
    "brighter": Kind("brightness", brightness(1.4)),
    "darker": Kind("brightness", brightness(0.6)),
    "less contrast": Kind("brightness", contrast(0.6)),
    "mirrored": Kind("mirrored", flip),
    "crop, text, JPEG 50": Kind("several", several(crop(0.7), text, jpeg(50))),
}


def edited(photo: Photo, name: str, seed: int) -> Photo:
    """The photograph after the edit of this name. seed: says which photograph it is."""
    return KINDS[name].edit(photo, np.random.default_rng([seed, list(KINDS).index(name)]))
