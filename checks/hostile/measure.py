"""What becomes of one image: encoded and decoded in float32 and bfloat16, beside a JPEG of the same size."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, Generic, TypeVar

import numpy as np

from checks.hostile.canvas import Image
from checks.hostile.jpeg import JpegLadder, finite_psnr, lossless_webp_bytes
from checks.hostile.kinds import Drawn
from checks.hostile.watch import watched
from vaecodec.codec import Codec
from vaecodec.errors import VaecodecError
from vaecodec.runtime.cpu.threads import set_thread_count

DTYPES = ("float32", "bfloat16")
FAILURES = (VaecodecError, RuntimeWarning)
"""A numeric warning is a failure: it says that something was not finite."""
BLOCK = 16
LARGEST_DIFFERENCE = 3
"""Levels between float32 and bfloat16."""
LARGEST_LOSS = 1.0
"""dB below JPEG."""
WEBP_ALLOWANCE = 64
"""Bytes that a file may have above lossless WebP."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Row:
    """One image, model and quality. Sizes in bytes, PSNR in dB, each the worse of float32 and bfloat16.

    failure: what the encoder or a decoder raised, or empty; then only the image and the settings count. margin: PSNR
    above that of the best JPEG of as many bytes, None where no JPEG is as small; scan_margin: the same as if JPEG's
    headers and tables cost nothing. difference: the largest between the pixels of one file decoded in both types.
    worst_block: root mean square error of the worst 16 x 16 block. auto_*: of mode="auto", None where there is none.
    """

    number: int
    kind: str
    detail: str
    height: int
    width: int
    model: str
    quality: float
    failure: str = ""
    finite: bool = True
    size: int = 0
    psnr: float = 0.0
    margin: float | None = None
    scan_margin: float | None = None
    difference: int = 0
    worst_block: float = 0.0
    auto_size: int | None = None
    auto_psnr: float | None = None
    auto_margin: float | None = None
    webp_size: int | None = None

    @property
    def is_bad(self) -> bool:
        """More than 1 dB below JPEG, neural only."""
        return self.margin is not None and self.margin < -LARGEST_LOSS

    @property
    def is_bad_without_tables(self) -> bool:
        return self.scan_margin is not None and self.scan_margin < -LARGEST_LOSS

    @property
    def is_bad_in_auto(self) -> bool:
        return self.auto_margin is not None and self.auto_margin < -LARGEST_LOSS

    @property
    def is_larger_than_webp(self) -> bool:
        return None not in (self.auto_size, self.webp_size) and self.auto_size > self.webp_size + WEBP_ALLOWANCE  # type: ignore[operator]


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Result(Generic[Value]):
    """What came of one image or file: the value, or the error's name and message."""

    value: Value | None
    failure: str = ""
    finite: bool = True


def each(work: Callable[[list[Any]], Sequence[Value]], items: list[Any]) -> list[Result[Value]]:
    """The results of all, together if all goes well; else of each half for itself, to know whose fault it is."""
    with watched() as watch:
        try:
            values = work(items)
        except FAILURES as error:
            if len(items) == 1:
                return [Result(None, f"{type(error).__name__}: {error}", watch.finite)]
        else:
            if watch.finite or len(items) == 1:
                return [Result(value, "", watch.finite) for value in values]
    middle = len(items) // 2
    return each(work, items[:middle]) + each(work, items[middle:])


@functools.lru_cache(maxsize=len(DTYPES))
def codec_of(model: str, dtype: str) -> Codec:
    set_thread_count(1)
    return Codec(model, device="cpu", dtype=dtype)


def has_modes() -> bool:
    """Whether this version has mode="auto"."""
    return "mode" in inspect.signature(Codec.encode_batch).parameters


def encode_all(
    model: str, dtype: str, images: list[Image], quality: float, mode: str = "neural"
) -> list[Result[bytes]]:
    """Their files."""
    options = {"mode": mode} if has_modes() else {}
    codec = codec_of(model, dtype)
    return each(lambda some: codec.encode_batch(some, quality, **options), images)


def decode_all(model: str, dtype: str, files: list[Result[bytes]]) -> list[Result[Image]]:
    """Of those that could be encoded."""
    codec = codec_of(model, dtype)
    good = [file.value for file in files if file.value is not None]
    decoded = iter(each(lambda some: codec.decode_batch(some, as_array=True), good) if good else [])
    return [Result[Image](None, file.failure, file.finite) if file.value is None else next(decoded) for file in files]


