"""Steps per second of training: eager or compiled, float32 or bfloat16, channels last or not.

    python -m bench train-speed                      config base, batch 8 of 256 pixels
    python -m bench train-speed --batch 64 --device cuda

The corpus is smooth noise: the time of a step doesn't depend on what is in the picture. The optimizer's share is timed
apart, since a larger batch makes it cheaper. On a busy machine read the CPU time with --threads 1.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F

from bench.records import environment
from vaecodec.runtime.devices import choose_device
from vaecodec.training.data import Corpus
from vaecodec.training.loop import Trainer
from vaecodec.training.settings import Settings

SIDE = 768


def noise_corpus(images: int = 4) -> Corpus:
    """Smooth noise as a corpus of SIDE x SIDE images."""
    noise = torch.rand(images, 3, SIDE // 16, SIDE // 16, generator=torch.Generator().manual_seed(1))
    pixels = (F.interpolate(noise, (SIDE, SIDE), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)
    sides = torch.full((images,), SIDE)
    offsets, weights = torch.arange(images) * 3 * SIDE**2, torch.ones(images, dtype=torch.float64)
    return Corpus(pixels.permute(0, 2, 3, 1).reshape(-1).contiguous(), offsets, sides, sides, "noise", weights)


def variants(settings: Settings) -> Iterator[Settings]:
    from dataclasses import replace

    for compiled, bf16, channels_last in product((False, True), repeat=3):
        yield replace(settings, compile=compiled, bf16=bf16, channels_last=channels_last)


def measure(settings: Settings, corpus: Corpus, device: str, steps: int, warm: int) -> dict[str, Any]:
    """Seconds of the median and the fastest of `steps` steps, after `warm` steps that compile and fill caches."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(settings, corpus, Path(folder), device)
        began = time.perf_counter()
        for _ in range(warm):
            trainer.step()
        start_up = time.perf_counter() - began
        seconds = []
        cpu_began = time.process_time()
        for _ in range(steps):
            before = time.perf_counter()
            trainer.launch()
            trainer.collect(trainer.lag)
            seconds.append(time.perf_counter() - before)
        trainer.collect(0)
        cpu_seconds = (time.process_time() - cpu_began) / steps
        update = _time_update(trainer)
    median = statistics.median(seconds)
    return {
        "compile": settings.compile, "bf16": settings.bf16, "channels_last": settings.channels_last,
        "seconds": round(median, 4), "fastest_seconds": round(min(seconds), 4),
        "cpu_seconds": round(cpu_seconds, 4), "update_seconds": round(update, 4),
        "steps_per_second": round(1 / median, 3),
        "images_per_second": round(settings.batch / median, 2), "start_up_seconds": round(start_up, 1),
    }  # fmt: skip


def _time_update(trainer: Trainer) -> float:
    """Seconds of Muon, AdamW and the averaged weights."""
    trainer._update()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    before = time.perf_counter()
    trainer._update()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - before


@click.command()
@click.option("--config", default="base", show_default=True)
@click.option("--batch", default=8, show_default=True)
@click.option("--crop", default=256, show_default=True)
@click.option("--steps", default=10, show_default=True, help="Timed steps of each variant.")
@click.option("--warm", default=3, show_default=True, help="Steps before them.")
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=int, help="CPU threads; all cores by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with the machine.")
def main(
    config: str, batch: int, crop: int, steps: int, warm: int, device: str, threads: int | None, as_json: bool
) -> None:
    """Time training steps of every variant on this machine."""
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = str(choose_device(device))
    if chosen != "cpu":
        torch.set_float32_matmul_precision("high")
    settings = Settings(config=config, batch=batch, crop=crop)
    corpus = noise_corpus()
    rows = []
    for variant in variants(settings):
        torch.compiler.reset()
        rows.append(measure(variant, corpus, chosen, steps, warm))
        if not as_json:
            click.echo(_line(rows[-1]))
    if as_json:
        facts = {"config": config, "batch": batch, "crop": crop, "device": chosen, "threads": torch.get_num_threads()}
        click.echo(json.dumps({**facts, "made": environment(), "rows": rows}, indent=1))


def _line(row: dict[str, Any]) -> str:
    name = ", ".join((
        "compiled" if row["compile"] else "eager   ",
        "bf16" if row["bf16"] else "fp32",
        "channels last " if row["channels_last"] else "channels first",
    ))  # fmt: skip
    return (
        f"{name}: {row['seconds']:.3f} s a step, fastest {row['fastest_seconds']:.3f}, CPU {row['cpu_seconds']:.3f} "
        f"(update {row['update_seconds']:.3f}), {row['images_per_second']:.1f} images/s; "
        f"first steps {row['start_up_seconds']:.0f} s"
    )


if __name__ == "__main__":
    main(prog_name="python -m bench train-speed")
