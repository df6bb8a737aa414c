"""Weights files: safetensors with a model card, checked by a hash over the tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import HashMismatch, WeightsError

CARD_KEY = "vaecodec"
"""The safetensors metadata entry that holds the model card as JSON."""
PREVIEW_PREFIX = "preview."
"""Tensors of the preview head. They are not hashed: no file depends on them, so they may come, go and improve."""
INTEGER_PREFIXES = ("h_scale.", "z_index.")
"""Parameters that ship as integers only."""
INTEGER_PART = "int."
"""Tensors of the integer part, which decides bytes."""
INTEGER_TYPES = ("int8", "uint8", "int16", "uint16", "int32")
FLOAT_TYPES = ("float16", "float32")
SHIFT_PREFIX = "shift_"
"""Per-level tables of shifts. Weights that were trained before there were any lack them: then they are zero."""
LEVEL_PREFIXES = ("log_", SHIFT_PREFIX)
"""Per-level tables stay float32: they are small, and the gains span a wide range."""


@dataclass(frozen=True)
class StoredModel:
    """What a weights file holds: tensors by name, the model card, the SHA-256 over the tensors (`tensor_hash`)."""

    tensors: dict[str, NDArray[Any]]
    card: dict[str, Any]
    sha256: str

    @property
    def wire_hash(self) -> bytes:
        """The four bytes of the hash that stand in every file's header."""
        return bytes.fromhex(self.sha256)[:4]


def between_anchors(anchors: NDArray[np.float32], t: float) -> NDArray[np.float32]:
    """A `LevelTable` [anchors, channels] at t in 0..1: [channels], linear between its anchors."""
    position = t * (len(anchors) - 1)
    low = min(int(position), len(anchors) - 2)
    vector: NDArray[np.float32] = anchors[low] + np.float32(position - low) * (anchors[low + 1] - anchors[low])
    return vector


def tensor_hash(tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over name, type, shape and little-endian bytes of every tensor that files depend on, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if name.startswith(PREVIEW_PREFIX):
            continue
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def read_model(path: Path, expected_sha256: str | None = None) -> StoredModel:
    """Read a weights file.

    expected_sha256: of its tensors, where it is known what they are; else they are looked at. Raises WeightsError (not
    readable, no model card, numbers that no network has) or HashMismatch (tensors changed).
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            card_text = (file.metadata() or {}).get(CARD_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
    except (OSError, SafetensorError, TypeError) as error:  # TypeError: a type that NumPy has not, such as bfloat16
        message = f"{path}: not a readable weights file ({error})"
        raise WeightsError(message) from error
    card = _parse_card(path, card_text)
    sha256 = tensor_hash(tensors)
    if expected_sha256 is None:
        _check_numbers(path, tensors)
    elif sha256 != expected_sha256:
        message = f"{path}: tensors hash to {sha256[:16]}..., the manifest says {expected_sha256[:16]}..."
        raise HashMismatch(message)
    return StoredModel(tensors, card, sha256)


def read_card(path: Path) -> dict[str, Any]:
    """The model card of a weights file alone, without its tensors. Raises WeightsError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return _parse_card(path, (file.metadata() or {}).get(CARD_KEY))
    except (OSError, SafetensorError) as error:
        message = f"{path}: not a readable weights file ({error})"
        raise WeightsError(message) from error


def _check_numbers(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raises WeightsError for floats that are not finite, and for types that a tensor of its name has not."""
    for name, array in tensors.items():
        legal = INTEGER_TYPES if name.startswith(INTEGER_PART) else FLOAT_TYPES
        if array.dtype.name not in legal:
            message = f"{path}: {name} is of type {array.dtype.name}; it must be {', '.join(legal)}"
            raise WeightsError(message)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            message = f"{path}: {name} has values that are no finite numbers"
            raise WeightsError(message)


def _parse_card(path: Path, text: str | None) -> dict[str, Any]:
    """The model card, a JSON object that has at least a model id. Raises WeightsError."""
    if text is None:
        message = f"{path}: no {CARD_KEY!r} entry in its metadata; not a vaecodec model"
        raise WeightsError(message)
    try:
        card = json.loads(text)
    except ValueError as error:
        message = f"{path}: the model card is not JSON ({error})"
        raise WeightsError(message) from error
    model_id = card.get("model_id") if isinstance(card, dict) else None
    if not isinstance(model_id, int) or not 1 <= model_id < 1 << 32:
        message = f"{path}: model_id of the model card is {model_id!r}; it must be 1..{(1 << 32) - 1}"
        raise WeightsError(message)
    return dict(card)


def write_model(path: Path, tensors: Mapping[str, NDArray[Any]], card: Mapping[str, Any]) -> str:
    """Write a weights file; returns the SHA-256 of the tensors."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    # Not save_file: the files that it makes can only be read by their owner, in a wheel too.
    path.write_bytes(save(contiguous, metadata={CARD_KEY: json.dumps(card)}))
    return tensor_hash(contiguous)
