"""`python -m checks fuzz [TARGET...] --seconds 60`: runs the targets, `--jobs` of them at a time, and reports.

A finding is written to the folder of --out; copy it to tests/corpus/TARGET/ with the fix, where tests/test_corpus.py
keeps it fixed. Needs the extra [fuzz] (atheris).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import click

from bench.records import Record, header, save
from checks.fuzz.seeds import write_seeds

NAMES = ("container", "rans", "decode", "pillow", "pixels")
MEMORY_MB = {name: 1536 if name == "pixels" else 1024 for name in NAMES}
"""libFuzzer stops a target that needs more: libjxl's own number. Three models in two types, each with weights packed
for many levels, and all of them once more in PyTorch take 0.9 GiB without a fuzzer."""
TIMEOUT_SECONDS = 20
"""Inputs take milliseconds; a machine may have more to do than this."""
SLOW_SECONDS = 10
"""libFuzzer's own limit for what it writes as a slow unit."""
LONGEST_INPUT = 4096


@dataclass(frozen=True)
class Run:
    """One target. findings: files that crashed, hung or needed too much memory."""

    target: str
    seconds: float
    executions: int
    peak_mb: int
    findings: tuple[str, ...]


def fuzz(target: str, seconds: int, out: Path) -> Run:
    """Start from the seeds and what --out holds from earlier runs."""
    corpus, findings = out / target / "corpus", out / target / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as seeds:
        write_seeds(target, Path(seeds))
        options = [
            f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", f"-rss_limit_mb={MEMORY_MB[target]}",
            f"-timeout={TIMEOUT_SECONDS}", f"-artifact_prefix={findings}/", "-print_final_stats=1", "-verbosity=0",
        ]  # fmt: skip
        start = time.monotonic()
        done = _work(target, *options, str(corpus), seeds)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    paths = sorted(findings.iterdir())
    failures = tuple(str(path) for path in paths if not path.name.startswith("slow-unit-") or _is_slow(target, path))
    if done.returncode or not stats:
        click.echo(done.stderr[-4000:], err=True)
        failures = failures or (f"the process ended with {done.returncode}",)
    executed, peak = int(stats.get("number_of_executed_units", 0)), int(stats.get("peak_rss_mb", 0))
    return Run(target, round(time.monotonic() - start, 1), executed, peak, failures)


def _work(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "checks.fuzz.worker", target, *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)


def _is_slow(target: str, path: Path) -> bool:
    """Whether a file that took long does so again: a process may have been stopped, or have had no processor."""
    done = _work(target, f"-timeout={TIMEOUT_SECONDS}", f"-artifact_prefix={path.parent}/again-", str(path))
    took = re.search(r"Executed .* in (\d+) ms", done.stderr)
    return done.returncode != 0 or took is None or int(took[1]) > 1000 * SLOW_SECONDS


def fuzz_all(targets: tuple[str, ...], seconds: int, jobs: int, out: Path) -> Iterator[Run]:
    """Every target, in the order given."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda target: fuzz(target, seconds, out), targets)


def as_record(runs: list[Run]) -> Record:
    """What was run, on which machine, and what it found."""
    return {
        **header(),
        "atheris": version("atheris"),
        "passed": not any(run.findings for run in runs),
        "targets": [asdict(run) for run in runs],
    }


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(NAMES))
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(1), help="Time of each target.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Targets at a time.")
@click.option("--out", default="build/fuzz", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here, as JSON.")
def main(targets: tuple[str, ...], seconds: int, jobs: int, out: Path, report: Path | None) -> None:
    """Fuzz everything that reads hostile bytes. Exit code 1 when anything was found."""
    if find_spec("atheris") is None:
        message = "the fuzzer needs atheris: pip install '.[fuzz]'"
        raise click.ClickException(message)
    runs = []
    for run in fuzz_all(targets or NAMES, seconds, jobs, out):
        runs.append(run)
        rate = run.executions / run.seconds
        click.echo(
            f"{run.target}: {run.executions} executions in {run.seconds} s ({rate:.0f}/s), "
            f"peak {run.peak_mb} MiB, {len(run.findings)} findings {' '.join(run.findings)}"
        )
    if report:
        save(report, as_record(runs))
    sys.exit(1 if any(run.findings for run in runs) else 0)


if __name__ == "__main__":
    main(prog_name="python -m checks fuzz")
