"""rANS on a GPU: one program per lane group of one image, lanes as the vector axis, all images in one launch.

The stream is defined elsewhere (a NumPy coder is the specification); what matters here:
- A lane's state lies in [2^16, 2^32); one 16-bit word at most moves per symbol. Symbol j of a segment belongs to lane
  j mod L. A group of up to 32 lanes shares one word stream; within a row the lanes that need a word take the next words
  in order of lane: their places follow from a prefix sum over the lanes.
- Payload of an image: word counts of all groups but the last (uint32), then per group its states (uint32) and words
  (uint16), all little-endian; seen here as int16 words.
- Segments continue the same states. The encoder walks segments, rows and words backwards.

Damaged input can't reach outside a buffer: reads past a group's words give 0, table indices and symbols are clamped, and
the first problem of an image lands in its status (see Status). Loops are bounded by the symbol counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.launch import check_range, check_tensor, on_device, upload
from vaecodec_kernels.tables import LOOKUP_BITS, DeviceTables

STATE_BITS = 16
"""log2 of the lower bound of a state, and of the size of a word."""
GROUP_FIELDS = 4
PACK_BLOCK = 1024


class Status(IntEnum):
    """What is wrong with an image's stream; of several problems the largest number is reported."""

    OK = 0
    STATE_LEFT = 1  # a lane doesn't end in its start state
    WORDS_LEFT = 2  # words are left over
    WORDS_MISSING = 3  # the words end in the middle of the symbols
    BAD_SYMBOL = 4  # a symbol isn't in its table (encoder)
    BAD_INDEX = 5  # a table index names no table


_STATE_LEFT = tl.constexpr(int(Status.STATE_LEFT))
_WORDS_LEFT = tl.constexpr(int(Status.WORDS_LEFT))
_WORDS_MISSING = tl.constexpr(int(Status.WORDS_MISSING))
_BAD_SYMBOL = tl.constexpr(int(Status.BAD_SYMBOL))
_BAD_INDEX = tl.constexpr(int(Status.BAD_INDEX))


@dataclass(frozen=True)
class Segment:
    """One segment of every image. Image b's part begins at offsets[b] and has counts[b] elements (int64 [B]).

    symbols int16 (written by a decoder), index uint8: packed buffers. most: the largest count, known to the host (an
    upper bound will do).
    """

    symbols: Tensor
    index: Tensor
    offsets: Tensor
    counts: Tensor
    tables: DeviceTables
    most: int


@dataclass(frozen=True)
class Groups:
    """The lane groups of all images, in order: table int64 [G, 4] = image, first lane, lanes in the group, lanes of
    the image. lanes and first_group (B + 1 entries) are on the host."""

    table: Tensor
    lanes: tuple[int, ...]
    first_group: tuple[int, ...]

    @property
    def count(self) -> int:
        return self.first_group[-1]

    @classmethod
    def of(cls, lanes: Sequence[int], group_lanes: int, like: Tensor) -> Groups:
        """lanes: a power of two for each image. Raises KernelInputError."""
        check_range("group_lanes", group_lanes, 1, 32)
        rows, first = [], [0]
        for image, count in enumerate(lanes):
            check_range("lanes", count, 1, 1 << 16)
            if count & (count - 1):
                message = f"lanes is {count}; it must be a power of two"
                raise KernelInputError(message)
            size = min(count, group_lanes)
            rows += [[image, lane, size, count] for lane in range(0, count, size)]
            first.append(len(rows))
        return cls(upload(rows, torch.int64, like), tuple(lanes), tuple(first))


@triton.jit
def _segment_of(p_offsets, p_counts, i_b, lanes):
    """An image's part of a segment: where it begins, symbols, rows."""
    count = tl.load(p_counts + i_b)
    return tl.load(p_offsets + i_b), count, (count + lanes - 1) // lanes


