"""A training run -> a weights file with its model card."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaecodec.errors import InputError, WeightsError
from vaecodec.files import write_atomic
from vaecodec.levels import LAMBDA_MAX, LAMBDA_MIN, LEVELS
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.network import CodecNetwork
from vaecodec.networks.preview import PreviewFit
from vaecodec.training.crops import Sampler
from vaecodec.training.data import Corpus
from vaecodec.training.export import count_residuals, export_tensors, round_decoder_blocks
from vaecodec.training.snapshot import TrainedWeights, data_of, read_weights
from vaecodec.weights.manifest import FOLDER, MANIFEST, tuned_name
from vaecodec.weights.store import read_model, write_model

MODEL_IDS = {
    "base": 1,
    "fast": 2,
    "large": 3,
    "base-perceptual": 4,
    "fast-perceptual": 5,
    "large-perceptual": 6,
    "tiny": 1000,
}
"""Written ids of the models, by name: they stand in every file and never change."""

COUNT_CROP = 256
COUNT_CROPS = 256
"""Training crops over which the tables are counted: 256 crops of 256 px give 17 million residuals."""
COUNT_SEED = 20


def _counting_batches(corpus: Corpus, crops: int) -> Iterator[tuple[Tensor, int]]:
    sampler = Sampler(corpus, COUNT_CROP, torch.Generator().manual_seed(COUNT_SEED))
    for number in range(crops):
        yield sampler.batch(1)[0], number % LEVELS


def other_crops(corpus: Corpus, count: int = 8) -> list[Tensor]:
    """Crops uint8 [3, H, W] that are not those of an export."""
    sampler = Sampler(corpus, COUNT_CROP, torch.Generator().manual_seed(COUNT_SEED + 1))
    return list(sampler.batch(count))


def model_name(source: TrainedWeights) -> str:
    """The name under which it would be shipped: of its config, and of what it is tuned for."""
    if source.config == "tiny":
        return source.config
    return tuned_name(source.config, str(source.settings.get("tune", "psnr")))


def _model_card(source: TrainedWeights, corpus: Corpus, crops: int) -> dict[str, Any]:
    name = model_name(source)
    return {
        "config": source.config,
        "name": name,
        "model_id": MODEL_IDS[name],
        "levels": LEVELS,
        "lambda": [LAMBDA_MIN, LAMBDA_MAX],
        "data": data_of(source.corpus),
        "tables": f"counted over {crops} crops of {len(corpus)} photographs, SHA-256 of their pixels {corpus.digest}",
        "steps": source.step,
        "settings": source.settings,
        "history": source.history,
        "torch": str(torch.__version__),
        "machine": platform.machine(),
    }


def export_run(run: Path, corpus: Corpus, output: Path, crops: int = COUNT_CROPS) -> str:
    """Export the EMA weights of `run` (its folder, or a snapshot of it) to `output`; returns the tensors' SHA-256.

    The tables are counted over `crops` crops of `corpus`, and the preview head is fitted to them. Raises WeightsError
    when the integer path is out of bounds.
    """
    source = read_weights(run)
    network = CodecNetwork(CONFIGS[source.config])
    network.load_state_dict(source.weights)
    network.eval()
    round_decoder_blocks(network)
    preview = PreviewFit(network.config)
    counts = count_residuals(network, _counting_batches(corpus, crops), preview)
    return write_model(output, export_tensors(network, counts, preview), _model_card(source, corpus, crops))


def add_to_card(path: Path, facts: Mapping[str, Any]) -> None:
    """Add entries to the model card of a weights file; its tensors, and so its hash, stay."""
    stored = read_model(path)
    write_model(path, stored.tensors, stored.card | dict(facts))


def ship(model: Path) -> Path:
    """Put an exported model into the package, as the weights of its name, and into the manifest.

    Returns the new file. Raises WeightsError for what is no model, InputError for a config that isn't shipped.
    """
    stored = read_model(model)
    name = str(stored.card.get("name", stored.card.get("config")))  # files of older versions have no name
    if name not in MODEL_IDS or stored.card.get("model_id") != MODEL_IDS[name]:
        message = f"{model}: name {name!r} with id {stored.card.get('model_id')!r}; known: {MODEL_IDS}"
        raise WeightsError(message)
    if name == "tiny":
        message = "config 'tiny' is for tests; it is not shipped"
        raise InputError(message)
    target = package_path(name)
    write_atomic(target, model.read_bytes(), overwrite=True)
    register_weights(name, stored.sha256)
    return target


def register_weights(name: str, sha256: str) -> None:
    """Write `name` (its file is name.safetensors in the package's weights folder) into the manifest."""
    register("models", name, f"{name}.safetensors", sha256)


def register(kind: str, name: str, file: str, sha256: str) -> None:
    """Write one entry of a list of the manifest, "models" or "denoisers", in place of one of that name."""
    lists = json.loads(MANIFEST.read_text(encoding="utf-8")) if MANIFEST.exists() else {"models": []}
    entry = {"id": MODEL_IDS[name], "name": name, "file": file, "sha256": sha256}
    entries = [other for other in lists.get(kind, []) if other["name"] != name] + [entry]
    lists[kind] = sorted(entries, key=lambda entry: entry["id"])
    write_atomic(MANIFEST, (json.dumps(lists, indent=1) + "\n").encode(), overwrite=True)


def package_path(name: str) -> Path:
    """Where the package keeps the weights of `name`."""
    return FOLDER / f"{name}.safetensors"
