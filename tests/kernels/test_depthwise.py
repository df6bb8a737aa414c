"""The depthwise kernel: its NumPy reference, exact where all numbers are small integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vaecodec_kernels.depthwise import STRIP, depthwise, make_weights
from vaecodec_kernels.errors import KernelInputError

SHAPES = [
    *((1, 4, 1, 1), (2, 8, 3, 5), (1, 12, STRIP, 16), (1, 20, STRIP + 1, 17), (2, 70, 2 * STRIP - 1, 3)),
    *((1, 4, 7, 9), (1, 4, 25, 40)),
]


def reference(
    x: NDArray[np.floating],
    weight: NDArray[np.floating],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    silu: bool,
) -> NDArray[np.float64]:
    """The specification: x [B, C, h, w], weight [C, 1, 3, 3], biases [C], in float64."""
    value = x.astype(np.float64) + before[:, None, None]
    if silu:
        value = value / (1 + np.exp(-value))
    height, width = x.shape[2:]
    padded = np.pad(value, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros(x.shape) + after[:, None, None]
    for row in range(3):
        for column in range(3):
            out += weight[:, 0, row, column][:, None, None] * padded[:, :, row : row + height, column : column + width]
    return out


def _integers(shape: tuple[int, ...], seed: int) -> tuple[torch.Tensor, ...]:
    """x, weight, before, after: sums stay exact in float32, and in half precision."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (shape, (shape[1], 1, 3, 3), (shape[1],), (shape[1],))
    return tuple(torch.randint(-3, 4, size, generator=generator).float() for size in sizes)


def _run(
    x: torch.Tensor, weight: torch.Tensor, before: torch.Tensor, after: torch.Tensor, device: torch.device, silu: bool
) -> torch.Tensor:
    x_on_device = x.to(device).contiguous(memory_format=torch.channels_last)
    out = torch.full_like(x_on_device, float("nan"))
    depthwise(x_on_device, make_weights(weight.to(device), before.to(device), after.to(device)), out, silu=silu)
    return out.cpu()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers_are_exact(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
    x, *rest = _integers(shape, 1)
    output = _run(x.to(dtype), *rest, device, silu=False)
    expected = reference(x.numpy(), *(t.numpy() for t in rest), silu=False)
    assert output.dtype == dtype
    assert torch.equal(output, torch.from_numpy(expected).to(dtype))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_silu_before_the_padding(shape: tuple[int, ...], device: torch.device) -> None:
    generator = torch.Generator().manual_seed(2)
    x = 4 * torch.randn(shape, generator=generator)
    weight, before, after = (torch.randn(s, generator=generator) for s in ((shape[1], 1, 3, 3), shape[1:2], shape[1:2]))
    output = _run(x, weight, before, after, device, silu=True)
    expected = reference(x.numpy(), weight.numpy(), before.numpy(), after.numpy(), silu=True)
    assert np.allclose(output.numpy(), expected, rtol=1e-5, atol=1e-4)
    entered = F.silu(x + before[:, None, None])
    eager = F.conv2d(entered, weight, after, padding=1, groups=shape[1])
    assert torch.allclose(output, eager, rtol=1e-5, atol=1e-4)
    half = _run(x.half(), weight, before, after, device, silu=True)
    assert half.dtype == torch.float16
    assert (half.float() - output).abs().max() < 0.05


def test_arguments_are_checked(device: torch.device) -> None:
    weights = make_weights(torch.zeros(8, 1, 3, 3, device=device), None, None)
    x = torch.zeros(1, 8, 2, 3, device=device).contiguous(memory_format=torch.channels_last)
    with pytest.raises(KernelInputError, match="weight has shape"):
        make_weights(torch.zeros(8, 8, 3, 3), None, None)
    with pytest.raises(KernelInputError, match="before has shape"):
        make_weights(torch.zeros(8, 1, 3, 3), torch.zeros(7), None)
    with pytest.raises(KernelInputError, match="x has shape"):
        depthwise(x[:, :4], weights, x[:, :4])
    with pytest.raises(KernelInputError, match="channels-last"):
        depthwise(x.contiguous(), weights, torch.empty_like(x))
    with pytest.raises(KernelInputError, match="out is"):
        depthwise(x, weights, x.half())
