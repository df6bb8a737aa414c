"""The depthwise kernel's part of `python -m bench kernels`: the middle of a block of g_a or g_s, at 1/8 of the picture.

Eager PyTorch does what the network does: a bias (which its 1x1 convolution adds), SiLU in place, and a grouped
convolution with cuDNN or its own kernel (float32 without TF32), all channels last.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.gpu.cases import Case, Sizes
from vaecodec.networks.config import PATCH
from vaecodec.networks.exact import convolve
from vaecodec_kernels.depthwise import depthwise, make_weights

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
WIDTH_PER_N = 2
"""C of a config over its N, about."""
TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.2}
"""Of results around 1..10: a half type rounds the input of the convolution in eager PyTorch, not in the kernel."""


def depthwise_cases(sizes: Sizes, device: torch.device) -> Iterator[Case]:
    """One case for each type."""
    generator = torch.Generator(device).manual_seed(3)
    channels = WIDTH_PER_N * sizes.n
    shape = (sizes.batch, channels, sizes.height // PATCH, sizes.width // PATCH)
    weight = torch.randn(channels, 1, 3, 3, device=device, generator=generator) / 3
    before, after = (torch.randn(channels, device=device, generator=generator) for _ in range(2))
    wide = torch.randn(shape, device=device, generator=generator).contiguous(memory_format=torch.channels_last)
    for name, dtype in DTYPES.items():
        yield _case(name, wide.to(dtype), weight.to(dtype), before.to(dtype), after.to(dtype))


def _case(name: str, x: Tensor, weight: Tensor, before: Tensor, after: Tensor) -> Case:
    weights, out = make_weights(weight, before, after), torch.empty_like(x)

    def eager() -> Tensor:
        entered = F.silu(x + before[:, None, None], inplace=True)
        return convolve(entered, weight, after, padding=(1, 1), groups=len(weight))

    def equal() -> bool:
        out.fill_(float("nan"))
        depthwise(x, weights, out)
        difference = (out.float() - eager().float()).abs()
        return bool((difference <= TOLERANCE[x.dtype]).all())

    return Case(
        f"depthwise 3x3, {name}",
        lambda: depthwise(x, weights, out),
        equal,
        x.numel(),
        eager=eager,
        moved_bytes=2 * x.numel() * x.element_size(),
    )
