"""The log of a run: one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vaecodec.files import write_atomic

LOG = "log.jsonl"


def append(run: Path, entry: dict[str, Any]) -> None:
    """Add one line to the run's log."""
    with (run / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def read(run: Path) -> list[dict[str, Any]]:
    """All entries; a last line that was cut off when the process was killed is left out."""
    path = run / LOG
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def rewind(run: Path, step: int) -> None:
    """Drop what was logged after `step`: a run that goes on from a checkpoint takes those steps again."""
    kept = [entry for entry in read(run) if entry.get("step", 0) <= step]
    write_atomic(run / LOG, "".join(json.dumps(entry) + "\n" for entry in kept).encode(), overwrite=True)
