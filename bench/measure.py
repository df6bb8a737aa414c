"""One codec on one picture: encode, decode, compare, and only then a number.

Runs inside worker processes, so everything here takes and returns plain values.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench import metrics
from bench.codecs import Codec, CodecError, Image, make
from vaecodec.metrics import psnr

# What codecs and Pillow raise for a picture they cannot do; anything else is a mistake in the benchmark.
FAILURES = (CodecError, OSError, ValueError, RuntimeError, MemoryError)
# Even JPEG at quality 1 stays above this: less means the decoder returned another picture.
LEAST_PSNR = 8.0
COLUMNS = ("quality", "bytes", "encode_s", "decode_s")

Row = dict[str, float | None]


@dataclass(frozen=True)
class Task:
    """One picture to be measured with one codec at some qualities."""

    spec: str
    path: str
    qualities: tuple[float, ...]
    metrics: tuple[str, ...]
    threads: int = 1


@dataclass
class Outcome:
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # quality -> what went wrong


def load_image(path: Path) -> Image:
    """Return the picture as uint8 RGB [H, W, 3]; alpha is dropped, orientation tags are not applied."""
    with PillowImage.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.lru_cache(maxsize=4)
def codec_of(spec: str, threads: int) -> Codec:
    """Loading a network takes longer than using it, so a worker keeps its codecs."""
    return make(spec, threads)


def limit_threads(threads: int) -> None:
    """The networks, and Torch (MS-SSIM), otherwise take all cores."""
    import torch

    from vaecodec.runtime.cpu.threads import set_thread_count

    torch.set_num_threads(threads)
    set_thread_count(threads)


def start_worker(threads: int) -> None:
    """For a process of a pool. An interruption at the keyboard ends it in silence: its parent has the last word."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    limit_threads(threads)


def measure_image(task: Task) -> Outcome:
    """Measure every quality of the task; one that fails is reported by name and leaves the others alone."""
    outcome = Outcome()
    img = load_image(Path(task.path))
    for quality in task.qualities:
        try:
            codec = codec_of(task.spec, task.threads)
            outcome.rows.append(measure_quality(codec, img, quality, task.metrics))
        except FAILURES as error:
            outcome.failures[f"{quality:g}"] = f"{type(error).__name__}: {error}"
    return outcome


def measure_quality(codec: Codec, img: Image, quality: float, metric_names: Sequence[str]) -> Row:
    """Encode, decode and compare once; raises CodecError when the decoded picture is not the encoded one."""
    start = time.perf_counter()
    data = codec.encode(img, quality)
    middle = time.perf_counter()
    decoded = codec.decode(data)
    end = time.perf_counter()
    check_decoded(img, decoded)
    row: Row = {
        "quality": quality,
        "bytes": len(data),
        "encode_s": round(middle - start, 5),
        "decode_s": round(end - middle, 5),
    }
    return row | {metric: rounded(metrics.measure(metric, img, decoded)) for metric in metric_names}


def check_decoded(original: Image, decoded: Image) -> None:
    if decoded.dtype != np.uint8 or decoded.shape != original.shape:
        message = f"decoded {decoded.dtype} {decoded.shape}, encoded {original.dtype} {original.shape}"
        raise CodecError(message)
    quality = psnr(original, decoded)
    if quality < LEAST_PSNR:
        message = f"the decoded picture is not the encoded one: {quality:.1f} dB"
        raise CodecError(message)


def rounded(value: float | None) -> float | None:
    """JSON has no infinity: a metric of two equal pictures is stored as null."""
    return None if value is None or math.isinf(value) else round(value, 6)
