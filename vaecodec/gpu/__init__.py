"""The Triton kernels: the one package that imports `vaecodec_kernels`, loaded as a whole when a plan asks for it.

coder     latents <-> files for batches (`GpuCoder`)
kernels   the float kernels: context steps, depthwise convolution
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def kernels_missing(device: torch.device) -> str | None:
    """Why the kernels cannot run on `device`, or None where they can (on the CPU: in Triton's interpreter only)."""
    for package in ("triton", "vaecodec_kernels"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    from vaecodec_kernels.launch import INTERPRETED, triton_too_old  # imports Triton, which only this question needs

    if (device.type == "cpu") != INTERPRETED:
        return f"the kernels cannot run on {device}" + (" while TRITON_INTERPRET is set" if INTERPRETED else "")
    return _too_old(device) or triton_too_old()


LEAST_CAPABILITY = (8, 0)
"""Of a GPU, Ampere: for older ones Triton does not compile the products of integers."""


def _too_old(device: torch.device) -> str | None:
    import torch

    if device.type != "cuda" or torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY:
        return None
    return f"{torch.cuda.get_device_name(device)} is older than the kernels can be compiled for"
