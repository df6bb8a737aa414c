"""Which implementation codes latents, and which multiplies the integers of the scale network.

On the CPU numba codes one image at a time. `GpuCoder` (see `vaecodec.gpu`) is the whole integer path on a GPU, for
batches of images of equal size. Both write the same bytes and read each other's files.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import BackendError, InputError
from vaecodec.gpu.coder import kernels_missing
from vaecodec.intnet import layers as integer_layers
from vaecodec.intnet.layers import IntegerLayer
from vaecodec.runtime import integers

if TYPE_CHECKING:
    import torch

Coder = Literal["auto", "cpu", "gpu"]
LEAST_GPU_LANES = 32
"""With fewer lanes in all pictures of a batch "auto" codes on the CPU. `python -m bench kernels` measures from how many
on the GPU is faster ("lanes where it begins to pay"): a row of lanes takes a GPU about as long however many they are, a
CPU codes one symbol after the other. Not yet measured; 32 is the estimate from 0.2 us a row and 6 ns a symbol."""


def scale_index(z_hat: NDArray[np.int8], level: int, layers: Sequence[IntegerLayer]) -> NDArray[np.uint8]:
    """As `intnet.layers.scale_index`, on a CPU beside the networks."""
    return integer_layers.scale_index(z_hat, level, layers, run=integers.best_run())


def choose_coder(device: torch.device, wanted: Coder = "auto") -> Literal["cpu", "gpu"]:
    """Where latents are coded when the networks run on `device`.

    "auto" takes the GPU for networks on a GPU: nothing has to cross between host and device then until all is done.
    (Batches of fewer than LEAST_GPU_LANES lanes are coded on the CPU all the same.) Where it can't, it says so once.
    "gpu" raises BackendError instead. `python -m bench kernels` times whole pictures with both, from small to large.
    """
    if wanted not in ("auto", "cpu", "gpu"):
        message = f"coder is {wanted!r}; legal are auto, cpu, gpu"
        raise InputError(message)
    if wanted == "cpu" or (wanted == "auto" and device.type == "cpu"):
        return "cpu"
    problem = kernels_missing(device)
    if problem is None:
        return "gpu"
    if wanted == "gpu":
        raise BackendError(problem)
    _say_once(f"latents are coded on the CPU: {problem}")
    return "cpu"


@functools.cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
