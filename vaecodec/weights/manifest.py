"""The manifest of shipped models. Standard library only: a file's header can be explained without numpy or torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vaecodec.errors import HashMismatch, InputError, UnknownModel

FOLDER = Path(__file__).parent
MANIFEST = FOLDER / "MANIFEST.json"
TUNES = ("psnr", "perceptual")
"""What a model can be trained for: squared error alone, or together with measures of structure."""
DEFAULT_SIZE = "base"
DEFAULT_TUNE = "perceptual"
"""Fewer bytes than without at equal SSIMULACRA2 and MS-SSIM, more at equal PSNR: the model card has the figures."""


@dataclass(frozen=True)
class ManifestEntry:
    """One shipped model; `sha256` is `tensor_hash` of its tensors."""

    model_id: int
    name: str
    file: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the weights file is."""
        return FOLDER / self.file


@cache
def manifest() -> tuple[ManifestEntry, ...]:
    """All shipped models."""
    entries = json.loads(MANIFEST.read_text(encoding="utf-8"))["models"]
    return tuple(ManifestEntry(e["id"], e["name"], e["file"], e["sha256"]) for e in entries)


def entry_by_name(name: str) -> ManifestEntry:
    """Raises UnknownModel, naming the known ones."""
    for entry in manifest():
        if entry.name == name:
            return entry
    message = f"model {name!r} is not shipped; known: {', '.join(e.name for e in manifest())}"
    message += ", or the path of a weights file, named *.safetensors"
    raise UnknownModel(message)


@cache
def denoisers() -> tuple[ManifestEntry, ...]:
    """All shipped denoising encoders; the names are those of their models."""
    entries = json.loads(MANIFEST.read_text(encoding="utf-8")).get("denoisers", [])
    return tuple(ManifestEntry(e["id"], e["name"], e["file"], e["sha256"]) for e in entries)


def denoiser_of(model: str) -> ManifestEntry:
    """The denoising encoder of a shipped model. Raises InputError, naming the models that have one."""
    for entry in denoisers():
        if entry.name == model:
            return entry
    known = ", ".join(entry.name for entry in denoisers()) or "none"
    message = f"model {model!r} has no denoising encoder; models with one: {known}"
    raise InputError(message)


def tuned_name(model: str, tune: str) -> str:
    """The name of a model's variant: "base" and "perceptual" -> "base-perceptual"; tune="psnr" is the model itself."""
    return model if tune == "psnr" else f"{model}-{tune}"


def chosen_name(model: str | None, tune: str | None) -> str:
    """The shipped model of a name or size ("base") and what it was trained for; None: the default.

    Raises InputError for a `tune` that is none, or that contradicts the name ("base-perceptual" and "psnr").
    """
    if tune is None:
        return model or DEFAULT_MODEL
    if tune not in TUNES:
        message = f"tune is {tune!r}; it must be one of {', '.join(TUNES)}"
        raise InputError(message)
    size = model or DEFAULT_SIZE
    if any(size.endswith(f"-{other}") for other in TUNES if other != tune):
        message = f"model {size} and tune {tune} contradict each other: give one of them"
        raise InputError(message)
    return size if size.endswith(f"-{tune}") else tuned_name(size, tune)


DEFAULT_MODEL = tuned_name(DEFAULT_SIZE, DEFAULT_TUNE)
DENOISING_MODEL = "base"
"""What --denoise encodes with, unless a model is named."""


def entry_by_wire(model_id: int, wire_hash: bytes) -> ManifestEntry:
    """The model that a file's header names. Raises UnknownModel (id) or HashMismatch (other weights of that id)."""
    same_id = [entry for entry in manifest() if entry.model_id == model_id]
    if not same_id:
        message = f"model id {model_id} is not shipped; known ids: {sorted({e.model_id for e in manifest()})}"
        raise UnknownModel(message)
    for entry in same_id:
        if bytes.fromhex(entry.sha256)[:4] == wire_hash:
            return entry
    known = ", ".join(entry.sha256[:8] for entry in same_id)
    message = f"the file needs weights {wire_hash.hex()} of model id {model_id}; installed: {known}"
    raise HashMismatch(message)
