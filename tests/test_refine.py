"""Refinement at encode time: the rates it weighs, its gradient, its windows, and that the files stay ordinary."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import vaecodec
from vaecodec.cli.program import cli
from vaecodec.codec import Codec
from vaecodec.entropy.coding import Latents
from vaecodec.errors import BackendError, InputError, TargetError
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import level_lambda
from vaecodec.metrics import psnr_of, squared_error
from vaecodec.refine import PASSES, passes_of
from vaecodec.refine.descent import Problem, descend
from vaecodec.refine.distortion import Distortion
from vaecodec.refine.rates import RateCurve, penalized, proximal
from vaecodec.refine.refiner import Refiner, bytes_per_pixel, tiles
from vaecodec.runtime.loading import TorchModel, load_model
from vaecodec.runtime.windows import Pixels, Window

SAMPLES = Path(__file__).parents[1] / "samples"
CPU = torch.device("cpu")
LEVEL = 24


@pytest.fixture(scope="module")
def lake() -> Pixels:
    """96 x 64 pixels: two positions of z, half of one is padding."""
    with Image.open(SAMPLES / "mountain-lake.jpg") as photo:
        return np.asarray(photo.convert("RGB").crop((600, 300, 792, 428)).resize((96, 64)))


def _once(codec: Codec, pixels: Pixels) -> Latents:
    return codec.encode_with_latents(pixels, level=LEVEL).latents


def _index(model: TorchModel, latents: Latents) -> NDArray[np.uint8]:
    return scale_index(latents.z_hat, latents.level, model.entropy.layers)


@pytest.fixture(scope="module")
def codec() -> Codec:
    """Of the model of squared error, in float32 everywhere."""
    return Codec("base", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def plain(codec: Codec) -> TorchModel:
    return load_model(codec._engines.stored())


@pytest.fixture(scope="module")
def start(codec: Codec, lake: Pixels) -> Latents:
    return _once(codec, lake)


@pytest.fixture(scope="module")
def problem(plain: TorchModel, lake: Pixels, start: Latents) -> Problem:
    return Refiner(plain, CPU)._problem(lake, start, _index(plain, start), start.r, Window(0, 1, 0, 2), 1.0)


@pytest.fixture(params=["squared error", "SSIMULACRA2"])
def either_problem(problem: Problem, request: pytest.FixtureRequest) -> Problem:
    share = 0.0 if request.param == "squared error" else 0.6
    return replace(problem, distortion=Distortion(share))


# Rates


def test_at_whole_numbers_a_rate_is_that_of_the_table(plain: TorchModel) -> None:
    rates, tables = RateCurve(plain.entropy, CPU), plain.entropy.y_tables
    index = torch.arange(1, 64)
    for value, symbol in ((0, 0), (1, 1), (-1, 2), (2, 3), (-2, 4)):
        has_it = torch.from_numpy(tables.sizes[1:] > symbol)
        bits = rates.bits(index, torch.full((63,), float(value)))[has_it]
        assert torch.allclose(bits.double(), torch.from_numpy(tables.bits[1:, symbol])[has_it], atol=1e-5)


def test_between_whole_numbers_a_rate_is_their_mean_by_chance(plain: TorchModel) -> None:
    rates, index = RateCurve(plain.entropy, CPU), torch.arange(1, 64)
    low, high = (rates.bits(index, torch.full((63,), value)) for value in (-1.0, 0.0))
    assert torch.allclose(rates.bits(index, torch.full((63,), -0.3)), 0.3 * low + 0.7 * high, atol=1e-5)


def test_a_value_beyond_its_table_costs_more_the_farther_it_is(plain: TorchModel) -> None:
    rates, largest = RateCurve(plain.entropy, CPU), (int(plain.entropy.y_tables.sizes.max()) - 1) // 2
    far = torch.tensor([largest, largest + 1.0, 1e6])
    bits = rates.bits(torch.full((3,), int(plain.entropy.y_tables.sizes.argmax())), far)
    assert bits[0] < bits[1] <= bits[2] < torch.inf


def test_the_proximal_step_finds_the_least_of_a_fine_grid(plain: TorchModel) -> None:
    rates, generator = RateCurve(plain.entropy, CPU), torch.Generator().manual_seed(0)
    index = torch.randint(1, 64, (200,), generator=generator)
    w, pull = 3 * torch.randn(200, generator=generator), 15 * torch.rand(200, generator=generator)
    stiffness = pull + 30 * torch.rand(200, generator=generator) + 1

    def cost(v: Tensor) -> Tensor:
        return 0.5 * stiffness * (v - w).square() + penalized(rates, index, v, pull)

    least = cost(proximal(rates, index, w, stiffness, pull))
    for offset in torch.linspace(-1, 1, 401):
        assert bool((least <= cost(w + offset) + 1e-3).all())


# Gradient


def test_the_gradient_is_that_of_finite_differences(either_problem: Problem) -> None:
    v = either_problem.r
    _, gradient = either_problem.gradient(v)
    direction = gradient / gradient.norm()
    step = 0.05
    ahead, behind = (float(either_problem.distortion_bits(v + sign * step * direction)) for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_the_gradient_of_one_value_goes_through_the_context(problem: Problem) -> None:
    """One value moves the means of those decoded after it, and all that they move."""
    _, gradient = problem.gradient(problem.r)
    place = tuple(int(i) for i in np.unravel_index(int(gradient.abs().argmax()), gradient.shape))
    nudge = torch.zeros_like(problem.r)
    nudge[place] = 0.02
    ahead, behind = (float(problem.distortion_bits(problem.r + sign * nudge)) for sign in (1, -1))
    assert (ahead - behind) / 0.04 == pytest.approx(float(gradient[place]), rel=0.05)


def test_the_curvature_of_the_squared_error_is_that_of_its_gradients(problem: Problem) -> None:
    """As a sum over all values: x_hat is nearly linear in v, and its clamp touches no pixel here."""
    generator = torch.Generator().manual_seed(0)
    by_jacobian, by_gradients = (
        sum(float((estimate(problem.r, generator) * problem.free).sum()) for _ in range(4))
        for estimate in (problem._squared_error_curvature, problem._difference_curvature)
    )
    assert by_gradients == pytest.approx(by_jacobian, rel=0.3)


# Descent


def test_refined_integers_cost_less_and_stay_whole(either_problem: Problem) -> None:
    r = descend(either_problem, 12, torch.Generator().manual_seed(1))
    assert torch.equal(r, r.round())
    assert torch.equal(r[either_problem.free == 0], either_problem.r[either_problem.free == 0])
    assert either_problem.cost(r) < 0.995 * either_problem.cost(either_problem.r)


def test_more_passes_cost_less_still(problem: Problem) -> None:
    costs = [problem.cost(descend(problem, passes, torch.Generator().manual_seed(1))) for passes in (4, 16)]
    assert costs[1] < costs[0]


def test_a_step_that_throws_everything_away_is_taken_back(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaecodec.refine.descent.STEP", 5.0)
    r = descend(problem, 12, torch.Generator().manual_seed(1))
    assert problem.cost(r) <= problem.cost(problem.r)


# Windows


@pytest.mark.parametrize(("height", "width", "most"), [(1, 1, 12), (13, 12, 12), (7, 25, 3)])
def test_tiles_cover_each_position_once(height: int, width: int, most: int) -> None:
    times = np.zeros((height, width), int)
    for tile in tiles(height, width, most):
        assert max(tile.height, tile.width) <= most
        tile.cut(times)[...] += 1
    assert (times == 1).all()


def _cost(plain: TorchModel, pixels: Pixels, start: Latents, r: NDArray[np.int32]) -> float:
    """Bits and weighed distortion of a whole image, by the decoder's own networks."""
    with torch.no_grad():
        t = torch.tensor([start.level / 63])
        p = plain.network.prior(torch.from_numpy(start.z_hat)[None].float(), t)
        integers = torch.from_numpy(r)[None].float()
        y_hat = plain.network.run_context(p, plain.network.log_gain(t).exp(), lambda _: integers).y_hat
        x_hat = plain.network.synthesize(y_hat, t)[0, :, : pixels.shape[0], : pixels.shape[1]].clamp(0, 1)
        index = torch.from_numpy(_index(plain, start)).long()
        bits = (RateCurve(plain.entropy, CPU).bits(index, integers[0]) * (index > 0)).sum()
        x = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
        return float(bits + level_lambda(start.level) * 255**2 / 3 * (x_hat - x).square().sum())


