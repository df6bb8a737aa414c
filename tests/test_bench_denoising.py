"""The figures of `python -m bench latents denoising`: noise of the right strength, what the summary says of curves."""

from __future__ import annotations

import numpy as np
import pytest

from bench.latents.denoising import NOISES, Noise, Row, summary
from bench.latents.denoising_effort import summary as effort_summary


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.kind)
def test_noise_has_its_strength_at_middle_gray(noise: Noise) -> None:
    gray = np.full((200, 200, 3), 128, np.uint8)
    noisy = noise.added_to(gray, 1)
    assert (noisy.astype(float) - 128).std() == pytest.approx(noise.sigma, rel=0.05)
    assert np.array_equal(noisy, noise.added_to(gray, 1))
    assert not np.array_equal(noisy, noise.added_to(gray, 2))


def _curve(*points: tuple[float, float]) -> list[Row]:
    return [{"bpp": bpp, "psnr": psnr} for bpp, psnr in points]


def test_savings_are_read_off_at_the_best_psnr_of_plain_coding() -> None:
    """Plain coding gets worse again once it keeps the noise."""
    plain = _curve((0.25, 26), (0.5, 28), (2, 27), (4, 21))
    ours = _curve((0.125, 26), (0.25, 28), (0.5, 30))
    figures = summary({"plain": plain, "denoise": ours, "nlm+avif": _curve((0.125, 25), (0.25, 27), (0.5, 29))})
    assert figures["plain_best"] == {"bpp": 0.5, "psnr": 28}
    assert figures["fewer_bytes"] == pytest.approx(50)
    assert figures["db_against"]["nlm+avif"] == pytest.approx(1)
    assert figures["db_against"]["plain"] == pytest.approx(2)


def test_savings_are_unknown_where_the_psnr_is_not_reached() -> None:
    plain, ours = _curve((0.25, 26), (0.5, 28)), _curve((0.25, 25), (0.5, 27))
    assert summary({"plain": plain, "denoise": ours})["fewer_bytes"] is None
    cheapest = _curve((0.25, 29), (0.5, 30))
    assert summary({"plain": plain, "denoise": cheapest})["fewer_bytes"] == pytest.approx(50)


def test_a_refined_curve_is_compared_at_the_best_point_of_plain_coding() -> None:
    points = {
        "plain": [(0.1, 26.0), (0.4, 28.0), (0.8, 27.0)],
        "denoise": [(0.1, 26.0), (0.2, 28.0)],
        "refined": [(0.1, 27.0), (0.3, 29.0)],
    }
    curves: dict[str, list[Row]] = {
        way: [{"way": way, "setting": 0, "bpp": bpp, "psnr": quality} for bpp, quality in curve]
        for way, curve in points.items()
    }
    result = effort_summary(curves)
    assert result["plain_best"] == {"bpp": 0.4, "psnr": 28.0}
    assert result["fewer_bytes"]["denoise"] == pytest.approx(50)
    assert result["fewer_bytes"]["refined"] == pytest.approx(100 * (1 - (0.1 * 0.3) ** 0.5 / 0.4))
