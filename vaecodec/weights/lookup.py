"""Which weights a file needs: a shipped model, or one's own in the folder that VAECODEC_MODELS names.

Own models are found by what they are, not by their names: id and hash must be those in the file's header. Nothing but
this folder is searched, and what lies in it is only read.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from vaecodec.errors import HashMismatch, UnknownModel, WeightsError
from vaecodec.weights.manifest import ManifestEntry, entry_by_wire

VARIABLE = "VAECODEC_MODELS"
"""The environment variable with the folder of own models."""


def find_model(model_id: int, wire_hash: bytes) -> ManifestEntry:
    """The model that a file's header names, shipped or own.

    Raises UnknownModel (id) or HashMismatch (other weights of that id); the message says how to name own weights.
    """
    try:
        return entry_by_wire(model_id, wire_hash)
    except (UnknownModel, HashMismatch) as error:
        own = _find_own(model_id, wire_hash)
        if own is not None:
            return own
        folder = os.environ.get(VARIABLE)
        searched = f"{VARIABLE} is not set" if not folder else f"{folder} ({VARIABLE}) has none with this id and hash"
        message = f"{error}; for a model of your own give its weights file (--model FILE, model=); {searched}"
        raise type(error)(message) from error


def _find_own(model_id: int, wire_hash: bytes) -> ManifestEntry | None:
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    for path in sorted(Path(folder).glob("*.safetensors")):
        try:
            state = path.stat()
            sha256 = _sha256_of(path, state.st_mtime_ns, state.st_size, model_id)
        except (WeightsError, OSError):
            continue  # what cannot be read is not the model that is sought
        if sha256 is not None and bytes.fromhex(sha256)[:4] == wire_hash:
            return ManifestEntry(model_id, path.stem, str(path.resolve()), sha256)
    return None


@lru_cache(maxsize=64)
def _sha256_of(path: Path, _mtime_ns: int, _size: int, model_id: int) -> str | None:
    """The hash of a weights file; None for a model of another id. Reads the tensors only where the id is right."""
    from vaecodec.weights.store import read_card, read_model

    return read_model(path).sha256 if read_card(path)["model_id"] == model_id else None
