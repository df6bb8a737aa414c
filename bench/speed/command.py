"""`python -m bench speed`: time and memory of every codec, interleaved in one run on one machine.

In every round each codec encodes and decodes the picture, twice in a row and timed the second time, so that a busy
moment of the machine hits all of them alike. Each has a process of its own and times itself there; where it uses
OpenMP (vaecodec and CompressAI through torch), its threads are bound to cores (openmp.py). Files are compared with the
picture before anything is recorded. Memory is the high-water mark of a fresh process while it encodes and decodes the
picture, above what it has with everything loaded and warmed up.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from bench import kodak, openmp
from bench.codecs import DEFAULT, Codec, CodecError, Image, make
from bench.codecs.compressai import CompressAi
from bench.measure import FAILURES, check_decoded, load_image
from bench.rd.command import split
from bench.rd.plot import plot_time
from bench.rd.report import trouble_lines
from bench.records import RESULTS, Record, header, load, save
from bench.speed.processes import process_times
from bench.speed.workers import Worker, too_few_cores

RANDOM_WEIGHTS_QUALITY = 3  # the middle of CompressAI's low-rate networks; their size depends on it


@dataclass
class Timing:
    """What one codec did in all rounds."""

    quality: float
    size: int
    encode_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)


def runs_here(codec: Codec) -> bool:
    """For speed, CompressAI's networks may have random weights."""
    return codec.installed() if isinstance(codec, CompressAi) else codec.available()


def has_random_weights(codec: Codec) -> bool:
    return isinstance(codec, CompressAi) and not codec.weights()


def once(codec: Codec, img: Image, quality: float) -> tuple[bytes, float, float]:
    """Encode and decode; return the file and both times in seconds. Raises CodecError for a wrong picture.

    Each is done twice and timed the second time: while the other codecs had their turn the threads of this one fell
    asleep, and a virtual machine takes up to 60 ms to get them going again, for all codecs alike.
    """
    codec.encode(img, quality)
    start = time.perf_counter()
    data = codec.encode(img, quality)
    encode_s = time.perf_counter() - start
    encode_s = codec.last["seconds"] if isinstance(codec, CompressAi) else encode_s
    codec.decode(data)
    start = time.perf_counter()
    decoded = codec.decode(data)
    decode_s = time.perf_counter() - start
    decode_s = codec.last["seconds"] if isinstance(codec, CompressAi) else decode_s
    if has_random_weights(codec):
        if decoded.shape != img.shape:
            message = f"decoded {decoded.shape}, encoded {img.shape}"
            raise CodecError(message)
    else:
        check_decoded(img, decoded)
    return data, encode_s, decode_s


def prepare(codec: Codec, img: Image, bpp: float) -> Timing:
    """Choose the quality whose file is closest to `bpp` bits per pixel; this also warms everything up."""
    if has_random_weights(codec):
        return Timing(RANDOM_WEIGHTS_QUALITY, len(once(codec, img, RANDOM_WEIGHTS_QUALITY)[0]))
    target = bpp * img.shape[0] * img.shape[1] / 8
    sizes: dict[float, int] = {}
    low, high = 0, len(codec.qualities) - 1
    while low <= high:
        middle = (low + high) // 2
        quality = codec.qualities[middle]
        sizes[quality] = len(codec.encode(img, quality))
        low, high = (middle + 1, high) if sizes[quality] < target else (low, middle - 1)
    quality = min(sizes, key=lambda q: abs(sizes[q] - target))
    return Timing(quality, len(once(codec, img, quality)[0]))


def peak_memory(codec: Codec, img: Image, quality: float) -> float:
    """MiB above the process with the codec loaded; for a process that has done nothing else."""
    from bench.codecs.compressai_worker import peak_mib, start_memory

    once(codec, np.ascontiguousarray(img[:64, :64]), quality)  # loads networks, compiles kernels
    if isinstance(codec, CompressAi):
        start = float(codec.ask({"do": "memory"})["peak_mib"])
        once(codec, img, quality)
        return float(codec.last["peak_mib"]) - start
    start = start_memory()
    once(codec, img, quality)
    return peak_mib() - start