@triton.jit
def rans_encode_kernel(
    p_symbols,
    p_index,
    p_offsets,
    p_counts,
    p_cdf,
    p_sizes,
    stride,
    last_table,
    p_groups,
    p_states,
    p_scratch,
    p_free,
    capacity,
    p_status,
    GROUP_FIELDS: tl.constexpr,
    GROUP_LANES: tl.constexpr,
    STATE_BITS: tl.constexpr,
):
    """Codes one segment, backwards. scratch int16 [G, capacity] fills from its end; free int64 [G]: first used place."""
    i_g = tl.program_id(0).to(tl.int64)
    p_group = p_groups + i_g * GROUP_FIELDS
    i_b = tl.load(p_group)
    first_lane = tl.load(p_group + 1)
    width = tl.load(p_group + 2)
    lanes = tl.load(p_group + 3)
    offset, count, rows = _segment_of(p_offsets, p_counts, i_b, lanes)
    lane = tl.arange(0, GROUP_LANES)
    x = tl.load(p_states + i_g * GROUP_LANES + lane).to(tl.uint32, bitcast=True)
    free = tl.load(p_free + i_g)
    p_words = p_scratch + i_g * capacity
    problem = tl.zeros([GROUP_LANES], tl.int32)
    row = rows - 1
    while row >= 0:
        j = row * lanes + first_lane + lane  # [GROUP_LANES]
        active = (lane < width) & (j < count)
        table = tl.load(p_index + offset + j, mask=active, other=0).to(tl.int32)
        symbol = tl.load(p_symbols + offset + j, mask=active, other=0).to(tl.int32)
        problem = tl.maximum(problem, tl.where(table > last_table, _BAD_INDEX, 0))
        table = tl.minimum(table, last_table)
        last_symbol = tl.load(p_sizes + table) - 1
        problem = tl.maximum(problem, tl.where((symbol < 0) | (symbol > last_symbol), _BAD_SYMBOL, 0))
        symbol = tl.minimum(tl.maximum(symbol, 0), last_symbol)
        entry = p_cdf + table.to(tl.int64) * stride + symbol
        start = tl.load(entry).to(tl.uint32)
        frequency = tl.load(entry + 1).to(tl.uint32) - start
        # x >= frequency << 16, written so that it can't overflow.
        full = active & ((x >> STATE_BITS) >= frequency)
        taken = full.to(tl.int32)
        free -= tl.sum(taken, axis=0)
        place = free + tl.cumsum(taken, axis=0) - 1
        tl.store(p_words + place, x.to(tl.int16), mask=full & (place >= 0))
        shifted = tl.where(full, x >> STATE_BITS, x)
        quotient = shifted // frequency
        coded = (quotient << STATE_BITS) + (shifted - quotient * frequency) + start
        x = tl.where(active, coded, x)
        row -= 1
    tl.store(p_states + i_g * GROUP_LANES + lane, x.to(tl.int32, bitcast=True))
    tl.store(p_free + i_g, free)
    worst = tl.max(problem, axis=0)
    if worst > 0:
        tl.atomic_max(p_status + i_b, worst)


