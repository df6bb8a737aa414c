"""Loaded models with the coders of their latents: the one that a codec encodes with, and those that files ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vaecodec.container import Header
from vaecodec.errors import HashMismatch
from vaecodec.networks.layers import RowBlock
from vaecodec.networks.network import CodecNetwork
from vaecodec.runtime.choice import Coder
from vaecodec.runtime.cuda import fit_to_gpu
from vaecodec.runtime.latent_coders import LatentCoder, make_coder
from vaecodec.runtime.loading import LoadedModel, load_model
from vaecodec.runtime.x86 import pack
from vaecodec.weights.manifest import entry_by_name, entry_by_wire
from vaecodec.weights.store import StoredModel, read_model


@dataclass(frozen=True)
class Engine:
    """A loaded model, the id by which files name it, and the coder of its latents."""

    loaded: LoadedModel
    model_id: int
    coder: LatentCoder


class Engines:
    """Safe to share between threads.

    model: as for `Codec`. block_dtype: type of the blocks of all networks. coder: see `choice.choose_coder`.
    """

    def __init__(self, model: str | Path, device: torch.device, block_dtype: torch.dtype, coder: Coder) -> None:
        self._model, self._device, self._block_dtype, self._coder = model, device, block_dtype, coder
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
        loaded.network.to(self._device)
        set_block_type(loaded.network, self._block_dtype)
        fit = {"cpu": pack, "cuda": fit_to_gpu}.get(self._device.type)
        if fit is not None:
            fit(loaded.network)
        engine = Engine(loaded, model_id, make_coder(loaded.entropy, self._device, self._coder))
        return self._engines.setdefault((model_id, loaded.wire_hash), engine)

    def of(self, header: Header) -> Engine:
        """The model that a file needs. Raises UnknownModel or HashMismatch."""
        engine = self._engines.get((header.model_id, header.model_hash))
        if engine is not None:
            return engine
        if header.model_id == self.own.model_id and not self._is_shipped:
            own = self.own.loaded.wire_hash
            message = f"the file needs weights {header.model_hash.hex()}; {self._model} is {own.hex()}"
            raise HashMismatch(message)
        entry = entry_by_wire(header.model_id, header.model_hash)
        return self._load(read_model(entry.path, entry.sha256), entry.model_id)


def set_block_type(network: CodecNetwork, dtype: torch.dtype) -> None:
    """Of the blocks only: what enters and leaves them needs more than 8 bits of mantissa at the high qualities."""
    for module in network.modules():
        if isinstance(module, RowBlock):
            module.to(dtype)
