"""`python -m bench scale`: time and peak memory of one picture, from 1 to 100 megapixels.

Each size runs in a process of its own, so that its peak is its own. Time is that of the processor, all threads
together, the least of the repeats. The picture is made of the samples, mirrored side by side: what a file of it costs
is typical, its content is not needed.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import records
from vaecodec.metrics import psnr

SAMPLES = records.ROOT / "samples"
ASPECT = 1.5
ONE = "--one"


@click.command()
@click.option("--megapixels", default="1,10,50,100", show_default=True, help="Sizes, separated by commas.")
@click.option("--model", default="base", show_default=True, help="A shipped model or a .safetensors file.")
@click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16 or float16.")
@click.option("--quality", default=60, show_default=True)
@click.option("--max-memory", type=int, help="Bytes, as for the codec.")
@click.option("--repeats", default=2, show_default=True, help="Of each size; the least counts.")
@click.option("--out", type=click.Path(path_type=Path), default=records.RESULTS / "scale.json", show_default=True)
@click.option(ONE, type=float, hidden=True)
def main(
    megapixels: str,
    model: str,
    dtype: str,
    quality: int,
    max_memory: int | None,
    repeats: int,
    out: Path,
    one: float | None,
) -> None:
    """Time and peak memory from 1 to 100 megapixels; is the time linear?"""
    options = {"model": model, "dtype": dtype, "quality": quality, "max_memory": max_memory}
    if one is not None:
        print(json.dumps(measure(one, options, repeats)))
        return
    rows = []
    for size in megapixels.split(","):
        rows.append(_in_own_process(size))
        print(line_of(rows[-1]), flush=True)
    record = {"options": options, "threads": rows[0]["threads"], "rows": rows}
    records.save(out, records.header() | record)
    print(verdict(rows))


def _in_own_process(size: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench", *sys.argv[1:], ONE, size]
    done = subprocess.run(command, cwd=records.ROOT, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(megapixels: float, options: dict[str, Any], repeats: int) -> dict[str, Any]:
    """One row of the table."""
    from vaecodec.codec import Codec
    from vaecodec.rans.choice import AUTO
    from vaecodec.runtime.cpu.threads import thread_count

    AUTO.use_compiled()  # as in a process that has coded some images
    model = options["model"]
    chosen = Path(model) if model.endswith(".safetensors") else model
    codec = Codec(chosen, device="cpu", dtype=options["dtype"], max_memory=options["max_memory"])
    picture = picture_of(megapixels)
    small = picture[:256, :256].copy()
    codec.decode(codec.encode(small, mode="neural"), as_array=True)  # compiled, loaded, warm
    start = _resident()
    data, encode = _timed(lambda: codec.encode(picture, options["quality"], mode="neural"), repeats)
    pixels, decode = _timed(lambda: codec.decode(data, as_array=True, max_pixels=picture[..., 0].size), repeats)
    if pixels.shape != picture.shape or psnr(picture, pixels) < 20:
        message = f"{megapixels} megapixels: the decoded picture is another one"
        raise SystemExit(message)
    return {
        "megapixels": picture[..., 0].size / 1e6,
        "threads": thread_count(),
        "bytes": len(data),
        "start_bytes": start,
        "encode": encode,
        "decode": decode,
    }


def _timed(function: Callable[[], Any], repeats: int) -> tuple[Any, dict[str, float]]:
    """Result, and processor seconds (least), wall seconds (least), peak resident bytes."""
    _forget_peak()
    cpu, wall, result = [], [], None
    for _ in range(repeats):
        result = None  # the one before must not count
        before = time.process_time(), time.perf_counter()
        result = function()
        cpu.append(time.process_time() - before[0])
        wall.append(time.perf_counter() - before[1])
    return result, {"cpu_s": round(min(cpu), 3), "wall_s": round(min(wall), 3), "peak_bytes": _peak()}


def picture_of(megapixels: float) -> NDArray[np.uint8]:
    """Samples, mirrored side by side: uint8 [H, W, 3] of about so many megapixels, 3 : 2."""
    height = round((megapixels * 1e6 / ASPECT) ** 0.5)
    width = round(height * ASPECT)
    tiles = []
    for path in sorted(SAMPLES.glob("*.jpg")):
        with Image.open(path) as photo:
            tiles.append(np.asarray(photo.convert("RGB").resize((768, 512))))
    row = np.concatenate([tiles[0], tiles[1][:, ::-1], tiles[2], tiles[3][:, ::-1]], 1)
    block = np.concatenate([row, row[::-1, ::-1]], 0)
    rows, columns = np.arange(height) % len(block), np.arange(width) % block.shape[1]
    return np.ascontiguousarray(block[rows][:, columns])


def _forget_peak() -> None:
    """Linux: the peak counts from now on. Elsewhere it is that of the whole process."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _resident() -> int:
    try:
        return _status("VmRSS")
    except OSError:
        return 0


def _status(field: str) -> int:
    match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{os.getpid()}/status").read_text())
    return int(match[1]) * 1024 if match else 0


def line_of(row: dict[str, Any]) -> str:
    size = row["megapixels"]
    parts = [
        f"{name} {row[name]['cpu_s'] / size:.3f} s/MP, peak {row[name]['peak_bytes'] / 2**30:.2f} GiB"
        for name in ("encode", "decode")
    ]
    return f"{size:6.1f} MP, {row['bytes'] / 1e6:.2f} MB: {parts[0]}; {parts[1]}"


def verdict(rows: list[dict[str, Any]]) -> str:
    """How far the time per pixel of the largest and smallest size lie apart."""
    spreads = []
    for name in ("encode", "decode"):
        rates = [row[name]["cpu_s"] / row["megapixels"] for row in rows]
        spreads.append(f"{name} {100 * (max(rates) / min(rates) - 1):.0f} %")
    peak = max(row[name]["peak_bytes"] for row in rows for name in ("encode", "decode"))
    return f"time per pixel, largest over smallest: {', '.join(spreads)}; highest peak {peak / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
