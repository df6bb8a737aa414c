"""Finding the quality that meets a size or a PSNR, in few trials. Numbers only: what a trial is, the codec knows.

Two knobs: the level (0..63, about 5 % of size or 0.25 dB each) and, between two levels, the strength of the dead zone
(0..1), which makes a file of one level smaller and worse without a step. Together they are one scale: a strength counts
as so many levels as it usually takes away. The search interpolates on this scale, and between two strengths of one
level as soon as the goal lies there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from vaecodec.errors import InputError, TargetError

T = TypeVar("T")

MOST_TRIALS = 24
"""Far beyond what is needed (2 to 5): only a model whose ladder runs backwards comes near."""
SLACK_BYTES = 0.015
"""A file between 98.5 and 100 % of the bytes asked for is good enough."""
SLACK_DB = 0.045
LEAST_STEP = 1e-4
"""Of the strength."""
AT_THE_END = 0.15
"""Of a level: so near to its plain file there is little left to be tried."""


@dataclass(frozen=True)
class Ramp:
    """How much a knob changes a value: `start` at level 0 and `fall` less at each level, within least..most.

    Measured for `base` on 16 photographs. A dead zone takes away less at high levels: ever fewer symbols lie near it.
    """

    most: float
    start: float
    fall: float
    least: float

    def at(self, level: int) -> float:
        """The value at a level."""
        return min(self.most, max(self.least, self.start - self.fall * level))


BYTES_RAMPS = Ramp(0.065, 0.074, 0.0006, 0.037), Ramp(3.8, 4.2, 0.075, 1.3)
PSNR_RAMPS = Ramp(0.29, 0.5, 0.0062, 0.11), Ramp(14.5, 19.5, 0.33, 3.0)


@dataclass(frozen=True)
class Goal:
    """Values low..high are accepted; a value grows with the level and shrinks with the strength.

    bound: "high" must not be exceeded (a size) or "low" must be reached (a PSNR), even where the range ends.
    per_level, per_strength: by how much the value changes, roughly; with the strength to the power of `concavity`.
    text: for messages.
    """

    low: float
    high: float
    bound: Literal["high", "low"]
    per_level: Ramp
    per_strength: Ramp
    concavity: float
    text: str

    @classmethod
    def of_bytes(cls, target: int) -> Goal:
        """At most `target` bytes. Values are natural logarithms of sizes. Raises InputError."""
        if target < 1:
            message = f"target_bytes is {target}; it must be 1 or more"
            raise InputError(message)
        high = math.log(target)
        return cls(high + math.log1p(-SLACK_BYTES), high, "high", *BYTES_RAMPS, 0.85, f"target_bytes is {target}")

    @classmethod
    def of_psnr(cls, target: float) -> Goal:
        """At least `target` dB. Raises InputError."""
        if not 0 < target < 100:
            message = f"target_psnr is {target} dB; it must be more than 0 and less than 100"
            raise InputError(message)
        return cls(target, target + SLACK_DB, "low", *PSNR_RAMPS, 0.95, f"target_psnr is {target:g} dB")

    @staticmethod
    def value_of_bytes(size: int) -> float:
        """A size on the scale on which sizes are searched: its logarithm."""
        return math.log(size)

    def describe(self, value: float) -> str:
        """A value for a person."""
        return f"{round(math.exp(value))} bytes" if self.bound == "high" else f"{value:.2f} dB"

    def accepts(self, value: float) -> bool:
        """Whether a value meets the goal."""
        return self.low <= value <= self.high

    def allows(self, value: float) -> bool:
        """Whether a value is on the right side of the bound."""
        return value <= self.high if self.bound == "high" else value >= self.low

    @property
    def middle(self) -> float:
        """The value to aim at: the middle of what is accepted."""
        return (self.low + self.high) / 2

    def distance(self, value: float) -> float:
        """How far a value is from the middle."""
        return abs(value - self.middle)


@dataclass(frozen=True)
class Trial(Generic[T]):
    """One encoding: its value and what came of it."""

    value: float
    content: T


Knobs = tuple[int, float]
"""Level and strength."""


def place_of(knobs: Knobs, goal: Goal) -> float:
    """A level and a strength on the scale of levels: a strength counts as so many levels as it usually takes away."""
    level, strength = knobs
    return level - strength * goal.per_strength.at(level) / goal.per_level.at(level)


Measure = Callable[[int, float], Trial[T]]


@dataclass
class Search(Generic[T]):
    """One search. measure(level, strength) makes a trial; `best` is the nearest allowed one so far."""

    measure: Measure[T]
    goal: Goal
    levels: int
    best: Trial[T] | None = None
    seen: dict[Knobs, float] = field(default_factory=dict)
    below: Knobs | None = None
    above: Knobs | None = None
    """The trials next to the goal on either side, None for none."""
    was_above: bool | None = None
    stuck: int = 0
    """How many trials before the last one, in a row, fell on its side."""

    def run(self, start: int) -> Trial[T] | None:
        """The trial that meets the goal, else the nearest that its bound allows, else None."""
        knobs: Knobs | None = (start, 0.0)
        while knobs is not None and knobs not in self.seen and len(self.seen) < MOST_TRIALS:
            value = self.value(*knobs)
            if self.goal.accepts(value):
                break
            is_above = value > self.goal.high
            self.stuck = self.stuck + 1 if is_above == self.was_above else 0
            self.was_above = is_above
            if is_above:
                self.above = knobs
            else:
                self.below = knobs
            knobs = self._next()
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

    def _next(self) -> Knobs | None:
        """The knobs to be tried next, None where there are none between those that have been."""
        if self.above is None and self.below is not None:
            return self._up(self.below)
        if self.below is None and self.above is not None:
            return self._down(self.above)
        above, below = self.above, self.below
        if above is None or below is None:
            return None
        if above[0] == below[0]:
            return self._between_strengths(above, below)
        if above[0] == below[0] + 1 and below[1] == 0:
            return self._stronger(above)
        return self._between_levels(above, below)

    def _up(self, below: Knobs) -> Knobs | None:
        top = (self.levels - 1, 0.0)
        if below == top:
            return None
        missing = (self.goal.middle - self.seen[below]) / self._slope(below)
        knobs = self._knobs(self._place(below) + max(1, self.stuck) * missing)
        return min(knobs, top) if knobs[0] > below[0] else (below[0] + 1, 0.0)

    def _down(self, above: Knobs) -> Knobs | None:
        if above[0] == 0:
            return self._stronger(above)
        over = (self.seen[above] - self.goal.middle) / self._slope(above)
        if not math.isfinite(over):
            return 0, 0.0
        knobs = self._knobs(self._place(above) - max(1, self.stuck) * over)
        return max(knobs, (0, 0.0)) if knobs < above else (above[0] - 1, 0.0)

    def _slope(self, knobs: Knobs) -> float:
        """What a level is worth there: as the last two trials tell, within reason."""
        usual = self.goal.per_level.at(knobs[0])
        if len(self.seen) < 2:
            return usual
        (one, value), (other, another) = list(self.seen.items())[-2:]
        far = self._place(other) - self._place(one)
        seen = (another - value) / far if far and math.isfinite(value) and math.isfinite(another) else usual
        return min(2 * usual, max(usual / 2, seen))

    def _between_levels(self, above: Knobs, below: Knobs) -> Knobs | None:
        """Where the straight line between the two meets the goal."""
        low, high = self._place(below), self._place(above)
        level, strength = self._knobs(low + self._share(above, below) * (high - low))
        if above[0] == below[0] + 1:
            # Between the weak end of one level and the strong end of the next, the goal may lie beyond the usual end.
            at_the_end = high <= low or self._place((below[0], 0.0)) - low < AT_THE_END
            if level == above[0] or at_the_end:
                return self._stronger(above)
            return level, 0.0 if self.stuck else strength
        if level == above[0] and sum(tried == level for tried, _ in self.seen) > 1:
            # Its strengths take away less than usual.
            return level - 1, 0.0
        is_inside = (below[0], -below[1]) < (level, -strength) < (above[0], -above[1])
        return (level, strength) if is_inside and self.stuck < 3 else ((below[0] + above[0]) // 2, 0.0)

    def _between_strengths(self, above: Knobs, below: Knobs) -> Knobs | None:
        weak, strong = above[1], below[1]
        if strong - weak < LEAST_STEP:
            return None
        share = 1 - self._share(above, below)
        if weak == 0:
            share **= 1 / self.goal.concavity
        if self.stuck > 1:
            share = 0.5
        return above[0], weak + min(0.97, max(0.03, share)) * (strong - weak)

    def _stronger(self, above: Knobs) -> Knobs | None:
        """The level of a trial above the goal, with a stronger dead zone; None where there is none."""
        level, strength = above
        if strength >= 1:
            return None
        over, slope = self.seen[above] - self.goal.middle, self.goal.per_strength.at(level)
        weaker = [knobs for knobs in self.seen if knobs[0] == level and knobs[1] < strength]
        if weaker:  # as it went so far
            taken = self.seen[max(weaker)] - self.seen[above]
            slope = max(slope / 10, taken / (strength - max(weaker)[1]))
        step = over / slope if math.isfinite(over) else 1.0
        return level, min(1.0, strength + max(step, LEAST_STEP) * max(1, self.stuck))

    def _share(self, above: Knobs, below: Knobs) -> float:
        """How far the goal is from `below` on the way to `above`."""
        low, high = self.seen[below], self.seen[above]
        return (self.goal.middle - low) / (high - low) if math.isfinite(high) and high > low else 0.5

    def _place(self, knobs: Knobs) -> float:
        """On the scale of levels."""
        return place_of(knobs, self.goal)

    def _knobs(self, place: float) -> Knobs:
        level = math.ceil(place)
        return level, (level - place) * self.goal.per_level.at(level) / self.goal.per_strength.at(level)


def meet(measure: Measure[T], goal: Goal, levels: int) -> Trial[T]:
    """The best trial for `goal`. Raises TargetError, naming the reachable range, where its bound can't be kept."""
    search = Search(measure, goal, levels)
    best = search.run(levels // 2)
    if best is None:
        lowest, highest = search.value(0, 1.0), search.value(levels - 1, 0.0)
        best = search.best
        if best is None:
            message = f"{goal.text}: this picture reaches {goal.describe(lowest)} to {goal.describe(highest)}"
            raise TargetError(message)
    return best


MOST_BPP = 2**20
"""More than a file of one pixel has."""


def bytes_of_bpp(bpp: float, pixels: int) -> int:
    """Bits per pixel -> bytes of the file, rounded down. Raises InputError."""
    if not 0 < bpp <= MOST_BPP:
        message = f"target_bpp is {bpp}; it must be more than 0 and at most {MOST_BPP}"
        raise InputError(message)
    return max(1, int(bpp * pixels / 8))
