"""The kinds of images, and the image of any number: the same for the same seed, whatever else is drawn."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from checks.hostile import drawings, edited, patterns, screens, text
from checks.hostile.canvas import Image, Random, cut_busy, random_of
from checks.hostile.edited import Photographs
from vaecodec.files import write_atomic

SEED = 20_251
IMAGES_PER_SHEET = 8
"""Cut out of one page, screen or plot: starting a program takes as long as coding many images."""

ALONE: dict[str, Callable[[Random], Image]] = {
    "text": text.text,
    "bilevel text": text.bilevel_text,
    "line art": drawings.line_art,
    "pixel art": drawings.pixel_art,
    "QR code": drawings.qr_code,
    "bar code": drawings.bar_code,
    "gradient": patterns.gradient,
    "stripes": patterns.stripes,
    "checkerboard": patterns.checkerboard,
    "noise": patterns.noise,
    "flat": patterns.flat,
    "extremes": patterns.extremes,
    "few pixels": patterns.few_pixels,
}
OF_SHEETS: dict[str, Callable[[Random], list[Image]]] = {
    "document": text.documents,
    "scan": text.documents,
    "page": screens.pages,
    "program": screens.programs,
    "plot": drawings.plots,
    "diagram": drawings.diagrams,
}
OF_PHOTOGRAPHS: dict[str, Callable[[Random, PillowImage.Image], Image]] = {
    "dithered": edited.dithered,
    "bilevel": edited.bilevel,
    "posterized": edited.posterized,
    "inverted": edited.inverted,
    "sharpened": edited.sharpened,
    "contrasted": edited.contrasted,
    "noisy": edited.noisy,
    "upscaled": edited.upscaled,
    "edited at random": edited.at_random,
}
IN_TURN: dict[str, Callable[[], tuple[tuple[str, edited.Edit], ...]]] = {
    "ImageFilter": edited.filters,
    "ImageOps": edited.operations,
    "ImageEnhance": edited.enhancements,
}
KINDS = (*ALONE, *OF_SHEETS, *OF_PHOTOGRAPHS, *IN_TURN)


@dataclass(frozen=True)
class Drawn:
    """One image: its number and kind; detail: the edit, where there is a list of them."""

    number: int
    kind: str
    detail: str
    pixels: Image


class Gallery:
    """Images by number; the kinds take turns. sheets: where pages and screens are kept between runs."""

    def __init__(self, seed: int, photographs: Photographs, sheets: Path) -> None:
        self._seed, self._photographs, self._sheets = seed, photographs, sheets

    def image(self, number: int) -> Drawn:
        """Image number 0, 1, 2, ... Raises MissingError where a program or font is not installed."""
        kind, turn = KINDS[number % len(KINDS)], number // len(KINDS)
        rng = random_of(self._seed, kind, turn)
        if kind in ALONE:
            return Drawn(number, kind, "", ALONE[kind](rng))
        if kind in OF_SHEETS:
            sheet = self._sheet(kind, turn // IMAGES_PER_SHEET)
            page = sheet[str(rng.integers(0, len(sheet)))]
            return Drawn(number, kind, "", text.scan(rng, page) if kind == "scan" else cut_busy(rng, page))
        photograph = self._photographs.part(rng)
        if kind in OF_PHOTOGRAPHS:
            return Drawn(number, kind, "", OF_PHOTOGRAPHS[kind](rng, photograph))
        return Drawn(number, kind, *edited.in_turn(IN_TURN[kind](), turn, photograph))

    def _sheet(self, kind: str, number: int) -> Mapping[str, Image]:
        """Pages "0", "1", ... of one run of a program."""
        path = self._sheets / f"{kind}-{self._seed}-{number}.npz"
        if not path.exists():
            pages = OF_SHEETS[kind](random_of(self._seed, f"{kind} sheet", number))
            self._sheets.mkdir(parents=True, exist_ok=True)
            stored_pages = io.BytesIO()
            np.savez_compressed(stored_pages, **{str(place): page for place, page in enumerate(pages)})  # type: ignore[arg-type]
            # Two processes may draw the same sheet at the same time; either's is right, as long as it is whole.
            write_atomic(path, stored_pages.getvalue(), overwrite=True)
        with np.load(path) as stored:
            return dict(stored)
