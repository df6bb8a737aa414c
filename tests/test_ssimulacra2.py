"""SSIMULACRA2 as a loss against the package `ssimulacra2`, and its gradient against finite differences."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vaecodec.networks.ssimulacra2 import LEAST_SIDE, ssimulacra2

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*.[jp][pn]g"))


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255).permute(2, 0, 1)[None]


def _package_score(image: Image.Image, other: Image.Image, folder: Path) -> float:
    compute = pytest.importorskip("ssimulacra2").compute_ssimulacra2
    paths = [folder / "a.bmp", folder / "b.bmp"]
    for path, pixels in zip(paths, (image, other), strict=True):
        pixels.save(path)
    return float(compute(*map(str, paths)))


def _coded(image: Image.Image, form: str, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return Image.open(buffer).convert("RGB")


def _pair(number: int) -> tuple[Image.Image, Image.Image]:
    """A crop of a sample and what JPEG or WebP makes of it: odd and even sizes, from visually lossless to worthless."""
    width, height = 240 + 7 * (number % 3), 256 - 5 * (number % 2)
    with Image.open(SAMPLES[number % len(SAMPLES)]) as photo:
        left, top = (photo.width - width) * number // 24, (photo.height - height) * (23 - number) // 24
        image = photo.convert("RGB").crop((left, top, left + width, top + height))
    return image, _coded(image, ("JPEG", "WEBP")[number % 2], (10, 40, 75, 93)[number % 4])


@pytest.mark.parametrize("number", range(24))
def test_the_score_is_that_of_the_package(number: int, tmp_path: Path) -> None:
    image, other = _pair(number)
    score = ssimulacra2(_tensor(image), _tensor(other)).score.item()
    assert abs(score - _package_score(image, other, tmp_path)) < 0.1


def test_the_gradient_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 0.2 + 0.6 * torch.rand(1, 3, 8, 8, generator=generator).repeat_interleave(16, 2).repeat_interleave(16, 3)
    x_hat = (x + 0.05 * torch.randn(x.shape, generator=generator)).clamp(0.05, 0.95).requires_grad_()
    ssimulacra2(x, x_hat).dissimilarity.sum().backward()  # type: ignore[no-untyped-call]
    assert x_hat.grad is not None
    direction = x_hat.grad / x_hat.grad.norm()
    step = 0.02
    with torch.no_grad():
        ahead, behind = (ssimulacra2(x, x_hat + sign * step * direction).dissimilarity.item() for sign in (1, -1))
    assert (ahead - behind) / (2 * step) == pytest.approx(x_hat.grad.norm().item(), rel=0.02)


@pytest.mark.parametrize("x", [torch.zeros(1, 3, 128, 128), torch.ones(1, 3, 128, 128)])
@pytest.mark.parametrize("equal", [True, False])
def test_gradients_are_finite_where_roots_and_powers_have_none(x: Tensor, equal: bool) -> None:
    x_hat = (x if equal else 1 - x).clone().requires_grad_()
    result = ssimulacra2(x, x_hat)
    assert (result.score.item() > 99.9) == equal
    result.dissimilarity.sum().backward()  # type: ignore[no-untyped-call]
    assert x_hat.grad is not None
    assert bool(torch.isfinite(x_hat.grad).all())


def test_each_image_of_a_batch_has_the_score_it_has_alone() -> None:
    x = torch.rand(2, 3, 128, 144, generator=torch.Generator().manual_seed(0))
    x_hat = x.flip(0)
    together, alone = ssimulacra2(x, x_hat), ssimulacra2(x[1:], x_hat[1:])
    assert together.score[1].item() == pytest.approx(alone.score.item(), abs=1e-3)


def test_an_image_too_small_for_five_scales_is_refused() -> None:
    with pytest.raises(ValueError, match=f"at least {LEAST_SIDE}"):
        ssimulacra2(torch.zeros(1, 3, 128, 127), torch.zeros(1, 3, 128, 127))
