"""Which device the networks run on, and in which type. Imports PyTorch where a GPU may be there."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from typing import TYPE_CHECKING

from vaecodec.errors import BackendError
from vaecodec.native.processor import has_bfloat16

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")
TORCH_MISSING = "needs PyTorch, which is not installed: pip install 'vaecodec[torch]'"
DRIVERS = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1",)


def has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return importlib.util.find_spec("torch") is not None


def require_torch(what: str) -> None:
    """Raises BackendError, with the command to type, where PyTorch is not installed."""
    if not has_torch():
        message = f"{what} {TORCH_MISSING}"
        raise BackendError(message)


def has_gpu_driver() -> bool:
    """Whether NVIDIA's driver is there. To ask it takes no time, to import PyTorch more than a second."""
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


def choose_device(device: str) -> str:
    """ "auto" (a GPU where there is one and PyTorch can use it), "cpu", "cuda", ... -> the device's name for PyTorch.

    Raises BackendError when it can't be had.
    """
    if device == "cpu" or (device == "auto" and not (has_torch() and has_gpu_driver())):
        return "cpu"
    if device != "auto":
        require_torch(f"device {device!r}")
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        message = f"device {device!r} is not known; use auto, cpu or cuda"
        raise BackendError(message) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        message = f"device {device!r} asked for, but no CUDA device is available"
        raise BackendError(message)
    if chosen.type != "cpu":
        _check_usable(chosen)
    return str(chosen)


def _check_usable(device: torch.device) -> None:
    """Raises BackendError for a device that PyTorch knows and this machine does not have, or that holds no values."""
    import torch

    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        message = f"device {str(device)!r} cannot be used: {str(error).splitlines()[0]}"
        raise BackendError(message) from error


def native_dtype(device: str) -> str:
    """bfloat16 on a CPU with instructions for it (AVX512-BF16), nearly twice as fast there; else float32."""
    return "bfloat16" if device == "cpu" and has_bfloat16() else "float32"
