"""`vaecodec pack` and `vaecodec export`: what goes into a training run, and what comes out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vaecodec.cli import report
from vaecodec.cli.exits import EXPECTED, Fatal
from vaecodec.cli.train import FOLDER

if TYPE_CHECKING:
    from torch import Tensor

PREVIEW_LEVELS = (0, 20, 40, 63)
"""Levels at which previews are judged."""
_UNITS = {"kB": 1000, "MB": 1000**2, "GB": 1000**3}


def _bytes(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """`50MB` -> 50000000."""
    for unit, factor in _UNITS.items():
        number = value.lower().removesuffix(unit.lower())
        if number != value.lower() and number.strip().replace(".", "", 1).isdigit():
            return max(1, int(float(number) * factor))
    message = f"{value!r} is not a size such as 500kB, 50MB or 1GB"
    raise click.BadParameter(message)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where to write.")
@click.option("--shard-size", callback=_bytes, default="50MB", show_default=True, help="Images in one shard, at most.")
@click.option(
    "--encoding",
    type=click.Choice(["keep", "jpeg", "webp"]),
    default="keep",
    show_default=True,
    help="keep: the files as they are. jpeg: quality 97, 4:4:4. webp: lossless.",
)
@click.option("--overwrite", is_flag=True, help="Replace shards that exist.")
def pack(folder: Path, output: Path, shard_size: int, encoding: str, overwrite: bool) -> None:
    """Pack the photographs in DIR into a few large files to train from on another machine.

    `keep` trains on the very same pixels. `jpeg` and `webp` are for machines whose Pillow cannot read the originals
    (AVIF, say): about 1.9 and 3.6 times as large as AVIF, the first with a small loss.

    \b
    vaecodec pack photos -o shards
    vaecodec train shards
    """
    from vaecodec.training.data import find_images
    from vaecodec.training.shards import write_shards

    try:
        paths = find_images(folder)
        if not paths:
            message = f"{folder}: no images in it."
            raise click.UsageError(message)
        for path, count in write_shards(folder, paths, output, shard_size, encoding, overwrite=overwrite):
            click.echo(f"{path}: {count} images, {report.size(path.stat().st_size)}", err=True)
    except EXPECTED as error:
        raise Fatal(error) from error


@click.command()
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
    DIR, those of the training; the head that makes previews (scale=8) is fitted there, and judged on the held-out ones.

    \b
    vaecodec export runs/mine photos -o mine.safetensors --heldout others
    vaecodec compress photo.jpg --model mine.safetensors
    """
    import tempfile

    from vaecodec.files import refuse_existing, write_atomic
    from vaecodec.training.data import load_corpus
    from vaecodec.training.export_run import COUNT_CROP, add_to_card, export_run, other_crops
    from vaecodec.training.runner import load_heldout

    if output.suffix != ".safetensors":
        message = f"{output}: a weights file is named *.safetensors."
        raise click.UsageError(message)
    try:
        refuse_existing(output, overwrite=overwrite)
        corpus = load_corpus(folder, COUNT_CROP)
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / output.name
            sha256 = export_run(run, corpus, made, crops)
            images = other_crops(corpus) if heldout is None else load_heldout(heldout)
            previews = measure_previews(made, images, "of the training" if heldout is None else "held out")
            add_to_card(made, {"preview": previews})
            click.echo(_preview_text(previews), err=True)
            if heldout is not None:
                table = measure(made, images)
                add_to_card(made, {"heldout": table})
                click.echo(_table_text(table), err=True)
            output.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(output, made.read_bytes(), overwrite=overwrite)
    except EXPECTED as error:
        raise Fatal(error) from error
    click.echo(f"{output}: {report.size(output.stat().st_size)}, tensors {sha256[:16]}", err=True)


def measure_previews(model: Path, images: list[Tensor], origin: str) -> dict[str, Any]:
    """PSNR of the previews of `model` against exact ones: the means of 8x8 squares of what is decoded."""
    from statistics import fmean

    import numpy as np

    from vaecodec.codec import Codec
    from vaecodec.metrics import psnr

    codec = Codec(model=model)
    points = []
    for level in PREVIEW_LEVELS:
        found = []
        for image in images:
            data = codec.encode(image.permute(1, 2, 0).contiguous().numpy(), level=level)
            exact = np.asarray(codec.decode(data).reduce(8))
            found.append(psnr(exact, codec.decode(data, as_array=True, scale=8)))
        points.append({"level": level, "psnr": fmean(found)})
    return {"images": f"{len(images)} crops of photographs, {origin}", "points": points}


def _preview_text(previews: dict[str, Any]) -> str:
    told = ", ".join(f"level {point['level']} {point['psnr']:.1f} dB" for point in previews["points"])
    return f"previews against exact ones ({previews['images']}): {told}"


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
    data = codec.encode(pixels, level=level)
    reached = psnr(pixels, codec.decode(data, as_array=True))
    return 8 * len(data) / (pixels.size // 3), min(reached, PSNR_OF_EQUALS)


def _table_text(table: dict[str, Any]) -> str:
    lines = [f"level {p['level']:2}  {p['bpp']:6.3f} bpp  {p['psnr']:5.2f} dB" for p in table["points"]]
    if table["bd_rate"] is not None:
        lines.append(f"BD-rate against JPEG {table['bd_rate']:+.1f} %")
    return "\n".join(lines)
