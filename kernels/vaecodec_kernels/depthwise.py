"""A depthwise 3x3 convolution with what stands before and after it: bias, SiLU, zero padding, bias; channels last.

    out = depthwise3x3(silu(x + before)) + after        padding: zeros behind the SiLU

In eager PyTorch these are three passes over memory (bias, SiLU, convolution), and its depthwise convolution for
channels-last tensors in half precision is a slow one. Here every row of x is read once by each program and stays in
registers for the three rows of the result that it is part of. Sums are float32, in a fixed order.

Bytes per element: x 2 and out 2 in half precision (4 and 4 in float32), and a row above and below each strip again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.launch import MAX_ELEMENTS, check_range, check_tensor, on_device

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
TAPS = 9
STRIP = 8
"""Rows of the result that one program makes: 10 rows are read for them."""
BLOCK_W = 16
BLOCK_C = 64


@dataclass(frozen=True)
class DepthwiseWeights:
    """weight float32 [9, C], tap by tap, row by row; before, after float32 [C]."""

    weight: Tensor
    before: Tensor
    after: Tensor


def make_weights(weight: Tensor, before: Tensor | None, after: Tensor | None) -> DepthwiseWeights:
    """weight [C, 1, 3, 3] as in torch.nn.Conv2d; a bias of None is zero. Raises KernelInputError."""
    channels = len(weight)
    if tuple(weight.shape) != (channels, 1, 3, 3):
        message = f"weight has shape {tuple(weight.shape)}; it must be (C, 1, 3, 3)"
        raise KernelInputError(message)
    biases = []
    for name, bias in (("before", before), ("after", after)):
        if bias is not None and tuple(bias.shape) != (channels,):
            message = f"{name} has shape {tuple(bias.shape)}; it must be ({channels},)"
            raise KernelInputError(message)
        biases.append(torch.zeros(channels, device=weight.device) if bias is None else bias.float().contiguous())
    return DepthwiseWeights(weight.float().reshape(channels, TAPS).T.contiguous(), *biases)


@triton.jit
def _activated(p_row, before, o_w, width, o_c, m_c, CHANNELS: tl.constexpr, SILU: tl.constexpr):
    """A tile [BLOCK_W, BLOCK_C] of a row; 0 where the place isn't within 0..width."""
    mask = ((o_w >= 0) & (o_w < width))[:, None] & m_c[None, :]
    value = tl.load(p_row + o_w[:, None] * CHANNELS + o_c[None, :], mask=mask, other=0.0).to(tl.float32) + before
    if SILU:
        value = value / (1.0 + tl.exp(-value))
    return tl.where(mask, value, 0.0)


@triton.jit(do_not_specialize=["height", "width", "strips"])  # compiled once, not anew for sizes of another kind
def depthwise_kernel(
    p_x,
    p_weight,
    p_before,
    p_after,
    p_out,
    height,
    width,
    strips,
    CHANNELS: tl.constexpr,
    SILU: tl.constexpr,
    STRIP: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """x, out [B, h, w, CHANNELS]. One program: STRIP rows of BLOCK_W places and BLOCK_C channels of an image.

    A row of x is the lower one of the result's row above it, the middle one of its own, the upper one of the next.
    """
    i_b = (tl.program_id(0) // strips).to(tl.int64)
    first = (tl.program_id(0) % strips) * STRIP
    o_w = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)
    o_c = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    m_c = o_c < CHANNELS
    before = tl.load(p_before + o_c, mask=m_c, other=0.0)[None, :]
    after = tl.load(p_after + o_c, mask=m_c, other=0.0)[None, :]
    # Before the loop over rows: in it, each would be loaded again for each row.
    p_tap = p_weight + o_c
    top_0 = tl.load(p_tap, mask=m_c, other=0.0)[None, :]
    top_1 = tl.load(p_tap + CHANNELS, mask=m_c, other=0.0)[None, :]
    top_2 = tl.load(p_tap + 2 * CHANNELS, mask=m_c, other=0.0)[None, :]
    middle_0 = tl.load(p_tap + 3 * CHANNELS, mask=m_c, other=0.0)[None, :]
    middle_1 = tl.load(p_tap + 4 * CHANNELS, mask=m_c, other=0.0)[None, :]
    middle_2 = tl.load(p_tap + 5 * CHANNELS, mask=m_c, other=0.0)[None, :]
    bottom_0 = tl.load(p_tap + 6 * CHANNELS, mask=m_c, other=0.0)[None, :]
    bottom_1 = tl.load(p_tap + 7 * CHANNELS, mask=m_c, other=0.0)[None, :]
    bottom_2 = tl.load(p_tap + 8 * CHANNELS, mask=m_c, other=0.0)[None, :]
    above = tl.zeros([BLOCK_W, BLOCK_C], tl.float32) + after
    own = above
    for step in range(STRIP + 2):
        row = first + step - 1
        in_image = (row >= 0) & (row < height)
        p_row = p_x + (i_b * height + row) * width * CHANNELS
        place = tl.where(in_image, o_w, -2)  # -2: its neighbours are outside, too
        left = _activated(p_row, before, place - 1, width, o_c, m_c, CHANNELS, SILU)
        centre = _activated(p_row, before, place, width, o_c, m_c, CHANNELS, SILU)
        right = _activated(p_row, before, place + 1, width, o_c, m_c, CHANNELS, SILU)
        under = tl.zeros([BLOCK_W, BLOCK_C], tl.float32) + after + left * top_0 + centre * top_1 + right * top_2
        own = own + left * middle_0 + centre * middle_1 + right * middle_2
        above = above + left * bottom_0 + centre * bottom_1 + right * bottom_2
        done = row - 1
        p_done = p_out + ((i_b * height + done) * width + o_w[:, None]) * CHANNELS + o_c[None, :]
        place = tl.where((done >= first) & (done < height), o_w, width)
        mask = (place < width)[:, None] & m_c[None, :]
        tl.store(p_done, above.to(p_out.dtype.element_ty), mask=mask)
        above = own
        own = under


def depthwise(x: Tensor, weights: DepthwiseWeights, out: Tensor, *, silu: bool = True) -> None:
    """x, out [B, C, h, w] in channels-last memory and of one type, float32 or half; out must not overlap x.

    Raises KernelInputError.
    """
    channels = weights.weight.shape[1]
    check_tensor("x", x, FLOATS, shape=(None, channels, None, None), contiguous=False, like=weights.weight)
    check_tensor("out", out, x.dtype, shape=x.shape, contiguous=False, like=x)
    for name, tensor in (("x", x), ("out", out)):
        if not tensor.is_contiguous(memory_format=torch.channels_last):
            message = f"{name} has strides {tensor.stride()}; it must be in channels-last memory"
            raise KernelInputError(message)
    batch, _, height, width = x.shape
    check_range("elements of an image", channels * height * width, 1, MAX_ELEMENTS)
    block_c = min(BLOCK_C, triton.next_power_of_2(channels))
    block_w = min(BLOCK_W, triton.next_power_of_2(width))
    strips = triton.cdiv(height, STRIP)
    with on_device(x):
        depthwise_kernel[(batch * strips, triton.cdiv(width, block_w), triton.cdiv(channels, block_c))](
            *(x, weights.weight, weights.before, weights.after, out, height, width, strips),
            CHANNELS=channels,
            SILU=silu,
            STRIP=STRIP,
            BLOCK_W=block_w,
            BLOCK_C=block_c,
            num_warps=4,
        )  # not EXACT: sums and products may be fused, which is half the instructions