def measure(drawn: Sequence[Drawn], ladders: Sequence[JpegLadder], model: str, quality: float) -> list[Row]:
    """One row for each image."""
    images = [one.pixels for one in drawn]
    files = {dtype: encode_all(model, dtype, images, quality) for dtype in DTYPES}
    decoded = {(of, by): decode_all(model, by, files[of]) for of, by in product(DTYPES, DTYPES)}
    rows = []
    for place, one in enumerate(drawn):
        results = [*(part[place] for part in files.values()), *(part[place] for part in decoded.values())]
        sizes = {dtype: len(part[place].value or b"") for dtype, part in files.items()}
        pixels = {key: part[place].value for key, part in decoded.items()}
        rows.append(_row(one, ladders[place], model, quality, results, sizes, pixels))
    return _with_auto(rows, drawn, ladders, model, quality) if has_modes() else rows


def _row(
    one: Drawn,
    ladder: JpegLadder,
    model: str,
    quality: float,
    results: Sequence[Result[Any]],
    sizes: dict[str, int],
    pixels: dict[tuple[str, str], Image | None],
) -> Row:
    named = (one.number, one.kind, one.detail, *one.pixels.shape[:2], model, quality)
    failure = next((result.failure for result in results if result.failure), "")
    finite = all(result.finite for result in results)
    good = {key: image for key, image in pixels.items() if image is not None}
    if failure or len(good) < len(pixels):
        return Row(*named, failure=failure or "no pixels", finite=finite)
    psnrs = {dtype: min(finite_psnr(one.pixels, good[dtype, by]) for by in DTYPES) for dtype in DTYPES}
    jpegs = [
        (psnrs[dtype], ladder.psnr_within(sizes[dtype]), ladder.psnr_of_scan_within(sizes[dtype])) for dtype in DTYPES
    ]
    return Row(
        *named,
        finite=finite,
        size=max(sizes.values()),
        psnr=round(min(psnrs.values()), 3),
        margin=_least(own - other for own, other, _ in jpegs if other is not None),
        scan_margin=_least(own - other for own, _, other in jpegs if other is not None),
        difference=max(_largest_difference(good[dtype, "float32"], good[dtype, "bfloat16"]) for dtype in DTYPES),
        worst_block=round(max(worst_block(one.pixels, image) for image in good.values()), 2),
    )


def _with_auto(
    rows: Sequence[Row], drawn: Sequence[Drawn], ladders: Sequence[JpegLadder], model: str, quality: float
) -> list[Row]:
    """The rows with what mode="auto" gives; it counts as a failure of the row if it fails."""
    files = encode_all(model, "bfloat16", [one.pixels for one in drawn], quality, "auto")
    decoded, found = decode_all(model, "bfloat16", files), []
    for row, one, ladder, file, image in zip(rows, drawn, ladders, files, decoded, strict=True):
        own: dict[str, Any] = dict(vars(row))
        failure = file.failure or image.failure
        if failure or file.value is None or image.value is None:
            own["failure"] = row.failure or f"auto: {failure}"
        else:
            reached, other = finite_psnr(one.pixels, image.value), ladder.psnr_within(len(file.value))
            own |= {
                "auto_size": len(file.value),
                "auto_psnr": round(reached, 3),
                "webp_size": lossless_webp_bytes(one.pixels),
            }
            own |= {"auto_margin": _least([] if other is None else [reached - other])}
        found.append(Row(**own))
    return found


def _least(values: Any) -> float | None:
    least = min(values, default=None)
    return None if least is None else round(float(least), 3)


def _largest_difference(first: Image, second: Image) -> int:
    return int(np.abs(first.astype(np.int16) - second).max())


def worst_block(original: Image, decoded: Image) -> float:
    """Root mean square error of the worst 16 x 16 block; those at the right and lower edge are smaller."""
    error = (original.astype(np.float64) - decoded) ** 2
    error = error.reshape(*original.shape[:2], -1).mean(2)
    rows, columns = (np.arange(0, side, BLOCK) for side in error.shape)
    sums, counts = (
        np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1) for values in (error, np.ones_like(error))
    )
    return float(np.sqrt((sums / counts).max()))
