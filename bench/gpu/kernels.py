"""`python -m bench kernels`: every GPU kernel against eager PyTorch, the CPU version, and the floor; whole pictures.

Each case first shows that the kernel's results equal the reference, and only then is timed. The floor is what the
machine cannot beat: the bytes that must move over its measured copy bandwidth, or for rANS the longest chain of
dependent rows times the measured time of one row when a single group runs alone.

Without a GPU (TRITON_INTERPRET=1) the sizes are tiny and the times mean nothing: such a run only shows
that the command works.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

if shutil.which("nvidia-smi") is None:  # before triton is imported: it decides once
    os.environ.setdefault("TRITON_INTERPRET", "1")

import click
import torch
from rich.console import Console
from rich.table import Table

from bench.gpu.cases import Case, Sizes, make_cases
from bench.gpu.depthwise import depthwise_cases
from bench.gpu.pictures import (
    LOADS,
    MODELS,
    TINY_LOADS,
    TINY_MODELS,
    PictureRow,
    picture_rows,
    show_pictures,
)
from bench.records import RESULTS, Record, environment, installed, save
from vaecodec_kernels.launch import INTERPRETED

TARGET_SECONDS = 0.3
"""Time spent on each measurement, at most 200 repetitions."""
TABLE_WIDTH = 140
"""Where the output is no terminal, which would tell its own."""
FULL = Sizes(batch=32, height=1152, width=1792, m=320, n=96, hidden=(128, 96))
"""32 images of 2 megapixels with the widths of `large`."""
SINGLE = Sizes(batch=1, height=1088, width=1920, m=320, n=96, hidden=(128, 96))
"""One 1080p image."""
SMALL = [Sizes(1, side[0], side[1], m=320, n=96, hidden=(128, 96)) for side in ((256, 256), (512, 768))]
"""Small pictures, to see from which size on the GPU codes latents faster than the CPU."""
TINY = Sizes(batch=2, height=64, width=64, m=8, n=8, hidden=(8, 8))
GPU_SIZES = [("256x256", SMALL[0]), ("768x512", SMALL[1]), ("1080p", SINGLE), ("32 x 2 MP", FULL)]


@dataclass
class Row:
    """One line of the table: medians in milliseconds; spread is (max - min) / median of the kernel's own times."""

    name: str
    kernel_ms: float
    spread: float
    eager_ms: float | None
    cpu_ms: float | None
    floor_ms: float | None
    symbols: int
    notes: dict[str, float | int | str] = field(default_factory=dict)

    def record(self) -> Record:
        rate = self.symbols / self.kernel_ms / 1e3
        return {**vars(self), "million_symbols_per_s": round(rate, 3)}


BUSY_CYCLES = 2_000_000
"""About a millisecond of a GPU: the launches of what is measured queue up behind it."""


def measure(run: Callable[[], object], device: torch.device) -> list[float]:
    """Milliseconds of each repetition, after a warm-up; CUDA events on a GPU, wall clock on a CPU."""
    if INTERPRETED:
        return [_time_once(run, device)]
    run()
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    once = max(time.perf_counter() - start, 1e-6)
    count = max(3, min(200, int(TARGET_SECONDS / once)))
    return [_time_once(run, device) for _ in range(count)]


def _time_once(run: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        start = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - start)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(BUSY_CYCLES)  # or the time between the events would be that of Python's launches
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second of a device copy, read plus written."""
    size = 1 << (31 if device.type == "cuda" else 20)
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / (statistics.median(measure(lambda: target.copy_(source), device)) / 1e3)


def run_case(case: Case, device: torch.device, bandwidth: float) -> Row:
    """Check, then time. Raises ClickException when the kernel's result differs from the reference."""
    if not case.equal():
        message = f"{case.name}: the kernel's result differs from the reference; nothing is recorded"
        raise click.ClickException(message)
    times = measure(case.kernel, device)
    middle = statistics.median(times)
    floors, notes = [], dict(case.notes)
    if case.moved_bytes:
        floors.append(1e3 * case.moved_bytes / bandwidth)
    cpu = _median(case.cpu, torch.device("cpu"))
    if case.chain is not None and cpu is not None:
        chain = statistics.median(measure(case.chain, device))
        floors.append(chain)
        row, symbol = chain / int(notes["rows"]), cpu / case.symbols
        notes |= {"us_per_row": round(1e3 * row, 4), "cpu_ns_per_symbol": round(1e6 * symbol, 3)}
        notes["paying_lanes"] = round(row / symbol, 1)
    return Row(
        case.name,
        round(middle, 6),
        round((max(times) - min(times)) / middle, 3),
        _median(case.eager, device),
        cpu,
        round(max(floors), 6) if floors else None,
        case.symbols,
        notes,
    )


def _median(run: Callable[[], object] | None, device: torch.device) -> float | None:
    return None if run is None else round(statistics.median(measure(run, device)), 6)


