"""What runs: chosen once, when a `Codec` is made, from its arguments and the machine. Nothing else chooses.

| part            | on a CPU                                                    | on an NVIDIA GPU               |
|-----------------|-------------------------------------------------------------|--------------------------------|
| networks        | compiled (numba); plain (NumPy) for one small image         | triton; exact without kernels  |
| context_steps   | (part of the networks; torch where those are PyTorch's)     | triton; torch without kernels  |
| coder           | cpu                                                         | gpu; cpu without kernels       |
| integer_product | as the networks: compiled or plain                          | (the GPU coder's own kernel)   |
| loops           | auto: plain Python for the first images of a process, then numba (`rans.choice`)             |

"torch" networks are PyTorch's layers as they are trained: the reference, and what runs float16 on a CPU.
How floats are computed depends on the device and the type, never on the coder: files of equal images are the same for
every coder. PyTorch is imported for a GPU or the reference alone.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass, fields
from typing import Literal

from vaecodec.errors import BackendError, InputError
from vaecodec.native.processor import can_compile
from vaecodec.rans.choice import Loops
from vaecodec.runtime.devices import DTYPES, choose_device, native_dtype, require_torch

Coder = Literal["auto", "cpu", "gpu"]
Networks = Literal["compiled", "plain", "torch", "exact", "triton"]
IntegerProduct = Literal["compiled", "plain", "reference"]
WITHOUT_TORCH: tuple[Networks, ...] = ("compiled", "plain")
LEAST_GPU_LANES = 32
"""With fewer lanes in all images of a batch "auto" codes on the CPU. `python -m bench kernels` measures from how many
on the GPU is faster ("lanes where it begins to pay"): a row of lanes takes a GPU about as long however many they are, a
CPU codes one symbol after the other. Not yet measured; 32 is the estimate from 0.2 us a row and 6 ns a symbol."""


@dataclass(frozen=True)
class Plan:
    """What runs in one `Codec`; see the table of this module.

    device: as PyTorch names it. dtype: of the blocks of all networks (plain networks take float32). least_gpu_lanes:
    batches of fewer lanes are coded on the CPU all the same.
    """

    device: str
    dtype: str
    networks: Networks
    context_steps: Literal["networks", "torch", "triton"]
    coder: Literal["cpu", "gpu"]
    least_gpu_lanes: int = 0
    integer_product: IntegerProduct = "plain"
    loops: Loops = "auto"

    @property
    def device_type(self) -> str:
        """ "cpu", "cuda", ..."""
        return self.device.partition(":")[0]

    @property
    def needs_torch(self) -> bool:
        """Whether PyTorch runs the networks."""
        return self.networks not in WITHOUT_TORCH

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


def choose(device: str = "auto", dtype: str = "auto", coder: Coder = "auto") -> Plan:
    """The plan for these arguments, see `Codec`, on this machine.

    Raises InputError for an unknown dtype or coder, BackendError for what is asked for and can't be had.
    """
    if dtype not in DTYPES:
        message = f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}"
        raise InputError(message)
    chosen = choose_device(device)
    networks, context_steps = _networks(chosen, dtype)
    return Plan(
        device=chosen,
        dtype=native_dtype(chosen) if dtype == "auto" else dtype,
        networks=networks,
        context_steps=context_steps,
        coder=choose_coder(chosen, coder),
        least_gpu_lanes=LEAST_GPU_LANES if coder == "auto" else 0,
        integer_product="compiled" if can_compile() else "plain",
    )


def choose_brief() -> Plan:
    """The plan of a process that codes one small image and ends: numba would take longer to load than NumPy takes."""
    return Plan("cpu", "float32", "plain", "networks", "cpu", integer_product="plain", loops="plain")


def choose_reference(dtype: str = "float32") -> Plan:
    """PyTorch's layers as they are trained, on the CPU: what every other form is measured by."""
    require_torch("the reference")
    return Plan("cpu", dtype, "torch", "torch", "cpu", integer_product="compiled" if can_compile() else "plain")


def _networks(device: str, dtype: str) -> tuple[Networks, Literal["networks", "torch", "triton"]]:
    """The networks and their context steps."""
    if device.startswith("cuda"):
        return ("exact", "torch") if _kernels_missing(device) else ("triton", "triton")
    if device != "cpu":
        return "torch", "torch"
    if dtype == "float16":
        require_torch("dtype 'float16' on a CPU")
        return "torch", "torch"
    return ("compiled" if can_compile() else "plain"), "networks"


def _kernels_missing(device: str) -> str | None:
    """Why the kernels can't run on a device."""
    import torch

    from vaecodec.gpu import kernels_missing

    return kernels_missing(torch.device(device))


def choose_coder(device: str, coder: Coder = "auto") -> Literal["cpu", "gpu"]:
    """Where latents are coded when the networks run on `device`.

    "auto" takes the GPU for networks on a GPU: nothing has to cross between host and device then until all is done.
    (Batches of fewer than LEAST_GPU_LANES lanes are coded on the CPU all the same.) Where it can't, it says so once.
    "gpu" raises BackendError instead. `python -m bench kernels` times whole images with both, from small to large.
    """
    if coder not in ("auto", "cpu", "gpu"):
        message = f"coder is {coder!r}; it must be one of auto, cpu, gpu"
        raise InputError(message)
    if coder == "cpu" or (coder == "auto" and device == "cpu"):
        return "cpu"
    require_torch("coder 'gpu'")
    problem = _kernels_missing(device)
    if problem is None:
        return "gpu"
    if coder == "gpu":
        raise BackendError(problem)
    _say_once(f"latents are coded on the CPU: {problem}")
    return "cpu"


@functools.cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=5)