def spread(seconds: Sequence[float], megapixels: float) -> Record:
    """Median, fastest and slowest in seconds per megapixel."""
    each = [value / megapixels for value in seconds]
    return {"median": round(median(each), 5), "min": round(min(each), 5), "max": round(max(each), 5)}


def entry(codec: Codec, timing: Timing, img: Image, version: str, memory_mib: float) -> Record:
    pixels = img.shape[0] * img.shape[1]
    return {
        "title": codec.title + (" (random weights)" if has_random_weights(codec) else ""),
        "version": version,
        "quality": timing.quality,
        "bpp": round(8 * timing.size / pixels, 4),
        "encode_s_per_mp": spread(timing.encode_s, pixels / 1e6),
        "decode_s_per_mp": spread(timing.decode_s, pixels / 1e6),
        "peak_memory_mib": round(memory_mib, 1),
    }


def version_of(codec: Codec) -> str:
    return codec.version()


class Contestant:
    """One codec of the run, in its own process; `failure` says why it has dropped out."""

    def __init__(self, codec: Codec, img: Image, bpp: float) -> None:
        self.codec, self.img, self.bpp = codec, img, bpp
        self.worker = Worker(codec)
        self.timing = Timing(0, 0)
        self.entry: Record = {}
        self.failure = ""

    def attempt(self, step: Callable[[], None]) -> None:
        if not self.failure:
            try:
                step()
            except FAILURES as error:
                self.failure = f"{type(error).__name__}: {error}"

    def warm_up(self) -> None:
        self.timing = self.worker.run(prepare, self.img, self.bpp)

    def round(self) -> None:
        _, encode_s, decode_s = self.worker.run(once, self.img, self.timing.quality)
        self.timing.encode_s.append(encode_s)
        self.timing.decode_s.append(decode_s)

    def finish(self) -> None:
        version = self.worker.run(version_of)
        with closing(Worker(make(self.codec.name, self.codec.threads))) as fresh:
            memory = fresh.run(peak_memory, self.img, self.timing.quality)
        self.entry = entry(self.codec, self.timing, self.img, version, memory)


def measure(codecs: Sequence[Codec], img: Image, rounds: int, bpp: float) -> tuple[dict[str, Record], dict[str, str]]:
    """Time every codec in every round; return the entries by name and what failed."""
    with ExitStack() as stack, Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("speed", total=len(codecs) * (rounds + 2))
        contestants = [Contestant(codec, img, bpp) for codec in codecs]
        for contestant in contestants:
            stack.callback(contestant.worker.close)
        for step in ("warm_up", *["round"] * rounds, "finish"):
            for contestant in contestants:
                contestant.attempt(getattr(contestant, step))
                progress.advance(bar)
    entries = {one.codec.name: one.entry for one in contestants if not one.failure}
    return entries, {one.codec.name: one.failure for one in contestants if one.failure}


def speed_lines(record: Record) -> list[str]:
    """The table as Markdown."""
    lines = [
        f"{record['picture']['name']}, {record['picture']['megapixels']:.2f} MP, {record['threads']} thread(s), "
        f"median of {record['rounds']} interleaved rounds (fastest .. slowest)",
        "",
        "| codec | bpp | encode, s/MP | decode, s/MP | peak memory, MiB |",
        "|---|---|---|---|---|",
    ]
    for row in record["codecs"].values():
        times = [row["encode_s_per_mp"], row["decode_s_per_mp"]]
        columns = " | ".join(f"{t['median']:.3f} ({t['min']:.3f} .. {t['max']:.3f})" for t in times)
        lines.append(f"| {row['title']} | {row['bpp']:.2f} | {columns} | {row['peak_memory_mib']:.0f} |")
    lines += ["", threads_line(record["openmp"])]
    busy, cores = record["made"]["machine"]["load"], record["made"]["machine"]["cores"]
    if busy is not None and busy > cores:
        lines.append(f"\nThe machine was busy (load {busy} on {cores} cores): compare codecs, do not quote seconds.")
    for name, seconds in record.get("processes", {}).items():
        lines.append(f"\n{name}: {seconds['median']:.2f} s ({seconds['min']:.2f} .. {seconds['max']:.2f})")
    return lines


