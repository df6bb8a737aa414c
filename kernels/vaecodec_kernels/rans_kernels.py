"""The kernels of `rans`: one program per lane group of one image, lanes as the vector axis.

Positions of symbols and words are int64; states are uint32, held in int32 tensors; words are 16 bits, held in int16.
"""

from __future__ import annotations

from enum import IntEnum

import triton
import triton.language as tl


class Status(IntEnum):
    """What is wrong with an image's stream; of several problems the largest number is reported."""

    OK = 0
    STATE_LEFT = 1  # a lane doesn't end in its start state
    WORDS_LEFT = 2  # words are left over
    WORDS_MISSING = 3  # the words end in the middle of the symbols
    BAD_SYMBOL = 4  # a symbol isn't in its table (encoder)
    BAD_INDEX = 5  # a table index names no table
    NO_ROOM = 6  # an image has more symbols than the host announced (encoder)


_STATE_LEFT = tl.constexpr(int(Status.STATE_LEFT))
_WORDS_LEFT = tl.constexpr(int(Status.WORDS_LEFT))
_WORDS_MISSING = tl.constexpr(int(Status.WORDS_MISSING))
_BAD_SYMBOL = tl.constexpr(int(Status.BAD_SYMBOL))
_BAD_INDEX = tl.constexpr(int(Status.BAD_INDEX))
_NO_ROOM = tl.constexpr(int(Status.NO_ROOM))


@triton.jit
def _segment_of(p_offsets, p_counts, i_b, lanes):
    """An image's part of a segment: where it begins, symbols, rows."""
    count = tl.load(p_counts + i_b)
    return tl.load(p_offsets + i_b), count, (count + lanes - 1) // lanes


