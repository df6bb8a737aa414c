"""The libraries of the extra `vaecodec[latents]`, loaded where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from vaecodec.errors import BackendError


def library(name: str) -> Any:
    """A module of the extra. Raises BackendError with one line that says how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise
        message = f"{name.partition('.')[0]} is not installed: pip install 'vaecodec[latents]'"
        raise BackendError(message) from error
