"""The integers of one window, chosen together: proximal gradient descent with momentum and a growing penalty.

    minimize over whole numbers r:   bits(r) + lambda * 255^2 * distortion(decode(r))

r is relaxed to v, any number. The bits are separable and have kinks, so each step takes the gradient of the distortion
alone and then solves for the bits exactly (`rates.proximal`; Beck & Teboulle 2009, with the heavy ball of Ochs et al.
2014). The penalty q (1 - q) h / 2 with h the distortion's curvature is how much rounding v at random would cost: its
weight grows past 1, so no value gains by staying between two whole numbers. No noise is drawn, unlike in stochastic
Gumbel annealing (Yang et al. 2020, arXiv 2006.04240), which needs three to ten times the passes for as much.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vaecodec.networks.network import CodecNetwork
from vaecodec.refine.distortion import Distortion
from vaecodec.refine.rates import RateCurve, penalized, proximal
from vaecodec.runtime.windows import Window

STEP = 0.12
"""Of the inverse curvature along each value, 0.8 with the momentum. At low levels the curvature along the worst
direction is a hundred times the mean, but the bits hold most values where they are; twice the step diverges there."""
MOMENTUM = 0.85
MOST_MOVED, MOST_MOVED_UNEVENLY = 0.3, 0.1
"""Of a value in a pass, before its bits have a say: of the squared error, and of a distortion with SSIMULACRA2. The
latter's norms are steep at the worst places of an image: there the curvature is far from what it is elsewhere."""
FEW_PASSES = 40
PENALTY_START, PENALTY_START_OF_FEW, PENALTY_END = 0.2, 0.5, 1.2
"""In units of the curvature. From 0.2 on there is more to gain, given the time to come back to whole numbers."""
LEAST_CURVATURE = 0.3
"""Bits per squared step: below, a value hardly matters, and a step would throw it far."""
PROBES = 2
NUDGE = 0.3
"""Of each value, one way and the other, for the curvature of a distortion that isn't the squared error."""
LEAST_PLACE, MOST_PLACE = 0.3, 30.0
"""Of the mean over the image."""
LEAST_SHARE = 0.3
"""Of the squared error's curvature: what the differences of two gradients give scatters."""
OVERSHOT = 1.02
"""A pass after which the objective is that much larger is taken back, and later ones are shorter."""
SHORTER = 0.5

Progress = Callable[[], None]


