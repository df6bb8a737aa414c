"""A training run of a denoising encoder -> its weights file."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaecodec.errors import WeightsError
from vaecodec.files import write_atomic
from vaecodec.networks.config import CONFIGS, NOISE_MAX, denoiser_config
from vaecodec.networks.denoising import TRAINED
from vaecodec.training.export_run import MODEL_IDS, model_name, package_path, register
from vaecodec.training.snapshot import TrainedWeights, data_of, read_weights
from vaecodec.weights.denoisers import BLOCKS_KEY, MODEL_KEY, NOISE_KEY
from vaecodec.weights.manifest import entry_by_name
from vaecodec.weights.store import StoredModel, read_model, write_model


def is_denoiser(run: Path) -> bool:
    """Whether a run, or a snapshot of one, trains a denoising encoder."""
    return bool(read_weights(run).settings.get("denoise"))


def export_denoiser(run: Path, output: Path) -> str:
    """Export the averaged weights of `run` to `output`; returns the tensors' SHA-256.

    Raises WeightsError unless the run began with the shipped model, and left it alone.
    """
    source = read_weights(run)
    entry = entry_by_name(model_name(source))
    model = read_model(entry.path, entry.sha256)
    _check_frozen(source, model)
    tensors = {
        f"net.{name}": _as_stored(name, tensor.cpu().float().numpy())
        for name, tensor in source.weights.items()
        if name.startswith(TRAINED)
    }
    card = {
        "config": source.config, "name": entry.name, "model_id": MODEL_IDS[entry.name], MODEL_KEY: model.sha256,
        BLOCKS_KEY: denoiser_config(CONFIGS[source.config]).blocks_a, NOISE_KEY: NOISE_MAX,
        "data": data_of(source.corpus), "steps": source.step, "settings": source.settings,
        "history": source.history, "torch": str(torch.__version__), "machine": platform.machine(),
    }  # fmt: skip
    return write_model(output, tensors, card)


def _check_frozen(source: TrainedWeights, model: StoredModel) -> None:
    for name, array in model.tensors.items():
        network_name = name.removeprefix("net.")
        if not name.startswith("net.") or network_name.startswith(TRAINED):
            continue
        if not np.array_equal(source.weights[network_name].cpu().numpy(), array.astype(np.float32)):
            message = f"{network_name} differs from that of the shipped model: the run began with other weights"
            raise WeightsError(message)


def _as_stored(name: str, values: NDArray[np.float32]) -> NDArray[Any]:
    """float16 but for the tables, which are small."""
    if not np.isfinite(values.astype(np.float16)).all():
        message = f"{name}: a weight is not finite as float16"
        raise WeightsError(message)
    return values if name.endswith(".anchors") else values.astype(np.float16)


def ship_denoiser(path: Path) -> Path:
    """Put an exported denoising encoder into the package, and into the manifest. Returns the new file.

    Raises WeightsError for what is none of the shipped model.
    """
    stored = read_model(path)
    name = str(stored.card.get("name"))
    if stored.card.get(MODEL_KEY) != entry_by_name(name).sha256:
        message = f"{path}: not a denoising encoder for the shipped {name}"
        raise WeightsError(message)
    target = package_path(f"{name}-denoiser")
    write_atomic(target, path.read_bytes(), overwrite=True)
    register("denoisers", name, target.name, stored.sha256)
    return target
