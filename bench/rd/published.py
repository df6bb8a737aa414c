"""Published curves of other codecs on Kodak, as their authors reported them (data/kodak_published.json)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.records import load
from vaecodec.metrics import Point, ms_ssim_db

FILE = Path(__file__).parents[1] / "data" / "kodak_published.json"
COLUMN = {"psnr": "psnr", "ms-ssim": "ms-ssim-rgb"}
# Shown by default: the classics' best and the learned codecs that people compare with.
SHOWN = (
    "bpg_444_x265_ycbcr",
    "av1",
    "vtm",
    "compressai-bmshj2018-hyperprior_mse_cuda",
    "compressai-mbt2018-mean_mse_cuda",
    "compressai-cheng2020-anchor_mse_cuda",
    "paper-elic2022_mse",
)


@dataclass(frozen=True)
class PublishedCurve:
    """(bpp, metric) points averaged over Kodak; MS-SSIM in dB."""

    id: str
    title: str
    points: tuple[Point, ...]


def curves(metric: str, shown: tuple[str, ...] | None = SHOWN) -> list[PublishedCurve]:
    """Return the published curves that have the metric; `shown=None` for all of them."""
    column = COLUMN.get(metric)
    selected = []
    for entry in load(FILE)["codecs"]:
        if column not in entry or (shown is not None and entry["id"] not in shown):
            continue
        points = sorted(zip(entry["bpp"], entry[column], strict=True))
        if metric == "ms-ssim":
            points = [(bpp, in_db(value)) for bpp, value in points]
        selected.append(PublishedCurve(entry["id"], f"{entry['name']}, published", tuple(points)))
    return selected


def named(published: PublishedCurve) -> str:
    """The name of a published curve beside codecs that are measured here, which may have the same id."""
    return f"published:{published.id}"


def published_jpeg(metric: str) -> tuple[Point, ...]:
    """The anchor that papers' BD-rates against JPEG mean: without optimized Huffman tables, some 13 % larger."""
    return next((curve.points for curve in curves(metric, shown=("jpeg",))), ())


def in_db(value: float) -> float:
    """Sources differ: MS-SSIM up to 1 is linear, anything above is in dB already."""
    return ms_ssim_db(value) if value <= 1 else value


def source() -> str:
    text: str = load(FILE)["source"]
    return text