def threads_line(variables: Mapping[str, str]) -> str:
    """How the threads of vaecodec and CompressAI were kept, for both alike."""
    words = " ".join(f"{name}={value}" for name, value in variables.items())
    alike = f"Every codec in a process of its own; those that use OpenMP (vaecodec, CompressAI) with {words}."
    return f"{alike} Timed is the second of two calls in a row."


def time_plot(record: Record, out: Path) -> None:
    """BD-rate on Kodak over time, where `bench rd kodak` has been run."""
    table: Mapping[str, Record] = load(out / "kodak" / "summary.json").get("bd_rate", {}).get("psnr", {})
    rates = {name: row["bd_rate"] for name, row in table.items() if row["bd_rate"] is not None}
    # CompressAI's random weights say nothing of its rate: its published curve does.
    for name in record["codecs"]:
        published = f"published:compressai-{name.partition(':')[2]}_mse_cuda"
        if name.startswith("compressai:") and published in rates:
            rates.setdefault(name, rates[published])
    rates["jpeg"] = 0.0
    seconds = {
        name: {kind: row[f"{kind}_s_per_mp"]["median"] for kind in ("encode", "decode")}
        for name, row in record["codecs"].items()
    }
    if len(rates) > 1:
        plot_time(rates, seconds, out / "rd-time")


def default_picture() -> Path:
    folder = kodak.locate()
    if folder is None:
        message = f"give a photograph: {kodak.MISSING}"
        raise click.ClickException(message)
    return folder / "kodim23.png"


@click.command("speed")
@click.argument("photo", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--codecs", default=",".join(DEFAULT), show_default=True, callback=split, help="Names, with commas.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="For every codec that can.")
@click.option("--bpp", default=0.5, show_default=True, help="Each codec's quality is the one closest to this rate.")
@click.option("--out", default=str(RESULTS), show_default="bench/results", type=click.Path(file_okay=False))
def main(photo: str | None, codecs: list[str], rounds: int, threads: int, bpp: float, out: str) -> None:
    """Encode and decode time per megapixel and peak memory of every codec, on PHOTO or a Kodak image."""
    if threads > openmp.cores():
        raise click.BadParameter(too_few_cores(threads, openmp.cores()), param_hint="--threads")
    path = Path(photo) if photo else default_picture()
    try:
        img = load_image(path)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    try:
        instances = [make(name, threads) for name in codecs]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--codecs") from error
    present = [codec for codec in instances if runs_here(codec)]
    missing = {codec.name: codec.requires for codec in instances if codec not in present}
    entries, failed = measure(present, img, rounds, bpp)
    processes: Record = {}
    try:
        processes = process_times(path, rounds, threads)
    except (*FAILURES, subprocess.CalledProcessError) as error:
        failed["vaecodec decompress"] = f"{type(error).__name__}: {error}"
    record: Record = {
        "picture": {"name": path.name, "megapixels": round(img.shape[0] * img.shape[1] / 1e6, 3)},
        "threads": threads,
        "openmp": openmp.variables(threads),
        "rounds": rounds,
        **header(),
        "codecs": entries,
        "processes": processes,
        "absent": missing,
        "failures": {name: {path.name: {"all": reason}} for name, reason in failed.items()},
    }
    save(Path(out) / "speed.json", record)
    lines = [*speed_lines(record), *trouble_lines(record)]
    (Path(out) / "speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    time_plot(record, Path(out))
    click.echo("\n".join(lines))
