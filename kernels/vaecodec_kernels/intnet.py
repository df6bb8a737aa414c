"""One layer of an integer network: int8 convolution, int32 accumulators, rounding shift, clamp, pixel shuffle.

A convolution is a matrix product over pixels x output channels, summed over taps and input channels. Activations are
0..255 but int8 units multiply int8: a layer stores activation - 128, and the next one adds 128 * (sum of its weights)
to its bias. Padding is stored as -128 then, which is 0. int32 sums wrap around, so the intermediate sums may do what
they like: the final one is the true accumulator, which is proven to fit.

Tensors are channels last. Output channels are sorted so that the four channels of one shuffled pixel lie apart and each
store is a run of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.launch import EXACT, MAX_ELEMENTS, check_range, check_tensor, on_device, upload

BLOCK_P = 64
BLOCK_N = 64
SHUFFLE = 2


@dataclass(frozen=True)
class DeviceLayer:
    """A layer on a device: weight int8 [kernel * kernel, C_out, C_in], bias int32 [levels, C_out] (adjusted, sorted).

    shift: of the accumulator; output_max: of the activation; offset: what the input is stored less; shuffle: 1 or 2.
    """

    weight: Tensor
    bias: Tensor
    kernel: int
    shift: int
    output_max: int
    offset: int
    shuffle: int

    @property
    def inputs(self) -> int:
        """Channels that go in."""
        return int(self.weight.shape[2])

    @property
    def outputs(self) -> int:
        """Channels that come out."""
        return int(self.weight.shape[1])


def make_layer(
    weight: Tensor,
    bias: Tensor,
    *,
    shift: int,
    output_max: int,
    offset: int,
    shuffle: bool,
    device: torch.device | str,
) -> DeviceLayer:
    """weight int8 [C_out, C_in, k, k], bias int32 [levels, C_out], on the CPU. offset: 128 for uint8 inputs, else 0.

    Raises KernelInputError.
    """
    outputs, inputs, kernel, columns = weight.shape
    if weight.dtype != torch.int8 or bias.dtype != torch.int32 or kernel != columns or kernel % 2 == 0:
        message = f"weight is {weight.dtype} {tuple(weight.shape)}, bias {bias.dtype}; they must be int8 and int32"
        raise KernelInputError(message)
    if bias.ndim != 2 or bias.shape[1] != outputs or (shuffle and outputs % SHUFFLE**2):
        message = f"bias is {tuple(bias.shape)} for {outputs} outputs; it must be (levels, outputs), outputs in fours"
        raise KernelInputError(message)
    check_range("shift", shift, 1, 30)
    check_range("output_max", output_max, 1, 255)
    adjusted = bias.long() + offset * weight.long().sum((1, 2, 3))
    wrapped = ((adjusted + 2**31) % 2**32 - 2**31).int()
    factor = SHUFFLE if shuffle else 1
    order = torch.arange(outputs).reshape(-1, factor**2).T.reshape(-1)
    matrix = weight[order].permute(2, 3, 0, 1).reshape(kernel * kernel, outputs, inputs)
    sorted_bias = wrapped[:, order].contiguous().to(device)
    return DeviceLayer(matrix.contiguous().to(device), sorted_bias, kernel, shift, output_max, offset, factor)


@triton.jit(do_not_specialize=["pixels", "height", "width"])  # compiled once, not anew for sizes of another kind
def integer_layer_kernel(
    p_x,
    p_weight,
    p_bias,
    p_level,
    p_out,
    pixels,
    height,
    width,
    C_IN: tl.constexpr,
    C_OUT: tl.constexpr,
    KERNEL: tl.constexpr,
    SHIFT: tl.constexpr,
    OUTPUT_MAX: tl.constexpr,
    OFFSET: tl.constexpr,
    OUT_OFFSET: tl.constexpr,
    SHUFFLE: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """x int8 [B, h, w, C_IN] -> out (int8 or uint8) [B, SHUFFLE*h, SHUFFLE*w, C_OUT / SHUFFLE^2]; pixels = B*h*w."""
    o_p = tl.program_id(0).to(tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)
    o_n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    column = (o_p % width).to(tl.int32)
    line = o_p // width  # of all images
    row = (line % height).to(tl.int32)
    i_b = line // height
    m_p = o_p < pixels
    m_n = o_n < C_OUT
    level = tl.load(p_level + i_b, mask=m_p, other=0).to(tl.int64)
    accumulator = tl.load(p_bias + level[:, None] * C_OUT + o_n[None, :], mask=m_p[:, None] & m_n[None, :], other=0)
    for tap in range(KERNEL * KERNEL):
        down = tap // KERNEL - KERNEL // 2
        right = tap % KERNEL - KERNEL // 2
        inside = m_p & (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
        p_source = p_x + (o_p + down * width + right) * C_IN
        p_tap = p_weight + tap * C_OUT * C_IN
        for k in range(0, C_IN, BLOCK_K):
            o_k = k + tl.arange(0, BLOCK_K)
            m_k = o_k < C_IN
            x = tl.load(p_source[:, None] + o_k[None, :], mask=inside[:, None] & m_k[None, :], other=-OFFSET)
            p_w = p_tap + o_n[None, :] * C_IN + o_k[:, None]
            w = tl.load(p_w, mask=m_k[:, None] & m_n[None, :], other=0)
            accumulator = tl.dot(x, w, accumulator, out_dtype=tl.int32)
    value = (accumulator + (1 << (SHIFT - 1))) >> SHIFT
    value = tl.minimum(tl.maximum(value, 0), OUTPUT_MAX) - OUT_OFFSET
    C_STORED: tl.constexpr = C_OUT // (SHUFFLE * SHUFFLE)
    part = o_n // C_STORED  # SHUFFLE * (row offset) + column offset
    out_line = (i_b * height + row) * SHUFFLE
    out_pixel = (out_line[:, None] + (part // SHUFFLE)[None, :]) * (width * SHUFFLE)
    out_pixel += column[:, None] * SHUFFLE + (part % SHUFFLE)[None, :]
    p_stored = p_out + out_pixel * C_STORED + (o_n % C_STORED)[None, :]
    tl.store(p_stored, value.to(p_out.dtype.element_ty), mask=m_p[:, None] & m_n[None, :])


def run_layer(layer: DeviceLayer, x: Tensor, level: Tensor, out: Tensor, *, out_offset: int) -> None:
    """One layer: x int8 [B, h, w, C_in] (value - layer.offset) and level int32 [B] (a row of bias; not checked) ->
    out [B, f*h, f*w, C_out / f^2] with f = layer.shuffle: int8 holding value - out_offset, or uint8 without offset."""
    check_tensor("x", x, torch.int8, shape=(None, None, None, layer.inputs), like=layer.weight)
    batch, height, width = x.shape[:3]
    shape = (batch, height * layer.shuffle, width * layer.shuffle, layer.outputs // layer.shuffle**2)
    check_tensor("out", out, torch.int8 if out_offset else torch.uint8, shape=shape, like=x)
    check_tensor("level", level, torch.int32, shape=(batch,), like=x)
    check_range("pixels", batch * height * width, 1, MAX_ELEMENTS)
    grid = (triton.cdiv(batch * height * width, BLOCK_P), triton.cdiv(layer.outputs, BLOCK_N))
    with on_device(x):
        integer_layer_kernel[grid](
            *(x, layer.weight, layer.bias, level, out, batch * height * width, height, width),
            C_IN=layer.inputs,
            C_OUT=layer.outputs,
            KERNEL=layer.kernel,
            SHIFT=layer.shift,
            OUTPUT_MAX=layer.output_max,
            OFFSET=layer.offset,
            OUT_OFFSET=out_offset,
            SHUFFLE=layer.shuffle,
            BLOCK_P=BLOCK_P,
            BLOCK_N=BLOCK_N,
            BLOCK_K=min(128, max(32, triton.next_power_of_2(layer.inputs))),
            num_warps=4,
            num_stages=2,
            **EXACT,
        )


def run_network(layers: Sequence[DeviceLayer], z_hat: Tensor, levels: Sequence[int]) -> Tensor:
    """z_hat int8 [B, N, h, w], a level for each image -> scale index uint8 [B, M, f*h, f*w], in channels-last memory.

    Raises KernelInputError.
    """
    check_tensor("z_hat", z_hat, torch.int8, shape=(len(levels), None, None, None), contiguous=False)
    for level in levels:
        check_range("level", level, 0, len(layers[0].bias) - 1)
    level_rows = upload(list(levels), torch.int32, z_hat)
    x = z_hat.permute(0, 2, 3, 1).contiguous()
    for number, layer in enumerate(layers):
        last = number + 1 == len(layers)
        out_offset = 0 if last else layers[number + 1].offset
        batch, height, width, _ = x.shape
        f = layer.shuffle
        out = torch.empty(
            (batch, height * f, width * f, layer.outputs // f**2),
            dtype=torch.int8 if out_offset else torch.uint8,
            device=x.device,
        )
        run_layer(layer, x, level_rows, out, out_offset=out_offset)
        x = out
    return x.permute(0, 3, 1, 2)
