"""A weights file -> the networks that run it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec.entropy.model import from_tensors
from vaecodec.networks.config import ModelConfig
from vaecodec.networks.network import CodecNetwork
from vaecodec.networks.preview import make_preview_head
from vaecodec.networks.shapes import config_of
from vaecodec.runtime.interface import LoadedModel
from vaecodec.weights.store import PREVIEW_PREFIX, StoredModel


@dataclass(frozen=True)
class TorchModel(LoadedModel):
    """A loaded model with its float networks."""

    network: CodecNetwork


def build_network(stored: StoredModel, config: ModelConfig) -> CodecNetwork:
    """The float networks (h_scale excepted: it runs in integers), float32, in inference mode."""
    # Not on the meta device, where even a division makes PyTorch import its compiler: a second and more at every start.
    # The weights that are drawn here are replaced below; the caller's random numbers stay as they are.
    with torch.random.fork_rng(devices=[]):
        network = CodecNetwork(config)
        if any(name.startswith(PREVIEW_PREFIX) for name in stored.tensors):
            network.preview = make_preview_head(config)
    state: dict[str, Tensor] = {
        name.removeprefix("net."): torch.from_numpy(array).float()
        for name, array in stored.tensors.items()
        if name.startswith(("net.", PREVIEW_PREFIX))
    }
    network.load_state_dict(state, strict=False, assign=True)
    # Both ship as integers, in the entropy model.
    del network.h_scale, network.z_index
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def load_model(stored: StoredModel) -> TorchModel:
    """Networks and tables, checked. Raises WeightsError."""
    entropy = from_tensors(stored.tensors)
    config = config_of(stored, entropy)
    return TorchModel(config, entropy, stored.wire_hash, stored.card, build_network(stored, config))
