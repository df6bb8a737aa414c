"""What `python -m bench kernels` times beside the kernels: whole pictures, from pixels to bytes and back.

Both coders run with the networks on the same device: the Triton coder ("gpu"), with which nothing crosses between host
and device until all is done, and the numba coder ("cpu"). From which size on the first is faster shows where a choice
by size would begin. Times are wall clock and hold everything: an array in the caller's memory goes in or comes out.

`large` isn't trained here: its network is the linear transform with which training starts, whose residuals are more and
larger than a trained one's, so the entropy coder has more to do.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.records import Record
from bench.speed.scale import picture_of
from vaecodec.codec import Codec
from vaecodec.levels import LEVELS
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.network import CodecNetwork
from vaecodec.runtime.choice import Coder
from vaecodec.training.export import count_residuals, export_tensors
from vaecodec.training.export_run import MODEL_IDS
from vaecodec.training.initialize import initialize
from vaecodec.weights.store import write_model

QUALITY = 60
SECONDS = 1.0
"""Time spent on each measurement, at least 3 and at most 50 repetitions."""
CHECKED = 2
"""Pictures of a load that both coders write, to see that their files agree."""
CROP = 256
SLOW = 1.0
"""A run of more seconds is timed once, after the one that warms up."""
CODERS: tuple[Coder, ...] = ("gpu", "cpu")
LARGEST_ON_CPU = 10_000_000
"""Pixels of a load up to which the numba coder is timed, too: it takes a second for each six megapixels."""
LARGEST_DIFFERENCE = {"float32": 1}
"""Levels between the pixels of the two codecs, since a GPU's libraries may choose other algorithms for another batch.
Of other types: 4, since rounding is part of them."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Load:
    """count pictures of width * height pixels, coded together."""

    name: str
    width: int
    height: int
    count: int = 1


LOADS = (
    Load("256x256", 256, 256),
    Load("768x512", 768, 512),
    Load("1080p", 1920, 1080),
    Load("4K", 3840, 2160),
    Load("32 x 768x512", 768, 512, 32),
    Load("32 x 1080p", 1920, 1080, 32),
)
TINY_LOADS = (Load("tiny", 64, 64), Load("2 x tiny", 64, 64, 2))
MODELS = (
    ("base", "float32"),
    ("base", "float16"),
    ("large", "float32"),
    ("large", "float16"),
)
TINY_MODELS = (("tiny", "float32"),)


@dataclass(frozen=True)
class PictureRow:
    """Median milliseconds of one load with one coder."""

    load: str
    model: str
    dtype: str
    coder: Coder
    pictures: int
    bits_per_pixel: float
    encode_ms: float
    decode_ms: float

    def record(self) -> Record:
        rates = {
            f"{name}_pictures_per_s": round(1e3 * self.pictures / milliseconds, 2)
            for name, milliseconds in (("encode", self.encode_ms), ("decode", self.decode_ms))
        }
        return {**vars(self), **rates}


def _samples(pixels: Picture) -> list[Tensor]:
    """Crops [3, CROP, CROP] of a picture."""
    rows, columns = (range(0, side - CROP + 1, CROP) for side in pixels.shape[:2])
    crops = [pixels[row : row + CROP, column : column + CROP] for row in rows for column in columns]
    return [torch.from_numpy(crop.copy()).permute(2, 0, 1) for crop in crops]


def write_untrained(config: str, path: Path) -> None:
    """A weights file of the network with which training starts."""
    torch.manual_seed(0)
    network = CodecNetwork(CONFIGS[config]).eval()
    crops = _samples(picture_of(1.0))
    initialize(network, torch.stack(crops).float() / 255)
    counts = count_residuals(network, ((crop, 9 * n % LEVELS) for n, crop in enumerate(crops)))
    card = {"config": config, "model_id": MODEL_IDS[config], "data": "none: an untrained network, for timing"}
    write_model(path, export_tensors(network, counts), card)


def _pictures(load: Load) -> list[Picture]:
    """Different cuts of the samples."""
    whole = picture_of(1.5 * (load.width + 64) * (load.height + 64) / 1e6)
    side = max(load.width, load.height) + 64
    whole = np.pad(whole, [(0, max(0, side - length)) for length in whole.shape[:2]] + [(0, 0)], mode="symmetric")
    shifts = [(5 * n % 64, 7 * n % 64) for n in range(load.count)]
    return [np.ascontiguousarray(whole[top : top + load.height, left : left + load.width]) for top, left in shifts]


