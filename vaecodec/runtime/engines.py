"""Loaded models with the coders of their latents: the one that a codec encodes with, and those that files ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vaecodec.container import Header
from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import HashMismatch, UnknownModel
from vaecodec.networks.exact import make_exact
from vaecodec.networks.layers import RowBlock
from vaecodec.networks.network import CodecNetwork
from vaecodec.rans.choice import rans_coder
from vaecodec.runtime.choice import Plan
from vaecodec.runtime.context_steps import ContextSteps, NumbaSteps, TorchSteps
from vaecodec.runtime.latent_coders import CpuLatents, LatentCoder
from vaecodec.runtime.loading import LoadedModel, load_model
from vaecodec.runtime.x86 import pack
from vaecodec.weights.lookup import find_model
from vaecodec.weights.manifest import entry_by_name
from vaecodec.weights.store import StoredModel, read_model


@dataclass(frozen=True)
class Engine:
    """A loaded model, the id by which files name it, its context steps, and the coder of its latents."""

    loaded: LoadedModel
    model_id: int
    steps: ContextSteps
    coder: LatentCoder


class Engines:
    """Safe to share between threads.

    model: as for `Codec`.
    """

    def __init__(self, model: str | Path, plan: Plan) -> None:
        self._model, self._plan = model, plan
        self._engines: dict[tuple[int, bytes], Engine] = {}
        self._is_shipped = not (isinstance(model, Path) or model.endswith(".safetensors"))
        self.own = self._load(*self._read())

    def _read(self) -> tuple[StoredModel, int]:
        if not self._is_shipped:
            stored = read_model(Path(self._model))
            return stored, int(stored.card["model_id"])
        entry = entry_by_name(str(self._model))
        return read_model(entry.path, entry.sha256), entry.model_id

    def _load(self, stored: StoredModel, model_id: int) -> Engine:
        loaded = load_model(stored)
        fit(loaded.network, self._plan)
        steps, coder = make_steps(loaded.network, self._plan), make_coder(loaded.entropy, self._plan)
        engine = Engine(loaded, model_id, steps, coder)
        return self._engines.setdefault((model_id, loaded.wire_hash), engine)

    def of(self, header: Header) -> Engine:
        """The model that a file needs. Raises UnknownModel or HashMismatch."""
        engine = self._engines.get((header.model_id, header.model_hash))
        if engine is not None:
            return engine
        try:
            entry = find_model(header.model_id, header.model_hash)
        except UnknownModel as error:
            if header.model_id != self.own.model_id:
                raise
            own = self.own.loaded.wire_hash
            message = f"the file needs weights {header.model_hash.hex()}; {self._model} is {own.hex()}"
            raise HashMismatch(message) from error
        return self._load(read_model(entry.path, entry.sha256), entry.model_id)


# Each form is imported where a plan asks for it: those for a GPU import Triton.


def fit(network: CodecNetwork, plan: Plan) -> None:
    """Move a network to the plan's device and give its blocks their type, its layers their form."""
    network.to(plan.device)
    set_block_type(network, plan.dtype)
    if plan.networks == "x86":
        pack(network)
    elif plan.networks == "exact":
        make_exact(network)
    elif plan.networks == "triton":
        from vaecodec.runtime.cuda import fit_to_gpu

        fit_to_gpu(network)


def make_steps(network: CodecNetwork, plan: Plan) -> ContextSteps:
    """The context steps of a plan."""
    if plan.context_steps == "triton":
        from vaecodec.runtime.triton_steps import TritonSteps

        return TritonSteps(network)
    return NumbaSteps(network, rans_coder(plan.loops)) if plan.context_steps == "numba" else TorchSteps(network)


def make_coder(model: EntropyModel, plan: Plan) -> LatentCoder:
    """The coder of a plan. Raises BackendError where it can't run."""
    if plan.coder == "cpu":
        return CpuLatents(model, plan)
    from vaecodec.runtime.gpu_latents import GpuLatents

    return GpuLatents(model, plan)


def set_block_type(network: CodecNetwork, dtype: torch.dtype) -> None:
    """Give the blocks a type, and them only: what enters and leaves them needs more than 8 bits of mantissa."""
    for module in network.modules():
        if isinstance(module, RowBlock):
            module.to(dtype)