def test_windows_gain_about_what_the_whole_image_gains(
    codec: Codec, plain: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Image.open(SAMPLES / "osprey.jpg") as photo:
        pixels = np.asarray(photo.convert("RGB").crop((300, 300, 492, 420)))
    start = _once(codec, pixels)
    index = _index(plain, start)
    refiner, before = Refiner(plain, CPU), _cost(plain, pixels, start, start.r)
    whole = before - _cost(plain, pixels, start, refiner.refine(pixels, start, index, 12))
    monkeypatch.setattr("vaecodec.refine.refiner.MOST_CELLS", 2)
    windows = before - _cost(plain, pixels, start, refiner.refine(pixels, start, index, 12))
    assert whole > 0.01 * before
    assert windows == pytest.approx(whole, rel=0.25)


def test_less_memory_means_smaller_windows_and_too_little_is_refused(
    plain: TorchModel, lake: Pixels, start: Latents
) -> None:
    calls: list[tuple[int, int]] = []
    three_cells = round(bytes_per_pixel(plain.config) * 64**2 * 9)
    r = Refiner(plain, CPU).refine(
        lake,
        start,
        _index(plain, start),
        2,
        max_memory=three_cells + 1,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 4) for done in range(1, 5)]
    assert r.shape == start.r.shape
    with pytest.raises(InputError, match=r"max_memory leaves .* raise it"):
        Refiner(plain, CPU).refine(lake, start, _index(plain, start), 2, max_memory=three_cells // 2)


# Distortion


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({}, 0.0),
        ({"tune": "psnr", "ssimulacra2_share": 0.5}, 0.0),
        ({"tune": "perceptual"}, 0.5),
        ({"tune": "perceptual", "ssimulacra2_share": 0.5, "ms_ssim_share": 0.25}, 2 / 3),
        ({"tune": "perceptual", "ssimulacra2_share": 0.0, "ms_ssim_share": 0.25}, 0.5),
        ({"tune": "perceptual", "ssimulacra2_share": 1.0, "ms_ssim_share": 0.0}, 1.0),
    ],
)
def test_the_distortion_is_that_of_the_model_without_ms_ssim(settings: dict[str, object], share: float) -> None:
    assert Distortion.of_card({"settings": settings}).ssimulacra2 == pytest.approx(share)


