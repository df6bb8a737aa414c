"""Pages of images: one HTML file with its pictures, styles and script inside, for any browser, without a network."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from vaecodec.latents.index import Hit
from vaecodec.latents.mapping import Place, layout, neighbours, sprites, standardized

JPEG = "image/jpeg"


def page(template: str, title: str, note: str, parts: Mapping[str, str]) -> str:
    """A page. template: of the assets, with places @@NAME@@. title, note: plain text. parts: HTML or script."""
    names = {"TITLE": html.escape(title), "NOTE": html.escape(note), "STYLE": _asset("page.css"), **parts}
    # One pass, so that nothing inside a part is taken for a place of its own.
    return re.sub("@@([A-Z]+)@@", lambda place: names[place[1]], _asset(template))


def hits_page(title: str, note: str, groups: Sequence[tuple[str, Sequence[Hit]]]) -> str:
    """A page of hits in groups, each with a heading."""
    sections = "\n".join(_section(heading, hits) for heading, hits in groups)
    return page("hits.html", title, note, {"CONTENT": sections or "<p>Nothing is that alike.</p>"})


def _section(heading: str, hits: Sequence[Hit]) -> str:
    title = f"<h2>{html.escape(shown(heading))}</h2>\n" if heading else ""
    cards = "\n".join(_card(hit) for hit in hits)
    return f'<section>{title}<ul class="hits">\n{cards}\n</ul></section>'


def _card(hit: Hit) -> str:
    entry = hit.entry
    path = shown(entry.path)
    name = html.escape(Path(path).name)
    return (
        f'<li><a href="{html.escape(uri_of(entry.path), quote=True)}" title="{html.escape(path, quote=True)}">'
        f'<img src="{data_uri(JPEG, entry.picture)}" alt="{html.escape(Path(path).name, quote=True)}" loading="lazy">'
        f'<b>{name}</b></a><span class="bar" style="--part:{max(0.0, hit.similarity):.3f}"></span>'
        f"<span>{hit.similarity:.3f} · {entry.width} x {entry.height}</span></li>"
    )


def uri_of(path: str) -> str:
    """The address of a file, which a browser opens from the page."""
    return Path(path).as_uri()


def data_uri(mime: str, data: bytes) -> str:
    """Bytes as an address that holds them."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def script_data(value: Any) -> str:
    """JSON for a script element of data: no "<", so that whatever a name says cannot end it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def shown(path: str) -> str:
    """A path as text: bytes that are no UTF-8 are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


def _asset(name: str) -> str:
    return (files("vaecodec.latents") / "assets" / name).read_text(encoding="utf-8")


LARGE_TILE, SMALL_TILE = 96, 56
"""Pixels of a picture on the sheet of a map: of up to 1,200 images, and of more."""


def map_page(title: str, note: str, places: Sequence[Place]) -> str:
    """A page with a map of images: zoom, names, neighbours. Raises BackendError without scikit-learn."""
    components = standardized(np.stack([place.features for place in places]))
    tile = LARGE_TILE if len(places) <= 1200 else SMALL_TILE
    sheet, columns, sizes = sprites([place.picture for place in places], tile)
    near = neighbours(components)
    images = [
        [
            round(float(x), 4),
            round(float(y), 4),
            *sizes[number],
            shown(place.name),
            place.width,
            place.height,
            near[number].tolist(),
            uri_of(place.name),
        ]
        for number, (place, (x, y)) in enumerate(zip(places, layout(components), strict=True))
    ]
    data = {"tile": tile, "columns": columns, "images": images}
    parts = {"DATA": script_data(data), "SHEET": data_uri(JPEG, sheet), "SCRIPT": _asset("map.js")}
    return page("map.html", title, note, parts)
