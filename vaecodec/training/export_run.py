"""A training run -> a weights file with its model card."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaecodec.models.config import CONFIGS, LAMBDA_MAX, LAMBDA_MIN, LEVELS
from vaecodec.models.export import count_residuals, export_tensors
from vaecodec.models.network import CodecNetwork
from vaecodec.training.checkpoint import load_checkpoint
from vaecodec.training.data import Corpus, Sampler
from vaecodec.weights.manifest import FOLDER, MANIFEST
from vaecodec.weights.store import write_model

MODEL_IDS = {"fast": 1, "base": 2, "large": 3, "tiny": 1000}
"""Written ids of the configs: they stand in every file and never change."""

COUNT_CROPS = 256
"""Training crops over which the tables are counted: 256 crops of 256 px give 17 million residuals."""
COUNT_SEED = 20


def _counting_batches(corpus: Corpus, crops: int) -> Iterator[tuple[Tensor, int]]:
    sampler = Sampler(corpus, 256, torch.Generator().manual_seed(COUNT_SEED))
    for number in range(crops):
        yield sampler.batch(1)[0], number % LEVELS


def _model_card(state: dict[str, Any], corpus: Corpus) -> dict[str, Any]:
    settings = state["settings"]
    return {
        "config": settings["config"],
        "model_id": MODEL_IDS[settings["config"]],
        "levels": LEVELS,
        "lambda": [LAMBDA_MIN, LAMBDA_MAX],
        "data": f"{len(corpus)} photographs, SHA-256 of their pixels {corpus.digest}",
        "steps": state["step"],
        "settings": settings,
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def export_run(run: Path, corpus: Corpus, output: Path, crops: int = COUNT_CROPS) -> str:
    """Export the EMA weights of `run` to `output`; returns the SHA-256 of the tensors.

    The tables are counted over crops of `corpus`. Raises WeightsError when the integer path is out of bounds.
    """
    state = load_checkpoint(run)
    network = CodecNetwork(CONFIGS[state["settings"]["config"]])
    network.load_state_dict(state["ema"])
    network.eval()
    counts = count_residuals(network, _counting_batches(corpus, crops))
    return write_model(output, export_tensors(network, counts), _model_card(state, corpus))


def register_weights(name: str, sha256: str) -> None:
    """Write `name` (its file is name.safetensors in the package's weights folder) into the manifest."""
    models = json.loads(MANIFEST.read_text(encoding="utf-8"))["models"] if MANIFEST.exists() else []
    entry = {"id": MODEL_IDS[name], "name": name, "file": f"{name}.safetensors", "sha256": sha256}
    models = [m for m in models if m["name"] != name] + [entry]
    MANIFEST.write_text(
        json.dumps({"models": sorted(models, key=lambda m: m["id"])}, indent=1) + "\n", encoding="utf-8"
    )


def package_path(name: str) -> Path:
    """Where the package keeps the weights of `name`."""
    return FOLDER / f"{name}.safetensors"
