"""A weights file -> the networks that run it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec.entropy.model import EntropyModel, from_tensors
from vaecodec.errors import WeightsError
from vaecodec.models.config import CONFIGS
from vaecodec.models.export import INTEGER_PREFIXES
from vaecodec.models.network import CodecNetwork
from vaecodec.weights.store import StoredModel


@dataclass(frozen=True)
class LoadedModel:
    """Float networks and the entropy model of one weights file."""

    network: CodecNetwork
    entropy: EntropyModel
    wire_hash: bytes
    card: dict[str, object]


def build_network(stored: StoredModel) -> CodecNetwork:
    """The float networks (h_scale excepted: it runs in integers), float32, in inference mode."""
    config = CONFIGS.get(stored.card.get("config", ""))
    if config is None:
        message = f"weights file has config {stored.card.get('config')!r}; known: {', '.join(CONFIGS)}"
        raise WeightsError(message)
    with torch.device("meta"):
        network = CodecNetwork(config)
    state: dict[str, Tensor] = {
        name.removeprefix("net."): torch.from_numpy(array).float()
        for name, array in stored.tensors.items()
        if name.startswith("net.")
    }
    expected = {name for name in network.state_dict() if not name.startswith(INTEGER_PREFIXES)}
    if expected != state.keys():
        message = f"weights file and config {config.name} differ in {sorted(expected ^ state.keys())[:4]}"
        raise WeightsError(message)
    network.load_state_dict(state, strict=False, assign=True)
    # Both ship as integers, in the entropy model.
    del network.h_scale, network.z_index
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def load_model(stored: StoredModel) -> LoadedModel:
    """Networks and tables, checked. Raises WeightsError."""
    return LoadedModel(build_network(stored), from_tensors(stored.tensors), stored.wire_hash, stored.card)
