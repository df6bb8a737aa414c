"""Muon: momentum, orthogonalized by Newton-Schulz, for convolution matrices (Jordan et al. 2024).

torch.optim.Muon takes 2D parameters one by one; here convolutions [out, in, k, k] count as [out, in*k*k], and equal
shapes go through Newton-Schulz as one batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def newton_schulz(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearest orthogonal matrices, roughly (singular values 0.7..1.2): [n, rows, cols] -> the same shape."""
    a, b, c = _COEFFICIENTS
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum; the step is lr * sqrt(max(1, rows / cols)) in spectral norm."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override] # noqa: ARG002
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[(p.shape[0], p[0].numel())].append(p)
            for shape, members in shapes.items():
                self._step_shape(group, shape, members)

    def _step_shape(self, group: dict[str, Any], shape: tuple[int, int], members: list[Tensor]) -> None:
        gradients = [p.grad for p in members if p.grad is not None]
        buffers = [self._momentum(p) for p in members]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, buffers, group["momentum"])
        matrices = newton_schulz(torch.stack([update.reshape(shape) for update in updates]))
        scale = -group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
        steps = [matrix.view_as(p) for p, matrix in zip(members, matrices, strict=True)]
        torch._foreach_add_(members, steps, alpha=scale)

    def _momentum(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        momentum: Tensor = state["momentum"]
        return momentum


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What learns: matrices for Muon, everything else for AdamW (biases, depthwise kernels, gains and tables)."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for p in model.parameters():
        if not p.requires_grad:
            continue
        is_matrix = p.ndim == 4 and p.shape[1] > 1
        (matrices if is_matrix else others).append(p)
    return matrices, others
