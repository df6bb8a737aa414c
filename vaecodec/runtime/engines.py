"""Loaded models with the coders of their latents: the one that a codec encodes with, and those that files ask for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from vaecodec.container import Header
from vaecodec.errors import HashMismatch, InputTypeError, UnknownModel
from vaecodec.runtime.choice import Plan
from vaecodec.runtime.interface import LoadedModel, Pipeline
from vaecodec.runtime.memory import Memory
from vaecodec.weights.denoisers import denoising_model
from vaecodec.weights.lookup import find_model
from vaecodec.weights.manifest import denoiser_of, entry_by_name
from vaecodec.weights.store import StoredModel, read_model

KEPT_DENOISERS = 4
"""Engines of denoising encoders that are kept, one for each strength of noise."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def model(self) -> LoadedModel:
        """The model without its networks."""

    def pipeline(self, max_memory: int | None) -> Pipeline:
        """What codes with the model. max_memory: bytes that one batch may take, None for what is fastest."""

    def memory(self, max_memory: int | None) -> Memory:
        """The limits of memory, in pixels at once."""


def make_engine(stored: StoredModel, plan: Plan) -> Engine:
    """The engine of a plan. Imports PyTorch where the plan needs it. Raises WeightsError, BackendError."""
    if plan.needs_torch:
        from vaecodec.runtime.torch_engine import TorchEngine

        return TorchEngine(stored, plan)
    from vaecodec.runtime.cpu.engine import CpuEngine

    return CpuEngine(stored, plan)


class Engines:
    """Safe to share between threads.

    model: as for `Codec`.
    """

    def __init__(self, model: str | Path, plan: Plan) -> None:
        if not isinstance(model, str | Path):
            message = f"model is {model!r}, of type {type(model).__name__}; it must be a name or a path"
            raise InputTypeError(message)
        self._model, self._plan = model, plan
        self._engines: dict[tuple[int, bytes], Engine] = {}
        self._parts: tuple[StoredModel, StoredModel] | None = None  # the own model and its denoising encoder
        self._denoising: dict[float, Engine] = {}
        self._lock = threading.Lock()
        self._is_shipped = not (isinstance(model, Path) or model.endswith(".safetensors"))
        stored, self.model_id = self._read()
        self.own = self._load(stored, self.model_id)

    def _read(self) -> tuple[StoredModel, int]:
        if not self._is_shipped:
            stored = read_model(Path(self._model))
            return stored, int(stored.card["model_id"])
        entry = entry_by_name(str(self._model))
        return read_model(entry.path, entry.sha256), entry.model_id

    def stored(self) -> StoredModel:
        """The own model's file again, read and checked."""
        return self._read()[0]

    def _load(self, stored: StoredModel, model_id: int) -> Engine:
        engine = make_engine(stored, self._plan)
        return self._engines.setdefault((model_id, stored.wire_hash), engine)

    def denoising(self, sigma: float) -> Engine:
        """The own model with the encoder for noise of a standard deviation in shades 0..255. Raises InputError where
        there is none."""
        with self._lock:
            if self._parts is None:
                entry = denoiser_of(str(self._model))
                self._parts = self.stored(), read_model(entry.path, entry.sha256)
            engine = self._denoising.pop(sigma, None)
            if engine is None:
                engine = make_engine(denoising_model(*self._parts, sigma), self._plan)
            while len(self._denoising) >= KEPT_DENOISERS:
                self._denoising.pop(next(iter(self._denoising)))
            self._denoising[sigma] = engine
        return engine

    def of(self, header: Header) -> Engine:
        """The model that a file needs. Raises UnknownModel or HashMismatch."""
        engine = self._engines.get((header.model_id, header.model_hash))
        if engine is not None:
            return engine
        try:
            entry = find_model(header.model_id, header.model_hash)
        except UnknownModel as error:
            if header.model_id != self.model_id:
                raise
            own = self.own.model.wire_hash
            message = f"the file needs weights {header.model_hash.hex()}; {self._model} is {own.hex()}"
            raise HashMismatch(message) from error
        return self._load(read_model(entry.path, entry.sha256), entry.model_id)
