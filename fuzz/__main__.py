"""`python -m fuzz [TARGET...] --seconds 60`: runs the targets one after the other and reports.

A finding is written to the folder of --out; copy it to tests/corpus/TARGET/ with the fix, where tests/test_corpus.py
keeps it fixed. Needs the extra [fuzz] (atheris).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from fuzz.seeds import write_seeds

NAMES = ("container", "rans", "decode", "pillow")
MEMORY_MB = 1024
"""libFuzzer stops a target that needs more: libjxl's own number."""
TIMEOUT_SECONDS = 20
"""Inputs take milliseconds; a machine may have more to do than this."""
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
            f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", f"-rss_limit_mb={MEMORY_MB}",
            f"-timeout={TIMEOUT_SECONDS}", f"-artifact_prefix={findings}/", "-print_final_stats=1", "-verbosity=0",
        ]  # fmt: skip
        start = time.monotonic()
        command = [sys.executable, "-m", "fuzz.worker", target, *options, str(corpus), seeds]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    found = tuple(str(path) for path in sorted(findings.iterdir()))
    if done.returncode or not stats:
        click.echo(done.stderr[-4000:], err=True)
        found = found or (f"the process ended with {done.returncode}",)
    executed, peak = int(stats.get("number_of_executed_units", 0)), int(stats.get("peak_rss_mb", 0))
    return Run(target, round(time.monotonic() - start, 1), executed, peak, found)


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(NAMES))
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(1), help="Time of each target.")
@click.option("--out", default="build/fuzz", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here, as JSON.")
def main(targets: tuple[str, ...], seconds: int, out: Path, report: Path | None) -> None:
    """Fuzz everything that reads hostile bytes. Exit code 1 when anything was found."""
    runs = []
    for target in targets or NAMES:
        runs.append(fuzz(target, seconds, out))
        run = runs[-1]
        rate = run.executions / run.seconds
        click.echo(
            f"{target}: {run.executions} executions in {run.seconds} s ({rate:.0f}/s), "
            f"peak {run.peak_mb} MiB, {len(run.findings)} findings {' '.join(run.findings)}"
        )
    if report:
        report.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if any(run.findings for run in runs) else 0)


if __name__ == "__main__":
    main(prog_name="python -m fuzz")