def test_small_images_have_a_distortion_too() -> None:
    x = torch.rand(1, 3, 9, 70, generator=torch.Generator().manual_seed(0))
    assert float(Distortion(0.5)(x, x.flip(2))) > 0
    assert float(Distortion(0.5)(x, x)) == pytest.approx(0, abs=1e-3)


# The doors


def _psnr(pixels: Pixels, data: bytes) -> float:
    decoded = vaecodec.decode(data, as_array=True, device="cpu")
    return psnr_of(squared_error(pixels, decoded), pixels.size)


def _latents(codec: Codec, data: bytes) -> Latents:
    return codec.decode_latents(data)


def test_effort_gives_a_smaller_or_better_file_of_the_same_level(codec: Codec, lake: Pixels) -> None:
    once, refined = codec.encode(lake, level=LEVEL), codec.encode(lake, level=LEVEL, effort=6, verify=True)
    costs = [8 * len(data) + level_lambda(LEVEL) * 10 ** (-_psnr(lake, data) / 10) * 255**2 * lake.size / 3
             for data in (once, refined)]  # fmt: skip
    assert costs[1] < 0.99 * costs[0]
    latents = [_latents(codec, data) for data in (once, refined)]
    assert latents[0].level == latents[1].level
    assert np.array_equal(latents[0].z_hat, latents[1].z_hat)
    assert not np.array_equal(latents[0].r, latents[1].r)


def test_efforts_up_to_four_are_one_pass(codec: Codec, lake: Pixels) -> None:
    assert {codec.encode(lake, effort=effort) for effort in (1, 2, 3, 4)} == {codec.encode(lake)}


def test_an_image_is_refined_alike_each_time(codec: Codec, lake: Pixels) -> None:
    assert codec.encode(lake, effort=5) == codec.encode(lake, effort=5)


def test_a_batch_is_refined_one_by_one(codec: Codec, lake: Pixels) -> None:
    small = lake[:40, :50]
    assert codec.encode_batch([lake, small], effort=5) == [codec.encode(lake, effort=5), codec.encode(small, effort=5)]


