"""`python -m bench ranges PHOTOS...`: how large the networks' values get on photographs, beside the bounds of `config`.

One crop of every photograph at several levels, all 64 in turn. Blocks are looked at before their bounds take effect.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image as PillowImage
from rich.progress import track
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from bench.records import RESULTS, header, save
from vaecodec.intnet.fixedpoint import Z_MAX, Z_MIN
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import LEVELS
from vaecodec.networks.config import ALIGNMENT, LATENT_MAX, PRIOR_MAX, PRODUCT_MAX, STREAM_MAX
from vaecodec.networks.layers import DepthConvBlock
from vaecodec.networks.network import CodecNetwork, level_position
from vaecodec.networks.quantizers import clamp_through, ste_round
from vaecodec.runtime.loading import TorchModel, load_model
from vaecodec.weights.manifest import entry_by_name, manifest
from vaecodec.weights.store import read_model

BOUNDS = {"stream": STREAM_MAX, "product": PRODUCT_MAX, "y": LATENT_MAX, "mu": LATENT_MAX, "p": PRIOR_MAX}
"""What is bounded; z is clamped to int8 by the format, r and y_hat follow."""
LEAST_ROOM = 4.0
"""Bound over the largest value on photographs."""
SUFFIXES = {".avif", ".jpg", ".jpeg", ".png", ".webp"}
SEED = 14

Largest = dict[str, float]
"""Part and value, "g_s product" -> the largest magnitude."""


class Probe:
    """Watches a network in float32: the largest magnitudes in its blocks, before they are bounded.

    stream: the residual path after either half of a block. product: of SiLU(gate) and value. Gradients pass.
    """

    def __init__(self, network: CodecNetwork) -> None:
        self.largest: dict[str, Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        for name, module in network.named_modules():
            if isinstance(module, DepthConvBlock):
                self._watch(name.partition(".")[0], module)

    def _watch(self, part: str, block: DepthConvBlock) -> None:
        middle: list[Tensor] = []

        def see_product(_module: object, inputs: tuple[Tensor], output: Tensor) -> None:
            middle[:] = inputs
            self.note(f"{part} stream", inputs[0])
            gate, value = output.chunk(2, 1)
            self.note(f"{part} product", torch.nn.functional.silu(gate) * value)

        def see_stream(_module: object, _inputs: tuple[Tensor], output: Tensor) -> None:
            self.note(f"{part} stream", middle.pop() + output)

        self._hooks.append(block.ffn_in.register_forward_hook(see_product))
        self._hooks.append(block.ffn_out.register_forward_hook(see_stream))

    def note(self, name: str, values: Tensor) -> None:
        largest = values.abs().amax()
        self.largest[name] = torch.maximum(self.largest[name], largest) if name in self.largest else largest

    def remove(self) -> None:
        """The network is as it was."""
        for hook in self._hooks:
            hook.remove()

    def take(self) -> dict[str, Tensor]:
        """What was seen since the last time."""
        seen, self.largest = self.largest, {}
        return seen


def plain_model(model: str) -> TorchModel:
    """A shipped name or the path of a weights file -> its networks as they were trained: float32, no fast path."""
    return load_model(read_model(Path(model) if model.endswith(".safetensors") else entry_by_name(model).path))


def run_model(loaded: TorchModel, probe: Probe, x: Tensor, level: int) -> Tensor:
    """x [1, 3, H, W] in 0..1, H and W multiples of 64 -> x_hat, through all networks; gradients pass the rounding."""
    network, t = loaded.network, level_position(torch.tensor([level]))
    y, z = network.analyse(x, t)
    z_hat = clamp_through(ste_round(z), Z_MIN, Z_MAX)
    integers = z_hat[0].detach().to(torch.int8).numpy()
    coded = torch.from_numpy(scale_index(integers, level, loaded.entropy.layers) > 0)[None]
    p, gain = network.prior(z_hat, t), network.log_gain(t).exp()
    context = network.run_context(p, gain, lambda mu: ste_round(gain * (y - mu)) * coded)
    for name, values in {"y": y, "mu": context.mu, "p": p, "z": z, "r": context.r, "y_hat": context.y_hat}.items():
        probe.note(name, values)
    return network.synthesize(context.y_hat, t)


def crops(paths: Sequence[Path], side: int) -> Iterator[Tensor]:
    """One of every photograph, the same at every run: float [1, 3, side or less, side or less], multiples of 64."""
    rng = random.Random(SEED)
    for path in paths:
        with PillowImage.open(path) as image:
            width, height = (min(side, length // ALIGNMENT * ALIGNMENT) for length in image.size)
            left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
            pixels = np.asarray(image.convert("RGB").crop((left, top, left + width, top + height)))
        if min(pixels.shape[:2]) > 0:
            yield torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@torch.no_grad()
def measure(loaded: TorchModel, images: Iterator[Tensor], levels_each: int) -> Largest:
    """The largest magnitudes over all images; levels take turns."""
    probe = Probe(loaded.network)
    for number, x in enumerate(images):
        for turn in range(levels_each):
            run_model(loaded, probe, x, (number * levels_each + turn) * 37 % LEVELS)  # 37 and 64 have no common factor
    return {name: round(float(value), 3) for name, value in sorted(probe.take().items())}


def room(largest: Largest) -> dict[str, float]:
    """Bound over the largest value, for each kind of value that is bounded."""
    reached = {kind: max(value for name, value in largest.items() if name.split()[-1] == kind) for kind in BOUNDS}
    return {kind: round(BOUNDS[kind] / reached[kind], 2) for kind in BOUNDS}


def table(by_model: dict[str, Largest]) -> list[str]:
    """One line for each value, one column for each model."""
    lines = ["| value | bound | " + " | ".join(by_model) + " |", "|---" * (len(by_model) + 2) + "|"]
    for name in next(iter(by_model.values())):
        bound = BOUNDS.get(name.split()[-1])
        cells = [f"{largest[name]:.2f}" for largest in by_model.values()]
        lines.append(f"| {name} | {'-' if bound is None else f'{bound:g}'} | {' | '.join(cells)} |")
    return lines


@click.command("ranges")
@click.argument("photographs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "models", multiple=True, help="A shipped name or the path of a weights file; default: all.")
@click.option("--side", default=256, show_default=True, type=click.IntRange(ALIGNMENT), help="Of the crops.")
@click.option("--levels", default=4, show_default=True, type=click.IntRange(1, LEVELS), help="For each crop.")
@click.option("--limit", type=click.IntRange(1), help="Only this many photographs, drawn at random.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "ranges.json", show_default=True)
def main(
    photographs: tuple[Path, ...], models: tuple[str, ...], side: int, levels: int, limit: int | None, out: Path
) -> None:
    """The largest values in the networks on folders of PHOTOGRAPHS.

    Exit code 1 where a bound is less than four times what photographs reach.
    """
    paths = sorted(path for folder in photographs for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if limit is not None and limit < len(paths):
        paths = random.Random(SEED).sample(paths, limit)
    by_model = {}
    for model in models or [entry.name for entry in manifest()]:
        images = track(crops(paths, side), model, total=len(paths), disable=not sys.stderr.isatty())
        by_model[Path(model).stem] = measure(plain_model(model), iter(images), levels)
    rooms = {model: room(largest) for model, largest in by_model.items()}
    click.echo("\n".join(table(by_model)))
    for model, kinds in rooms.items():
        times = ", ".join(f"{kind} {value:.1f}" for kind, value in kinds.items())
        click.echo(f"{model}: bound over the largest value: {times}")
    save(out, {
        **header(), "photographs": len(paths), "side": side, "levels_each": levels,
        "bounds": BOUNDS, "largest": by_model, "room": rooms,
    })  # fmt: skip
    sys.exit(0 if all(value >= LEAST_ROOM for kinds in rooms.values() for value in kinds.values()) else 1)


if __name__ == "__main__":
    main(prog_name="python -m bench ranges")
