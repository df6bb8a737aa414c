"""The JSON files of the benchmark: what was measured, by which versions, on which machine."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("pillow", "numpy", "torch", "numba", "pytorch-msssim", "ssimulacra2", "bjontegaard")

CODE = ("vaecodec", "kernels", "bench/*.py", "checks/*.py")
"""What a result depends on; for git."""

Record = dict[str, Any]


def environment() -> Record:
    """What a reader needs to judge or repeat a result: commit, machine, versions, time (UTC)."""
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
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def commit() -> str:
    """The checkout's commit, marked "+changes" where tracked files differ from it."""
    try:
        head = git("rev-parse", "HEAD").strip()
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git checkout)"
    return f"{head}+changes" if changed.strip() else head


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607


def installed(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = package_version(name)
        except PackageNotFoundError:
            continue
    return found


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
    """Write atomically: a run that is stopped leaves the last good file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(compact(record) + "\n", encoding="utf-8")
    temporary.replace(path)


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
