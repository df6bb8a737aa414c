"""Does this machine decode .vaec files exactly? The conformance set answers: `vaecodec verify --conformance`.

conformance_data/ holds small files that cover the format, each with the SHA-256 of its integers, the picture it gives
and how far pixels may lie from that (as the conformance set of JPEG XL states it: peak and rms error), and files that
every reader must refuse. They are coded with a tiny model of their own, so they stay when shipped models change.
tests/conformance/make.py makes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec.codec import Codec
from vaecodec.entropy.coding import Latents
from vaecodec.errors import FormatError, VaecodecError
from vaecodec.runtime.devices import native_dtype

FOLDER = Path(__file__).parent / "conformance_data"
MANIFEST = FOLDER / "manifest.json"
MODEL = FOLDER / "model.safetensors"


@dataclass(frozen=True)
class Expected:
    """One file of the set and what a decoder must make of it.

    latents: `digest` of its integers, None for a lossless file, which has none. peak, rms: largest error of the pixels,
    in levels of 8 bits, in float32; half_peak, half_rms: in bfloat16 and float16. error: the name of the error with
    which a reader must refuse the file; then nothing else is set. Where peak is None only the integers count.
    """

    name: str
    covers: str
    latents: str | None = None
    peak: int | None = None
    rms: float | None = None
    half_peak: int | None = None
    half_rms: float | None = None
    error: str | None = None

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return (FOLDER / f"{self.name}.vaec").read_bytes()

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The pixels of the machine that made the set, uint8."""
        with Image.open(FOLDER / f"{self.name}.png") as image:
            return np.asarray(image)


@dataclass(frozen=True)
class Outcome:
    """What one file gave. fault: what differs from the expectation, empty if nothing does."""

    name: str
    fault: str = ""
    peak: int = 0
    rms: float = 0.0


@dataclass(frozen=True)
class Report:
    """All files under one device and dtype."""

    device: str
    dtype: str
    outcomes: tuple[Outcome, ...]

    @property
    def faults(self) -> list[Outcome]:
        """The outcomes that are not as expected."""
        return [outcome for outcome in self.outcomes if outcome.fault]

    @property
    def line(self) -> str:
        """The answer in one line."""
        where, count = f"{self.device}, {self.dtype}", len(self.outcomes)
        if self.faults:
            return f"this machine does NOT decode exactly ({where}): {len(self.faults)} of {count} files differ"
        peak, rms = max(o.peak for o in self.outcomes), max(o.rms for o in self.outcomes)
        return (
            f"this machine decodes exactly ({where}): {count} of {count} files, integers equal, "
            f"pixels within {peak} of 255 (rms {rms:.3f})"
        )


@cache
def expectations() -> tuple[Expected, ...]:
    """The set, in the order of its manifest."""
    entries: list[dict[str, Any]] = json.loads(MANIFEST.read_text(encoding="utf-8"))["files"]
    return tuple(Expected(**entry) for entry in entries)


def digest(latents: Latents) -> str:
    """SHA-256 over level, shapes and little-endian values of the integers of a file."""
    sha = hashlib.sha256(f"level {latents.level} z_hat {latents.z_hat.shape} r {latents.r.shape}\n".encode())
    sha.update(np.ascontiguousarray(latents.z_hat).tobytes())
    sha.update(np.ascontiguousarray(latents.r).astype("<i4").tobytes())
    return sha.hexdigest()


def errors_of(pixels: NDArray[np.uint8], expected: NDArray[np.uint8]) -> tuple[int, float]:
    """Peak and rms difference of two uint8 pictures of equal shape."""
    difference = pixels.astype(np.int64) - expected
    return int(np.abs(difference).max()), float(np.sqrt(np.mean(difference * difference)))


def check(expected: Expected, codec: Codec) -> Outcome:
    """Decode one file of the set with a codec of its model; in half precision the wider limits hold."""
    if expected.error is not None:
        return Outcome(expected.name, _check_refusal(expected, codec))
    if expected.latents is None:
        return _check_lossless(expected, codec)
    try:
        integers = digest(codec.decode_latents(expected.data))
    except VaecodecError as error:
        return Outcome(expected.name, f"is refused: {error}")
    if integers != expected.latents:
        return Outcome(expected.name, f"integers hash to {integers[:16]}, must {str(expected.latents)[:16]}")
    return Outcome(expected.name) if expected.peak is None else _check_pixels(expected, codec)


def _check_lossless(expected: Expected, codec: Codec) -> Outcome:
    try:
        return _check_pixels(expected, codec)
    except VaecodecError as error:
        return Outcome(expected.name, f"is refused: {error}")


def _check_refusal(expected: Expected, codec: Codec) -> str:
    try:
        codec.decode(expected.data)
    except FormatError as error:
        kind = type(error).__name__
        return "" if kind == expected.error else f"raises {kind}, must raise {expected.error}"
    return f"is accepted, must raise {expected.error}"


def _check_pixels(expected: Expected, codec: Codec) -> Outcome:
    pixels, reference = codec.decode(expected.data, as_array=True), expected.pixels
    if pixels.shape != reference.shape:
        return Outcome(expected.name, f"has shape {pixels.shape}, must have {reference.shape}")
    # Alpha is the last of 2 or 4 channels, and lossless.
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4) and not np.array_equal(pixels[..., -1], reference[..., -1]):
        return Outcome(expected.name, "alpha differs, must be equal")
    peak, rms = errors_of(pixels, reference)
    exact = codec.dtype == "float32"
    most = (expected.peak, expected.rms) if exact else (expected.half_peak, expected.half_rms)
    if most[0] is None or most[1] is None or peak > most[0] or rms > most[1]:
        return Outcome(
            expected.name, f"pixels differ by {peak} (rms {rms:.3f}), at most {most[0]} ({most[1]})", peak, rms
        )
    return Outcome(expected.name, "", peak, rms)


def run(device: str = "auto", dtype: str = "float32") -> Report:
    """The whole set on one device in one dtype. Raises BackendError for a device that can't be had."""
    codec = Codec(MODEL, device=device, dtype=dtype)
    return Report(str(codec.device), dtype, tuple(check(expected, codec) for expected in expectations()))


def run_all(device: str = "auto") -> Iterator[Report]:
    """In float32, and in the dtype that `Codec` takes by itself on this machine where that is another one."""
    report = run(device)
    yield report
    native = native_dtype(Codec(MODEL, device=device).device)
    if native != report.dtype:
        yield run(device, native)
