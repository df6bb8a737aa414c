"""What the work runs on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """device: "auto", "cpu", "cuda" or "cuda:N". max_memory: bytes for each image under way. threads: of the CPU."""

    device: str = "auto"
    max_memory: int | None = None
    threads: int | None = None
