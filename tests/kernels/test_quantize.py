"""Quantization of context steps: equal to the float32 formula, untouched places untouched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vaecodec.networks.config import POSITIONS, STEPS
from vaecodec.networks.network import step_mask
from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.quantize import dequantize_step, quantize_step

SHAPES = [(1, 4, 1, 1), (2, 8, 3, 5), (1, 12, 4, 33), (2, 64, 2, 2), (1, 80, 5, 7), (1, 4, 7, 9), (1, 8, 5, 25)]


def _inputs(shape: tuple[int, ...], seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """y, mu, gain, index: with ties, zeros, signs and values beyond 2^23 among the residuals."""
    rng = np.random.default_rng(seed)
    mu = rng.normal(0, 3, shape).astype(np.float32)
    y = rng.normal(0, 20, shape).astype(np.float32)
    tie = rng.random(shape) < 0.3
    mu[tie], y[tie] = 0.25, 0.25 + rng.integers(-8, 9, int(tie.sum())) / 4
    y.flat[0] = 3e7
    gain = np.exp(rng.normal(0, 1, shape[:2])).astype(np.float32)
    gain[:, 0] = 2.0
    index = rng.integers(0, 4, shape).astype(np.uint8)
    return torch.from_numpy(y), torch.from_numpy(mu), torch.from_numpy(gain), torch.from_numpy(index)


def _expected(
    y: torch.Tensor, mu: torch.Tensor, gain: torch.Tensor, index: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The specification, in NumPy: r int32 and y_hat float32 at all places."""
    wide = gain.numpy()[:, :, None, None]
    r = np.rint(wide * (y.numpy() - mu.numpy())) * (index.numpy() > 0)
    return torch.from_numpy(r.astype(np.int32)), torch.from_numpy(mu.numpy() + r / wide)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_steps_equal_the_formula(shape: tuple[int, ...], layout: torch.memory_format, device: torch.device) -> None:
    r = torch.full(shape, -77, dtype=torch.int32, device=device).contiguous(memory_format=layout)
    y_hat = torch.full(shape, -7.5, device=device).contiguous(memory_format=layout)
    again = y_hat.clone()
    expected_r, expected_hat = r.cpu().clone(), y_hat.cpu().clone()
    for step in range(STEPS):
        y, mu, gain, index = _inputs(shape, step)
        on_device = [t.to(device).contiguous(memory_format=layout) for t in (y, mu, index)]
        gain_d = gain.to(device)
        quantize_step(on_device[0], on_device[1], gain_d, on_device[2], r, y_hat, step=step, positions=POSITIONS)
        mask = step_mask(step, *shape[1:], torch.device("cpu")).expand(shape) > 0
        all_r, all_hat = _expected(y, mu, gain, index)
        expected_r, expected_hat = torch.where(mask, all_r, expected_r), torch.where(mask, all_hat, expected_hat)
        assert torch.equal(r.cpu(), expected_r)
        assert torch.equal(y_hat.cpu(), expected_hat)
        dequantize_step(r, on_device[1], gain_d, again, step=step, positions=POSITIONS)
        assert torch.equal(again, y_hat)


def test_all_skipped_gives_the_means(device: torch.device) -> None:
    shape = (1, 8, 4, 4)
    y, mu, gain, _ = (tensor.to(device) for tensor in _inputs(shape, 3))
    index = torch.zeros(shape, dtype=torch.uint8, device=device)
    r = torch.full(shape, 5, dtype=torch.int32, device=device)
    y_hat = torch.full(shape, float("nan"), device=device)
    for step in range(STEPS):
        quantize_step(y, mu, gain, index, r, y_hat, step=step, positions=POSITIONS)
    assert not r.any()
    assert torch.equal(y_hat, mu)


def test_half_precision_inputs_are_widened_first(device: torch.device) -> None:
    shape = (1, 8, 2, 6)
    y, mu, gain, index = _inputs(shape, 1)
    y, mu = y.clamp(-100, 100).bfloat16(), mu.bfloat16()
    r = torch.zeros(shape, dtype=torch.int32, device=device)
    y_hat = torch.zeros(shape, device=device)
    for step in range(STEPS):
        half = (y.to(device), mu.to(device), gain.to(device), index.to(device))
        quantize_step(*half, r, y_hat, step=step, positions=POSITIONS)
    expected_r, expected_hat = _expected(y.float(), mu.float(), gain, index)
    assert torch.equal(r.cpu(), expected_r)
    assert torch.equal(y_hat.cpu(), expected_hat)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dead_zone_and_r_in_the_memory_of_y(shape: tuple[int, ...], device: torch.device) -> None:
    zone = torch.tensor([0.5, 0.0, 0.2, 0.5])
    y, mu, gain, index = _inputs(shape, 5)
    wide = gain.numpy()[:, :, None, None]
    v = wide * (y.numpy() - mu.numpy())
    limit = zone.numpy()[index.numpy()]
    expected = np.rint(v - v.clip(-limit, limit)) * (index.numpy() > 0)
    overwritten = y.to(device)
    r, y_hat = overwritten.view(torch.int32), torch.full(shape, float("nan"), device=device)
    tensors = (overwritten, mu.to(device), gain.to(device), index.to(device), r, y_hat)
    for step in range(STEPS):
        quantize_step(*tensors, step=step, positions=POSITIONS, dead_zone=zone.to(device))
    assert np.array_equal(r.cpu().numpy(), expected.astype(np.int32))
    assert np.array_equal(
        y_hat.cpu().numpy(), mu.numpy() + expected.astype(np.float32) / gain.numpy()[:, :, None, None]
    )


def test_arguments_are_checked(device: torch.device) -> None:
    shape = (1, 8, 2, 2)
    y, mu, gain, index = (tensor.to(device) for tensor in _inputs(shape, 1))
    r, y_hat = torch.zeros(shape, dtype=torch.int32, device=device), torch.zeros(shape, device=device)
    with pytest.raises(KernelInputError, match="step is 4"):
        quantize_step(y, mu, gain, index, r, y_hat, step=4, positions=POSITIONS)
    with pytest.raises(KernelInputError, match="places"):
        quantize_step(y, mu, gain, index, r, y_hat, step=0, positions=POSITIONS[:3])
    with pytest.raises(KernelInputError, match="index is"):
        quantize_step(y, mu, gain, index.int(), r, y_hat, step=0, positions=POSITIONS)
    with pytest.raises(KernelInputError, match="gain has shape"):
        quantize_step(y, mu, gain[:, :4], index, r, y_hat, step=0, positions=POSITIONS)
    with pytest.raises(KernelInputError, match="r is"):
        dequantize_step(y, mu, gain, y_hat, step=0, positions=POSITIONS)
    with pytest.raises(KernelInputError, match="dead_zone is"):
        quantize_step(y, mu, gain, index, r, y_hat, step=0, positions=POSITIONS, dead_zone=index)
    with pytest.raises(KernelInputError, match="is on meta"):
        quantize_step(y.to("meta"), mu, gain, index, r, y_hat, step=0, positions=POSITIONS)