@triton.jit
def _count_bits(x):
    """Ones in a uint32. (The compiler knows this form and makes one instruction of it.)"""
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return ((x * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def _places(hungry, lane):
    """For every lane the number of lanes before it with `wanted`, and the number of all of them.

    A sum of one bit of each lane and two counts of bits: a third of the latency of a prefix sum and a sum, in the
    chain of operations that every row waits for.
    """
    mine = tl.full(lane.shape, 1, tl.uint32) << lane.to(tl.uint32)
    all_wanted = tl.sum(tl.where(hungry, mine, 0).to(tl.uint32), axis=0).to(tl.uint32)
    return _count_bits(all_wanted & (mine - 1)), _count_bits(all_wanted)


@triton.jit
def _group_of(p_group):
    """A group's image, its first lane, how many lanes it has, and how many its image has."""
    return tl.load(p_group), tl.load(p_group + 1), tl.load(p_group + 2), tl.load(p_group + 3)


@triton.jit
def _load_row(p_symbols, p_index, j, active):
    """Table and symbol of each lane."""
    table = tl.load(p_index + j, mask=active, other=0).to(tl.int32)
    return table, tl.load(p_symbols + j, mask=active, other=0).to(tl.int32)


@triton.jit
def _entries(table, symbol, p_cdf, p_sizes, stride, last_table):
    """Start and frequency of each lane's symbol, and what is wrong with it; a wrong one is clamped."""
    problem = tl.where(table > last_table, _BAD_INDEX, 0)
    table = tl.minimum(table, last_table)
    last_symbol = tl.load(p_sizes + table) - 1
    problem = tl.maximum(problem, tl.where((symbol < 0) | (symbol > last_symbol), _BAD_SYMBOL, 0))
    symbol = tl.minimum(tl.maximum(symbol, 0), last_symbol)
    entry = p_cdf + table.to(tl.int64) * stride + symbol
    start = tl.load(entry).to(tl.uint32)
    return start, tl.load(entry + 1).to(tl.uint32) - start, problem


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
    p_bounds,
    p_free,
    p_status,
    GROUP_FIELDS: tl.constexpr,
    GROUP_LANES: tl.constexpr,
    STATE_BITS: tl.constexpr,
):
    """Codes one segment, backwards. Group g owns scratch (int16) from bounds[g] to bounds[g+1] and fills it from its
    end; free int64 [G]: its first used place."""
    i_g = tl.program_id(0).to(tl.int64)
    i_b, first_lane, width, lanes = _group_of(p_groups + i_g * GROUP_FIELDS)
    offset, count, rows = _segment_of(p_offsets, p_counts, i_b, lanes)
    lane = tl.arange(0, GROUP_LANES)
    x = tl.load(p_states + i_g * GROUP_LANES + lane).to(tl.uint32, bitcast=True)
    free = tl.load(p_free + i_g)
    bound = tl.load(p_bounds + i_g)
    p_symbols += offset
    p_index += offset
    row = rows - 1
    j = row * lanes + first_lane + lane  # [GROUP_LANES]
    active = (lane < width) & (j >= 0) & (j < count)
    table, symbol = _load_row(p_symbols, p_index, j, active)
    start, frequency, problem = _entries(table, symbol, p_cdf, p_sizes, stride, last_table)
    j -= lanes
    next_active = (lane < width) & (j >= 0) & (j < count)
    table, symbol = _load_row(p_symbols, p_index, j, next_active)
    while row >= 0:
        # What the next two rows need doesn't depend on the states: asked for early, it is there in time.
        j -= lanes
        later_active = (lane < width) & (j >= 0) & (j < count)
        later_table, later_symbol = _load_row(p_symbols, p_index, j, later_active)
        next_start, next_frequency, wrong = _entries(table, symbol, p_cdf, p_sizes, stride, last_table)
        problem = tl.maximum(problem, wrong)
        # x >= frequency << 16, written so that it can't overflow.
        full = active & ((x >> STATE_BITS) >= frequency)
        before, taken = _places(full, lane)
        free -= taken
        place = free + before
        tl.store(p_scratch + place, x.to(tl.int16), mask=full & (place >= bound))
        shifted = tl.where(full, x >> STATE_BITS, x)
        quotient = shifted // frequency
        coded = (quotient << STATE_BITS) + (shifted - quotient * frequency) + start
        x = tl.where(active, coded, x)
        active = next_active
        start = next_start
        frequency = next_frequency
        next_active = later_active
        table = later_table
        symbol = later_symbol
        row -= 1
    tl.store(p_states + i_g * GROUP_LANES + lane, x.to(tl.int32, bitcast=True))
    tl.store(p_free + i_g, free)
    problem = tl.maximum(problem, tl.where(free < bound, _NO_ROOM, 0))
    worst = tl.max(problem, axis=0)
    if worst > 0:
        tl.atomic_max(p_status + i_b, worst)


@triton.jit
def rans_pack_kernel(
    p_groups,
    p_states,
    p_scratch,
    p_bounds,
    p_free,
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
    count = tl.load(p_bounds + i_g + 1) - free
    p_group = p_payload + tl.load(p_group_at + i_g)
    o_word = i_block * BLOCK + tl.arange(0, BLOCK)
    mask = o_word < count
    words = tl.load(p_scratch + free + o_word, mask=mask & (free + o_word >= 0), other=0)
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
    i_b, first_lane, width, lanes = _group_of(p_groups + i_g * GROUP_FIELDS)
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
    next_active = (lane < width) & (j + lanes < count)
    next_table = tl.load(p_index + offset + j + lanes, mask=next_active, other=0).to(tl.int32)
    row = tl.zeros_like(rows)
    while row < rows:
        # The indices of the next two rows don't depend on the states: asked for early, they are there in time.
        later_active = (lane < width) & (j + 2 * lanes < count)
        later_table = tl.load(p_index + offset + j + 2 * lanes, mask=later_active, other=0).to(tl.int32)
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
        before, taken = _places(hungry, lane)
        place = following + before
        in_words = hungry & (place < end)
        problem = tl.maximum(problem, tl.where(hungry & (place >= end), _WORDS_MISSING, 0))
        word = tl.load(p_payload + place, mask=in_words, other=0).to(tl.uint32) & 0xFFFF
        moved = tl.where(hungry, (moved << STATE_BITS) | word, moved)
        x = tl.where(active, moved, x)
        following += taken
        j += lanes
        active = next_active
        table = next_table
        next_active = later_active
        next_table = later_table
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
