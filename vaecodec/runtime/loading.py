"""A weights file -> the networks that run it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaecodec.entropy.model import EntropyModel, from_tensors
from vaecodec.errors import WeightsError
from vaecodec.levels import LEVELS
from vaecodec.networks.config import CONFIGS, ModelConfig
from vaecodec.networks.network import CodecNetwork
from vaecodec.networks.preview import make_preview_head
from vaecodec.weights.store import INTEGER_PREFIXES, PREVIEW_PREFIX, StoredModel


@dataclass(frozen=True)
class LoadedModel:
    """Float networks and the entropy model of one weights file."""

    network: CodecNetwork
    entropy: EntropyModel
    wire_hash: bytes
    card: dict[str, object]

    @property
    def config(self) -> ModelConfig:
        """The sizes of the networks."""
        return self.network.config


def build_network(stored: StoredModel) -> CodecNetwork:
    """The float networks (h_scale excepted: it runs in integers), float32, in inference mode."""
    config = CONFIGS.get(stored.card.get("config", ""))
    if config is None:
        message = f"weights file has config {stored.card.get('config')!r}; known: {', '.join(CONFIGS)}"
        raise WeightsError(message)
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
    shapes = {name: t.shape for name, t in network.state_dict().items() if not name.startswith(INTEGER_PREFIXES)}
    stored_shapes = {name: tensor.shape for name, tensor in state.items()}
    if shapes != stored_shapes:
        differing = sorted({name for name, _ in shapes.items() ^ stored_shapes.items()})
        message = f"weights file and config {config.name} differ in {', '.join(differing[:4])}"
        raise WeightsError(message)
    network.load_state_dict(state, strict=False, assign=True)
    # Both ship as integers, in the entropy model.
    del network.h_scale, network.z_index
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def load_model(stored: StoredModel) -> LoadedModel:
    """Networks and tables, checked. Raises WeightsError."""
    network, entropy = build_network(stored), from_tensors(stored.tensors)
    _check_fit(network.config, entropy)
    return LoadedModel(network, entropy, stored.wire_hash, stored.card)


def _check_fit(config: ModelConfig, entropy: EntropyModel) -> None:
    """Raises WeightsError unless the integer part has the widths of `config` and all levels."""
    ins, outs = (config.N, config.H1, config.H2, config.H2), (config.H1, 4 * config.H2, config.H2, 4 * config.M)
    needed = [*((o, i) for o, i in zip(outs, ins, strict=True)), *((LEVELS, o) for o in outs), (LEVELS, config.N)]
    stored = [layer.weight.shape[:2] for layer in entropy.layers] + [layer.bias.shape for layer in entropy.layers]
    if [*stored, entropy.z_table.shape] != needed:
        message = f"the integer part has shapes {[*stored, entropy.z_table.shape]}; config {config.name} needs {needed}"
        raise WeightsError(message)
