"""A picture of a run's log: what one looks at while it trains."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaecodec.files import write_atomic
from vaecodec.training import log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = "curves.png"
BINS = 400
"""Steps are averaged into at most this many points: the level of each image is random, single steps only scatter."""


def can_draw() -> bool:
    """Whether matplotlib is installed (the extra `train`)."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_curves(run: Path) -> None:
    """Write `run`/curves.png from the run's log: loss, rate and PSNR over steps, held-out points and BD-rate."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = log.read(run)
    steps = [entry for entry in entries if "loss" in entry]
    evaluations = [entry for entry in entries if "heldout" in entry]
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _draw_mean(axes[0][0], steps, "loss", "loss")
    axes[0][0].set_yscale("log")
    _draw_mean(axes[0][1], steps, "psnr", "PSNR of the crops in dB", color="tab:blue")
    _draw_mean(axes[0][1].twinx(), steps, "bpp", "bits per pixel", color="tab:orange")
    _draw_points(axes[1][0], evaluations)
    _draw_bd_rate(axes[1][1], evaluations)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_atomic(run / CURVES, buffer.getvalue(), overwrite=True)


def _draw_mean(axes: Axes, steps: Sequence[dict[str, Any]], name: str, label: str, color: str = "tab:blue") -> None:
    size = max(1, -(-len(steps) // BINS))
    bins = [steps[start : start + size] for start in range(0, len(steps), size)]
    axes.plot([b[-1]["step"] for b in bins], [sum(e[name] for e in b) / len(b) for b in bins], color=color, lw=1)
    axes.set_xlabel("step")
    axes.set_ylabel(label, color=color)


def _draw_points(axes: Axes, evaluations: Sequence[dict[str, Any]]) -> None:
    for number, entry in enumerate(evaluations):
        points = entry["heldout"]
        shade = 0.15 + 0.85 * (number + 1) / len(evaluations)
        axes.plot([p["bpp"] for p in points], [p["psnr"] for p in points], "o-", color="tab:blue", alpha=shade, ms=3)
    if evaluations and "jpeg" in evaluations[-1]:
        anchor = evaluations[-1]["jpeg"]
        axes.plot([p["bpp"] for p in anchor], [p["psnr"] for p in anchor], "s--", color="tab:gray", ms=3, label="JPEG")
        axes.legend()
        axes.set_xscale("log")
    axes.set_xlabel("bits per pixel, held-out images")
    axes.set_ylabel("PSNR in dB")


def _draw_bd_rate(axes: Axes, evaluations: Sequence[dict[str, Any]]) -> None:
    known = [(entry["step"], entry["bd_rate"]) for entry in evaluations if entry.get("bd_rate") is not None]
    axes.plot([step for step, _ in known], [rate for _, rate in known], "o-", ms=3)
    axes.set_xlabel("step")
    axes.set_ylabel("BD-rate against JPEG in %")