@triton.jit
def rans_pack_kernel(
    p_groups,
    p_states,
    p_scratch,
    p_free,
    capacity,
    p_group_at,
    p_count_at,
    p_payload,
    GROUP_FIELDS: tl.constexpr,
    GROUP_LANES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Copies a block of a group's words to its payload; block 0 also writes the states and the word count.

    group_at int64 [G]: where the states go; count_at int64 [G]: where the count goes, negative for none.
    """
    i_g = tl.program_id(0).to(tl.int64)
    i_block = tl.program_id(1).to(tl.int64)
    width = tl.load(p_groups + i_g * GROUP_FIELDS + 2)
    free = tl.load(p_free + i_g)
    count = capacity - free
    p_group = p_payload + tl.load(p_group_at + i_g)
    o_word = i_block * BLOCK + tl.arange(0, BLOCK)
    mask = o_word < count
    words = tl.load(p_scratch + i_g * capacity + free + o_word, mask=mask, other=0)
    tl.store(p_group + 2 * width + o_word, words, mask=mask)
    if i_block == 0:
        lane = tl.arange(0, GROUP_LANES)
        state = tl.load(p_states + i_g * GROUP_LANES + lane)
        tl.store(p_group + 2 * lane, state.to(tl.int16), mask=lane < width)
        tl.store(p_group + 2 * lane + 1, (state >> 16).to(tl.int16), mask=lane < width)
        count_at = tl.load(p_count_at + i_g)
        if count_at >= 0:
            tl.store(p_payload + count_at, count.to(tl.int16))
            tl.store(p_payload + count_at + 1, (count >> 16).to(tl.int16))


@triton.jit
def rans_decode_kernel(
    p_payload,
    p_group_at,
    p_group_end,
    p_index,
    p_symbols,
    p_offsets,
    p_counts,
    p_cdf,
    p_lookup,
    stride,
    last_table,
    p_groups,
    p_states,
    p_next,
    p_status,
    FIRST: tl.constexpr,
    LAST: tl.constexpr,
    GROUP_FIELDS: tl.constexpr,
    GROUP_LANES: tl.constexpr,
    STATE_BITS: tl.constexpr,
    LOOKUP_BITS: tl.constexpr,
):
    """Decodes one segment. group_at, group_end int64 [G]: where a group's states begin and its words end in payload.

    FIRST reads the states from the payload, LAST checks the end of the stream.
    """
    i_g = tl.program_id(0).to(tl.int64)
    p_group = p_groups + i_g * GROUP_FIELDS
    i_b = tl.load(p_group)
    first_lane = tl.load(p_group + 1)
    width = tl.load(p_group + 2)
    lanes = tl.load(p_group + 3)
    offset, count, rows = _segment_of(p_offsets, p_counts, i_b, lanes)
    end = tl.load(p_group_end + i_g)
    lane = tl.arange(0, GROUP_LANES)
    if FIRST:
        state_at = tl.load(p_group_at + i_g)
        p_state = p_payload + state_at + 2 * lane
        low = tl.load(p_state, mask=lane < width, other=0).to(tl.uint32) & 0xFFFF
        high = tl.load(p_state + 1, mask=lane < width, other=1).to(tl.uint32) & 0xFFFF
        x = (high << 16) | low
        following = state_at + 2 * width
    else:
        x = tl.load(p_states + i_g * GROUP_LANES + lane).to(tl.uint32, bitcast=True)
        following = tl.load(p_next + i_g)
    problem = tl.zeros([GROUP_LANES], tl.int32)
    j = first_lane + lane.to(tl.int64)  # [GROUP_LANES]
    active = (lane < width) & (j < count)
    table = tl.load(p_index + offset + j, mask=active, other=0).to(tl.int32)
    row = tl.zeros_like(rows)
    while row < rows:
        # The next row's indices don't depend on the states: asked for early, they are there in time.
        next_active = (lane < width) & (j + lanes < count)
        next_table = tl.load(p_index + offset + j + lanes, mask=next_active, other=0).to(tl.int32)
        problem = tl.maximum(problem, tl.where(table > last_table, _BAD_INDEX, 0))
        table = tl.minimum(table, last_table)
        slot = (x & ((1 << STATE_BITS) - 1)).to(tl.int32)
        p_bucket = p_lookup + table * ((1 << LOOKUP_BITS) + 1) + (slot >> (STATE_BITS - LOOKUP_BITS))
        low_symbol = tl.load(p_bucket).to(tl.int32)
        high_symbol = tl.load(p_bucket + 1).to(tl.int32)
        p_row = p_cdf + table.to(tl.int64) * stride
        # Largest symbol with cdf[symbol] <= slot; most buckets hold one or two.
        while tl.max(high_symbol - low_symbol, axis=0) > 0:
            middle = (low_symbol + high_symbol + 1) >> 1
            below = tl.load(p_row + middle) <= slot
            low_symbol = tl.where(below, middle, low_symbol)
            high_symbol = tl.where(below, high_symbol, middle - 1)
        start = tl.load(p_row + low_symbol)
        frequency = tl.load(p_row + low_symbol + 1) - start
        tl.store(p_symbols + offset + j, low_symbol.to(tl.int16), mask=active)
        moved = frequency.to(tl.uint32) * (x >> STATE_BITS) + (slot - start).to(tl.uint32)
        hungry = active & ((moved >> STATE_BITS) == 0)
        taken = hungry.to(tl.int32)
        place = following + tl.cumsum(taken, axis=0) - 1
        there = hungry & (place < end)
        problem = tl.maximum(problem, tl.where(hungry & (place >= end), _WORDS_MISSING, 0))
        word = tl.load(p_payload + place, mask=there, other=0).to(tl.uint32) & 0xFFFF
        moved = tl.where(hungry, (moved << STATE_BITS) | word, moved)
        x = tl.where(active, moved, x)
        following += tl.sum(taken, axis=0)
        j += lanes
        active = next_active
        table = next_table
        row += 1
    if LAST:
        wrong = (lane < width) & (x != (1 << STATE_BITS))
        problem = tl.maximum(problem, tl.where(wrong, _STATE_LEFT, 0))
        problem = tl.maximum(problem, tl.where(following < end, _WORDS_LEFT, 0))
    tl.store(p_states + i_g * GROUP_LANES + lane, x.to(tl.int32, bitcast=True))
    tl.store(p_next + i_g, following)
    worst = tl.max(problem, axis=0)
    if worst > 0:
        tl.atomic_max(p_status + i_b, worst)


def _check_segment(segment: Segment, images: int, tables: str) -> None:
    check_tensor("index", segment.index, torch.uint8, shape=(None,))
    check_tensor("symbols", segment.symbols, torch.int16, shape=segment.index.shape, like=segment.index)
    check_tensor("offsets", segment.offsets, torch.int64, shape=(images,), like=segment.index)
    check_tensor("counts", segment.counts, torch.int64, shape=(images,), like=segment.index)
    check_tensor(tables, segment.tables.cdf, torch.int32, shape=(None, None), like=segment.index)
    check_range("prob_bits", segment.tables.prob_bits, STATE_BITS, STATE_BITS)
    check_range("most", segment.most, 0, segment.index.numel())


@dataclass(frozen=True)
class EncodedBatch:
    """payload int16: the images' payloads one after the other; begins int64 [B + 1] in words; status int32 [B]."""

    payload: Tensor
    begins: Tensor
    status: Tensor


def rans_encode(segments: Sequence[Segment], lanes: Sequence[int], *, group_lanes: int) -> EncodedBatch:
    """Code the segments of a batch of images, image b with lanes[b] lanes in groups of `group_lanes`.

    Raises KernelInputError; bad symbols or table indices end in the image's status.
    """
    for segment in segments:
        _check_segment(segment, len(lanes), "tables")
    like = segments[0].index
    groups = Groups.of(lanes, group_lanes, like)
    # A group writes at most one word for every lane and row; the fewest lanes have the most rows.
    rows = [max(-(-s.most // count) * min(count, group_lanes) for count in lanes) for s in segments]
    capacity = max(1, sum(rows))
    states = torch.full((groups.count, group_lanes), 1 << STATE_BITS, dtype=torch.int32, device=like.device)
    scratch = torch.empty(groups.count, capacity, dtype=torch.int16, device=like.device)
    free = torch.full((groups.count,), capacity, dtype=torch.int64, device=like.device)
    status = torch.zeros(len(lanes), dtype=torch.int32, device=like.device)
    with on_device(like):
        for s in reversed(segments):
            tables = (s.tables.cdf, s.tables.sizes, s.tables.cdf.shape[1], s.tables.count - 1)
            rans_encode_kernel[(groups.count,)](
                *(s.symbols, s.index, s.offsets, s.counts, *tables),
                *(groups.table, states, scratch, free, capacity, status),
                GROUP_FIELDS=GROUP_FIELDS,
                GROUP_LANES=group_lanes,
                STATE_BITS=STATE_BITS,
                num_warps=1,
            )
        payload, begins = _pack(groups, states, scratch, free, group_lanes)
    return EncodedBatch(payload, begins, status)


def _pack(
    groups: Groups, states: Tensor, scratch: Tensor, free: Tensor, group_lanes: int
) -> tuple[Tensor, Tensor]:
    """Scratch buffers -> payloads one after the other, and where each begins (int64 [B + 1], in words)."""
    capacity = scratch.shape[1]
    first = upload(groups.first_group, torch.int64, free)
    image = groups.table[:, 0]
    is_last = torch.arange(groups.count, device=free.device) + 1 == first[image + 1]
    # 16-bit words of each group: states, words, and its count unless it is the image's last group.
    sizes = 2 * groups.table[:, 2] + (capacity - free) + 2 * (~is_last)
    ends = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    begins = ends[first]
    number = torch.arange(groups.count, device=free.device) - first[image]
    counts_after = first[image + 1] - 1 - first[image] - number  # counts of this and later groups: moved to the front
    group_at = (ends[:-1] + 2 * counts_after).contiguous()
    count_at = torch.where(is_last, -1, begins[image] + 2 * number).contiguous()
    room = sum(2 * lanes for lanes in groups.lanes) + 2 * groups.count + groups.count * capacity
    payload = torch.empty(room, dtype=torch.int16, device=free.device)
    rans_pack_kernel[(groups.count, triton.cdiv(capacity, PACK_BLOCK))](
        *(groups.table, states, scratch, free, capacity, group_at, count_at, payload),
        GROUP_FIELDS=GROUP_FIELDS,
        GROUP_LANES=group_lanes,
        BLOCK=PACK_BLOCK,
        num_warps=4,
    )
    return payload, begins


class RansDecoder:
    """Decodes a batch of payloads segment by segment, all images in one launch.

    payload: int16 words of all images; group_at, group_end int64 [G]: where each group's states begin and where its
    words end, in words, for the groups of all images in order (the caller parses the word counts and checks that they
    fit). status int32 [B]: see Status; final after the segment with last=True.
    """

    def __init__(
        self, payload: Tensor, group_at: Sequence[int], group_end: Sequence[int], lanes: Sequence[int], group_lanes: int
    ) -> None:
        check_tensor("payload", payload, torch.int16, shape=(None,))
        self._groups = Groups.of(lanes, group_lanes, payload)
        _check_bounds(group_at, group_end, lanes, self._groups, payload.numel())
        self._payload, self._group_lanes = payload, group_lanes
        self._at = upload(group_at, torch.int64, payload)
        self._end = upload(group_end, torch.int64, payload)
        self._states = torch.empty(self._groups.count, group_lanes, dtype=torch.int32, device=payload.device)
        self._next = torch.empty(self._groups.count, dtype=torch.int64, device=payload.device)
        self.status = torch.zeros(len(lanes), dtype=torch.int32, device=payload.device)
        self._started = False

    def decode(self, segment: Segment, *, last: bool) -> None:
        """Write the symbols of the next segment into segment.symbols; `last` also checks the end of the stream."""
        _check_segment(segment, len(self._groups.lanes), "tables")
        check_tensor("index", segment.index, torch.uint8, like=self._payload)
        tables = (segment.tables.cdf, segment.tables.lookup, segment.tables.cdf.shape[1], segment.tables.count - 1)
        with on_device(self._payload):
            rans_decode_kernel[(self._groups.count,)](
                *(self._payload, self._at, self._end, segment.index, segment.symbols, segment.offsets, segment.counts),
                *(*tables, self._groups.table, self._states, self._next, self.status),
                FIRST=not self._started,
                LAST=last,
                GROUP_FIELDS=GROUP_FIELDS,
                GROUP_LANES=self._group_lanes,
                STATE_BITS=STATE_BITS,
                LOOKUP_BITS=LOOKUP_BITS,
                num_warps=1,
            )
        self._started = True


def _check_bounds(
    group_at: Sequence[int], group_end: Sequence[int], lanes: Sequence[int], groups: Groups, words: int
) -> None:
    if not len(group_at) == len(group_end) == groups.count:
        message = f"{len(group_at)} starts and {len(group_end)} ends; the lanes make {groups.count} groups"
        raise KernelInputError(message)
    sizes = [
        count // (groups.first_group[b + 1] - groups.first_group[b])
        for b, count in enumerate(lanes)
        for _ in range(groups.first_group[b], groups.first_group[b + 1])
    ]
    for group, (start, end, size) in enumerate(zip(group_at, group_end, sizes, strict=True)):
        if not 0 <= start <= end - 2 * size <= words - 2 * size:
            message = f"group {group} of {size} lanes lies at {start}..{end}; the payload has {words} words"
            raise KernelInputError(message)
