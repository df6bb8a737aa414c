"""rANS on a GPU: one program per lane group of one image, lanes as the vector axis, all images in one launch.

The stream is defined elsewhere (a NumPy coder is the specification); what matters here:
- A lane's state lies in [2^16, 2^32); one 16-bit word at most moves per symbol. Symbol j of a segment belongs to lane
  j mod L. A group of up to 32 lanes shares one word stream; within a row the lanes that need a word take the next words
  in order of lane: their places follow from a prefix sum over the lanes.
- Payload of an image: word counts of all groups but the last (uint32), then per group its states (uint32) and words
  (uint16), all little-endian; seen here as int16 words.
- Segments continue the same states. The encoder walks segments, rows and words backwards.

Damaged input can't reach outside a buffer: reads past a group's words give 0, table indices and symbols are clamped,
and the worst problem of an image lands in its status (see Status). Loops are bounded by the symbol counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.launch import EXACT, check_range, check_tensor, on_device, upload
from vaecodec_kernels.rans_kernels import Status, rans_decode_kernel, rans_encode_kernel, rans_pack_kernel
from vaecodec_kernels.tables import LOOKUP_BITS, DeviceTables

STATE_BITS = 16
"""log2 of the lower bound of a state, and of the size of a word."""
GROUP_FIELDS = 4
PACK_BLOCK = 1024

__all__ = ["EncodedBatch", "Groups", "RansDecoder", "Segment", "Status", "rans_encode"]


@dataclass(frozen=True)
class Segment:
    """One segment of every image. Image b's part begins at offsets[b] and has counts[b] elements (int64 [B]).

    symbols int16 (written by a decoder), index uint8: packed buffers. most: the counts as the host knows them; for the
    encoder they must be no less than the true ones.
    """

    symbols: Tensor
    index: Tensor
    offsets: Tensor
    counts: Tensor
    tables: DeviceTables
    most: Sequence[int]


@dataclass(frozen=True)
class Groups:
    """The lane groups of all images, in order: table int64 [G, 4] = image, first lane, lanes in the group, lanes of
    the image. lanes and first_group (B + 1 entries) are on the host."""

    table: Tensor
    lanes: tuple[int, ...]
    first_group: tuple[int, ...]

    @property
    def count(self) -> int:
        """Groups of all images together."""
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


def _check_segment(segment: Segment, images: int, tables: str) -> None:
    check_tensor("index", segment.index, torch.uint8, shape=(None,))
    check_tensor("symbols", segment.symbols, torch.int16, shape=segment.index.shape, like=segment.index)
    check_tensor("offsets", segment.offsets, torch.int64, shape=(images,), like=segment.index)
    check_tensor("counts", segment.counts, torch.int64, shape=(images,), like=segment.index)
    check_tensor(tables, segment.tables.cdf, torch.int32, shape=(None, None), like=segment.index)
    check_range("prob_bits", segment.tables.prob_bits, STATE_BITS, STATE_BITS)
    check_range("entries of most", len(segment.most), images, images)
    check_range("most", sum(segment.most), 0, segment.index.numel())


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
    # A group writes at most one word for every lane and row of its image.
    room = [
        sum(-(-segment.most[b] // count) for segment in segments) * min(count, group_lanes)
        for b, count in enumerate(lanes)
        for _ in range(groups.first_group[b], groups.first_group[b + 1])
    ]
    ends = list(itertools.accumulate(room))
    bounds = upload([0, *ends], torch.int64, like)
    free = bounds[1:].clone()
    states = torch.full((groups.count, group_lanes), 1 << STATE_BITS, dtype=torch.int32, device=like.device)
    scratch = torch.empty(max(1, ends[-1]), dtype=torch.int16, device=like.device)
    status = torch.zeros(len(lanes), dtype=torch.int32, device=like.device)
    with on_device(like):
        for s in reversed(segments):
            tables = (s.tables.cdf, s.tables.sizes, s.tables.cdf.shape[1], s.tables.count - 1)
            rans_encode_kernel[(groups.count,)](
                *(s.symbols, s.index, s.offsets, s.counts, *tables),
                *(groups.table, states, scratch, bounds, free, status),
                GROUP_FIELDS=GROUP_FIELDS,
                GROUP_LANES=group_lanes,
                STATE_BITS=STATE_BITS,
                num_warps=1,
                **EXACT,
            )
        payload, begins = _pack(groups, states, scratch, bounds, free, max(room), group_lanes)
    return EncodedBatch(payload, begins, status)


def _pack(
    groups: Groups, states: Tensor, scratch: Tensor, bounds: Tensor, free: Tensor, longest: int, group_lanes: int
) -> tuple[Tensor, Tensor]:
    """Scratch -> payloads one after the other, and where each begins (int64 [B + 1], in words)."""
    first = upload(groups.first_group, torch.int64, free)
    image = groups.table[:, 0]
    is_last = torch.arange(groups.count, device=free.device) + 1 == first[image + 1]
    # 16-bit words of each group: states, words, and its count unless it is the image's last group.
    sizes = 2 * groups.table[:, 2] + (bounds[1:] - free) + 2 * (~is_last)
    ends = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    begins = ends[first]
    number = torch.arange(groups.count, device=free.device) - first[image]
    counts_after = first[image + 1] - 1 - first[image] - number  # counts of this and later groups: moved to the front
    group_at = (ends[:-1] + 2 * counts_after).contiguous()
    count_at = torch.where(is_last, -1, begins[image] + 2 * number).contiguous()
    room = sum(2 * lanes for lanes in groups.lanes) + 2 * groups.count + scratch.numel()
    payload = torch.empty(room, dtype=torch.int16, device=free.device)
    rans_pack_kernel[(groups.count, max(1, triton.cdiv(longest, PACK_BLOCK)))](
        *(groups.table, states, scratch, bounds, free, group_at, count_at, payload),
        GROUP_FIELDS=GROUP_FIELDS,
        GROUP_LANES=group_lanes,
        BLOCK=PACK_BLOCK,
        num_warps=4,
        **EXACT,
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

    def restart(self) -> None:
        """Back to the first segment."""
        self.status.zero_()
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
                **EXACT,
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
