"""Straight-through operators of training: rounding in the forward pass, a useful gradient in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def ste_round(x: Tensor) -> Tensor:
    """round(x) forward (ties to even), identity backward (Bengio et al. 2013, arXiv 1308.3432)."""
    return x + (x.round() - x).detach()


class _ClampThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (low, high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        # Outside the range only a gradient that leads back into it passes.
        blocked = ((x < low) & (grads[0] > 0)) | ((x > high) & (grads[0] < 0))
        return grads[0].masked_fill(blocked, 0), None, None


def clamp_through(x: Tensor, low: float, high: float) -> Tensor:
    """clamp(x) that still learns outside the range when the gradient leads back into it.

    On a CPU a look comes first: mostly nothing is outside, and the masks of the way back would take longer than the
    convolutions beside them. On a GPU the look would wait for it, and a compiler fuses the masks.
    """
    if x.device.type == "cpu" and not torch.compiler.is_compiling() and _is_within(x.detach(), low, high):
        return x
    result: Tensor = _ClampThrough.apply(x, low, high)  # type: ignore[no-untyped-call]
    return result


def _is_within(x: Tensor, low: float, high: float) -> bool:
    """Whether all values are; False for what is no number."""
    if x.numel() == 0:
        return True
    # A tensor with channels last would be copied first.
    least, most = torch.aminmax(x if x.is_contiguous() or x.ndim < 2 else x.movedim(1, -1))
    return bool(low <= least and most <= high)
