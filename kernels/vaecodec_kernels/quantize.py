"""One context step in one pass: r = round(gain * (y - mu)) and y_hat = mu + r / gain, and the inverse.

A step codes a quarter of all elements: in each 2x2 cell of positions every channel group owns one position, another one
in each step. A position therefore belongs to exactly one group per step, so a kernel over positions x channels of a
group touches what it must and nothing else; with channels-last tensors every access is a run of M / 4 channels.

Bytes per coded element: y 4, mu 4, index 1, r 4, y_hat 4 (the inverse: mu 4, r 4, y_hat 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.launch import EXACT, MAX_ELEMENTS, check_range, check_tensor, on_device

FLOATS = (torch.float32, torch.bfloat16, torch.float16)
TILE = 1024
"""Elements of one program: 8 per thread with 4 warps."""


@triton.jit
def _round_half_even(x):
    """rint for float32: adding 2^23 leaves no room for a fraction; from there on floats are integers already."""
    magnitude = tl.abs(x)
    rounded = (magnitude + 8388608.0) - 8388608.0
    rounded = tl.where(x < 0, -rounded, rounded)
    return tl.where(magnitude < 8388608.0, rounded, x)


@triton.jit(do_not_specialize=["height", "width"])  # compiled once, not anew for sizes of another kind
def context_step_kernel(
    p_y,
    p_mu,
    p_gain,
    p_index,
    p_zone,
    p_r,
    p_y_hat,
    height,
    width,
    channels,
    y_b,
    y_c,
    y_h,
    y_w,
    mu_b,
    mu_c,
    mu_h,
    mu_w,
    index_b,
    index_c,
    index_h,
    index_w,
    r_b,
    r_c,
    r_h,
    r_w,
    hat_b,
    hat_c,
    hat_h,
    hat_w,
    INVERSE: tl.constexpr,
    DEAD_ZONE: tl.constexpr,
    STEP: tl.constexpr,
    STEPS: tl.constexpr,
    CELL_00: tl.constexpr,
    CELL_01: tl.constexpr,
    CELL_10: tl.constexpr,
    CELL_11: tl.constexpr,
    GROUP_CHANNELS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """One program: BLOCK_W positions of a row of an image, all channels of the group that owns each position."""
    i_row = tl.program_id(0)
    i_b = (i_row // height).to(tl.int64)
    row = i_row % height
    o_w = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)  # [BLOCK_W]
    o_c = tl.arange(0, BLOCK_C)  # [BLOCK_C]
    even = tl.where(row % 2 == 0, CELL_00, CELL_10)
    odd = tl.where(row % 2 == 0, CELL_01, CELL_11)
    owner = tl.where(o_w % 2 == 0, even, odd)
    group = (owner - STEP + STEPS) % STEPS  # [BLOCK_W]
    channel = (group[:, None] * GROUP_CHANNELS + o_c[None, :]).to(tl.int64)  # [BLOCK_W, BLOCK_C]
    at = o_w[:, None].to(tl.int64)
    mask = (o_w[:, None] < width) & (o_c[None, :] < GROUP_CHANNELS)
    row = row.to(tl.int64)
    p_mu += i_b * mu_b + row * mu_h
    p_r += i_b * r_b + row * r_h
    p_y_hat += i_b * hat_b + row * hat_h
    mu = tl.load(p_mu + channel * mu_c + at * mu_w, mask=mask, other=0.0).to(tl.float32)
    gain = tl.load(p_gain + i_b * channels + channel, mask=mask, other=1.0)
    if INVERSE:
        r = tl.load(p_r + channel * r_c + at * r_w, mask=mask, other=0).to(tl.float32)
    else:
        p_y += i_b * y_b + row * y_h
        p_index += i_b * index_b + row * index_h
        y = tl.load(p_y + channel * y_c + at * y_w, mask=mask, other=0.0).to(tl.float32)
        index = tl.load(p_index + channel * index_c + at * index_w, mask=mask, other=0)
        v = gain * (y - mu)
        if DEAD_ZONE:
            limit = tl.load(p_zone + index.to(tl.int32), mask=mask, other=0.0)
            v -= tl.minimum(tl.maximum(v, -limit), limit)
        r = tl.where(index > 0, _round_half_even(v), 0.0)
        tl.store(p_r + channel * r_c + at * r_w, r.to(tl.int32), mask=mask)
    y_hat = mu + tl.div_rn(r, gain)
    tl.store(p_y_hat + channel * hat_c + at * hat_w, y_hat, mask=mask)


def _cells(positions: Sequence[tuple[int, int]], step: int) -> dict[str, int]:
    """For each of the four places of a 2x2 cell its number in `positions`."""
    if sorted(positions) != [(0, 0), (0, 1), (1, 0), (1, 1)]:
        message = f"positions are {positions}; they must be the four places (row, column) of a 2x2 cell"
        raise KernelInputError(message)
    check_range("step", step, 0, len(positions) - 1)
    return {f"CELL_{row}{column}": number for number, (row, column) in enumerate(positions)}


def _launch(
    y: Tensor,
    mu: Tensor,
    gain: Tensor,
    index: Tensor,
    dead_zone: Tensor | None,
    r: Tensor,
    y_hat: Tensor,
    step: int,
    positions: Sequence[tuple[int, int]],
    inverse: bool,
) -> None:
    cells = _cells(positions, step)
    batch, channels, height, width = mu.shape
    check_range("channels modulo 4", channels % len(positions), 0, 0)
    check_range("elements of an image", channels * height * width, 1, MAX_ELEMENTS)
    group_channels = channels // len(positions)
    block_c = triton.next_power_of_2(group_channels)
    block_w = max(1, min(TILE // block_c, triton.next_power_of_2(width)))
    strides = [stride for tensor in (y, mu, index, r, y_hat) for stride in tensor.stride()]
    zone = gain if dead_zone is None else dead_zone  # a kernel must be given something
    with on_device(mu):
        context_step_kernel[(batch * height, triton.cdiv(width, block_w))](
            *(y, mu, gain, index, zone, r, y_hat, height, width, channels, *strides),
            INVERSE=inverse,
            DEAD_ZONE=dead_zone is not None,
            STEP=step,
            STEPS=len(positions),
            **cells,
            GROUP_CHANNELS=group_channels,
            BLOCK_W=block_w,
            BLOCK_C=block_c,
            num_warps=4,
            **EXACT,
        )


def _check_common(mu: Tensor, gain: Tensor, r: Tensor, y_hat: Tensor) -> None:
    check_tensor("mu", mu, FLOATS, shape=(None, None, None, None), contiguous=False)
    batch, channels = mu.shape[:2]
    check_tensor("gain", gain, torch.float32, shape=(batch, channels), like=mu)
    check_tensor("r", r, torch.int32, shape=mu.shape, contiguous=False, like=mu)
    check_tensor("y_hat", y_hat, torch.float32, shape=mu.shape, contiguous=False, like=mu)


def quantize_step(
    y: Tensor,
    mu: Tensor,
    gain: Tensor,
    index: Tensor,
    r: Tensor,
    y_hat: Tensor,
    *,
    step: int,
    positions: Sequence[tuple[int, int]],
    dead_zone: Tensor | None = None,
) -> None:
    """Write r and y_hat in place at the places of `step`; all other places keep what they hold.

    y, mu [B, M, h, w] float32 or half; gain [B, M] float32; index uint8, r int32, y_hat float32 [B, M, h, w]; any
    strides. r is 0 where index is 0. Channel group g codes at positions[(step + g) % 4] of each 2x2 cell.
    r may lie in the memory of y, with its strides. dead_zone float32 [tables]: by how much gain * (y - mu) moves toward
    zero before it is rounded, for each index (indices must be below its length); None: not at all.
    Raises KernelInputError.
    """
    _check_common(mu, gain, r, y_hat)
    check_tensor("y", y, FLOATS, shape=mu.shape, contiguous=False, like=mu)
    check_tensor("index", index, torch.uint8, shape=mu.shape, contiguous=False, like=mu)
    if dead_zone is not None:
        check_tensor("dead_zone", dead_zone, torch.float32, shape=(None,), like=mu)
    _launch(y, mu, gain, index, dead_zone, r, y_hat, step, positions, inverse=False)


def dequantize_step(
    r: Tensor, mu: Tensor, gain: Tensor, y_hat: Tensor, *, step: int, positions: Sequence[tuple[int, int]]
) -> None:
    """The decoder undoes `quantize_step`, with its arguments: y_hat = mu + r / gain, at the places of `step`."""
    _check_common(mu, gain, r, y_hat)
    _launch(mu, mu, gain, r, None, r, y_hat, step, positions, inverse=True)
