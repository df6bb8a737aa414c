"""EMA weights on their own: a small float16 file to carry away from a machine, and the sources a run can start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaecodec.errors import WeightsError
from vaecodec.files import write_atomic
from vaecodec.intnet.fixedpoint import LAYER_FORMATS
from vaecodec.levels import MAX_LEVEL
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.denoising import DenoisingNetwork
from vaecodec.networks.layers import ANCHORS
from vaecodec.networks.network import Z_INDEX_UNIT, CodecNetwork
from vaecodec.training.checkpoint import load_checkpoint
from vaecodec.weights.store import CARD_KEY, INTEGER_PREFIXES, LEVEL_PREFIXES, SHIFT_PREFIX

SNAPSHOT_KEY = "vaecodec_ema"
"""The safetensors metadata entry that holds a snapshot's record as JSON."""

_DATA_WORDS, _NOT_RECORDED = "SHA-256 of the training pixels ", "not recorded"

_ANCHOR_LEVELS = np.arange(ANCHORS) * MAX_LEVEL // (ANCHORS - 1)
"""The anchors of a LevelTable lie on whole levels (0, 9, ..., 63): tables give the anchors back exactly."""


@dataclass(frozen=True)
class TrainedWeights:
    """Weights with what is known about their making."""

    config: str
    weights: dict[str, Tensor]
    step: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    corpus: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)


def write_snapshot(source: TrainedWeights, path: Path) -> None:
    """Write the weights as float16 to `path`, atomically, replacing it.

    What ends in integers or per-level tables stays float32: a float16 rounding there would move integers.
    """
    from safetensors.numpy import save

    tensors = {name: _compact(name, tensor) for name, tensor in source.weights.items()}
    record = {
        "config": source.config, "step": source.step, "settings": source.settings, "corpus": source.corpus,
        "history": source.history,
    }  # fmt: skip
    write_atomic(path, save(tensors, metadata={SNAPSHOT_KEY: json.dumps(record)}), overwrite=True)


def _compact(name: str, tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = np.ascontiguousarray(tensor.cpu().float().numpy())
    return array if name.startswith((*INTEGER_PREFIXES, *LEVEL_PREFIXES)) else array.astype(np.float16)


def read_weights(source: Path) -> TrainedWeights:
    """EMA weights from a run's folder, a snapshot, or an exported model. Raises WeightsError."""
    if source.is_dir():
        weights = _from_state(load_checkpoint(source))
    else:
        weights = _read_file(source)
    make = DenoisingNetwork if weights.settings.get("denoise") else CodecNetwork
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in make(CONFIGS[weights.config]).state_dict().items()}
    for name, shape in expected.items():
        if name.startswith(SHIFT_PREFIX):
            weights.weights.setdefault(name, torch.zeros(shape))
    if expected != {name: tensor.shape for name, tensor in weights.weights.items()}:
        message = f"{source}: its tensors are not those of config {weights.config}"
        raise WeightsError(message)
    return weights


def _from_state(state: dict[str, Any]) -> TrainedWeights:
    settings = state["settings"]
    return TrainedWeights(
        settings["config"], state["ema"], state["step"], settings, state["corpus"], state.get("history", [])
    )


def _read_file(path: Path) -> TrainedWeights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
    except (OSError, SafetensorError) as error:
        message = f"{path}: not a readable weights file ({error})"
        raise WeightsError(message) from error
    if SNAPSHOT_KEY in metadata:
        record = json.loads(metadata[SNAPSHOT_KEY])
        weights = {name: torch.from_numpy(array).float() for name, array in tensors.items()}
        return TrainedWeights(
            record["config"], weights, record["step"], record["settings"], record["corpus"], record["history"]
        )
    if CARD_KEY in metadata:
        card = json.loads(metadata[CARD_KEY])
        return TrainedWeights(
            card["config"], _from_model(tensors), card["steps"], card["settings"], _corpus_of(card),
            card.get("history", [])
        )  # fmt: skip
    message = f"{path}: neither a vaecodec model nor a snapshot of a run"
    raise WeightsError(message)


def data_of(corpus: str) -> str:
    """What a model card says of the corpus; "" is one that is not known."""
    return _DATA_WORDS + (corpus or _NOT_RECORDED)


def _corpus_of(card: Mapping[str, Any]) -> str:
    """The corpus that a model card names, "" where it names none."""
    corpus = str(card.get("data", "")).partition(_DATA_WORDS)[2]
    return "" if corpus == _NOT_RECORDED else corpus


def _from_model(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Trainable weights from an exported model: floats as they are, integers at their fixed-point value. Raises
    WeightsError for a file without integers, as that of a denoising encoder."""
    if "int.z_table" not in tensors:
        message = "the file has no integer part: a denoising encoder alone is no model to train or export"
        raise WeightsError(message)
    weights = {
        name.removeprefix("net."): torch.from_numpy(array).float()
        for name, array in tensors.items()
        if name.startswith("net.")
    }
    for number, form in enumerate(LAYER_FORMATS):
        weight = torch.from_numpy(tensors[f"int.h_scale.{number}.weight"]).float()
        bias = torch.from_numpy(tensors[f"int.h_scale.{number}.bias"][_ANCHOR_LEVELS]).float()
        weights[f"h_scale.layers.{number}.weight"] = weight / 2**form.weight_bits
        weights[f"h_scale.layers.{number}.bias.anchors"] = bias / 2**form.accumulator_bits
    z_index = torch.from_numpy(tensors["int.z_table"][_ANCHOR_LEVELS]).float()
    weights["z_index.anchors"] = z_index / Z_INDEX_UNIT
    return weights
