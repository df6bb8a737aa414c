"""`python -m bench scale-out PHOTOS`: the folder command on a local Ray cluster, beside the one-machine command.

Images of mixed sizes are made from photographs. One process makes the files that all runs must equal; then one and two
workers make them on clusters of as many CPUs; then a worker is killed and a node added in the middle of a run, which is
repeated; then photographs of 12 megapixels. Throughput is that from the first files in the report to the last ones: a
cluster is started once. Processor seconds are those of the actors between the two.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from PIL import Image

from bench import records
from bench.speed.scale import picture_of
from vaecodec import verify
from vaecodec.cli.sources import PHOTO_SUFFIXES
from vaecodec.weights.manifest import DEFAULT_MODEL

SHORTEST, LONGEST = 96, 768
"""The longer sides of the images, in pixels; their logarithms are distributed evenly."""
LARGE_MEGAPIXELS = 12
POLL_S = 0.5
STORE_BYTES = 200_000_000

Tick = Callable[[int], None]


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--images", default=2000, show_default=True, help="Of mixed sizes.")
@click.option("--large", type=click.IntRange(2), default=5, show_default=True, help="Photographs of 12 megapixels.")
@click.option("--model", default=DEFAULT_MODEL, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=records.RESULTS / "scale-out.json", show_default=True)
def main(photos: Path, images: int, large: int, model: str, out: Path) -> None:
    """A folder on a local Ray cluster: throughput of one and two workers, a killed worker, an added node."""
    paths = [str(records.ROOT), str(records.ROOT / "kernels"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)  # of the commands and of Ray's workers
    with tempfile.TemporaryDirectory() as folder:
        run = _Runs(Path(folder), model)
        run.make_images(photos, images)
        record = {"options": {"images": images, "megapixels": run.megapixels(), "model": model}, **run.measure(large)}
    print(verdict(record))
    records.save(out, records.header() | record)


def verdict(record: records.Record) -> str:
    """The result in a few lines."""
    one, two, failure = record["one"], record["two"], record["failure"]
    problems = "; ".join(failure["problems"]) or "nothing lost, partial or made twice"
    return (
        f"one process {record['local']['wall_s']} s\none worker {one['images_per_s']} images/s, two "
        f"{two['images_per_s']} images/s: {ratio(record):.2f} times, with {two['cores'] / one['cores']:.2f} times the "
        f"processor time\n{failure['killed']} worker killed, "
        f"{failure['nodes_added']} node added, {failure['workers']} workers in all: {problems}\n"
        f"again: {record['again']['skipped']} skipped, {record['again']['made']} made"
    )


def ratio(record: records.Record) -> float:
    """Throughput of two workers over that of one, in pixels."""
    return float(record["two"]["megapixels_per_s"] / record["one"]["megapixels_per_s"])


class _Runs:
    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._model = folder, model

    def make_images(self, photos: Path, count: int) -> None:
        """JPEG files of mixed sizes in 16 folders."""
        rng = random.Random(1)
        paths = sorted(path for path in photos.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
        for start, path in enumerate(paths[:count]):
            with Image.open(path) as image:
                whole = image.convert("RGB")
            for number in range(start, count, len(paths)):
                side = round(SHORTEST * (LONGEST / SHORTEST) ** rng.random())
                smaller = whole.copy()
                smaller.thumbnail((side, side))
                name = self._folder / "in" / f"{number % 16:02}" / f"{number:05}.jpg"
                name.parent.mkdir(parents=True, exist_ok=True)
                smaller.save(name, quality=92)

    def megapixels(self) -> float:
        total = 0
        for path in (self._folder / "in").rglob("*.jpg"):
            with Image.open(path) as image:
                total += image.width * image.height
        return round(total / 1e6, 1)

    def measure(self, large: int) -> records.Record:
        record: records.Record = {"local": self._local()}
        print(f"local: {record['local']}", flush=True)
        for name, workers in (("one", 1), ("two", 2)):
            with _cluster(workers) as (_, address):
                record[name] = self._on_cluster(name, address)
            self._check_equal(name)
            print(f"{name}: {record[name]}", flush=True)
        with _cluster(1) as (cluster, address):
            record["failure"] = self._with_failures(cluster, address)
            print(f"failure: {record['failure']}", flush=True)
            again = self._command("failure", "--engine", "ray", "--address", address, "--resume", tick=lambda _: None)
            record["again"] = {"made": len(again["files"]), "skipped": len(again.get("skipped", []))}
            record["large"] = self._large(large, address)
        return record

    def _local(self) -> records.Record:
        before, start = os.times(), time.perf_counter()
        self._command("local", "--threads", "1", tick=lambda _: None)
        wall, after = time.perf_counter() - start, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        for path in sorted((self._folder / "local").rglob("*.vaec")):
            verify(path)
        return {"wall_s": round(wall, 1), "cpu_s": round(cpu, 1)}

    def _on_cluster(self, name: str, address: str) -> records.Record:
        watch, start = _Watch(self._report(name)), time.perf_counter()
        document = self._command(name, "--engine", "ray", "--address", address, tick=watch.look)
        facts = {"wall_s": round(time.perf_counter() - start, 1), **watch.result()}
        return facts | {"workers": len({item["worker"] for item in document["files"]})}

    def _with_failures(self, cluster: Any, address: str) -> records.Record:
        """A run in which a node is added after a quarter of the files, and a worker killed after a half."""
        expected, killed, nodes = self._files("local"), [], []

        def tick(rows: int) -> None:
            if not nodes and rows > len(expected) // 4:
                nodes.append(_add_node(cluster, 1))
            if not killed and rows > len(expected) // 2:
                killed.extend(workers_below(os.getpid())[:1])
                for process in killed:
                    os.kill(process, signal.SIGKILL)

        document = self._command("failure", "--engine", "ray", "--address", address, tick=tick)
        outputs, rows = self._files("failure"), _rows(self._report("failure"))
        problems = [f"{name} is missing" for name in expected.keys() - outputs.keys()]
        problems += [f"{name} is no file of the run" for name in outputs.keys() - expected.keys()]
        problems += [
            f"{name} has other bytes" for name in expected.keys() & outputs.keys() if expected[name] != outputs[name]
        ]
        counts = Counter(row["output"] for row in rows if row["status"] == "made")
        problems += [f"{name} was made {count} times" for name, count in counts.items() if count > 1]
        by_worker = Counter(item["worker"] for item in document["files"])
        return {
            "killed": len(killed), "nodes_added": len(nodes), "workers": len(by_worker),
            "nodes": len({worker.partition("/")[0] for worker in by_worker}), "problems": problems,
        }  # fmt: skip

    def _large(self, count: int, address: str) -> records.Record:
        picture = Image.fromarray(picture_of(LARGE_MEGAPIXELS))
        (self._folder / "large-in").mkdir()
        for number in range(count):
            picture.save(self._folder / "large-in" / f"{number}.jpg", quality=92)
        watch = _Watch(self._report("large"))
        document = self._command(
            "large", "--engine", "ray", "--address", address, "-j", "1", folder="large-in", tick=watch.look
        )
        sizes = {key: sum(item[key] for item in document["files"]) // count for key in ("source_bytes", "bytes")}
        return {"images": count, **sizes, **watch.result()}

    def _command(self, name: str, *options: str, folder: str = "in", tick: Tick) -> records.Record:
        """Run the folder command in a process; tick is told how many rows its report has. Raises ClickException."""
        report = self._report(name)
        command = [
            sys.executable, "-m", "vaecodec", "compress", "-r", str(self._folder / folder), "-o",
            str(self._folder / name), "--report", str(report), "--json", "--model", self._model, *options,
        ]  # fmt: skip
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=records.ROOT)
            while process.poll() is None:
                tick(_count(report))
                time.sleep(POLL_S)
            tick(_count(report))
            output.seek(0)
            errors.seek(0)
            if process.returncode:
                raise click.ClickException(errors.read().decode()[-2000:])
            document: records.Record = json.load(io.TextIOWrapper(output))
        return document

    def _report(self, name: str) -> Path:
        return self._folder / f"{name}.csv"

    def _files(self, name: str) -> dict[str, bytes]:
        folder = self._folder / name
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def _check_equal(self, name: str) -> None:
        if self._files(name) != self._files("local"):
            message = f"{name}: the files are not those of the one-machine command"
            raise click.ClickException(message)


class _Watch:
    """What a run's report and its actors show while it goes on."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._seen: list[tuple[float, int, float]] = []  # time, rows, processor seconds
        self._cpu: dict[int, float] = {}
        self._peak: dict[int, int] = {}

    def look(self, rows: int) -> None:
        for process in workers_below(os.getpid()):
            with contextlib.suppress(OSError, IndexError):  # it has ended
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                self._cpu[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                status = Path(f"/proc/{process}/status").read_text()
                self._peak[process] = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        if rows and (not self._seen or rows > self._seen[-1][1]):
            self._seen.append((time.perf_counter(), rows, sum(self._cpu.values())))

    def result(self) -> records.Record:
        """Throughput, processor seconds an image and a second, from the first files on; one file is no throughput."""
        first, last = self._seen[0], self._seen[-1]
        seconds, images, cpu = (b - a for a, b in zip(first, last, strict=True))
        pixels = sum(int(row["width"]) * int(row["height"]) for row in _rows(self._report)[first[1] : last[1]])
        return {
            "images_per_s": round(images / seconds, 2),
            "megapixels_per_s": round(pixels / seconds / 1e6, 3),
            "cpu_s_per_image": round(cpu / images, 4),
            "cores": round(cpu / seconds, 2),
            "peak_bytes": max(self._peak.values(), default=0),
        }


def _count(report: Path) -> int:
    """How many rows a report has."""
    return max(0, report.read_bytes().count(b"\n") - 1) if report.exists() else 0


def _rows(report: Path) -> list[dict[str, str]]:
    """The whole rows of a report."""
    if not report.exists():
        return []
    content = report.read_bytes()
    return list(csv.DictReader(io.StringIO(content[: content.rfind(b"\n") + 1].decode(), newline="")))


@contextlib.contextmanager
def _cluster(cpus: int) -> Iterator[tuple[Any, str]]:
    """A cluster of nodes of one CPU each, each on a core of its own, and its address."""
    try:
        from ray.cluster_utils import Cluster
    except ImportError as error:
        message = "Ray is not installed: pip install 'vaecodec[ray]'"
        raise click.ClickException(message) from error
    cluster = Cluster()
    try:
        for number in range(cpus):
            _add_node(cluster, number)
        yield cluster, cluster.address
    finally:
        cluster.shutdown()


def _add_node(cluster: Any, number: int) -> Any:
    """Add a node whose processes all run on one core, as a machine of one core would, once they have started: Ray waits
    30 seconds for them, too few where others use that core."""
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    cores = sorted(os.sched_getaffinity(0))
    started = {parts[0].process.pid for parts in node.all_processes.values()}
    for process in started.union(*map(processes_below, started)):
        with contextlib.suppress(OSError):  # it has ended
            os.sched_setaffinity(process, {cores[number % len(cores)]})
    return node


def processes_below(root: int) -> dict[int, bytes]:
    """The processes that a process has started, and those that these have: ids and command lines (Linux)."""
    parents: dict[int, int] = {}
    commands: dict[int, bytes] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes()

    def is_below(process: int) -> bool:
        while process not in (0, root):
            process = parents.get(process, 0)
        return process == root

    return {process: command for process, command in commands.items() if process != root and is_below(process)}


def workers_below(root: int) -> list[int]:
    """The actors of Ray's maps among the processes below one, by their ids."""
    return sorted(process for process, command in processes_below(root).items() if command.startswith(b"ray::Map"))
