"""Runs a Trainer to its end: progress, log, checkpoints, held-out points, curves."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from torch import Tensor

from vaecodec.training.data import load_corpus
from vaecodec.training.evaluate import centre_crop
from vaecodec.training.loop import Trainer

HELDOUT_SIDE = 384
"""Held-out images are centre crops of at most this side: 24 of them take seconds, not minutes."""
HELDOUT_IMAGES = 24

Report = Callable[[dict[str, float]], None]


def load_heldout(folder: Path, count: int = HELDOUT_IMAGES) -> list[Tensor]:
    """Centre crops of the first `count` images below `folder`, uint8 [3, H, W]."""
    corpus = load_corpus(folder, HELDOUT_SIDE, limit=count)
    return [centre_crop(corpus.image(number), HELDOUT_SIDE) for number in range(len(corpus))]


class _StopRequest:
    """SIGINT and SIGTERM end the run after the current step, with a checkpoint."""

    def __init__(self) -> None:
        self.stop = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, _signum: int, _frame: FrameType | None) -> None:
        self.stop = True


def run_training(trainer: Trainer, heldout: list[Tensor], report: Report) -> bool:
    """Train to the settings' last step. Returns False when a signal asked to stop before the end."""
    settings, request = trainer.settings, _StopRequest()
    began = time.monotonic()
    while trainer.steps_done < settings.steps and not request.stop:
        entry = trainer.step()
        report(entry)
        trainer.log(entry | {"elapsed": time.monotonic() - began})
        done, last = trainer.steps_done, trainer.steps_done == settings.steps
        if done % settings.checkpoint_every == 0 or last:
            trainer.save()
        if heldout and (done % settings.eval_every == 0 or last):
            trainer.log({"step": done, "heldout": [asdict(point) for point in trainer.evaluate(heldout)]})
    trainer.save()
    return trainer.steps_done >= settings.steps
