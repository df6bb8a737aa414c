"""`python -m bench choices PHOTOS --heldout OTHERS`: what training gains from each choice, at equal time.

Every choice starts afresh and trains for the same processor time (compiling and the first steps don't count), its
learning rate coming down at the end; then its averaged weights are evaluated on centre crops of the held-out
photographs. Processor time, so that other work on the machine changes little. Short runs: they tell a fast start from
a slow one, not where each would end.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from bench import records
from vaecodec.networks.config import CONFIGS, ModelConfig
from vaecodec.networks.network import Context
from vaecodec.training import loss
from vaecodec.training.data import Corpus, load_corpus
from vaecodec.training.evaluate import Point, bd_rate, jpeg_points
from vaecodec.training.loop import Trainer
from vaecodec.training.runner import load_heldout
from vaecodec.training.settings import Settings

FIRST = "as shipped"
WARM_STEPS = 10
NARROW = ModelConfig("narrow", C=64, blocks_a=4, blocks_s=6, M=128, N=64, P=64)


class NoContext(Context):
    """The means from the prior features alone."""

    def forward(self, step: int, p: Tensor, y_hat: Tensor) -> Tensor:  # noqa: ARG002 (the signature of a context)
        mu: Tensor = self.heads[step](p)
        return mu


def _without_context(trainer: Trainer) -> None:
    for network in (trainer.network, trainer.ema):
        network.context.__class__ = NoContext


def _adamw(trainer: Trainer) -> None:
    """AdamW for the matrices too; the setting muon_lr is its rate then."""
    matrices = trainer.muon.param_groups[0]["params"]
    trainer.muon = torch.optim.AdamW(matrices, weight_decay=0.0)  # type: ignore[assignment]


def _unbalanced(terms: loss.Terms, t: Tensor) -> Tensor:
    """The plain Lagrangian, divided by its size at the middle level so that the gradients have the usual size."""
    rate = terms.bpp_y + terms.bpp_z
    weight = loss.LAMBDA_MIN / loss.lambda_of(torch.tensor(0.5))
    return (rate + loss.lambda_of(t) * 255**2 * terms.distortion).mean() * 10 * float(weight.sqrt())


@dataclass(frozen=True)
class Choice:
    """One line of the table: what differs from the first."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Trainer], None] = lambda _: None
    loss: Callable[[loss.Terms, Tensor], Tensor] = loss.balanced_loss


CHOICES = (
    Choice(FIRST),
    Choice("AdamW 0.001 for everything", {"muon_lr": 0.001}, _adamw),
    Choice("AdamW 0.002 for everything", {"muon_lr": 0.002, "adam_lr": 0.002}, _adamw),
    Choice("Muon 0.0015", {"muon_lr": 0.0015}),
    Choice("Muon 0.006", {"muon_lr": 0.006}),
    Choice("no context: means from z alone", {}, _without_context),
    Choice("rate of rounded values", {"rounded_rate": True}),
    Choice("loss not balanced across levels", {}, loss=_unbalanced),
    Choice("half the widths", {"config": NARROW.name}),
    Choice("config large", {"config": "large"}),
)


@contextmanager
def _in_effect(choice: Choice) -> Iterator[None]:
    before = loss.balanced_loss
    loss.balanced_loss = choice.loss
    CONFIGS[NARROW.name] = NARROW
    try:
        yield
    finally:
        loss.balanced_loss = before
        del CONFIGS[NARROW.name]


def train(choice: Choice, settings: Settings, corpus: Corpus, seconds: float) -> Trainer:
    """A trainer that has spent so many seconds of processor time after its first steps."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(replace(settings, **choice.settings), corpus, Path(folder))
    choice.prepare(trainer)
    for _ in range(WARM_STEPS):
        trainer.step()
    began, warm = time.process_time(), trainer.steps_done
    while (spent := time.process_time() - began) < seconds:
        done = trainer.steps_done
        rate = (done - warm) / spent if done > warm else 1.0
        trainer.settings = replace(trainer.settings, steps=max(done + 1, done + int((seconds - spent) * rate)))
        trainer.step()
    return trainer


def measure(choice: Choice, settings: Settings, corpus: Corpus, seconds: float, images: list[Tensor]) -> dict[str, Any]:
    """One row of the table; its "points" are those of the held-out images."""
    with _in_effect(choice):
        torch.compiler.reset()
        trainer = train(choice, settings, corpus, seconds)
        points = trainer.evaluate(images)
    return {
        "choice": choice.name,
        "settings": trainer.settings.as_dict(),
        "steps": trainer.steps_done,
        "seconds_per_step": round(seconds / max(1, trainer.steps_done - WARM_STEPS), 4),
        "points": [[point.level, round(point.bpp, 5), round(point.psnr, 4)] for point in points],
        "bd_rate_jpeg": bd_rate(jpeg_points(images), points),
    }


def _against(first: dict[str, Any], row: dict[str, Any]) -> float | None:
    anchor, points = ([Point(*point) for point in each["points"]] for each in (first, row))
    return bd_rate(anchor, points)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| choice | steps | s a step | BD-rate against JPEG | against the first |", "|---|---|---|---|---|"]
    for row in rows:
        rates = [row["bd_rate_jpeg"], row["bd_rate_first"]]
        cells = ["-" if rate is None else f"{rate:+.1f} %" for rate in rates]
        lines.append(f"| {row['choice']} | {row['steps']} | {row['seconds_per_step']:.2f} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--heldout", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--minutes", default=3.0, show_default=True, help="Processor time of each choice.")
@click.option("--crop", default=128, show_default=True)
@click.option("--only", multiple=True, help="Choices whose names begin so, beside the first.")
@click.option("--compile/--no-compile", "compiled", default=True, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=records.RESULTS / "choices.json", show_default=True)
def main(
    photos: Path, heldout: Path, minutes: float, crop: int, only: tuple[str, ...], compiled: bool, out: Path
) -> None:
    """What training gains from each choice, at equal processor time (one thread)."""
    torch.set_num_threads(1)
    corpus, images = load_corpus(photos, crop), load_heldout(heldout)
    settings = Settings(crop=crop, muon_lr=0.003, warmup=60, decay=0.7, ema=0.99, compile=compiled)
    rows: list[dict[str, Any]] = []
    for choice in CHOICES:
        if rows and only and not choice.name.startswith(only):
            continue
        row = measure(choice, settings, corpus, 60 * minutes, images)
        rows.append(row | {"bd_rate_first": _against(rows[0] if rows else row, row)})
        print(table(rows[-1:]).splitlines()[-1], flush=True)
        record = {"minutes": minutes, "crop": crop, "rows": rows}
        records.save(out, records.header() | record)
        out.with_suffix(".md").write_text(table(rows), encoding="utf-8")
