"""`python -m checks determinism`: the same file gives the same integers everywhere, and pixels within one level.

Every file is decoded again under other settings (threads, batch size, matmul precision, deterministic flags, other
convolutions, half precision, the reference implementations, other processes with the instructions of this processor
and of older ones, a GPU where there is one), and compared
with what the encoder wrote and with the pixels of the plain float32 decoder.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.progress import Progress

from bench.codecs import Image
from bench.measure import load_image
from bench.rd.runs import dataset_of
from bench.records import RESULTS, ROOT, Record, header, save
from bench.speed.instructions import SETTINGS
from vaecodec.codec import Codec
from vaecodec.conformance import digest
from vaecodec.entropy.coding import Latents
from vaecodec.metrics import psnr
from vaecodec.native import processor
from vaecodec.runtime.choice import choose
from vaecodec.runtime.cpu.threads import set_thread_count

QUALITIES = (1.0, 50.0, 100.0)
BATCH = 4
HALF_LEVELS = 3
"""Pixels of blocks in 16 bits are that far from those of float32 at most."""
PYTORCH = {"networks": "torch", "context_steps": "torch"}
REFERENCE_SIDE = 192
"""The reference rANS walks its rows in Python: it decodes a corner of every picture."""


@dataclass(frozen=True)
class File:
    """A file, the digest of the encoder's integers, and the pixels of the plain decoder."""

    name: str
    data: bytes
    digest: str
    pixels: Image


@dataclass(frozen=True)
class Variant:
    """Settings to decode under. plan: what differs in it. one_level: whether pixels differ by one level at most."""

    name: str
    settings: Callable[[], AbstractContextManager[object]] = nullcontext
    dtype: str = "float32"
    device: str = "cpu"
    plan: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 1
    one_level: bool = True


@dataclass
class Result:
    """All files under one variant. psnr: of the pixels against those of the plain decoder, the worst file."""

    variant: str
    one_level: bool
    files: int = 0
    latents_equal: int = 0
    largest_difference: int = 0
    differing_share: float = 0.0
    psnr: float | None = None

    def add(self, file: File, latents: Latents, pixels: Image) -> None:
        self.files += 1
        self.latents_equal += digest(latents) == file.digest
        difference = np.abs(pixels.astype(np.int16) - file.pixels)
        self.largest_difference = max(self.largest_difference, int(difference.max()))
        self.differing_share = max(self.differing_share, float((difference > 0).mean()))
        if difference.any():
            self.psnr = min(self.psnr or np.inf, psnr(file.pixels, pixels))

    @property
    def passed(self) -> bool:
        return self.latents_equal == self.files and self.largest_difference <= (1 if self.one_level else HALF_LEVELS)


# Settings


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    set_thread_count(count)
    try:
        yield
    finally:
        set_thread_count(None)


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def native_convolutions() -> Iterator[None]:
    """Without oneDNN: other sums, other rounding."""
    torch.backends.mkldnn.set_flags(False)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(True)  # type: ignore[no-untyped-call]


def variants() -> list[Variant]:
    """All that this machine can do."""
    all_variants = [
        Variant("again"),
        Variant("1 thread", lambda: threads(1)),
        Variant("2 threads", lambda: threads(2)),
        Variant(f"batches of {BATCH}", batch=BATCH),
        Variant("matmul precision medium", lambda: matmul_precision("medium")),
        Variant("deterministic algorithms", deterministic),
        Variant("native convolutions", native_convolutions, plan=PYTORCH),
        Variant("layers in NumPy", plan={"networks": "plain"}),
        Variant("layers of PyTorch", plan=PYTORCH),
        Variant("rANS in plain Python", plan={"loops": "plain"}),
        Variant("rANS by numba", plan={"loops": "numba"}),
        Variant("bfloat16", dtype="bfloat16", one_level=False),
        Variant("bfloat16, layers of PyTorch", dtype="bfloat16", plan=PYTORCH, one_level=False),
        Variant("float16", dtype="float16", one_level=False),
        Variant("dtype auto", dtype="auto", one_level=False),
    ]
    if torch.cuda.is_available():
        all_variants += [
            Variant("GPU", device="cuda"),
            Variant("GPU, matmul precision medium", lambda: matmul_precision("medium"), device="cuda"),
            Variant("GPU, bfloat16", dtype="bfloat16", device="cuda", one_level=False),
        ]
    return all_variants


# Measuring


def make_files(codec: Codec, pictures: Sequence[tuple[str, Image]], qualities: Sequence[float]) -> list[File]:
    """Encode; note the encoder's own integers and the plain decoder's pixels. Equal sizes lie next to each other."""
    files = []
    for name, img in sorted(pictures, key=lambda picture: picture[1].shape):
        for quality in qualities:
            encoded = codec.encode_with_latents(img, quality)
            pixels = codec.decode(encoded.data, as_array=True)
            files.append(File(f"{name} at {quality:g}", encoded.data, digest(encoded.latents), pixels))
    return files


def run_variant(variant: Variant, model: str, files: Sequence[File]) -> Result:
    """Decode all files under a variant."""
    result = Result(variant.name, variant.one_level)
    with variant.settings():
        codec = Codec(model, plan=replace(choose(variant.device, variant.dtype), **variant.plan))
        for start in range(0, len(files), variant.batch):
            chosen = files[start : start + variant.batch]
            decoded = codec.decode_batch([file.data for file in chosen], as_array=True)
            for file, pixels in zip(chosen, decoded, strict=True):
                result.add(file, codec.decode_latents(file.data), np.asarray(pixels))
    return result


