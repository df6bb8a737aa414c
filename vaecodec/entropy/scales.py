"""The scale table: 64 log-spaced scales, one per scale index."""

from __future__ import annotations

import math

from vaecodec.intnet.fixedpoint import SCALE_INDICES

SCALE_MIN = 0.11
SCALE_MAX = 128.0
LOG_STEP = math.log(SCALE_MAX / SCALE_MIN) / (SCALE_INDICES - 1)
"""11.9 % from one scale to the next: choosing the nearest costs about 0.1 % of the rate."""


def scale_table() -> list[float]:
    """The standard deviations of the 64 scale indices, ascending."""
    return [SCALE_MIN * math.exp(LOG_STEP * index) for index in range(SCALE_INDICES)]
