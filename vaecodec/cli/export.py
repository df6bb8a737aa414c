"""`vaecodec export`: a model out of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaecodec.cli.exits import EXPECTED, Fatal
from vaecodec.cli.help import Command
from vaecodec.cli.sizes import format_size
from vaecodec.cli.startup import require_pytorch
from vaecodec.cli.train import FOLDER

if TYPE_CHECKING:
    from torch import Tensor

PREVIEW_LEVELS = (0, 20, 40, 63)
"""Levels at which previews are judged."""


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "-o", "--output", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="The weights file to write, *.safetensors.",
)  # fmt: skip
@click.option("--heldout", type=FOLDER, help="Photographs whose rate-distortion points go into the model card.")
@click.option("--crops", type=click.IntRange(min=1), default=256, show_default=True, help="Crops the tables count.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def export(run: Path, folder: Path, output: Path, heldout: Path | None, crops: int, overwrite: bool) -> None:
    """Make a model out of a run: averaged weights, integer path, tables, hash and model card.

    RUN is the folder of a run, or a snapshot of it. The tables of the entropy coder are counted on the photographs in
    DIR, those of the training; the head that makes previews (1/8 of the size) is fitted there, and judged on the
    held-out ones.

    \b
    vaecodec export runs/mine photos -o mine.safetensors --heldout others
    vaecodec compress photo.jpg --model mine.safetensors

    Of a run with --denoise it is the encoder alone, without tables and previews.
    """
    require_pytorch("export")
    import tempfile

    from vaecodec.files import refuse_existing, write_atomic
    from vaecodec.training.export_denoiser import export_denoiser, is_denoiser

    if output.suffix != ".safetensors":
        message = f"{output}: a weights file is named *.safetensors."
        raise click.UsageError(message)
    try:
        refuse_existing(output, overwrite=overwrite)
        with tempfile.TemporaryDirectory() as scratch:
            exported = Path(scratch) / output.name
            if is_denoiser(run):
                sha256 = export_denoiser(run, exported)
            else:
                sha256 = _export_model(run, folder, exported, heldout, crops)
            output.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(output, exported.read_bytes(), overwrite=overwrite)
    except EXPECTED as error:
        raise Fatal(error) from error
    click.echo(f"{output}: {format_size(output.stat().st_size)}, tensors {sha256[:16]}", err=True)


def _export_model(run: Path, folder: Path, exported: Path, heldout: Path | None, crops: int) -> str:
    """Write the weights file, with what is measured of it in its card; returns the tensors' SHA-256."""
    from vaecodec.training.data import load_corpus
    from vaecodec.training.export_run import COUNT_CROP, add_to_card, export_run, other_crops
    from vaecodec.training.runner import load_heldout

    corpus = load_corpus(folder, COUNT_CROP)
    sha256 = export_run(run, corpus, exported, crops)
    images = other_crops(corpus) if heldout is None else load_heldout(heldout)
    previews = measure_previews(exported, images, "of the training" if heldout is None else "held out")
    add_to_card(exported, {"preview": previews})
    click.echo(_preview_text(previews), err=True)
    if heldout is not None:
        table = measure(exported, images)
        add_to_card(exported, {"heldout": table})
        click.echo(_table_text(table), err=True)
    return sha256


def measure_previews(model: Path, images: list[Tensor], origin: str) -> dict[str, Any]:
    """PSNR of the previews of `model` against exact ones: the means of 8x8 squares of what is decoded."""
    from statistics import fmean

    import numpy as np

    from vaecodec.codec import Codec
    from vaecodec.metrics import psnr

    codec = Codec(model=model)
    points = []
    for level in PREVIEW_LEVELS:
        values = []
        for image in images:
            data = codec.encode(image.permute(1, 2, 0).contiguous().numpy(), level=level, mode="neural")
            exact = np.asarray(codec.decode(data).reduce(8))
            values.append(psnr(exact, codec.decode(data, as_array=True, reduction=8)))
        points.append({"level": level, "psnr": fmean(values)})
    return {"images": f"{len(images)} crops of photographs, {origin}", "points": points}


def _preview_text(previews: dict[str, Any]) -> str:
    text = ", ".join(f"level {point['level']} {point['psnr']:.1f} dB" for point in previews["points"])
    return f"previews against exact ones ({previews['images']}): {text}"


def measure(model: Path, images: list[Tensor]) -> dict[str, Any]:
    """Rate-distortion points of whole files made with `model`, and those of JPEG, on the run's held-out crops."""
    from dataclasses import asdict
    from statistics import fmean

    from vaecodec.codec import Codec
    from vaecodec.training.evaluate import EVAL_LEVELS, Point, bd_rate, jpeg_points

    codec = Codec(model=model)
    points = []
    for level in EVAL_LEVELS:
        bpps, psnrs = zip(*(_measure_one(codec, image, level) for image in images), strict=True)
        points.append(Point(level, fmean(bpps), fmean(psnrs)))
    anchor = jpeg_points(images)
    return {
        "images": f"centre crops, at most 384 x 384, of the first {len(images)} photographs",
        "points": [asdict(point) for point in points],
        "jpeg": [asdict(point) for point in anchor],
        "bd_rate": bd_rate(anchor, points),
    }


def _measure_one(codec: Any, image: Tensor, level: int) -> tuple[float, float]:

    from vaecodec.metrics import psnr
    from vaecodec.training.evaluate import PSNR_OF_EQUALS

    pixels = image.permute(1, 2, 0).contiguous().numpy()
    data = codec.encode(pixels, level=level, mode="neural")
    reached = psnr(pixels, codec.decode(data, as_array=True))
    return 8 * len(data) / (pixels.size // 3), min(reached, PSNR_OF_EQUALS)


def _table_text(table: dict[str, Any]) -> str:
    lines = [f"level {p['level']:2}  {p['bpp']:6.3f} bpp  {p['psnr']:5.2f} dB" for p in table["points"]]
    if table["bd_rate"] is not None:
        lines.append(f"BD-rate against JPEG {table['bd_rate']:+.1f} %")
    return "\n".join(lines)
