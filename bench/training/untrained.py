"""`python -m bench untrained CONFIG OUT`: a weights file of a config nobody has trained yet, to measure its speed.

The time of the networks depends on their sizes only. The weights are those that training starts from, fitted to the
samples, and the tables are counted on them: files decode, but are far larger than those of a trained model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.records import ROOT
from vaecodec.levels import LEVELS
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.network import CodecNetwork
from vaecodec.training.export import count_residuals, export_tensors
from vaecodec.training.initialize import initialize
from vaecodec.weights.store import write_model

SAMPLES = ROOT / "samples"
CROP = 256
SEED = 5
MODEL_ID = 1001
"""Of no shipped model: only this weights file itself decodes what it has encoded."""


@click.command("untrained")
@click.argument("config", type=click.Choice(list(CONFIGS)))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def main(config: str, out: Path) -> None:
    """Write the weights that training of CONFIG starts from to OUT: for measuring speed, and nothing else."""
    torch.manual_seed(SEED)
    network = CodecNetwork(CONFIGS[config])
    crops = list(sample_crops())
    initialize(network, torch.stack(crops).float() / 255)
    network.eval().requires_grad_(False)
    pairs = [(crop, number * LEVELS // len(crops)) for number, crop in enumerate(crops)]
    card = {"config": config, "model_id": MODEL_ID, "levels": LEVELS, "steps": 0}
    write_model(out, export_tensors(network, count_residuals(network, pairs)), card)
    click.echo(f"{out}: {config}, not trained")


def sample_crops() -> Iterator[Tensor]:
    """Pieces of all samples, side by side: uint8 [3, CROP, CROP] each."""
    for path in sorted(SAMPLES.glob("*.jpg")):
        with Image.open(path) as photo:
            pixels = torch.from_numpy(np.array(photo.convert("RGB"))).permute(2, 0, 1)
        for top in range(0, pixels.shape[1] - CROP + 1, CROP):
            for left in range(0, pixels.shape[2] - CROP + 1, CROP):
                yield pixels[:, top : top + CROP, left : left + CROP]


if __name__ == "__main__":
    main()