def _median_ms(run: Callable[[], object], repeat: bool) -> float:
    """The median of runs that end with all results on the host. The first warms up and isn't counted, unless it is
    the only one."""
    times: list[float] = []
    started = time.perf_counter()
    run()
    first = time.perf_counter() - started
    if not repeat:
        return round(1e3 * first, 4)
    least = 3 if first < SLOW else 1
    started = time.perf_counter()
    while len(times) < least or (least > 1 and len(times) < 50 and time.perf_counter() - started < SECONDS):
        before = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - before))
    return round(statistics.median(times), 4)


def check(codecs: Sequence[Codec], pictures: Sequence[Picture]) -> list[list[bytes]]:
    """The files of each codec. Raises ClickException unless both read the same from the first of them."""
    files = [codec.encode_batch(pictures, QUALITY, mode="neural") for codec in codecs]
    limit = LARGEST_DIFFERENCE.get(codecs[0].dtype, 4)
    for written in files:
        first, second = (codec.decode_latents(written[0]) for codec in codecs)
        pixels = [codec.decode_batch(written[:1], as_array=True)[0] for codec in codecs]
        if not (np.array_equal(first.r, second.r) and np.array_equal(first.z_hat, second.z_hat)):
            message = "the two coders read different latents from one file; nothing is recorded"
            raise click.ClickException(message)
        difference = np.abs(np.asarray(pixels[0]).astype(int) - np.asarray(pixels[1])).max()
        if difference > limit:
            message = f"the two coders give different pictures, by up to {difference} levels; nothing is recorded"
            raise click.ClickException(message)
    return files


def _weights(model: str, folder: Path) -> str | Path:
    if model == "base":
        return model
    path = folder / f"{model}.safetensors"
    if not path.exists():
        write_untrained(model, path)
    return path


def picture_rows(
    loads: Sequence[Load], models: Sequence[tuple[str, str]], device: torch.device, wrong: list[str], *, repeat: bool
) -> Iterator[PictureRow]:
    """One row for each model, type, load and coder. What fails its check goes to `wrong` instead."""
    with tempfile.TemporaryDirectory() as folder:
        for model, dtype in models:
            weights = _weights(model, Path(folder))
            codecs = [Codec(weights, device=str(device), dtype=dtype, coder=coder) for coder in CODERS]
            for load in loads:
                pictures = _pictures(load)
                timed = codecs if load.count * load.width * load.height <= LARGEST_ON_CPU else codecs[:1]
                try:
                    files = check(codecs, pictures[:CHECKED])
                except click.ClickException as error:
                    wrong.append(f"{load.name}, {model}, {dtype}: {error.message}")
                    click.echo(wrong[-1], err=True)
                    continue
                for codec, few in zip(timed, files, strict=False):
                    written = few if load.count <= CHECKED else codec.encode_batch(pictures, QUALITY, mode="neural")
                    yield _row(codec, load, model, pictures, written, repeat)


def _row(
    codec: Codec, load: Load, model: str, pictures: Sequence[Picture], files: Sequence[bytes], repeat: bool
) -> PictureRow:
    bits = 8 * sum(map(len, files)) / (load.count * load.width * load.height)
    encode = _median_ms(lambda: codec.encode_batch(pictures, QUALITY, mode="neural"), repeat)
    decode = _median_ms(lambda: codec.decode_batch(files, as_array=True), repeat)
    return PictureRow(load.name, model, codec.dtype, codec.coder, load.count, round(bits, 3), encode, decode)


def show_pictures(console: Console, rows: Sequence[PictureRow], *, meaningless: bool) -> None:
    """The table."""
    table = Table(title="pictures, median milliseconds" + (" (interpreted: meaningless)" if meaningless else ""))
    for title in ("pictures", "model", "type", "coder", "bpp", "encode", "/s", "decode", "/s"):
        table.add_column(title, justify="left" if title in ("pictures", "model", "type", "coder") else "right")
    for row in rows:
        record = row.record()
        table.add_row(
            *(row.load, row.model, row.dtype, row.coder, f"{row.bits_per_pixel:.2f}"),
            *(f"{row.encode_ms:.2f}", f"{record['encode_pictures_per_s']:.1f}"),
            *(f"{row.decode_ms:.2f}", f"{record['decode_pictures_per_s']:.1f}"),
        )
    console.print(table)
