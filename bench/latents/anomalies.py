"""`python -m bench latents anomalies TEXTURES|FOLDER`: defects found by what normal images look like.

Every method of `vaecodec.latents.anomalies` and two baselines are fitted to the normal images of each surface (see
`surfaces`), and judge its tested ones. Image AUROC is of the mean of the highest 3 % of a map, for all alike; pixel
AUROC and AUPRO at 0.30 of maps brought to the size of the image, at every fourth row and column. Of the threshold: how
many good tested images are above it, and how many images that are like the normal ones, of the same part of a texture.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image

import vaecodec
from bench import records
from bench.latents import anomaly_baselines as baselines
from bench.latents.detection import aupro, auroc
from bench.latents.surfaces import Surface, Tested, surfaces
from vaecodec.latents.anomalies import (
    METHODS,
    AnomalyModel,
    Described,
    Fitting,
    Map,
    describe,
    describe_latents,
    highest,
)
from vaecodec.levels import DEFAULT_QUALITY, quality_to_level

RESULT = records.RESULTS / "latents" / "anomalies.json"
PIXELS = 4
"""Of so many rows and columns one counts in the figures of pixels: the maps are far coarser."""
FIGURES = ("image_auroc", "pixel_auroc", "aupro")


@click.command("anomalies")
@click.argument("path", metavar="TEXTURES|FOLDER", type=click.Path(exists=True, path_type=Path))
@click.option("--chosen-on", is_flag=True, help="The textures that choices were made on.")
@click.option("--most", type=int, default=None, metavar="N", help="Take so many surfaces.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(path: Path, chosen_on: bool, most: int | None, output: Path) -> None:
    """Fit each method to normal images and have it judge others.

    TEXTURES is 0textures.pk3 of Debian's package ufoai-textures; FOLDER is laid out as MVTec AD, or holds such folders.
    """
    codec = vaecodec.Codec()
    rows = []
    for number, surface in enumerate(surfaces(path, chosen_on=chosen_on)):
        if most is not None and number >= most:
            break
        rows.append(row(surface, codec))
        click.echo(
            f"{surface.name}: " + ", ".join(f"{n} {_shown(rows[-1]['methods'][n])}" for n in rows[-1]["methods"])
        )
    means = {
        name: {figure: float(np.mean([each["methods"][name][figure] for each in rows])) for figure in FIGURES}
        for name in rows[0]["methods"]
    }
    record = records.header() | {
        "options": {"surfaces": path.name, "chosen_on": chosen_on},
        "model": codec.model,
        "means": means,
        "false_alarms": {"stated": rows[0]["stated"]}
        | {
            f"{name}_{what}": sum(each["false_alarms"][name][what] for each in rows)
            for name in ("good", "alike")
            for what in ("above", "of")
        },
        "rows": rows,
    }
    records.save(output, record)
    click.echo("mean: " + ", ".join(f"{name} {_shown(figures)}" for name, figures in means.items()))


def _shown(figures: records.Record) -> str:
    return " / ".join(f"{figures[name]:.3f}" for name in FIGURES)


def row(surface: Surface, codec: vaecodec.Codec) -> records.Record:
    """All figures of a surface."""
    figures, seconds = {}, {}
    level = quality_to_level(DEFAULT_QUALITY)
    pictures = [*surface.normal, *(tested.image for tested in surface.tested)]
    alike = [describe(Image.fromarray(pixels), codec, METHODS[0], level) for pixels in surface.alike]
    latents = [codec.latents(Image.fromarray(pixels), DEFAULT_QUALITY) for pixels in pictures]
    for name in METHODS:
        if name == "error":
            described = [describe(Image.fromarray(pixels), codec, name, level) for pixels in pictures]
        else:
            described = [describe_latents(each, name) for each in latents]
        start = time.perf_counter()
        model = fitted(described[: len(surface.normal)], name, level)
        scores = [model.score_of(each) for each in described[len(surface.normal) :]]
        seconds[name] = time.perf_counter() - start
        figures[name] = judged([score.map for score in scores], surface.tested)
        if name == METHODS[0]:
            good = [score for score, tested in zip(scores, surface.tested, strict=True) if tested.mask is None]
            groups = {"good": good, "alike": [model.score_of(each) for each in alike]}
            alarms = {group: {"above": sum(s.is_anomalous for s in of), "of": len(of)} for group, of in groups.items()}
            stated = model.false_alarms
    for name, make in {"statistics": baselines.statistics, "autoencoder": baselines.autoencoder}.items():
        start = time.perf_counter()
        detect = make(surface.normal)
        maps = [detect(tested.image) for tested in surface.tested]
        seconds[name] = time.perf_counter() - start
        figures[name] = judged(maps, surface.tested)
    return {
        "surface": surface.name,
        "normal": len(surface.normal),
        "tested": len(surface.tested),
        "stated": stated,
        "false_alarms": alarms,
        "seconds": seconds,
        "methods": figures,
    }


def fitted(normal: Sequence[Described], method: str, level: int) -> AnomalyModel:
    """What `anomalies.fit` gives of images that are described already."""
    fitting = Fitting(method, level, None)
    for number, described in enumerate(normal):
        fitting.add(number, lambda described=described: described)
    for number in range(len(normal)):
        fitting.hold_back(number)
    return fitting.model()


def judged(maps: Sequence[Map], tested: Sequence[Tested]) -> records.Record:
    """Image AUROC, pixel AUROC and AUPRO of maps."""
    defective = np.array([each.mask is not None for each in tested])
    truth = [each.truth for each in tested]
    large = [_scaled(values, mask.shape)[::PIXELS, ::PIXELS] for values, mask in zip(maps, truth, strict=True)]
    truth = [mask[::PIXELS, ::PIXELS] for mask in truth]
    pixels, masks = np.concatenate([each.ravel() for each in large]), np.concatenate([each.ravel() for each in truth])
    return {
        "image_auroc": auroc(np.array([highest(values) for values in maps]), defective),
        "pixel_auroc": auroc(pixels, masks),
        "aupro": aupro(large, truth),
    }


def _scaled(values: Map, shape: tuple[int, int]) -> Map:
    height, width = shape
    cell = 2 ** round(np.log2(height / len(values)))
    size = cell * values.shape[1], cell * values.shape[0]
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))[:height, :width]
