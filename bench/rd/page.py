"""The page of a rate-distortion run: a few of its pictures at equal bytes, and its mean curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import kodak
from bench.codecs import REFINED, Codec
from bench.codecs.vaecodec import VaeCodec
from bench.measure import load_image
from bench.rd.published import curves, named
from bench.rd.runs import EVERY_QUALITY, Dataset
from bench.records import Record
from vaecodec.compare.matching import common_size
from vaecodec.compare.page import Chart, Curve, build_page
from vaecodec.compare.scene import centre_crop, make_scene
from vaecodec.metrics import Point

PAGE_PIXELS = 1_200_000
NOT_SEEN = {"mozjpeg", "jpeg444", *REFINED}
"""Much like JPEG's to look at (the one's files are a few percent smaller, the other is worse at sizes like these), or
much like those of one pass, and minutes for each size that is tried."""
METRICS = {"psnr": "PSNR", "ms-ssim": "MS-SSIM"}


def write_page(path: Path, dataset: Dataset, codecs: Sequence[Codec], summary: Record, count: int, bpp: float) -> Path:
    """Write the page with `count` pictures at about `bpp` bits per pixel."""
    # This project's codec first: the table and the pickers then start with what the page is about.
    ordered = sorted(codecs, key=lambda codec: not isinstance(codec, VaeCodec))
    ordered = [codec for codec in ordered if codec.name not in NOT_SEEN]
    scenes = []
    failed = {name for images in summary["failures"].values() for name, why in images.items() if EVERY_QUALITY in why}
    readable = Dataset(dataset.name, tuple(path for path in dataset.paths if path.name not in failed))
    for picture in chosen(readable, count):
        pixels = centre_crop(load_image(picture), PAGE_PIXELS)
        size = common_size(ordered, pixels, round(bpp * pixels.shape[0] * pixels.shape[1] / 8))
        scenes.append(make_scene(picture.stem, pixels, ordered, size))
    note = (
        f"Codecs at equal bytes, about {bpp:g} bits per pixel. Curves: mean of {summary['images']} images, "
        f"per quality setting. Made by python -m bench rd."
    )
    if summary.get("absent"):
        note += f" Not installed here: {', '.join(summary['absent'])}."
    chart = mean_chart(summary, {codec.name: codec.title for codec in ordered})
    path.write_text(build_page(f"Image codecs on {dataset.name}", note, scenes, [chart]), encoding="utf-8")
    return path


def chosen(dataset: Dataset, count: int) -> list[Path]:
    """Easy and hard pictures of Kodak; of other folders, pictures spread over the list."""
    by_name = {path.name: path for path in dataset.paths}
    named = [by_name[name] for name in kodak.SHOWN if name in by_name] if dataset.name == "kodak" else []
    step = max(len(dataset.paths) // max(count, 1), 1)
    spread = [path for path in dataset.paths[::step] if path not in named]
    return (named + spread)[:count]


def mean_chart(summary: Record, titles: dict[str, str]) -> Chart:
    mean_curves = [
        Curve(name, title, {label: measured(summary, metric, name) for metric, label in METRICS.items()})
        for name, title in titles.items()
    ]
    if summary["dataset"] == "kodak":
        by_metric = {label: {c.id: c for c in curves(metric)} for metric, label in METRICS.items()}
        for id_, curve in by_metric["PSNR"].items():
            points = {label: by_id[id_].points if id_ in by_id else () for label, by_id in by_metric.items()}
            mean_curves.append(Curve(named(curve), curve.title, points, published=True))
    return Chart(f"{summary['dataset']}, mean of {summary['images']} images", tuple(mean_curves))


def measured(summary: Record, metric: str, name: str) -> list[Point]:
    points: list[Point] = summary["curves"].get(metric, {}).get(name, [])
    return points
