"""`python -m bench scales RUN PHOTOS`: what it costs that the scales come from a network in integers.

The same trained weights are run twice: as they ship (8-bit weights and activations, scale indices rounded) and with
no rounding anywhere in the scale network. The bits of the same latents are counted with both.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.records import RESULTS, header, save
from vaecodec.intnet.fixedpoint import WEIGHT_MAX
from vaecodec.intnet.layers import SHUFFLED_LAYERS
from vaecodec.levels import LEVELS
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.network import CodecNetwork, level_position, round_z
from vaecodec.networks.scale_network import ScaleNetwork
from vaecodec.training.likelihood import logistic_bits, scale_of_index
from vaecodec.training.runner import load_heldout
from vaecodec.training.snapshot import read_weights

EVAL_LEVELS = tuple(range(0, LEVELS, 9))
PERCENT = 100.0


def float_index(scales: ScaleNetwork, z_hat: Tensor, t: Tensor) -> Tensor:
    """What `scales(z_hat, t)` gives without rounding: z_hat [B, N, h, w] -> scale index, not whole [B, M, 4h, 4w]."""
    x = z_hat
    for number, layer in enumerate(scales.typed_layers()):
        form = layer.form
        weight = (layer.weight * 2.0**form.weight_bits).clamp(-WEIGHT_MAX, WEIGHT_MAX)
        bias = layer.bias(t) * 2.0**form.accumulator_bits
        accumulator = F.conv2d(x, weight, padding=form.kernel // 2) + bias
        x = (accumulator / 2.0**form.shift).clamp(0, form.output_max)
        if number in SHUFFLED_LAYERS:
            x = F.pixel_shuffle(x, 2)
    return x


@torch.no_grad()
def bits_of_y(network: CodecNetwork, image: Tensor, level: int) -> tuple[float, float]:
    """Bits of the quantized y of uint8 [3, H, W] with the integer scales, and with the float scales."""
    x, t = image[None].float() / 255, level_position(torch.tensor([level]))
    gain = network.log_gain(t).exp()
    y, z = network.analyse(x, t)
    z_hat = round_z(z)
    r = network.run_context(network.prior(z_hat, t), gain, lambda mu: (gain * (y - mu)).round()).r
    integer, exact = network.h_scale(z_hat, t), float_index(network.h_scale, z_hat, t)
    return tuple(logistic_bits(r, scale_of_index(index)).sum().item() for index in (integer, exact))  # type: ignore[return-value]


@click.command("scales")
@click.argument("weights", metavar="RUN", type=click.Path(exists=True, path_type=Path))
@click.argument("photos", metavar="PHOTOS", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "scales.json", show_default=True)
def main(weights: Path, photos: Path, out: Path) -> None:
    """Rate with integer scales over the rate with float scales, for a run of `vaecodec train` and held-out PHOTOS."""
    trained = read_weights(weights)
    network = CodecNetwork(CONFIGS[trained.config])
    network.load_state_dict(trained.weights)
    images = load_heldout(photos)
    rows = []
    for level in EVAL_LEVELS:
        pairs = [bits_of_y(network, image, level) for image in images]
        integer, exact = (fmean(column) for column in zip(*pairs, strict=True))
        rows.append({"level": level, "integer_bits": integer, "float_bits": exact, "excess": integer / exact - 1})
        click.echo(f"level {level:2}: integer scales cost {PERCENT * rows[-1]['excess']:+.3f} % of the rate of y")
    save(out, {**header(), "run": {"config": trained.config, "steps": trained.step}, "rows": rows})
