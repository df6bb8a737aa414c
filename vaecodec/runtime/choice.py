"""What runs: chosen once, when a `Codec` is made, from its arguments and the machine. Nothing else chooses.

| part            | on a CPU                                                    | on an NVIDIA GPU               |
|-----------------|-------------------------------------------------------------|--------------------------------|
| networks        | x86 (oneDNN's products) where it can be had, else torch     | triton; exact without kernels  |
| context_steps   | numba: its loops once it is loaded, before PyTorch's, equal | triton; torch without kernels  |
| coder           | cpu                                                         | gpu; cpu without kernels       |
| integer_product | bytes where a processor adds them up exactly, else floats   | (the GPU coder's own kernel)   |
| loops           | auto: plain Python for the first images of a process, then numba (`rans.choice`)             |

How floats are computed depends on the device and the type, never on the coder: files of equal images are the same for
every coder.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, fields
from typing import Literal

import torch

from vaecodec.errors import BackendError, InputError
from vaecodec.gpu import kernels_missing
from vaecodec.rans.choice import Loops
from vaecodec.runtime import integers
from vaecodec.runtime.devices import DTYPES, choose_device, native_dtype
from vaecodec.runtime.x86 import can_pack

Coder = Literal["auto", "cpu", "gpu"]
LEAST_GPU_LANES = 32
"""With fewer lanes in all images of a batch "auto" codes on the CPU. `python -m bench kernels` measures from how many
on the GPU is faster ("lanes where it begins to pay"): a row of lanes takes a GPU about as long however many they are, a
CPU codes one symbol after the other. Not yet measured; 32 is the estimate from 0.2 us a row and 6 ns a symbol."""


@dataclass(frozen=True)
class Plan:
    """What runs in one `Codec`; see the table of this module.

    dtype: of the blocks of all networks. least_gpu_lanes: batches of fewer lanes are coded on the CPU all the same.
    """

    device: torch.device
    dtype: torch.dtype
    networks: Literal["torch", "x86", "exact", "triton"]
    context_steps: Literal["torch", "numba", "triton"]
    coder: Literal["cpu", "gpu"]
    least_gpu_lanes: int = 0
    integer_product: integers.Product = "floats"
    loops: Loops = "auto"

    def __str__(self) -> str:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ", ".join(f"{name} {str(value).removeprefix('torch.')}" for name, value in values)


def choose(device: str = "auto", dtype: str = "auto", coder: Coder = "auto") -> Plan:
    """The plan for these arguments, see `Codec`, on this machine.

    Raises InputError for an unknown dtype or coder, BackendError for what is asked for and can't be had.
    """
    if dtype not in DTYPES:
        message = f"dtype is {dtype!r}; legal are {', '.join(DTYPES)}"
        raise InputError(message)
    chosen = choose_device(device)
    has_kernels = chosen.type == "cuda" and kernels_missing(chosen) is None
    networks: dict[str, Literal["x86", "exact", "triton"]] = {"cuda": "triton" if has_kernels else "exact"}
    if can_pack(torch.float32):
        networks["cpu"] = "x86"
    return Plan(
        device=chosen,
        dtype=DTYPES[dtype] or native_dtype(chosen),
        networks=networks.get(chosen.type, "torch"),
        context_steps="numba" if chosen.type == "cpu" else "triton" if has_kernels else "torch",
        coder=choose_coder(chosen, coder),
        least_gpu_lanes=LEAST_GPU_LANES if coder == "auto" else 0,
        integer_product=integers.best_product(),
    )


def choose_coder(device: torch.device, coder: Coder = "auto") -> Literal["cpu", "gpu"]:
    """Where latents are coded when the networks run on `device`.

    "auto" takes the GPU for networks on a GPU: nothing has to cross between host and device then until all is done.
    (Batches of fewer than LEAST_GPU_LANES lanes are coded on the CPU all the same.) Where it can't, it says so once.
    "gpu" raises BackendError instead. `python -m bench kernels` times whole images with both, from small to large.
    """
    if coder not in ("auto", "cpu", "gpu"):
        message = f"coder is {coder!r}; legal are auto, cpu, gpu"
        raise InputError(message)
    if coder == "cpu" or (coder == "auto" and device.type == "cpu"):
        return "cpu"
    problem = kernels_missing(device)
    if problem is None:
        return "gpu"
    if coder == "gpu":
        raise BackendError(problem)
    _say_once(f"latents are coded on the CPU: {problem}")
    return "cpu"


@functools.cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=5)
