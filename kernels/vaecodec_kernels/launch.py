"""What every launcher needs: checks of tensors, and where kernels run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
import triton
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError

MAX_ELEMENTS = 2**31 - 1
"""Elements of one image: positions inside an image are int32, all offsets between images are int64."""


LEAST_TRITON = (3, 2)
"""Triton 3.0 and 3.1 do not compile the integer network for a Hopper GPU: sums of int8 products are added as floats."""


EXACT = {"enable_fp_fusion": False}
"""Launch option: no fused multiply-add, so float32 rounds as eager PyTorch does."""


@triton.jit
def _probe_kernel():
    pass


INTERPRETED = not isinstance(_probe_kernel, triton.JITFunction)
"""True where triton was imported with TRITON_INTERPRET=1: kernels then run on the CPU, slowly, for tests."""


def triton_too_old() -> str | None:
    """Why the kernels don't run with the Triton that is installed, or None where they do."""
    if tuple(int(part) for part in triton.__version__.split(".")[:2]) >= LEAST_TRITON:
        return None
    return f"triton is {triton.__version__}; it must be {'.'.join(map(str, LEAST_TRITON))} or newer"


def check_tensor(
    name: str,
    tensor: Tensor,
    dtypes: torch.dtype | Sequence[torch.dtype],
    *,
    shape: Sequence[int | None] | None = None,
    contiguous: bool = True,
    like: Tensor | None = None,
) -> None:
    """Raises KernelInputError naming what differs. A None in `shape` stands for any size."""
    allowed = [dtypes] if isinstance(dtypes, torch.dtype) else list(dtypes)
    if tensor.dtype not in allowed:
        message = f"{name} is {tensor.dtype}; it must be {' or '.join(map(str, allowed))}"
        raise KernelInputError(message)
    if shape is not None and not _fits(tuple(tensor.shape), shape):
        legal = ", ".join("any" if size is None else str(size) for size in shape)
        message = f"{name} has shape {tuple(tensor.shape)}; it must be ({legal})"
        raise KernelInputError(message)
    if contiguous and not tensor.is_contiguous():
        message = f"{name} has strides {tensor.stride()}; it must be contiguous"
        raise KernelInputError(message)
    if like is not None and tensor.device != like.device:
        message = f"{name} is on {tensor.device}; it must be on {like.device}"
        raise KernelInputError(message)
    if tensor.is_cuda == INTERPRETED:
        where = "the CPU (interpreter mode)" if INTERPRETED else "a CUDA device"
        message = f"{name} is on {tensor.device}; it must be on {where}"
        raise KernelInputError(message)


def _fits(shape: tuple[int, ...], legal: Sequence[int | None]) -> bool:
    return len(shape) == len(legal) and all(w in (None, f) for f, w in zip(shape, legal, strict=True))


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raises KernelInputError unless low <= value <= high."""
    if not low <= value <= high:
        message = f"{name} is {value}; it must be {low}..{high}"
        raise KernelInputError(message)


def on_device(tensor: Tensor) -> AbstractContextManager[object]:
    """Make the tensor's GPU the current one for a launch."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def upload(values: Sequence[int] | Sequence[Sequence[int]], dtype: torch.dtype, like: Tensor) -> Tensor:
    """Small host numbers -> a tensor beside `like`, without waiting for the device."""
    host = torch.tensor(values, dtype=dtype)
    return host.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else host