def rows_of(
    sizes: Sequence[tuple[str, Sizes]], device: torch.device, bandwidth: float, wrong: list[str]
) -> Iterator[tuple[str, Row]]:
    """A case whose check fails goes to `wrong` instead; the others go on, since a GPU may be there for minutes only."""
    for name, size in sizes:
        for cases in (make_cases(size, device), depthwise_cases(size, device)):
            try:
                yield from _timed(name, cases, device, bandwidth, wrong)
            except RuntimeError as error:  # of CUDA or Triton, while a case is built: those behind it are lost
                _tell(wrong, f"{name}: {error}")


def _timed(
    name: str, cases: Iterator[Case], device: torch.device, bandwidth: float, wrong: list[str]
) -> Iterator[tuple[str, Row]]:
    for case in cases:
        try:
            yield name, run_case(case, device, bandwidth)
        except click.ClickException as error:
            _tell(wrong, f"{name}: {error.message}")
        except RuntimeError as error:  # of CUDA or Triton
            _tell(wrong, f"{name}: {case.name}: {error}")
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _tell(wrong: list[str], line: str) -> None:
    wrong.append(line)
    click.echo(line, err=True)


def show(console: Console, rows: Sequence[tuple[str, Row]]) -> None:
    """The table: ratios are against the kernel (eager/kernel, cpu/kernel) and of it (kernel/floor)."""
    table = Table(title="kernels, median milliseconds" + (" (interpreted: meaningless)" if INTERPRETED else ""))
    for title in ("size", "kernel", "ms", "eager", "x", "CPU", "x", "floor", "/ floor", "Msym/s"):
        table.add_column(title, justify="left" if title in ("size", "kernel") else "right")
    for size, row in rows:
        cells = [size, row.name, f"{row.kernel_ms:.3f}"]
        for other in (row.eager_ms, row.cpu_ms):
            cells += ["-", "-"] if other is None else [f"{other:.3f}", f"{other / row.kernel_ms:.1f}"]
        floor = row.floor_ms
        cells += ["-", "-"] if floor is None else [f"{floor:.3f}", f"{row.kernel_ms / floor:.2f}"]
        table.add_row(*cells, f"{row.symbols / row.kernel_ms / 1e3:.1f}")
    console.print(table)


def show_lanes(console: Console, rows: Sequence[tuple[str, Row]]) -> None:
    """The number of lanes from which the GPU codes faster than the CPU: `LEAST_GPU_LANES` should be the largest."""
    table = Table(title="lanes where the GPU begins to pay" + (" (interpreted: meaningless)" if INTERPRETED else ""))
    for title in ("size", "kernel", "us a row", "CPU, ns a symbol", "lanes"):
        table.add_column(title, justify="left" if title in ("size", "kernel") else "right")
    for size, row in rows:
        if "paying_lanes" in row.notes:
            cells = (row.notes[name] for name in ("us_per_row", "cpu_ns_per_symbol", "paying_lanes"))
            table.add_row(size, row.name, *map(str, cells))
    console.print(table)


def machine(device: torch.device) -> Record:
    """What the numbers were measured on."""
    record = environment()
    record["versions"] |= installed(("triton",))
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        record["machine"]["gpu"] = properties.name
        record["machine"]["multiprocessors"] = properties.multi_processor_count
        record["versions"]["cuda"] = torch.version.cuda
    record["interpreted"] = device.type != "cuda"
    return record


@click.command("kernels")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file (default: bench/results).")
@click.option("--tiny", is_flag=True, help="The smoke test's sizes on a GPU too.")
def main(out: Path | None, tiny: bool) -> None:
    """Time every GPU kernel against eager PyTorch, the CPU version and the floor, and whole pictures.

    Results without a GPU are not kept unless --out says where.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    bandwidth = copy_bandwidth(device)
    small = tiny or device.type == "cpu"
    sizes = [("tiny", TINY)] if small else GPU_SIZES
    if out is None and device.type == "cuda":
        out = RESULTS / "kernels" / f"{torch.cuda.get_device_name().lower().replace(' ', '-')}.json"
    wrong: list[str] = []
    described = {name: vars(size) for name, size in sizes}
    fixed = {**machine(device), "copy_bytes_per_s": round(bandwidth), "sizes": described}

    def keep(pictures: Sequence[PictureRow]) -> None:
        """Whatever there is so far: the command may be cut off."""
        if out is not None:
            results = [{"size": name, **row.record()} for name, row in rows]
            save(out, {**fixed, "results": results, "pictures": [p.record() for p in pictures], "wrong": wrong})

    rows: list[tuple[str, Row]] = []
    for row in rows_of(sizes, device, bandwidth, wrong):
        rows.append(row)
        keep([])
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    show(console, rows)
    show_lanes(console, rows)
    click.echo(f"copy bandwidth {bandwidth / 1e9:.0f} GB/s")
    loads, models = (TINY_LOADS, TINY_MODELS) if small else (LOADS, MODELS)
    pictures: list[PictureRow] = []
    for picture in picture_rows(loads, models, device, wrong, repeat=not INTERPRETED):
        pictures.append(picture)
        keep(pictures)
    show_pictures(console, pictures, meaningless=INTERPRETED)
    if out is not None:
        click.echo(str(out))
    if wrong:
        message = f"{len(wrong)} wrong results were not timed: {'; '.join(wrong)}"
        raise click.ClickException(message)


if __name__ == "__main__":
    main()
