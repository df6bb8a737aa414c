"""Coded elements (index > 0, or all) gathered in coding order, and scattered back: prefix sums in and over blocks.

Every block counts its coded elements; a cumulative sum over the counts gives each block its place; every block then
writes its elements there. The outputs are packed buffers with room for all elements, so the host never has to wait for
a count.

Signed values become most-likely-first symbols: 0, 1, -1, 2, -2, ... -> 0, 1, 2, 3, 4, ... A value beyond its table is
clamped to the table's last symbol of its sign and put on the outlier list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.launch import EXACT, check_tensor, on_device
from vaecodec_kernels.planes import FIELDS, Planes
from vaecodec_kernels.tables import DeviceTables

BLOCK = 1024
NUM_WARPS = 4


@dataclass(frozen=True)
class Coded:
    """Symbols in coding order. Image b's begin at offsets[b] and number counts[b]; what lies beyond is undefined.

    symbols int16, index uint8 (packed buffers); offsets, counts int64 [B].
    outlier_position, outlier_value int32: image b's list also begins at offsets[b], holds outlier_counts[b] (int32 [B])
    entries (place among the image's coded symbols, true value), in no particular order: see `outliers`. starts: the
    offsets on the host.
    """

    symbols: Tensor
    index: Tensor
    offsets: Tensor
    counts: Tensor
    outlier_position: Tensor
    outlier_value: Tensor
    outlier_counts: Tensor
    starts: tuple[int, ...]

    def outliers(self, counts: Sequence[int]) -> list[tuple[list[int], list[int]]]:
        """For each image positions (ascending) and values of its outliers, on the host. counts: outlier_counts there.

        Waits for the device once, if there are any.
        """
        if not any(counts):
            return [([], []) for _ in counts]
        cut = [
            torch.stack([self.outlier_position[at : at + count], self.outlier_value[at : at + count]])
            for at, count in zip(self.starts, counts, strict=True)
        ]
        lists = []
        for positions, values in np.split(torch.cat(cut, 1).cpu().numpy(), np.cumsum(counts)[:-1], 1):
            order = positions.argsort()
            lists.append((positions[order].tolist(), values[order].tolist()))
        return lists


@triton.jit
def _place(p_planes, i_b, i_block, FIELDS: tl.constexpr, BLOCK: tl.constexpr):
    """Addresses of a block's elements in the buffer, and which of them exist. Blocks never cross channels."""
    p_plane = p_planes + i_b * FIELDS
    offset = tl.load(p_plane)
    channels = tl.load(p_plane + 1).to(tl.int32)
    area = tl.load(p_plane + 2).to(tl.int32)
    blocks = (area + BLOCK - 1) // BLOCK  # of one channel
    channel = i_block // blocks
    position = (i_block % blocks) * BLOCK + tl.arange(0, BLOCK)
    address = offset + channel.to(tl.int64) * tl.load(p_plane + 3) + position.to(tl.int64) * tl.load(p_plane + 4)
    return address, position < tl.where(channel < channels, area, 0)


@triton.jit
def _coded_place(coded, p_planes, p_ends, p_counts, i_b, FIELDS: tl.constexpr):
    """Each coded element's place among those of its image, and where these begin in the packed buffer."""
    o_block = i_b * tl.num_programs(0) + tl.program_id(0)
    start = tl.load(p_ends + o_block) - tl.load(p_counts + o_block)
    return start + tl.cumsum(coded.to(tl.int32), axis=0) - 1, tl.load(p_planes + i_b * FIELDS + 5)


@triton.jit
def count_coded_kernel(
    p_index, p_planes, p_counts, FIRST_CODED: tl.constexpr, FIELDS: tl.constexpr, BLOCK: tl.constexpr
):
    """counts int32 [B, blocks]: coded elements of each block."""
    i_b = tl.program_id(1).to(tl.int64)
    i_block = tl.program_id(0)
    address, mask = _place(p_planes, i_b, i_block, FIELDS, BLOCK)
    index = tl.load(p_index + address, mask=mask, other=0)
    coded = mask & (index >= FIRST_CODED)
    tl.store(p_counts + i_b * tl.num_programs(0) + i_block, tl.sum(coded.to(tl.int32), axis=0))


@triton.jit
def gather_kernel(
    p_values,
    p_index,
    p_planes,
    p_ends,
    p_counts,
    p_sizes,
    p_symbols,
    p_coded_index,
    p_outlier_position,
    p_outlier_value,
    p_outlier_count,
    last_table,
    WITH_VALUES: tl.constexpr,
    FIRST_CODED: tl.constexpr,
    FIELDS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """ends int64 [B, blocks]: inclusive prefix sum of counts. Writes one block's coded elements in order."""
    i_b = tl.program_id(1).to(tl.int64)
    address, mask = _place(p_planes, i_b, tl.program_id(0), FIELDS, BLOCK)
    index = tl.load(p_index + address, mask=mask, other=0)
    coded = mask & (index >= FIRST_CODED)
    place, packed = _coded_place(coded, p_planes, p_ends, p_counts, i_b, FIELDS)
    tl.store(p_coded_index + packed + place, index, mask=coded)
    if WITH_VALUES:
        value = tl.load(p_values + address, mask=coded, other=0).to(tl.int32)
        largest = (tl.load(p_sizes + tl.minimum(index.to(tl.int32), last_table), mask=coded, other=1) - 1) // 2
        clamped = tl.minimum(tl.maximum(value, -largest), largest)
        symbol = tl.where(clamped > 0, 2 * clamped - 1, -2 * clamped)
        tl.store(p_symbols + packed + place, symbol.to(tl.int16), mask=coded)
        outlier = (coded & (clamped != value)).to(tl.int32)
        outliers = tl.sum(outlier, axis=0)
        if outliers > 0:
            slot = tl.atomic_add(p_outlier_count + i_b, outliers) + tl.cumsum(outlier, axis=0) - 1
            tl.store(p_outlier_position + packed + slot, place.to(tl.int32), mask=outlier > 0)
            tl.store(p_outlier_value + packed + slot, value, mask=outlier > 0)


@triton.jit
def scatter_kernel(
    p_coded,
    p_index,
    p_planes,
    p_ends,
    p_counts,
    p_values,
    SYMBOLS: tl.constexpr,
    FIRST_CODED: tl.constexpr,
    FIELDS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The inverse of gather_kernel: values int32, 0 where nothing was coded."""
    i_b = tl.program_id(1).to(tl.int64)
    address, mask = _place(p_planes, i_b, tl.program_id(0), FIELDS, BLOCK)
    index = tl.load(p_index + address, mask=mask, other=0)
    coded = mask & (index >= FIRST_CODED)
    place, packed = _coded_place(coded, p_planes, p_ends, p_counts, i_b, FIELDS)
    value = tl.load(p_coded + packed + place, mask=coded, other=0).to(tl.int32)
    if SYMBOLS:
        value = tl.where((value & 1) == 1, (value + 1) >> 1, -(value >> 1))
    tl.store(p_values + address, value, mask=mask)


@dataclass(frozen=True)
class Order:
    """Places of the coded elements: per block their count (int32) and the inclusive prefix sum (int64), [B, blocks].

    first_coded: 1 where index 0 means "not coded", 0 where everything is.
    """

    planes: Planes
    first_coded: int
    index: Tensor
    block: int
    counts: Tensor
    ends: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Programs of a kernel: blocks of an image, images."""
        return int(self.counts.shape[1]), int(self.counts.shape[0])

    @property
    def coded_counts(self) -> Tensor:
        """Coded elements of each image, int64 [B]."""
        return self.ends[:, -1].contiguous()


def coding_order(index: Tensor, planes: Planes, *, skip_zero: bool = True) -> Order:
    """Count and place the coded elements of `index` (uint8, any shape, laid out as `planes` says).

    skip_zero: elements with index 0 are not coded. Raises KernelInputError.
    """
    _check_buffer("index", index, planes, torch.uint8)
    block = min(BLOCK, max(32, triton.next_power_of_2(max(area for _, area in planes.shapes))))
    blocks = max(channels * triton.cdiv(area, block) for channels, area in planes.shapes)
    counts = torch.empty(len(planes.shapes), blocks, dtype=torch.int32, device=index.device)
    with on_device(index):
        count_coded_kernel[(blocks, len(planes.shapes))](
            index,
            planes.table,
            counts,
            FIRST_CODED=int(skip_zero),
            FIELDS=FIELDS,
            BLOCK=block,
            num_warps=NUM_WARPS,
            **EXACT,
        )
    return Order(planes, int(skip_zero), index, block, counts, counts.cumsum(1, dtype=torch.int64))


def _check_buffer(name: str, buffer: Tensor, planes: Planes, dtype: torch.dtype) -> None:
    check_tensor(name, buffer, dtype, contiguous=False, like=planes.table)
    dense = buffer.is_contiguous() or (buffer.ndim == 4 and buffer.is_contiguous(memory_format=torch.channels_last))
    if not dense or buffer.numel() != planes.total:
        is_now = f"{tuple(buffer.shape)} with strides {buffer.stride()}"
        message = f"{name} is {is_now}; it must be dense and hold {planes.total} elements"
        raise KernelInputError(message)


def gather(order: Order, values: Tensor | None, tables: DeviceTables) -> Coded:
    """values int32, laid out like the index -> symbols, table indices and outliers in coding order.

    With values=None only the table indices are gathered (for a decoder); symbols are then empty.
    Indices must be below tables.count, as the scale network gives them; a coder rejects others.
    """
    if values is not None:
        _check_buffer("values", values, order.planes, torch.int32)
    like, total = order.index, order.planes.total
    room = total if values is not None else 0
    symbols = torch.empty(room, dtype=torch.int16, device=like.device)
    coded_index = torch.empty(total, dtype=torch.uint8, device=like.device)
    position = torch.empty(room, dtype=torch.int32, device=like.device)
    value = torch.empty(room, dtype=torch.int32, device=like.device)
    outlier_counts = torch.zeros(len(order.planes.shapes), dtype=torch.int32, device=like.device)
    with on_device(like):
        gather_kernel[order.grid](
            *(like if values is None else values, like, order.planes.table, order.ends, order.counts, tables.sizes),
            *(symbols, coded_index, position, value, outlier_counts, tables.count - 1),
            WITH_VALUES=values is not None,
            FIRST_CODED=order.first_coded,
            FIELDS=FIELDS,
            BLOCK=order.block,
            num_warps=NUM_WARPS,
            **EXACT,
        )
    counts = order.coded_counts
    starts = order.planes.starts
    return Coded(symbols, coded_index, order.planes.packed, counts, position, value, outlier_counts, starts)


def scatter(order: Order, coded: Tensor, out: Tensor) -> None:
    """Write `out` (int32, laid out like the index): decoded elements at their places, 0 everywhere else.

    coded: packed buffer, either symbols int16 or signed values int32 (with outliers already in place).
    """
    _check_buffer("out", out, order.planes, torch.int32)
    check_tensor("coded", coded, (torch.int16, torch.int32), shape=(order.planes.total,), like=order.index)
    with on_device(out):
        scatter_kernel[order.grid](
            *(coded, order.index, order.planes.table, order.ends, order.counts, out),
            SYMBOLS=coded.dtype == torch.int16,
            FIRST_CODED=order.first_coded,
            FIELDS=FIELDS,
            BLOCK=order.block,
            num_warps=NUM_WARPS,
            **EXACT,
        )
