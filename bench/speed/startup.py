"""`python -m bench startup`: what someone at a shell waits for: whole commands, each in a fresh process.

The commands of all rows are run in turn, so that a busy moment hits all of them alike; medians. `vaecodec doctor` and a
round that is not timed come first: later nothing is compiled, by numba or to byte code, as after an installation by
pip. "first" is a command in an installation where numba has compiled nothing.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import click
from PIL import Image

from bench import openmp, records
from bench.records import Record
from bench.speed.practical_page import table
from bench.speed.scale import picture_of

OUT = records.RESULTS / "startup.json"
SIZES = (0.08, 1.3)
"""Megapixels."""
PROGRAM = "from vaecodec.cli import main; main()"
"""What the installed command does."""
LIMITS = {"info": 0.12, "0.08": 0.3, "1.3": 0.7}
"""Seconds that a command on two cores may take, by its name or by the size of its image."""


def commands(folder: Path) -> dict[str, list[str]]:
    """The arguments of every command; their files are made here, by the first run of each."""
    lines: dict[str, list[str]] = {}
    for size in SIZES:
        photo, file = str(folder / f"{size}.jpg"), str(folder / f"{size}.vaec")
        Image.fromarray(picture_of(size)).save(photo, quality=92)
        lines[f"compress {size}"] = ["compress", photo, "-o", file, "--overwrite"]
        lines[f"decompress {size}"] = ["decompress", file, "-o", str(folder / "out.png"), "--overwrite"]
    return lines | {"info": ["info", file], "help": ["--help"]}


def seconds(arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of a process that runs the command."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPATH": str(records.ROOT), **variables}
    before, start = _used(), time.perf_counter()
    line = [sys.executable, "-c", PROGRAM, *arguments]
    subprocess.run(line, cwd=records.ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start, _used() - before


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(rounds: int, threads: int) -> list[Record]:
    """A row for each command."""
    with tempfile.TemporaryDirectory() as folder:
        variables = openmp.variables(threads) | {"PYTHONPYCACHEPREFIX": str(Path(folder) / "byte_code")}
        lines = commands(Path(folder))
        for arguments in (["doctor"], *lines.values()):
            seconds(arguments, variables)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in [*lines, "first, decompress 0.08"]}
        for _ in range(rounds):
            for name, arguments in lines.items():
                times[name].append(seconds(arguments, variables))
            with tempfile.TemporaryDirectory() as cache:
                first = seconds(lines["decompress 0.08"], variables | {"NUMBA_CACHE_DIR": cache})
                times["first, decompress 0.08"].append(first)
    return [
        {
            "command": name,
            "wall_s": round(median(wall for wall, _ in runs), 3),
            "cpu_s": round(median(cpu for _, cpu in runs), 3),
            "least_wall_s": round(min(wall for wall, _ in runs), 3),
        }
        for name, runs in times.items()
    ]


def limit_of(command: str) -> float | None:
    """The seconds that a command may take."""
    return None if command.startswith("first") else LIMITS.get(command.rpartition(" ")[2])


def page(record: Record) -> str:
    """The table as Markdown."""
    rows = [
        (row["command"], f"{row['wall_s']:.2f}", f"{row['cpu_s']:.2f}", limit_of(row["command"]) or "")
        for row in record["rows"]
    ]
    return table(["command, megapixels", "wall, s", "processor, s", "at most, s"], rows)


@click.command("startup")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--threads", default=None, type=click.IntRange(1), help="Else as many as cores may be used.")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
def main(rounds: int, threads: int | None, out: Path) -> None:
    """Whole commands on small and middling photographs: do they meet their limits?"""
    count = threads or openmp.cores()
    record: Record = {"rounds": rounds, "threads": count, "rows": measure(rounds, count)}
    click.echo(page(record))
    late = [row["command"] for row in record["rows"] if row["wall_s"] > (limit_of(row["command"]) or float("inf"))]
    click.echo(f"too late: {', '.join(late)}" if late else "all within their limits")
    records.save(out, records.header() | record)
    if late:
        raise click.exceptions.Exit(1)
