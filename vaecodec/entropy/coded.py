"""One image's coded latents before they are sections of a file: what every coder takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vaecodec.errors import CorruptStream, FormatError


@dataclass(frozen=True)
class CodedImage:
    """One image's stream: lanes, rANS payload, outliers by their position among all coded symbols, ideal content."""

    lanes: int
    payload: bytes
    outlier_positions: Sequence[int]
    outlier_values: Sequence[int]
    information: float = 0.0


def outlier_error(image: CodedImage, count: int, limit: int) -> FormatError | None:
    """The error of an outlier list for an image of `count` coded symbols, magnitudes below `limit`; None if good."""
    for at, value in zip(image.outlier_positions, image.outlier_values, strict=True):
        if not 0 <= at < count or abs(value) >= limit:
            return bad_outlier(value, at, count, limit)
    return None


def bad_outlier(value: int, at: int, count: int, limit: int) -> CorruptStream:
    """The error of one outlier, `value` at place `at` of `count` coded symbols."""
    return CorruptStream(f"outlier {value} at {at}; the position must be below {count}, the magnitude below {limit}")
