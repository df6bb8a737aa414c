"""BD-rates against formulas that share no code with the package that computes them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("bjontegaard", reason="BD-rates need the bjontegaard package (extra bench)")

from bench import records
from bench.rd import report
from bench.rd.bdrate import SmallOverlapWarning, bd_rate, bd_rate_within, image_points, mean_curve, scale
from bench.rd.published import curves
from vaecodec import metrics

Points = list[tuple[float, float]]
RESULTS = records.RESULTS / "kodak"


def curve(rate_factor: float = 1.0, low: float = 28.0, high: float = 42.0, count: int = 9) -> Points:
    """A smooth curve, about 6 dB for each doubling of the rate."""
    psnr = np.linspace(low, high, count)
    return [(rate_factor * 0.1 * 2 ** ((p - 28) / 4 + 0.01 * (p - 28) ** 2), float(p)) for p in psnr]


def by_polynomial(anchor: Points, test: Points) -> float:
    """The first formula (VCEG-M33): a cubic polynomial through log rate, integrated in closed form."""
    (a_rate, a_psnr), (t_rate, t_psnr) = (np.array(points).T for points in (anchor, test))
    low, high = max(a_psnr.min(), t_psnr.min()), min(a_psnr.max(), t_psnr.max())
    integrals = []
    for psnr, rate in ((a_psnr, a_rate), (t_psnr, t_rate)):
        antiderivative = np.polyint(np.polyfit(psnr, np.log(rate), 3))
        integrals.append(np.polyval(antiderivative, high) - np.polyval(antiderivative, low))
    return float(100 * (math.exp((integrals[1] - integrals[0]) / (high - low)) - 1))


def by_lines(anchor: Points, test: Points) -> float:
    """The second: straight lines through log rate, integrated by the trapezoid rule on a fine grid."""
    (a_rate, a_psnr), (t_rate, t_psnr) = (np.array(sorted(points)).T for points in (anchor, test))
    grid: NDArray[np.float64] = np.linspace(max(a_psnr[0], t_psnr[0]), min(a_psnr[-1], t_psnr[-1]), 20001)
    difference = np.interp(grid, t_psnr, np.log(t_rate)) - np.interp(grid, a_psnr, np.log(a_rate))
    return float(100 * (math.exp(np.trapezoid(difference, grid) / (grid[-1] - grid[0])) - 1))


@pytest.mark.parametrize("factor", [0.35, 0.5, 1.0, 1.25])
def test_a_curve_of_scaled_rates(factor: float) -> None:
    assert bd_rate(curve(), curve(factor)) == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_different_points_of_one_curve() -> None:
    assert bd_rate(curve(count=9), curve(0.6, count=17)) == pytest.approx(-40, abs=0.1)


def test_two_formulas_agree_on_smooth_curves() -> None:
    test = [(rate * 0.6 * 1.02 ** (psnr - 28), psnr) for rate, psnr in curve(low=29, high=41)]
    assert bd_rate(curve(), test) == pytest.approx(by_polynomial(curve(), test), abs=0.3)


@pytest.mark.parametrize("codec", ["webp", "avif", "jpeg444"])
def test_measured_bd_rates_agree_with_an_independent_formula(codec: str) -> None:
    paths = [RESULTS / f"{name}.json" for name in ("jpeg", codec)]
    if not all(map(Path.exists, paths)):
        pytest.skip(f"bench/results has no Kodak run of {codec}")
    names = sorted(records.load(paths[0])["rows"])
    anchor, test = (report.curve(records.load(path), "psnr", names) for path in paths)
    assert len(names) == 24
    assert bd_rate(anchor, test) == pytest.approx(by_lines(metrics.rising(anchor), metrics.rising(test)), abs=0.3)


def test_published_curves_agree_too() -> None:
    by_id = {curve.id: list(curve.points) for curve in curves("psnr", shown=None)}
    for name in ("vtm", "av1", "compressai-mbt2018-mean_mse_cuda"):
        # These have few points, and lines between them run above the curve.
        assert bd_rate(by_id["jpeg"], by_id[name]) == pytest.approx(by_lines(by_id["jpeg"], by_id[name]), abs=1.0)


def test_the_overlap_is_stated_and_warned_of() -> None:
    whole, part = curve(low=28, high=42, count=15), curve(0.5, low=30, high=34, count=5)
    result = metrics.bd_rate(whole, part)
    assert (result.low, result.high) == (30, 34)
    assert result.overlap == pytest.approx(4 / 14)
    assert result.method == "pchip"
    with pytest.warns(SmallOverlapWarning, match=r"share 29% of their range \(30.00 to 34.00\)"):
        bd_rate(whole, part)


def test_curves_apart_have_no_bd_rate() -> None:
    assert math.isnan(metrics.bd_rate(curve(low=20, high=25), curve(low=30, high=40)).percent)


def test_too_few_points() -> None:
    with pytest.raises(ValueError, match="test: 3 usable points, a BD-rate needs at least 4"):
        metrics.bd_rate(curve(), curve(count=3))


def test_points_that_cost_more_and_look_worse_are_left_out() -> None:
    assert metrics.rising([(2.0, 30.0), (1.0, 31.0), (3.0, 33.0), (4.0, 33.0)]) == [(1.0, 31.0), (3.0, 33.0)]
    spoiled = [*curve(0.5), (5.0, 30.0)]
    assert bd_rate(curve(), spoiled) == pytest.approx(-50, abs=1e-9)


def test_the_mean_curve_is_the_mean_of_rates_and_of_qualities() -> None:
    images = {
        "a": {"quality": [10.0, 20.0], "bytes": [100.0, 200.0], "psnr": [30.0, 32.0]},
        "b": {"quality": [10.0, 20.0], "bytes": [50.0, 100.0], "psnr": [34.0, None]},
    }
    pixels = {"a": 800, "b": 800}
    assert mean_curve(images, pixels) == [(0.75, 32.0)]  # quality 20 is lossless on b: no mean of it
    assert mean_curve(images, pixels, only=["a"]) == [(1.0, 30.0), (2.0, 32.0)]
    assert mean_curve(images, pixels, only=[]) == []


def test_ms_ssim_is_compared_in_db() -> None:
    points = image_points({"quality": [1.0], "bytes": [10.0], "ms-ssim": [0.99]}, 80, "ms-ssim")
    assert points == {1.0: (1.0, pytest.approx(20.0))}


def test_a_measured_codec_keeps_its_row_beside_a_published_one_of_its_name() -> None:
    paths = [RESULTS / f"{name}.json" for name in ("jpeg", "webp")]
    if not all(map(Path.exists, paths)):
        pytest.skip("bench/results has no Kodak run of WebP")
    measured = [records.load(path) for path in paths]
    table = report.summarize(measured, "jpeg", ["psnr"], {})["bd_rate"]["psnr"]
    assert table["webp"]["title"] == "WebP (method 6)"
    assert table["published:webp"]["title"] == "WebP, published"
    # What papers call -67.6 % is against a JPEG without optimized Huffman tables.
    assert table["published:vtm"]["against_published_jpeg"] == pytest.approx(-67.6, abs=0.1)
    # From 28.5 to 41 dB, against the JPEG that is measured here, with such tables.
    assert table["published:vtm"]["bd_rate"] == pytest.approx(-62.0, abs=0.1)


def test_within_an_interval_only_that_counts() -> None:
    """Half the bytes below 34 dB, twice as many above."""
    anchor = curve(count=29)
    test = [(rate * (0.5 if psnr < 34 else 2), psnr) for rate, psnr in anchor if abs(psnr - 34) > 0.01]
    low = bd_rate_within(anchor, test, (29, 33))
    assert (low.percent, low.low, low.high, low.overlap) == (pytest.approx(-50, abs=0.1), 29, 33, 1)
    assert bd_rate_within(anchor, test, (35, 41)).percent == pytest.approx(100, abs=0.1)
    half = bd_rate_within(anchor, curve(0.5, high=38), (34, 42))
    assert (half.percent, half.high, half.overlap) == (pytest.approx(-50, abs=0.1), 38, 0.5)
    assert math.isnan(bd_rate_within(anchor, test, (50, 60)).percent)


def test_the_whole_interval_is_that_of_the_package() -> None:
    test = [(rate * 0.6 * 1.02 ** (psnr - 28), psnr) for rate, psnr in curve(low=29, high=41)]
    whole = metrics.bd_rate(curve(), test)
    assert bd_rate_within(curve(), test, (0, 100)).percent == pytest.approx(whole.percent, abs=1e-6)


def test_ms_ssim_is_averaged_before_it_is_in_db() -> None:
    """As published curves are."""
    images = {name: {"quality": [1], "bytes": [100], "ms-ssim": [value]} for name, value in (("a", 0.9), ("b", 0.99))}
    assert mean_curve(images, {"a": 100, "b": 100}, "ms-ssim") == [(8.0, pytest.approx(scale("ms-ssim", 0.945)))]
