"""The quality scale of one model: quality 1..100 as people give it, level 0..63 as files hold it, lambda as trained.

Standard library only: the command line and the container know the scale without loading anything.
"""

from __future__ import annotations

from vaecodec.arguments import check_integer, check_real
from vaecodec.errors import InputError

LEVELS = 64
"""Quality levels of one model; the level is one byte in the file."""
MAX_LEVEL = LEVELS - 1

QUALITY_MIN, QUALITY_MAX = 1, 100
DEFAULT_QUALITY = 60

LAMBDA_MIN = 0.0006
LAMBDA_MAX = 0.8
"""Rate-distortion trade-off of level 0 and level 63: loss = bpp + lambda * 255^2 * MSE, lambda log-spaced between."""


def check_level(level: int) -> int:
    """Returns the level itself. Raises InputError outside of 0..63."""
    level = check_integer("level", level)
    if not 0 <= level <= MAX_LEVEL:
        message = f"level is {level}; it must be 0..{MAX_LEVEL}"
        raise InputError(message)
    return level


def quality_to_level(quality: float) -> int:
    """The level 0..63 of a quality 1..100: the scale is linear. Raises InputError outside of it."""
    quality = check_real("quality", quality)
    if not QUALITY_MIN <= quality <= QUALITY_MAX:
        message = f"quality is {quality}; it must be {QUALITY_MIN}..{QUALITY_MAX}"
        raise InputError(message)
    return round((quality - QUALITY_MIN) * MAX_LEVEL / (QUALITY_MAX - QUALITY_MIN))


def level_to_quality(level: int) -> int:
    """The lowest whole quality, 1..100, that gives this level."""
    return next(q for q in range(QUALITY_MIN, QUALITY_MAX + 1) if quality_to_level(q) == level)


def level_lambda(level: float) -> float:
    """The lambda of a quality level, 0..63 (training also takes places between two levels)."""
    return float(LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** (level / MAX_LEVEL))
