"""`python -m bench practical`: what one meets when the tool is used: starting it, targets, crops, previews, threads.

Times are those of the processor, all threads together, the least of the repeats: other programs on the machine change
them little. Whatever is promised (a size never exceeded, equal results from several threads) is checked on the way.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import records
from bench.speed import practical_page
from bench.speed.processes import coder_seconds, decompress_seconds, start_seconds
from bench.speed.scale import SAMPLES, picture_of
from vaecodec.metrics import psnr
from vaecodec.networks.config import REDUCTIONS

if TYPE_CHECKING:
    from vaecodec.codec import Codec

Pixels = NDArray[np.uint8]
OUT = records.RESULTS / "practical.json"
SUFFIXES = (".avif", ".jpg", ".png")
CROP = 384
BATCHES = ((64, 128, 128), (16, 512, 768))
REGIONS = (64, 256, 512, 1024, 2048)


@click.command()
@click.option("--only", help="Some of start, targets, batch, regions, bands, threads, separated by commas; else all.")
@click.option("--photos", type=click.Path(exists=True, file_okay=False, path_type=Path), default=SAMPLES)
@click.option("--crops", default=24, show_default=True, help="How many pictures get targets.")
@click.option("--model", default="base", show_default=True)
@click.option("--threads", default=1, show_default=True, help="For each image.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
def main(only: str | None, photos: Path, crops: int, model: str, threads: int, repeats: int, out: Path) -> None:
    """Start-up, targets, batches, crops, previews, bands and threads, measured and checked."""
    from vaecodec.codec import Codec
    from vaecodec.rans.choice import AUTO
    from vaecodec.runtime.cpu.threads import set_thread_count

    AUTO.use_compiled()  # as in a process that has coded some images
    set_thread_count(threads)
    codec, pictures = Codec(model, device="cpu"), list(crops_of(photos, crops))
    parts: dict[str, Callable[[], Any]] = {
        "start": lambda: measure_start(codec, repeats),
        "targets": lambda: measure_targets(codec, pictures),
        "batch": lambda: measure_batches(codec, pictures, repeats),
        "regions": lambda: measure_regions(codec, repeats),
        "bands": lambda: measure_bands(codec, model),
        "threads": lambda: measure_threads(codec, pictures),
    }
    record = records.load(out)
    for name in only.split(",") if only else parts:
        part = {"found": parts[name](), "model": model, "threads": threads, **records.header()}
        print(name, json.dumps(part["found"]), flush=True)
        record[name] = part
        records.save(out, record)
    page = out.with_suffix(".md")
    page.write_text(practical_page.page(record), encoding="utf-8")
    print(f"{out}, {page}")


def crops_of(folder: Path, count: int) -> Iterator[Pixels]:
    """The middle of every photograph of a folder, in order of name and over again."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    for number, path in zip(range(count), itertools.cycle(paths), strict=False):
        with Image.open(path) as photo:
            image = photo.convert("RGB")
        shift = 40 * (number // len(paths))
        left, top = ((side - CROP) // 2 - shift for side in image.size)
        yield np.asarray(image.crop((left, top, left + CROP, top + CROP)))


def least(function: Callable[[], Any], repeats: int) -> float:
    """Processor seconds."""
    times = []
    for _ in range(repeats):
        before = time.process_time()
        function()
        times.append(time.process_time() - before)
    return round(min(times), 4)


def measure_start(codec: Codec, repeats: int) -> dict[str, Any]:
    """Whole processes on a small picture; and from which size on loading numba or PyTorch pays."""
    small = codec.encode(picture_of(0.08), mode="neural")
    coders, decoders = {}, {}
    for megapixels in (0.1, 0.4, 0.7, 1.0, 2.0, 4.0):
        data = codec.encode(picture_of(megapixels), mode="neural")
        coders[str(megapixels)] = coder_seconds(data, repeats)
        decoders[str(megapixels)] = decompress_seconds(data, repeats)
    processes = start_seconds(small, repeats)
    return {"picture_bytes": len(small), "processes": processes, "coders": coders, "decoders": decoders}


def measure_targets(codec: Codec, pictures: Sequence[Pixels]) -> dict[str, Any]:
    """Every picture gets a size, a PSNR and a rate out of its own range, drawn at random."""
    rng = random.Random(0)
    codec.encode(pictures[0], mode="neural")
    rows: dict[str, list[dict[str, float]]] = {"target_bytes": [], "target_psnr": [], "target_bpp": []}
    for picture in pictures:
        plain = least(lambda p=picture: codec.encode(p, mode="neural"), 2)  # type: ignore[misc]
        ends = [codec.encode(picture, level=level, mode="neural") for level in (2, 61)]
        share = rng.random()
        small, large = (len(data) for data in ends)
        low, high = (psnr(codec.decode(data, as_array=True), picture) for data in ends)
        size, quality = round(small * (large / small) ** share), low + share * (high - low)
        aims = {"target_bytes": size, "target_psnr": quality, "target_bpp": 8 * size / picture[..., 0].size}
        for name, aim in aims.items():
            before = time.process_time()
            data = codec.encode(picture, **{name: aim}, mode="neural")
            seconds = time.process_time() - before
            reached = {"target_bytes": len(data), "target_bpp": 8 * len(data) / picture[..., 0].size}.get(name)
            if reached is None:
                reached = psnr(codec.decode(data, as_array=True), picture)
            rows[name].append({"aim": aim, "reached": reached, "times_plain": seconds / plain})
    return {name: summary(name, trials) for name, trials in rows.items()}


def summary(name: str, rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Worst cases; the promise is kept or the command ends."""
    times = [row["times_plain"] for row in rows]
    figures = {"pictures": len(rows), "times_plain_mean": round(float(np.mean(times)), 2), "most": round(max(times), 2)}
    if name == "target_psnr":
        over = [row["reached"] - row["aim"] for row in rows]
        holds = min(over) >= -1e-9 and max(over) <= 0.05
        figures |= {"least_over_db": round(min(over), 4), "most_over_db": round(max(over), 4)}
    else:
        used = [row["reached"] / row["aim"] for row in rows]
        holds = min(used) >= 0.97 and max(used) <= 1
        figures |= {"least_used": round(min(used), 4), "most_used": round(max(used), 4)}
    if not holds:
        message = f"{name}: {figures}"
        raise SystemExit(message)
    return figures


def measure_batches(codec: Codec, pictures: Sequence[Pixels], repeats: int) -> list[dict[str, Any]]:
    """One by one and together, in turns."""
    rows = []
    for count, height, width in BATCHES:
        source = picture_of(1.5) if height > CROP else None
        items = [_cut(pictures[n % len(pictures)] if source is None else source, height, width) for n in range(count)]
        files = [codec.encode(item, mode="neural") for item in items]
        seconds: dict[str, list[float]] = {}
        ways: dict[str, Callable[[], Any]] = {
            "encode": lambda items=items: [codec.encode(item, mode="neural") for item in items],  # type: ignore[misc]
            "encode_batch": lambda items=items: codec.encode_batch(items, mode="neural"),  # type: ignore[misc]
            "decode": lambda files=files: [codec.decode(data, as_array=True) for data in files],  # type: ignore[misc]
            "decode_batch": lambda files=files: codec.decode_batch(files, as_array=True),  # type: ignore[misc]
        }
        for _ in range(repeats):
            for name, way in ways.items():
                seconds.setdefault(name, []).append(least(way, 1))
        ms = {f"{name}_ms": round(1000 * min(times) / count, 2) for name, times in seconds.items()}
        rows.append({"pictures": count, "height": height, "width": width, **ms})
    return rows


def _cut(picture: Pixels, height: int, width: int) -> Pixels:
    return np.ascontiguousarray(picture[:height, :width])


def measure_regions(codec: Codec, repeats: int) -> dict[str, Any]:
    """Crops and previews of a picture of 12 megapixels, beside the whole of it."""
    picture = picture_of(12)
    data, (height, width) = codec.encode(picture, mode="neural"), picture.shape[:2]
    whole = codec.decode(data, as_array=True)
    full = least(lambda: codec.decode(data, as_array=True), 2)
    crops, previews, most = {}, {}, 0
    for side in REGIONS:
        x, y = (width - side) // 2, (height - side) // 2
        part = codec.decode(data, as_array=True, crop=(x, y, side, side)).astype(int)
        most = max(most, int(np.abs(part - whole[y : y + side, x : x + side]).max()))
        crops[str(side)] = least(lambda c=(x, y, side, side): codec.decode(data, as_array=True, crop=c), repeats)  # type: ignore[misc]
    for reduction in REDUCTIONS[1:]:
        previews[str(reduction)] = least(lambda s=reduction: codec.decode(data, as_array=True, reduction=s), repeats)  # type: ignore[misc]
    if most > 1:
        message = f"crops differ from the whole by {most}"
        raise SystemExit(message)
    integers = least(lambda: codec.decode_latents(data), repeats)
    figures = {"megapixels": height * width / 1e6, "full_s": full, "latents_s": integers, "crops_s": crops}
    return figures | {"previews_s": previews, "crops_differ_by": most}


def measure_bands(codec: Codec, model: str) -> dict[str, Any]:
    """The narrowest bands there are against the usual ones: symbols and pixels that differ."""
    from vaecodec.codec import Codec as Another
    from vaecodec.runtime.memory import LEAST_BAND, bytes_per_band_pixel, bytes_per_pixel

    picture, config = picture_of(4), codec.loaded_model().config
    pixels = (-(-picture.shape[0] // 64) * 64) * (-(-picture.shape[1] // 64) * 64)
    held = max(bytes_per_pixel(config, "encode"), bytes_per_pixel(config, "decode")) * pixels
    narrow = Another(
        model, device="cpu", max_memory=int(held + bytes_per_band_pixel(config) * max(LEAST_BAND, 100_000))
    )
    usual, other = codec.encode_with_latents(picture), narrow.encode_with_latents(picture)
    symbols = int((usual.latents.r != other.latents.r).sum()) + int((usual.latents.z_hat != other.latents.z_hat).sum())
    shown = [c.decode(usual.data, as_array=True).astype(int) for c in (codec, narrow)]
    most = int(np.abs(shown[0] - shown[1]).max())
    figures = {"symbols": usual.latents.r.size, "symbols_differ": symbols, "pixels_differ_by": most}
    if symbols * 100_000 > usual.latents.r.size or most > 1:
        message = f"bands: {figures}"
        raise SystemExit(message)
    return figures


def measure_threads(codec: Codec, pictures: Sequence[Pixels]) -> dict[str, Any]:
    """Four threads, one codec, 400 encodes and decodes in random order: all as one after the other."""
    rng = random.Random(1)
    items = [_cut(picture, rng.randint(1, 160), rng.randint(1, 160)) for picture in pictures]
    work = [(items[n % len(items)], rng.randint(1, 100)) for n in range(200)]
    files = [codec.encode(item, quality, mode="neural") for item, quality in work]
    shown = [codec.decode(data, as_array=True) for data in files]
    tasks = [*enumerate(work), *enumerate(files)]
    rng.shuffle(tasks)

    def matches(task: tuple[int, Any]) -> bool:
        number, argument = task
        if isinstance(argument, bytes):
            return np.array_equal(codec.decode(argument, as_array=True), shown[number])
        return codec.encode(*argument, mode="neural") == files[number]

    with ThreadPoolExecutor(4) as pool:
        equal = sum(pool.map(matches, tasks))
    if equal != len(tasks):
        message = f"threads: {len(tasks) - equal} of {len(tasks)} results differ from the serial ones"
        raise SystemExit(message)
    return {"threads": 4, "tasks": len(tasks), "equal": equal}


if __name__ == "__main__":
    main()
