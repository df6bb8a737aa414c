"""Runs a Trainer to its end: log, checkpoints, held-out points, and an orderly stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from torch import Tensor

from vaecodec.training.data import load_corpus
from vaecodec.training.distributed import AGREE_EVERY
from vaecodec.training.evaluate import Point, bd_rate, centre_crop, jpeg_points
from vaecodec.training.loop import Trainer

HELDOUT_SIDE = 384
"""Held-out images are centre crops of at most this side: 24 of them take seconds, not minutes."""
HELDOUT_IMAGES = 24
HELDOUT_SMALLEST = 64

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Evaluation:
    """Held-out points after `step` steps; `bd_rate` against JPEG on the same crops in percent, where it can be told."""

    step: int
    points: list[Point]
    bd_rate: float | None


def load_heldout(folder: Path, count: int = HELDOUT_IMAGES) -> list[Tensor]:
    """Centre crops of the first `count` images below `folder`, uint8 [3, H, W], at most HELDOUT_SIDE a side."""
    corpus = load_corpus(folder, HELDOUT_SMALLEST, limit=count)
    return [centre_crop(corpus.image(number), HELDOUT_SIDE) for number in range(len(corpus))]


class StopRequest:
    """While it is open, SIGINT and SIGTERM ask for an end after the current step; a second one ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


@dataclass
class Clock:
    """Chooses the number of steps so that training, the last part of the schedule included, ends after `minutes`.

    The speed is measured from step WARM_STEPS of this process on (the first steps compile); evaluations count as time.
    """

    minutes: float
    began: float = field(default_factory=time.monotonic)
    _mark: tuple[int, float] | None = None
    _seen: int = 0

    WARM_STEPS = 20

    def adjust(self, settings_steps: int, done: int) -> int:
        """The number of steps from now on; to be called after every step."""
        now = time.monotonic()
        self._seen += 1
        left = self.began + 60 * self.minutes - now
        if left <= 0:
            return done
        if self._mark is None:
            if self._seen >= self.WARM_STEPS:
                self._mark = (done, now)
            return max(settings_steps, done + self.WARM_STEPS + 1000)  # a finished run goes on, too
        steps, seconds = done - self._mark[0], now - self._mark[1]
        return done + max(1, int(left * steps / seconds))


def run_training(
    trainer: Trainer,
    heldout: list[Tensor],
    report: Report,
    *,
    clock: Clock | None = None,
    on_evaluation: Callable[[Evaluation], None] = lambda _: None,
    stop: StopRequest | None = None,
) -> bool:
    """Train to the settings' last step. Returns False when a signal asked to stop before the end.

    `report` gets the figures of every step, `on_evaluation` those of the held-out images. `stop`, if given, is open.
    """
    if stop is None:
        with StopRequest() as own:
            return run_training(trainer, heldout, report, clock=clock, on_evaluation=on_evaluation, stop=own)
    return _Run(trainer, heldout, report, clock, on_evaluation, stop).run()


@dataclass
class _Run:
    trainer: Trainer
    heldout: list[Tensor]
    report: Report
    clock: Clock | None
    on_evaluation: Callable[[Evaluation], None]
    stop: StopRequest
    began: float = field(default_factory=time.monotonic)
    anchor: list[Point] = field(default_factory=list)
    saved_at: int = -1

    def run(self) -> bool:
        trainer = self.trainer
        trainer.note_start()
        trainer.log({"step": trainer.steps_done, "start": trainer.history[-1], "settings": trainer.settings.as_dict()})
        stopping = self._agree(always=True)
        while trainer.steps_done < trainer.settings.steps and not stopping:
            trainer.launch()
            stopping = self._agree()
            done, last = trainer.steps_done, trainer.steps_done >= trainer.settings.steps
            saves = last or stopping or done % trainer.settings.checkpoint_every == 0
            evaluates = bool(self.heldout) and (last or done % trainer.settings.eval_every == 0)
            self._tell(trainer.collect(0 if saves or evaluates else trainer.lag))
            if saves:
                self._save()
            if evaluates and trainer.peers.leads:
                self._evaluate()
        if self.saved_at != trainer.steps_done:
            self._save()
        return trainer.steps_done >= trainer.settings.steps

    def _agree(self, *, always: bool = False) -> bool:
        """Whether to stop now; sets the last step by the clock. Several processes decide together, now and then."""
        trainer = self.trainer
        steps = trainer.settings.steps
        if self.clock is not None:
            steps = max(1, self.clock.adjust(steps, trainer.steps_done))
        stop = self.stop.signal is not None
        if trainer.peers.world > 1 and trainer.steps_done % AGREE_EVERY and not always:
            return False
        stop, steps = trainer.peers.agree(stop, steps)
        if steps != trainer.settings.steps:
            trainer.settings = replace(trainer.settings, steps=steps)
        return stop

    def _tell(self, entries: list[dict[str, float]]) -> None:
        for entry in entries:
            self.report(entry)
            if entry["step"] % self.trainer.settings.log_every == 0:
                self.trainer.log(entry | {"elapsed": time.monotonic() - self.began})

    def _save(self) -> None:
        record = self.trainer.history[-1]
        record |= {"last_step": self.trainer.steps_done, "hours": round((time.monotonic() - self.began) / 3600, 4)}
        self.trainer.save()
        self.saved_at = self.trainer.steps_done

    def _evaluate(self) -> None:
        self.anchor = self.anchor or jpeg_points(self.heldout)
        points = self.trainer.evaluate(self.heldout)
        result = Evaluation(self.trainer.steps_done, points, bd_rate(self.anchor, points))
        entry = {"step": result.step, "heldout": [asdict(point) for point in points], "bd_rate": result.bd_rate}
        self.trainer.log(entry | {"jpeg": [asdict(point) for point in self.anchor]})
        self.on_evaluation(result)