@dataclass(frozen=True)
class Problem:
    """One window. x [1, 3, H, W] in 0..1, p [1, P, h, w], index int64 and r float32 [1, M, h, w]; t = level / 63 [1].

    free: where r may change; elsewhere it stays. counted: the pixels whose distortion counts. weight: lambda * 255^2.
    narrow: the type in which convolutions may run, None for float32.
    """

    network: CodecNetwork
    rates: RateCurve
    distortion: Distortion
    x: Tensor
    p: Tensor
    t: Tensor
    index: Tensor
    r: Tensor
    free: Tensor
    counted: Window
    weight: float
    narrow: torch.dtype | None = None

    def decode(self, v: Tensor) -> Tensor:
        """v -> x_hat [1, 3, H, W] as the decoder would make it of r = v."""
        autocast: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if self.narrow is not None:
            autocast = torch.autocast(v.device.type, dtype=self.narrow)
        with autocast:
            gain = self.network.log_gain(self.t).exp()
            y_hat = self.network.run_context(self.p, gain, lambda _: v).y_hat
            return self.network.synthesize(y_hat, self.t)

    def distortion_bits(self, v: Tensor) -> Tensor:
        """The distortion of the counted pixels, in bits."""
        x_hat = self.counted.cut(self.decode(v)).clamp(0, 1)
        return self.weight * self.distortion(self.counted.cut(self.x), x_hat)

    def gradient(self, v: Tensor) -> tuple[float, Tensor]:
        """The distortion in bits, and its gradient where v is free."""
        with torch.enable_grad():
            v = v.detach().requires_grad_()
            value = self.distortion_bits(v)
            (gradient,) = torch.autograd.grad(value, v)
        return value.item(), gradient * self.free

    def curvature(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """The second derivative of the distortion along each value, in bits: the mean of a channel [1, M, 1, 1], times
        what a place has more or less of it [1, M, h, w] where the distortion isn't the squared error."""
        curvature = self._squared_error_curvature(v, generator)
        if self.distortion.ssimulacra2 > 0:
            curvature = torch.maximum(self._difference_curvature(v, generator).abs(), LEAST_SHARE * curvature)
        return curvature.clamp(min=LEAST_CURVATURE)

    def _squared_error_curvature(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """2 weight / 3 * diag(J^T J), J the Jacobian of the decoder, by random signs u: the mean of (J^T u)^2."""
        total = torch.zeros_like(v)
        for _ in range(PROBES):
            with torch.enable_grad():
                v = v.detach().requires_grad_()
                x_hat = self.counted.cut(self.decode(v))
                (gradient,) = torch.autograd.grad((x_hat * _signs(x_hat, generator)).sum(), v)
            total += gradient.square()
        return self._channel_means(total) * (2 * self.weight / 3 / PROBES)

    def _difference_curvature(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """diag(H) by random signs u: the mean of u * H u, H u from the gradients on both sides (Bekas et al. 2007); a
        factor for each channel times one for each place."""
        total = torch.zeros_like(v)
        for _ in range(PROBES):
            signs = _signs(v, generator) * self.free
            (_, ahead), (_, behind) = (self.gradient(v + side * NUDGE * signs) for side in (1, -1))
            total += signs * (ahead - behind)
        total /= 2 * NUDGE * PROBES
        channels = self._channel_means(total).abs()
        places = total.sum(1, keepdim=True) / (channels * self.free).sum(1, keepdim=True).clamp(min=1e-6)
        places = F.avg_pool2d(places, 3, 1, 1, count_include_pad=False)
        return channels * places.clamp(LEAST_PLACE, MOST_PLACE)

    def _channel_means(self, values: Tensor) -> Tensor:
        """Over the free places: [1, M, 1, 1]."""
        places = self.free.sum((2, 3), keepdim=True).clamp(min=1)
        return (values * self.free).sum((2, 3), keepdim=True) / places

    @torch.no_grad()
    def cost(self, r: Tensor) -> float:
        """What is made smaller: bits of the free integers and the distortion."""
        return float((self.rates.bits(self.index, r) * self.free).sum() + self.distortion_bits(r))


@torch.no_grad()
def descend(problem: Problem, passes: int, generator: torch.Generator, progress: Progress = lambda: None) -> Tensor:
    """Whole numbers like `problem.r`, never worse than these. progress: called after each pass."""
    rates, index, free = problem.rates, problem.index, problem.free
    curvature = problem.curvature(problem.r, generator)
    most_moved = MOST_MOVED_UNEVENLY if problem.distortion.ssimulacra2 > 0 else MOST_MOVED
    penalty = PENALTY_START_OF_FEW if passes <= FEW_PASSES else PENALTY_START
    step, v, before, distortion_before, gradient_before = STEP, problem.r, None, 0.0, problem.r
    for number in range(passes):
        weight = penalty + (PENALTY_END - penalty) * number / max(1, passes - 1)
        pull = weight * curvature
        distortion, gradient = problem.gradient(v)
        velocity = torch.zeros_like(v)
        if before is not None:
            now = distortion + _sum(penalized(rates, index, v, pull), free)
            then = distortion_before + _sum(penalized(rates, index, before, pull), free)
            if not now <= OVERSHOT * then:  # or not a number
                v, distortion, gradient, step = before, distortion_before, gradient_before, SHORTER * step
            elif now <= then:
                velocity = MOMENTUM * (v - before)
        w = v + (velocity - step * gradient / curvature).clamp(-most_moved, most_moved)
        before, distortion_before, gradient_before = v, distortion, gradient
        v = torch.where(free > 0, proximal(rates, index, w, curvature / step, pull), v)
        progress()
    r = torch.where(free > 0, v.round(), problem.r)
    return r if problem.cost(r) < problem.cost(problem.r) else problem.r


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """1 or -1, by chance."""
    return torch.randint(0, 2, like.shape, generator=generator).to(like) * 2 - 1


def _sum(values: Tensor, free: Tensor) -> float:
    return float((values * free).sum())
