"""The JSON files of the benchmark: what was measured, by which versions, on which machine."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import click

from vaecodec.weights.manifest import manifest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
DRAFTS = ROOT / "build" / "drafts"
PACKAGES = ("pillow", "numpy", "torch", "numba", "pytorch-msssim", "ssimulacra2", "bjontegaard")

CHANGED = "+changes"
DRAFT = "bench.draft"
"""Where a command's context holds whether --draft was given."""
CODE = ("vaecodec", "kernels", "bench/*.py", "checks/*.py")
"""What a result depends on; for git."""

Record = dict[str, Any]
FORMAT = 1
"""Version of the layout of records."""


def header(command: str | None = None) -> Record:
    """What every record begins with: the layout's version, the command that made it, and where it was made."""
    return {"format": FORMAT, "command": command_line() if command is None else command, "made": environment()}


def command_line() -> str:
    """How this process was started; of an absolute path the last name, since the others are of one machine only."""
    program = getattr(sys.modules["__main__"], "__spec__", None)
    name = f"python -m {program.name.removesuffix('.__main__')}" if program else f"python {Path(sys.argv[0]).name}"
    arguments = [Path(argument).name if Path(argument).is_absolute() else argument for argument in sys.argv[1:]]
    return shlex.join([*name.split(), *arguments])


def environment() -> Record:
    """What a reader needs to judge or repeat a result: commit, machine, versions, shipped weights, time (UTC)."""
    return {
        "commit": commit(),
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "memory_gib": memory_gib(),
            "system": f"{platform.system()} {platform.machine()}",
            "load": load_average(),
        },
        "versions": {"python": platform.python_version(), **installed(PACKAGES)},
        "weights": {entry.name: entry.sha256[:8] for entry in manifest()},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def commit() -> str:
    """The checkout's commit, marked "+changes" where tracked files differ from it."""
    try:
        head = git("rev-parse", "HEAD").strip()
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git checkout)"
    return head + CHANGED if changed.strip() else head


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607


def installed(packages: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for name in packages:
        try:
            versions[name] = package_version(name)
        except PackageNotFoundError:
            continue
    return versions


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):  # not on every system
        return None


def load_average() -> float | None:
    """How many processes wanted a core in the last five minutes: times from a busy machine are no times."""
    try:
        return round(os.getloadavg()[1], 2)
    except (AttributeError, OSError):  # not on every system
        return None


def load(path: Path) -> Record:
    """Read one record; an empty one where the file does not exist yet."""
    if not path.exists():
        return {}
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def save(path: Path, record: Record) -> None:
    """Write atomically: a run that is stopped leaves the last good file.

    Raises ClickException for a record in bench/results by code that is in no commit, unless `--draft` is given: it then
    lies in build/drafts.
    """
    refused = not _may_be_saved(path, record)
    written = DRAFTS / path.resolve().relative_to(RESULTS) if refused else path
    written.parent.mkdir(parents=True, exist_ok=True)
    temporary = written.with_name(f".{written.name}.{os.getpid()}")
    temporary.write_text(compact(record) + "\n", encoding="utf-8")
    temporary.replace(written)
    if refused:
        message = f"{path}: the code that made this record is in no commit; commit, or say --draft. It is in {written}"
        raise click.ClickException(message)


def _may_be_saved(path: Path, record: Record) -> bool:
    context = click.get_current_context(silent=True)
    is_draft = context is not None and bool(context.meta.get(DRAFT))
    is_changed = any(commit.endswith(CHANGED) for commit in _commits(record))
    return is_draft or not is_changed or not path.resolve().is_relative_to(RESULTS)


def _commits(value: object) -> Iterator[str]:
    """The commits of a record and of its parts, which may have been measured one by one."""
    if isinstance(value, dict):
        if isinstance(value.get("commit"), str):
            yield value["commit"]
        for part in value.values():
            yield from _commits(part)
    elif isinstance(value, list):
        for part in value:
            yield from _commits(part)


def compact(value: object, indent: str = "") -> str:
    """JSON with one line per list of numbers: files that people and diffs can read."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        body = ",\n".join(f"{inner}{json.dumps(str(key))}: {compact(item, inner)}" for key, item in value.items())
        return f"{{\n{body}\n{indent}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value):
        body = ",\n".join(inner + compact(item, inner) for item in value)
        return f"[\n{body}\n{indent}]"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
