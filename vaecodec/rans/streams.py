"""Streams of several images at once: what a batch coder takes and gives, and where the parts of a payload lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaecodec.errors import CorruptStream, FormatError, Truncated
from vaecodec.rans.lanes import GROUP_LANES, STATE_BYTES, check_lanes, group_count

WORD_BYTES = 2


@dataclass(frozen=True)
class CodedImage:
    """One image's stream: lanes, rANS payload, outliers by their position among all coded symbols, ideal content."""

    lanes: int
    payload: bytes
    outlier_positions: list[int]
    outlier_values: list[int]
    information: float = 0.0


def group_bounds(payload: bytes, lanes: int) -> tuple[list[int], list[int]]:
    """Where each lane group's states begin and where its words end in a payload, in 16-bit words.

    Raises Truncated when the lengths don't fit the payload.
    """
    check_lanes(lanes)
    groups, per_group = group_count(lanes), min(lanes, GROUP_LANES)
    fixed = 4 * (groups - 1) + STATE_BYTES * lanes
    if len(payload) < fixed or (len(payload) - fixed) % WORD_BYTES:
        message = f"payload of {len(payload)} bytes for {lanes} lanes; it must be {fixed} and a multiple of 2 more"
        raise Truncated(message)
    counts = np.frombuffer(payload, "<u4", groups - 1).astype(np.int64)
    total = (len(payload) - fixed) // WORD_BYTES
    if int(counts.sum()) > total:
        message = f"payload: groups claim {int(counts.sum())} words; the data holds {total}"
        raise Truncated(message)
    sizes = np.append(counts, total - counts.sum()) + per_group * STATE_BYTES // WORD_BYTES
    ends = 4 * (groups - 1) // WORD_BYTES + np.cumsum(sizes)
    return (ends - sizes).tolist(), ends.tolist()


def outlier_error(image: CodedImage, count: int, limit: int) -> FormatError | None:
    """The error of an outlier list for an image of `count` coded symbols, magnitudes below `limit`; None if good."""
    for at, value in zip(image.outlier_positions, image.outlier_values, strict=True):
        if not 0 <= at < count or abs(value) >= limit:
            message = f"outlier {value} at {at}; legal are positions below {count}, magnitudes below {limit}"
            return CorruptStream(message)
    return None
