"""Checkpoints: everything a run needs to go on as if it had never stopped, written atomically."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from vaecodec.errors import WeightsError

CHECKPOINT = "checkpoint.pt"


def save_checkpoint(run: Path, state: dict[str, Any]) -> None:
    """Write `run`/checkpoint.pt: a temporary file in the same folder, fsync, replace.

    Not files.write_atomic: that wants all bytes in memory, and leaves a file under a new name when it is killed.
    """
    temporary = run / (CHECKPOINT + ".partial")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(run / CHECKPOINT)


def load_checkpoint(run: Path) -> dict[str, Any]:
    """Read a run's checkpoint (tensors and plain values only). Raises WeightsError for none, or a damaged one."""
    path = run / CHECKPOINT
    if not path.is_file():
        message = f"{run}: no {CHECKPOINT} in this folder"
        raise WeightsError(message)
    try:
        with zipfile.ZipFile(path) as file:
            if torn := file.testzip():  # of bytes that were changed PyTorch raises anything
                raise zipfile.BadZipFile(torn)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError) as error:
        message = f"{path}: the checkpoint is damaged ({' '.join(str(error).split())[:200]})"
        raise WeightsError(message) from error
    return state
