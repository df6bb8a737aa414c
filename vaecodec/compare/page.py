"""The page: one HTML file with its pictures, styles and script inside, for any browser, without a network."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, features

from vaecodec.compare.maps import BITS_BLOCK, ERROR_BLOCK, Map
from vaecodec.compare.scene import Scene, Version
from vaecodec.image import Pixels
from vaecodec.metrics import psnr

LOSSLESS_BELOW = 150_000
"""A lossless copy of at most this many bytes is taken as it is."""
WEBP_LONGEST_SIDE = 16_383
COPY_QUALITY = 95
"""AVIF 4:4:4 at this quality is about 45 dB from the pixels it copies: the errors that are compared are far larger."""


@dataclass(frozen=True)
class Curve:
    """Rate-distortion points by metric, as (bits per pixel, value): "PSNR" in dB, "MS-SSIM" in dB."""

    name: str
    title: str
    points: Mapping[str, Sequence[tuple[float, float]]]
    published: bool = False  # drawn dashed: someone else's numbers


@dataclass(frozen=True)
class Chart:
    """The curves of the scene called `name`, or of every scene where no chart has a scene's name."""

    name: str
    curves: tuple[Curve, ...]


def build_page(title: str, note: str, scenes: Sequence[Scene], charts: Sequence[Chart] = ()) -> str:
    """Return the whole HTML page. `note` is a sentence or two of plain text under the title."""
    content = {
        "scenes": [scene_data(scene) for scene in scenes],
        "charts": [chart_data(chart) for chart in charts],
    }
    # No "<": whatever a name says, it cannot end the script element.
    data = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"TITLE": html.escape(title), "NOTE": html.escape(note), "DATA": data}
    parts |= {"STYLE": asset("page.css"), "SCRIPT": asset("page.js")}
    # One pass, so that nothing inside a part is taken for a place of its own.
    return re.sub("@@([A-Z]+)@@", lambda place: parts[place[1]], asset("template.html"))


def asset(name: str) -> str:
    """The text of a file in `assets`."""
    return (files("vaecodec.compare") / "assets" / name).read_text(encoding="utf-8")


def scene_data(scene: Scene) -> dict[str, Any]:
    """A scene as the page's script reads it."""
    height, width, _ = scene.original.shape
    uri, copied = picture_uri(scene.original)
    original = {"name": "original", "title": "Original", "src": uri, "copy": copied}
    return {
        "name": scene.name,
        "width": width,
        "height": height,
        "wanted": scene.wanted_bytes,
        "versions": [original, *(version_data(version) for version in scene.versions)],
        "failures": list(scene.failures),
    }


def version_data(version: Version) -> dict[str, Any]:
    """One codec's version of a scene as the page's script reads it."""
    height, width, _ = version.pixels.shape
    if version.mime is None:
        uri, copied = picture_uri(version.pixels)
    else:
        uri, copied = data_uri(version.mime, version.data), "the file itself, decoded by this browser"
    return {
        "name": version.name,
        "title": version.title,
        "src": uri,
        "copy": copied,
        "setting": version.setting,
        "bytes": len(version.data),
        "bpp": 8 * len(version.data) / (width * height),
        "deviation": version.deviation,
        "matched": version.matched,
        "psnr": None if math.isinf(version.psnr) else version.psnr,
        "msssim": version.ms_ssim,
        "encode": version.encode_s,
        "decode": version.decode_s,
        "error": map_data(version.error, ERROR_BLOCK),
        "bits": None if version.bits is None else map_data(version.bits, BITS_BLOCK),
    }


def map_data(values: Map, block: int) -> dict[str, Any]:
    """A map in steps of 1/255 of its largest value."""
    largest = float(values.max())
    steps = np.rint(values * (255 / largest)) if largest > 0 else np.zeros_like(values)
    rows, columns = values.shape
    return {
        "rows": rows,
        "columns": columns,
        "block": block,
        "max": largest,
        "values": base64.b64encode(steps.astype(np.uint8).tobytes()).decode(),
    }


def picture_uri(pixels: Pixels) -> tuple[str, str]:
    """A data URI of the pixels, and in words how true it is: lossless where that is small or there is no AVIF."""
    webp = features.check("webp") and max(pixels.shape) <= WEBP_LONGEST_SIDE
    lossless = saved(pixels, "WEBP", lossless=True) if webp else saved(pixels, "PNG")
    kind = "image/webp" if webp else "image/png"
    if len(lossless) <= LOSSLESS_BELOW or not features.check("avif"):
        return data_uri(kind, lossless), "lossless copy of the decoded pixels"
    data = saved(pixels, "AVIF", quality=COPY_QUALITY, subsampling="4:4:4", speed=7)
    with Image.open(BytesIO(data)) as opened:
        distance = psnr(pixels, np.asarray(opened.convert("RGB")))
    return data_uri("image/avif", data), f"shown through a copy that is {distance:.1f} dB from the decoded pixels"


def saved(pixels: Pixels, kind: str, **options: object) -> bytes:
    """The bytes of an image that Pillow writes."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def data_uri(mime: str, data: bytes) -> str:
    """Bytes as an address that holds them."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def chart_data(chart: Chart) -> dict[str, Any]:
    """A chart as the page's script reads it."""
    return {
        "name": chart.name,
        "curves": [
            {
                "name": curve.name,
                "title": curve.title,
                "published": curve.published,
                "points": {
                    metric: [[round(bpp, 4), round(value, 3)] for bpp, value in sorted(points) if math.isfinite(value)]
                    for metric, points in curve.points.items()
                },
            }
            for curve in chart.curves
        ],
    }
