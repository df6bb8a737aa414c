"""Bits of latents without coding them.

Costs are fixed point and summed as integers: equal on every machine, whatever the order.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaecodec_kernels.launch import EXACT, check_range, check_tensor, on_device
from vaecodec_kernels.tables import DeviceTables

BLOCK = 1024
NUM_WARPS = 4


@triton.jit
def _load_block(p_values, p_index, p_offsets, i_b, i_block, FIRST_CODED: tl.constexpr, BLOCK: tl.constexpr):
    """Values and table indices of a block of one image, and which of them are coded."""
    start = tl.load(p_offsets + i_b)
    place = i_block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    in_part = start + place < tl.load(p_offsets + i_b + 1)
    index = tl.load(p_index + start + place, mask=in_part, other=0).to(tl.int32)
    coded = in_part & (index >= FIRST_CODED)
    value = tl.load(p_values + start + place, mask=coded, other=0).to(tl.int32)
    return value, index, coded


@triton.jit(do_not_specialize=["outlier_cost"])
def estimate_bits_kernel(
    p_values,
    p_index,
    p_offsets,
    p_sizes,
    p_cost,
    last_table,
    stride,
    outlier_cost,
    p_total,
    FIRST_CODED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """total int64 [B]: the costs of all coded values, and outlier_cost for every value beyond its table."""
    i_b = tl.program_id(1).to(tl.int64)
    value, index, coded = _load_block(p_values, p_index, p_offsets, i_b, tl.program_id(0), FIRST_CODED, BLOCK)
    table = tl.minimum(index, last_table)
    largest = (tl.load(p_sizes + table) - 1) // 2
    clamped = tl.minimum(tl.maximum(value, -largest), largest)
    symbol = tl.where(clamped > 0, 2 * clamped - 1, -2 * clamped)
    cost = tl.load(p_cost + table.to(tl.int64) * stride + symbol, mask=coded, other=0).to(tl.int64)
    cost += tl.where(coded & (clamped != value), outlier_cost, 0)
    tl.atomic_add(p_total + i_b, tl.sum(cost, axis=0))


def _check(values: Tensor, index: Tensor, offsets: Tensor, most: int) -> tuple[int, int]:
    """The grid."""
    check_tensor("values", values, (torch.int32, torch.int16, torch.int8), shape=(None,))
    check_tensor("index", index, torch.uint8, shape=values.shape, like=values)
    check_tensor("offsets", offsets, torch.int64, shape=(None,), like=values)
    check_range("images", len(offsets) - 1, 1, 65535)
    check_range("most", most, 0, values.numel())
    return max(1, triton.cdiv(most, BLOCK)), len(offsets) - 1


def estimate_bits(
    values: Tensor,
    index: Tensor,
    offsets: Tensor,
    tables: DeviceTables,
    *,
    most: int,
    outlier_cost: int = 0,
    skip_zero: bool = True,
) -> Tensor:
    """Ideal content of each image, int64 [B] in the fixed point of `tables.cost`.

    values int (flat, in any order), index uint8 in the same order (with skip_zero, 0: not coded); image b is
    offsets[b] .. offsets[b+1] (int64 [B + 1]), `most` the elements of the largest one.
    outlier_cost is added for every value beyond its table.
    """
    grid = _check(values, index, offsets, most)
    total = torch.zeros(grid[1], dtype=torch.int64, device=values.device)
    check_tensor("cost", tables.cost, torch.int32, like=values)
    with on_device(values):
        estimate_bits_kernel[grid](
            *(values, index, offsets, tables.sizes, tables.cost, tables.count - 1, tables.cost.shape[1]),
            *(outlier_cost, total),
            FIRST_CODED=int(skip_zero),
            BLOCK=BLOCK,
            num_warps=NUM_WARPS,
            **EXACT,
        )
    return total
