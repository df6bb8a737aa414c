"""Finding the quality that meets a size or a PSNR, in few trials. Numbers only: what a trial is, the codec knows.

Two knobs: the level (0..63, about 8 % of size or 0.25 dB each) and, between two levels, the strength of the dead zone
(0..1), which makes a file of one level smaller and worse without a step. The search looks for the lowest level whose
plain file is a little too large or too good, then for the strength that brings it down to the goal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from vaecodec.errors import InputError, TargetError

T = TypeVar("T")

MOST_TRIALS = 24
"""Far beyond what is needed (3 to 6): only a model whose ladder runs backwards comes near."""
SLACK_BYTES = 0.015
"""A file between 98.5 and 100 % of the bytes asked for is good enough."""
SLACK_DB = 0.045
CONCAVITY = 0.7
"""What a dead zone takes away goes with its strength to this power, about."""


@dataclass(frozen=True)
class Goal:
    """Values low..high are accepted; a value grows with the level and shrinks with the strength.

    bound: "high" must not be exceeded (a size) or "low" must be reached (a PSNR), even where the range ends.
    per_level, per_strength: by how much the value changes, roughly; `excess`: what the dead zone takes away at little
    cost. text, unit: for messages.
    """

    low: float
    high: float
    bound: Literal["high", "low"]
    per_level: float
    per_strength: float
    excess: float
    text: str

    @classmethod
    def of_bytes(cls, target: int) -> Goal:
        """At most `target` bytes. Values are natural logarithms of sizes. Raises InputError."""
        if target < 1:
            message = f"target_bytes is {target}; it must be 1 or more"
            raise InputError(message)
        high = math.log(target)
        return cls(high + math.log1p(-SLACK_BYTES), high, "high", 0.06, 1.6, 0.13, f"target_bytes is {target}")

    @classmethod
    def of_psnr(cls, target: float) -> Goal:
        """At least `target` dB. Raises InputError."""
        if not 0 < target < 100:
            message = f"target_psnr is {target} dB; legal is more than 0 and less than 100"
            raise InputError(message)
        return cls(target, target + SLACK_DB, "low", 0.25, 9.0, 0.4, f"target_psnr is {target:g} dB")

    @staticmethod
    def value_of_bytes(size: int) -> float:
        return math.log(size)

    def describe(self, value: float) -> str:
        """A value for a person."""
        return f"{round(math.exp(value))} bytes" if self.bound == "high" else f"{value:.2f} dB"

    def accepts(self, value: float) -> bool:
        return self.low <= value <= self.high

    def allows(self, value: float) -> bool:
        """On the right side of the bound."""
        return value <= self.high if self.bound == "high" else value >= self.low

    def distance(self, value: float) -> float:
        return abs(value - (self.low + self.high) / 2)


@dataclass(frozen=True)
class Trial(Generic[T]):
    """One encoding: its value and what came of it."""

    value: float
    content: T


Measure = Callable[[int, float], Trial[T]]


@dataclass
class Search(Generic[T]):
    """One search. measure(level, strength) makes a trial; `best` is the nearest allowed one so far."""

    measure: Measure[T]
    goal: Goal
    levels: int
    best: Trial[T] | None = None
    seen: dict[tuple[int, float], float] = field(default_factory=dict)
    below: int = -1
    above: int = 0
    """The highest level known to be below the goal and the lowest known to be above: -1 and `levels` for none."""

    def __post_init__(self) -> None:
        self.above = self.levels

    def run(self, start: int) -> Trial[T] | None:
        """The trial that meets the goal, else the nearest that its bound allows, else None."""
        for excess in (self.goal.excess, 0.0):  # the second time where the dead zone took away less than is usual
            level = self._find_level(start, excess)
            if level is None or self._is_met() or self._find_strength(level) or self._is_over():
                break
            start = level - 1
        return self.best

    def value(self, level: int, strength: float) -> float:
        """The value of a trial, made only once."""
        if (level, strength) not in self.seen:
            trial = self.measure(level, strength)
            self.seen[level, strength] = trial.value
            if self.goal.allows(trial.value) and (
                self.best is None or self.goal.distance(trial.value) <= self.goal.distance(self.best.value)
            ):
                self.best = trial
        return self.seen[level, strength]

    def _is_met(self) -> bool:
        return self.best is not None and self.goal.accepts(self.best.value)

    def _is_over(self) -> bool:
        return len(self.seen) >= MOST_TRIALS

    def _find_level(self, level: int, excess: float) -> int | None:
        """The lowest level whose plain file is above the goal, or one above it by at most `excess`; None for none."""
        while self.above - self.below > 1 and not self._is_over():
            value = self.value(level, 0.0)
            if self.goal.accepts(value):
                break
            if value > self.goal.high:
                self.above = level
                if value - self.goal.high <= excess:
                    break
            else:
                self.below = level
            if self.above - self.below > 1:
                level = self._next_level(self.below, self.above)
        return self.above if self.above < self.levels else None

    def _next_level(self, below: int, above: int) -> int:
        """Between the two, where the goal is to be expected: rounded up, since the dead zone leads down."""
        middle = (self.goal.low + self.goal.high) / 2
        if below < 0:
            guess = above - (self.seen[above, 0.0] - middle) / self.goal.per_level
        elif above == self.levels:
            guess = below + (middle - self.seen[below, 0.0]) / self.goal.per_level
        else:
            low, high = self.seen[below, 0.0], self.seen[above, 0.0]
            share = (middle - low) / (high - low) if math.isfinite(high) and high > low else 0.5
            guess = below + share * (above - below)
        return math.ceil(min(above - 1, max(below + 1, guess)))

    def _find_strength(self, level: int) -> bool:
        """False when even the strongest dead zone stays above the goal."""
        goal = self.goal
        middle = (goal.low + goal.high) / 2
        weak, strong = 0.0, 1.0
        guess = (self.seen[level, 0.0] - middle) / goal.per_strength
        while not self._is_over() and not self._is_met():
            strength = min(guess, 1.0) if guess > weak else (weak + strong) / 2
            value = self.value(level, strength)
            if value > goal.high:
                weak = strength
            else:
                strong = strength
            if strong - weak < 1e-4:
                break
            guess = self._next_strength(level, weak, strong, middle)
        return weak < 1.0

    def _next_strength(self, level: int, weak: float, strong: float, middle: float) -> float:
        high = self.seen[level, weak]
        low = self.seen.get((level, strong))
        if low is None:  # still above: go on as it went so far
            start = self.seen[level, 0.0]
            slope = (start - high) / weak if weak else self.goal.per_strength
            step = (high - middle) / slope if slope > 0 and math.isfinite(high) else 1.0
            return min(1.0, weak + 1.1 * max(step, 0.01))
        if not math.isfinite(high) or high <= low:
            return (weak + strong) / 2
        share = (high - middle) / (high - low)
        if weak == 0:
            share **= 1 / CONCAVITY
        return weak + min(0.95, max(0.02, share)) * (strong - weak)


def meet(measure: Measure[T], goal: Goal, levels: int) -> Trial[T]:
    """The best trial for `goal`. Raises TargetError, naming the reachable range, where its bound can't be kept."""
    search = Search(measure, goal, levels)
    found = search.run(levels // 2)
    if found is None:
        lowest, highest = search.value(0, 1.0), search.value(levels - 1, 0.0)
        found = search.best
        if found is None:
            message = f"{goal.text}: this picture reaches {goal.describe(lowest)} to {goal.describe(highest)}"
            raise TargetError(message)
    return found


def bytes_of_bpp(bpp: float, pixels: int) -> int:
    """Bits per pixel -> bytes of the file, rounded down. Raises InputError."""
    if not bpp > 0:
        message = f"target_bpp is {bpp}; it must be more than 0"
        raise InputError(message)
    return max(1, int(bpp * pixels / 8))


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?(?:ytes?)?\s*", re.IGNORECASE)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_size(text: str) -> int:
    """ "20KB", "1.5 MB", "64KiB", "2000" -> bytes; a kB is 1000 bytes, a KiB 1024. Raises InputError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a size; write it as 20KB, 1.5MB, 64KiB or 2000"
        raise InputError(message)
    return int(float(match[1]) * _FACTORS[(match[2] or "").lower()])
