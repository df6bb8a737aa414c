"""A target met with refined integers: the search is done in single passes, then few rounds of refinement follow."""

from __future__ import annotations

import math
from collections.abc import Callable

from vaecodec.levels import LAMBDA_MAX, LAMBDA_MIN, MAX_LEVEL
from vaecodec.targets import Goal, Trial

LOG_LAMBDA_OF_A_LEVEL = math.log(LAMBDA_MAX / LAMBDA_MIN) / MAX_LEVEL
MOST_ROUNDS = 4
MOST_MOVED = 4.0
"""Levels, in a round."""

Refine = Callable[[int, float], Trial[bytes]]
"""A level, and the balance between bits and distortion there -> the refined file with its value."""


def meet_refined(goal: Goal, place: float, refine: Refine) -> Trial[bytes] | None:
    """The refined file nearest to the goal on its right side, None if none is on it.

    place: where a single pass meets the goal, on the scale of levels; between two levels lambda does what the dead zone
    does there. The first round shows what refinement gains, the next ones go where the straight line through the last
    two meets the goal. All begin from a single pass: integers once refined hardly move when lambda does.
    """
    slope = goal.per_level.at(round(place))
    best: Trial[bytes] | None = None
    last: tuple[float, float] | None = None
    for _ in range(MOST_ROUNDS):
        level = max(0, min(MAX_LEVEL, round(place)))
        trial = refine(level, math.exp((place - level) * LOG_LAMBDA_OF_A_LEVEL))
        if goal.allows(trial.value) and (best is None or goal.distance(trial.value) < goal.distance(best.value)):
            best = trial
        if goal.accepts(trial.value):
            break
        if last is not None and place != last[0]:
            slope = max(slope / 2, min(2 * slope, (trial.value - last[1]) / (place - last[0])))
        last = place, trial.value
        place += max(-MOST_MOVED, min(MOST_MOVED, (goal.middle - trial.value) / slope))
    return best