def run_references(
    model: str, codec: Codec, pictures: Sequence[tuple[str, Image]], qualities: Sequence[float]
) -> Result:
    """Corners of the pictures, decoded by the normative forms."""
    corners = [(name, np.ascontiguousarray(img[:REFERENCE_SIDE, :REFERENCE_SIDE])) for name, img in pictures]
    files = make_files(codec, corners, qualities)
    plan = {"loops": "numpy", "integer_product": "reference"}
    return run_variant(Variant("reference rANS and int64 scale network", plan=plan), model, files)


def run_fresh_process(model: str, files: Sequence[File], setting: str = "this processor") -> Result:
    """Another process with hash randomization, other threads and none of this process's state decodes them all.

    setting: the instructions that it is kept to, see `bench.speed.instructions`.
    """
    result = Result(f"fresh process, instructions of {setting}", True)
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            (Path(folder) / f"{number}.vaec").write_bytes(file.data)
        command = [sys.executable, "-m", "checks.determinism", "--decode", folder, "--model", model]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **SETTINGS[setting]})
        for number, file in enumerate(files):
            with np.load(Path(folder) / f"{number}.npz") as arrays:
                result.add(file, Latents(int(arrays["level"]), arrays["z_hat"], arrays["r"]), arrays["pixels"])
    return result


def settings_here() -> list[str]:
    """Those of `SETTINGS` that this processor has the instructions for."""
    names = list(SETTINGS)
    least = {"AVX-512": 1, "AVX2": 2}.get(processor.vectors(), len(names))
    return names[:1] + (names[least:] if platform.machine() in ("x86_64", "AMD64") else [])


def decode_folder(folder: Path, model: str) -> None:
    """The other end of `run_fresh_process`."""
    codec = Codec(model, device="cpu", dtype="float32")
    for path in folder.glob("*.vaec"):
        data = path.read_bytes()
        latents, pixels = codec.decode_latents(data), codec.decode(data, as_array=True)
        np.savez(path.with_suffix(".npz"), level=latents.level, z_hat=latents.z_hat, r=latents.r, pixels=pixels)


def run_all(
    model: str,
    pictures: Sequence[tuple[str, Image]],
    qualities: Sequence[float],
    advance: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Every variant on every picture."""
    codec = Codec(model, device="cpu", dtype="float32")
    files = make_files(codec, pictures, qualities)
    results = []
    steps: list[Callable[[], Result]] = [partial(run_variant, variant, model, files) for variant in variants()]
    fresh = [partial(run_fresh_process, model, files, setting) for setting in settings_here()]
    steps += [*fresh, partial(run_references, model, codec, pictures, qualities)]
    for step in steps:
        results.append(step())
        advance(results[-1])
    return results


def table(results: Sequence[Result]) -> list[str]:
    """One line for each variant."""
    lines = [
        "| variant | latents equal | pixels: largest difference | differing | PSNR between |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        between = "equal" if result.psnr is None else f"{result.psnr:.1f} dB"
        note = "" if result.one_level else " (half precision)"
        lines.append(
            f"| {result.variant} | {result.latents_equal} of {result.files} | {result.largest_difference}{note} "
            f"| {result.differing_share:.4%} | {between} |"
        )
    return lines


@click.command("determinism")
@click.argument("where", default="kodak", metavar="[DIR|kodak]")
@click.option("--model", default="base", show_default=True, help="A shipped name, or the path of a weights file.")
@click.option("--quality", "qualities", multiple=True, type=float, default=QUALITIES, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only this many pictures.")
@click.option("--out", default=str(RESULTS), show_default="bench/results", type=click.Path(file_okay=False))
@click.option("--decode", "folder", type=click.Path(file_okay=False), hidden=True)
def main(where: str, model: str, qualities: tuple[float, ...], limit: int | None, out: str, folder: str | None) -> None:
    """Decode the same files under many settings; compare integers and pixels.

    Exit code 1 unless the integers are equal everywhere and float32 pixels differ by one level at most.
    """
    if folder is not None:
        decode_folder(Path(folder), model)
        return
    dataset = dataset_of(where)
    pictures = [(path.name, load_image(path)) for path in dataset.paths[:limit]]
    with Progress(disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("determinism", total=len(variants()) + 2)
        results = run_all(model, pictures, qualities, lambda _: progress.advance(bar))
    command = f"python -m checks determinism {where} --model {model}" + (f" --limit {limit}" if limit else "")
    record = as_record(results, model, dataset.name, command)
    save(Path(out) / dataset.name / f"determinism-{Path(model).stem}.json", record)
    click.echo("\n".join(table(results)))
    sys.exit(0 if all(result.passed for result in results) else 1)


def as_record(results: Sequence[Result], model: str, dataset: str, command: str) -> Record:
    """What was found, on which machine."""
    return {
        **header(command),
        "model": model,
        "dataset": dataset,
        "passed": all(result.passed for result in results),
        "results": [asdict(result) for result in results],
    }


if __name__ == "__main__":
    main(prog_name="python -m checks.determinism")
