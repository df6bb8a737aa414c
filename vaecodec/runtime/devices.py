"""Which device the networks run on, and in which type."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaecodec.errors import BackendError

DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> torch.device:
    """ "auto" (a GPU where there is one), "cpu", "cuda", ... Raises BackendError when it can't be had."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        message = f"device {device!r} is not known; use auto, cpu or cuda"
        raise BackendError(message) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        message = f"device {device!r} asked for, but no CUDA device is available"
        raise BackendError(message)
    return chosen


def upload(values: Sequence[int], device: torch.device) -> Tensor:
    """A few numbers as int64 on a device, without waiting for what it is doing."""
    host = torch.tensor(values, dtype=torch.int64)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host.to(device)


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a CPU with instructions for it (AVX512-BF16, AMX), twice as fast there; else float32."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.11
    has_bfloat16 = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return torch.bfloat16 if device.type == "cpu" and has_bfloat16 else torch.float32
