"""PSNR, MS-SSIM's scale, and the quality scale: each formula has one home, and these are its values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vaecodec import levels
from vaecodec.errors import InputError
from vaecodec.levels import LEVELS, MAX_LEVEL, check_level, level_to_quality, quality_to_level
from vaecodec.metrics import ROWS_AT_ONCE, ms_ssim_db, psnr, psnr_of, squared_error


def test_psnr_of_known_errors() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr(black, black) == math.inf
    assert psnr(black, black + 51) == pytest.approx(20 * math.log10(5))
    assert psnr_of(255**2 * 4, 4) == 0


def test_squared_errors_are_exact_where_32_bits_would_wrap() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 2 * ROWS_AT_ONCE + 3, 300, 3), dtype=np.uint8)
    assert squared_error(a, b) == sum((int(x) - int(y)) ** 2 for x, y in zip(a.flat, b.flat, strict=True))
    white = np.full((200, 400, 3), 255, np.uint8)
    assert squared_error(np.zeros_like(white), white) == 255**2 * white.size > 2**31


def test_ms_ssim_in_decibels() -> None:
    assert ms_ssim_db(0.9) == pytest.approx(10)
    assert ms_ssim_db(1.0) == pytest.approx(120)


def test_every_level_has_a_quality_and_every_quality_a_level() -> None:
    assert {quality_to_level(quality) for quality in range(1, 101)} == set(range(LEVELS))
    assert [quality_to_level(level_to_quality(level)) for level in range(LEVELS)] == list(range(LEVELS))


def test_the_ends_of_the_scale() -> None:
    assert (quality_to_level(1), quality_to_level(100), MAX_LEVEL) == (0, 63, 63)  # as FORMAT.md says
    assert levels.level_lambda(0) == levels.LAMBDA_MIN
    assert levels.level_lambda(MAX_LEVEL) == pytest.approx(levels.LAMBDA_MAX)
    for bad in (-1, 64):
        with pytest.raises(InputError, match=r"level is -?\d+; it must be 0\.\.63"):
            check_level(bad)
