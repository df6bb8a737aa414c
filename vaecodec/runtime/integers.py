"""Layers of the scale network in PyTorch's products: equal to `intnet.layers.run_layer`, with the networks' threads.

NumPy's BLAS would wait actively for its next work, on the cores that the networks' threads need (encoding took twice as
long). Products of bytes take an eighth of the time of those of floats, and what surrounds them less, too.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vaecodec.intnet.fixedpoint import WEIGHT_MAX, Z_MAX, Z_MIN
from vaecodec.intnet.layers import IntegerLayer, RunLayer, run_layer, windows_of

SIGN = 128
"""Activations are uint8, factors of a product int8: they are taken less this, which each sum gets back."""


Product = Literal["bytes", "floats", "reference"]


def best_product() -> Product:
    """Bytes where they are exact and fast, else floats."""
    return "bytes" if adds_up_bytes() else "floats"


def runner(product: Product) -> RunLayer:
    """How a layer runs with this kind of product; the reference is int64 in NumPy."""
    if product == "reference":
        return functools.partial(run_layer, product=None)
    return run_in_bytes if product == "bytes" else run_in_floats


def run_in_floats(x: NDArray[np.generic], layer: IntegerLayer, level: int) -> NDArray[np.uint8]:
    """A layer whose products are made in floats: equal to `run_layer`."""
    return run_layer(x, layer, level, product=_float_product)


def _float_product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    with torch.autocast("cpu", enabled=False):  # a caller's would round the integers
        return torch.mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()


def run_in_bytes(x: NDArray[Any], layer: IntegerLayer, level: int) -> NDArray[np.uint8]:
    """A layer whose products are made in bytes: equal to `run_layer` where `adds_up_bytes`."""
    form = layer.form
    windows, bias = windows_of(x, form.kernel, x.dtype), layer.bias[level] + (1 << (form.shift - 1))
    if x.dtype == np.uint8:
        windows, bias = (windows ^ SIGN).view(np.int8), bias + SIGN * layer.weight_sums
    # Bias included, no sum reaches 2^31: `check_bounds` has proven it for inputs of up to 255.
    sums = torch._int_mm(torch.from_numpy(layer.matrix), torch.from_numpy(windows))
    sums.add_(torch.from_numpy(bias)[:, None]).bitwise_right_shift_(form.shift).clamp_(0, form.output_max)
    activations: NDArray[np.uint8] = sums.to(torch.uint8).numpy()
    return activations.reshape(-1, *x.shape[1:])


@functools.cache
def adds_up_bytes() -> bool:
    """Whether products of bytes are made by VNNI's instructions, whose sums have 32 bits.

    Older processors add pairs of products in 16 bits and saturate. What PyTorch's libraries were told to use counts
    (ONEDNN_MAX_CPU_ISA), so the largest sums are tried, too.
    """
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    if supported is None or not supported() or not hasattr(torch, "_int_mm"):
        return False
    rows, depth, columns = 96, 864, 64
    weight = torch.full((rows, depth), WEIGHT_MAX, dtype=torch.int8)
    inputs = torch.full((depth, columns), Z_MIN, dtype=torch.int8)
    weight[::2], inputs[:, ::3] = -WEIGHT_MAX, Z_MAX
    return torch.equal(torch._int_mm(weight, inputs).double(), weight.double() @ inputs.double())
