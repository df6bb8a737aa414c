"""What becomes of one image: encoded and decoded in float32 and bfloat16, beside a JPEG of the same size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np

from checks.hostile.canvas import Image
from checks.hostile.jpeg import JpegLadder, finite_psnr
from checks.hostile.kinds import KINDS, Drawn
from checks.hostile.watch import watched
from vaecodec import auto
from vaecodec.codec import Codec
from vaecodec.errors import VaecodecError
from vaecodec.levels import quality_to_level
from vaecodec.modes import Mode
from vaecodec.picture_file import make_source
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
    """One image, model and quality. Sizes in bytes, PSNR in dB: the worse of what float32 and bfloat16 decode.

    encoder: the type that encoded. failure: what the encoder or a decoder raised, or empty; then only the image and the
    settings count. margin: PSNR above that of the best JPEG of as many bytes, None where no JPEG is as small;
    scan_margin: the same as if JPEG's headers and tables cost nothing. difference: the largest between the pixels of
    both types. worst_block: root mean square error of the worst 16 x 16 block. auto_*: of mode="auto".
    """

    number: int
    kind: str
    detail: str
    height: int
    width: int
    model: str
    quality: float
    encoder: str = DTYPES[-1]
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


def encode_all(
    model: str, dtype: str, images: list[Image], quality: float, mode: Mode = "neural"
) -> list[Result[bytes]]:
    """Their files."""
    codec = codec_of(model, dtype)
    return each(lambda some: codec.encode_batch(some, quality, mode=mode), images)


def decode_all(model: str, dtype: str, files: list[Result[bytes]]) -> list[Result[Image]]:
    """The decoded images of the files that could be encoded."""
    codec = codec_of(model, dtype)
    good = [file.value for file in files if file.value is not None]
    decoded = iter(each(lambda some: codec.decode_batch(some, as_array=True), good) if good else [])
    return [Result[Image](None, file.failure, file.finite) if file.value is None else next(decoded) for file in files]


def measure(drawn: Sequence[Drawn], ladders: Sequence[JpegLadder], model: str, quality: float) -> list[Row]:
    """One row for each image. Half of the files are encoded in float32, half in bfloat16; each is decoded in both."""
    rows: dict[int, Row] = {}
    for turn, dtype in enumerate(DTYPES):
        places = [place for place, one in enumerate(drawn) if encoder_of(one, quality) == turn]
        if places:
            some = [drawn[place] for place in places], [ladders[place] for place in places]
            rows |= zip(places, _measure(*some, model, quality, dtype), strict=True)
    return [rows[place] for place in range(len(drawn))]


def encoder_of(one: Drawn, quality: float) -> int:
    """Which of DTYPES encodes an image: all kinds meet both, and one image meets both at its qualities."""
    return (one.number // len(KINDS) + round(quality) // 5) % len(DTYPES)


def _measure(
    drawn: Sequence[Drawn], ladders: Sequence[JpegLadder], model: str, quality: float, dtype: str
) -> Iterator[Row]:
    files = encode_all(model, dtype, [one.pixels for one in drawn], quality)
    decoded = [decode_all(model, by, files) for by in DTYPES]
    for place, one in enumerate(drawn):
        results: list[Result[Any]] = [files[place], *(part[place] for part in decoded)]
        named = {
            "number": one.number, "kind": one.kind, "detail": one.detail, "height": one.pixels.shape[0],
            "width": one.pixels.shape[1], "model": model, "quality": quality, "encoder": dtype,
            "finite": all(result.finite for result in results),
        }  # fmt: skip
        failure = next((result.failure for result in results if result.failure), "")
        data, pixels = files[place].value, [value for part in decoded if (value := part[place].value) is not None]
        if failure or data is None:
            yield Row(**named, failure=failure or "no file")
        else:
            own = _neural(one, ladders[place], data, pixels)
            yield Row(**(named | own | _auto(one, ladders[place], model, quality, data, pixels[-1])))


def _neural(one: Drawn, ladder: JpegLadder, data: bytes, decoded: Sequence[Image]) -> dict[str, Any]:
    """The figures of a neural file."""
    reached = min(finite_psnr(one.pixels, image) for image in decoded)
    jpeg, scan = ladder.psnr_within(len(data)), ladder.psnr_of_scan_within(len(data))
    return {
        "size": len(data),
        "psnr": round(reached, 3),
        "margin": None if jpeg is None else round(reached - jpeg, 3),
        "scan_margin": None if scan is None else round(reached - scan, 3),
        "difference": _largest_difference(*decoded),
        "worst_block": round(max(worst_block(one.pixels, image) for image in decoded), 2),
    }


def _auto(one: Drawn, ladder: JpegLadder, model: str, quality: float, data: bytes, decoded: Image) -> dict[str, Any]:
    """The figures of mode="auto" from this neural file and what it decodes to; its failure is one of the row."""
    codec, source = codec_of(model, DTYPES[-1]), make_source(one.pixels, strip=False)

    with watched() as watch:
        try:
            chosen = auto.choose(source, quality_to_level(quality), data, lambda _: decoded)
            image = decoded if chosen == data else codec.decode(chosen, as_array=True)
        except FAILURES as error:
            return {"failure": f"auto: {type(error).__name__}: {error}"}
    reached, jpeg = finite_psnr(one.pixels, image), ladder.psnr_within(len(chosen))
    return {
        "auto_size": len(chosen),
        "auto_psnr": round(reached, 3),
        "auto_margin": None if jpeg is None else round(reached - jpeg, 3),
        "webp_size": ladder.webp_size,
        **({} if watch.finite else {"finite": False}),
    }


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