@pytest.mark.parametrize("size", [(1, 1), (17, 70)])
@pytest.mark.parametrize("model", ["base", "base-perceptual"])
def test_any_size_can_be_refined(model: str, size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size, 4), np.uint8))
    decoded = vaecodec.decode(
        vaecodec.encode(image, 30, model=model, effort=5, device="cpu", mode="neural"), device="cpu"
    )
    assert (decoded.size, decoded.mode) == (image.size, "RGBA")


@pytest.mark.parametrize("share", [0.7, 1.1])
def test_a_target_in_bytes_is_kept_and_used(codec: Codec, lake: Pixels, share: float) -> None:
    target = round(share * len(codec.encode(lake, level=LEVEL)))
    once, refined = (codec.encode(lake, target_bytes=target, effort=effort) for effort in (4, 6))
    assert 0.95 * target < len(refined) <= target
    assert _psnr(lake, refined) > _psnr(lake, once) + 0.03


def test_a_target_in_psnr_is_reached_in_fewer_bytes(codec: Codec, lake: Pixels) -> None:
    once, refined = (codec.encode(lake, target_psnr=28.0, effort=effort) for effort in (4, 5))
    assert 28.0 <= _psnr(lake, refined) < 28.3  # a level is a quarter of a decibel
    assert len(refined) < 0.99 * len(once)


def test_a_target_out_of_reach_is_an_error_before_anything_is_refined(codec: Codec, lake: Pixels) -> None:
    with pytest.raises(TargetError):
        codec.encode(lake, target_bytes=50, effort=9)


@pytest.mark.parametrize("effort", [0, 10, -1, 4.0, True, "9", None])
def test_an_effort_that_there_is_not_is_refused(codec: Codec, lake: Pixels, effort: object) -> None:
    with pytest.raises(InputError, match=r"effort is .*; it must be a whole number 1\.\.9"):
        codec.encode(lake, effort=effort)  # type: ignore[arg-type]


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaecodec.runtime.devices.has_torch", lambda: False)
    assert passes_of(4) == 0
    with pytest.raises(BackendError, match=r"effort 6 .*pip install 'vaecodec\[torch\]'"):
        passes_of(6)


def test_every_effort_has_more_passes_than_the_one_before() -> None:
    passes = [passes_of(effort) for effort in range(1, 10)]
    assert passes == sorted(passes)
    assert len(set(passes[3:])) == 6
    assert PASSES[6] <= 40 - 8  # up to six for the curvature, and two halves for the costs


def test_pillow_saves_with_an_effort(lake: Pixels) -> None:
    vaecodec.register_pillow()
    buffer = io.BytesIO()
    Image.fromarray(lake).save(buffer, "VAEC", quality=30, model="base", device="cpu", effort=5)
    assert buffer.getvalue() == vaecodec.encode(lake, 30, model="base", device="cpu", effort=5)


def test_progress_is_told_of_each_pass(codec: Codec, lake: Pixels) -> None:
    calls: list[tuple[int, int]] = []
    codec.encode(lake, effort=5, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, PASSES[5]) for done in range(1, PASSES[5] + 1)]


def test_the_command_takes_an_effort_and_refuses_what_is_none(lake: Pixels, tmp_path: Path) -> None:
    Image.fromarray(lake).save(tmp_path / "lake.png")
    common = ["compress", str(tmp_path / "lake.png"), "-q", "30", "--model", "base", "--device", "cpu"]
    result = CliRunner().invoke(cli, [*common, "--effort", "5"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "lake.vaec").read_bytes() == vaecodec.encode(lake, 30, model="base", device="cpu", effort=5)
    result = CliRunner().invoke(cli, [*common, "--effort", "10", "--overwrite"])
    assert result.exit_code == 2
    assert "10 is not in the range 1<=x<=9" in result.output


def test_the_command_says_at_once_what_an_effort_needs(
    lake: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaecodec.runtime.devices.has_torch", lambda: False)
    Image.fromarray(lake).save(tmp_path / "lake.png")
    result = CliRunner().invoke(cli, ["compress", str(tmp_path / "lake.png"), "--effort", "9"])
    assert result.exit_code not in (0, 2)
    assert "pip install 'vaecodec[torch]'" in result.output
    assert not (tmp_path / "lake.vaec").exists()
