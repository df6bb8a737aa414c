"""`python -m checks adversary`: images made to drive the networks' values as far up as they go.

Gradient ascent on the pixels (PGD: Madry et al. 2018, arXiv 1706.06083) for the largest residual stream or gated
product in a part of the network. What it ends with is coded as any image, in float32 and bfloat16: every number must
stay within the bounds of `networks.config`, every file must decode.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from bench.records import RESULTS, header, save
from bench.training.ranges import BOUNDS, Probe, plain_model, run_model
from checks.hostile import patterns
from checks.hostile.canvas import Image, random_of
from checks.hostile.measure import DTYPES, decode_all, encode_all
from vaecodec.levels import LEVELS, level_to_quality
from vaecodec.networks.config import ALIGNMENT
from vaecodec.networks.layers import DepthConvBlock
from vaecodec.runtime.loading import TorchModel
from vaecodec.weights.manifest import manifest

SEED = 200
STEPS = 200
STEP = 8 / 255
"""Of the first step, for every sample; the last ones are a tenth of it."""
PARTS = ("g_a", "h_a", "h_mean", "context", "g_s", "")
"""Where the values are to grow; the empty one is all of them together."""
STARTS: dict[str, Callable[[np.random.Generator], Image]] = {
    "noise": patterns.noise,
    "extremes": patterns.extremes,
    "stripes": patterns.stripes,
    "gradient": patterns.gradient,
}


@dataclass(frozen=True)
class Attack:
    """One ascent. before, after: the largest value of each kind, not bounded, on the start and on the image found.

    bounded: the same as the network went on with. faults: broken promises.
    """

    model: str
    part: str
    start: str
    level: int
    before: dict[str, float]
    after: dict[str, float]
    bounded: dict[str, float]
    faults: list[str]


def start_image(kind: str, number: int, side: int) -> Tensor:
    """Float [1, 3, side, side] in 0..1, by the patterns of `hostile`, repeated."""
    rng = random_of(SEED, kind, number)
    pixels = STARTS[kind](rng)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, 2)
    height, width = pixels.shape[:2]
    tiled = np.tile(pixels, (-(-side // height), -(-side // width), 1))[:side, :side]
    return torch.from_numpy(tiled.copy()).permute(2, 0, 1)[None].float() / 255


def ascend(loaded: TorchModel, probe: Probe, x: Tensor, level: int, part: str, steps: int) -> Tensor:
    """The image found, float in 0..1: whole 255ths."""
    for step in range(steps):
        x = x.detach().requires_grad_()
        run_model(loaded, probe, x, level)
        seen = probe.take()
        reached = [v for name, v in seen.items() if name.startswith(part) and name.split()[-1] in ("stream", "product")]
        (gradient,) = torch.autograd.grad(torch.stack(reached).log1p().sum(), x)
        if not bool(gradient.isfinite().all()):
            break  # the values are beyond float32 themselves: what was to be shown
        with torch.no_grad():
            x = (x + STEP * (1 - 0.9 * step / steps) * gradient.sign()).clamp(0, 1)
    return x.detach().mul(255).round().div(255)


@torch.no_grad()
def largest(loaded: TorchModel, probe: Probe, x: Tensor, level: int) -> dict[str, float]:
    """The largest value of each kind, before bounds in blocks."""
    probe.take()
    run_model(loaded, probe, x, level)
    seen: dict[str, float] = {}
    for name, value in probe.take().items():
        kind = name.split()[-1]
        seen[kind] = float(np.fmax(seen.get(kind, 0.0), float(value)) if np.isfinite(float(value)) else np.inf)
    return seen


@torch.no_grad()
def largest_bounded(loaded: TorchModel, x: Tensor, level: int) -> dict[str, float]:
    """The largest value of each kind that leaves a block, goes into the second half of its feed-forward, or is p, y
    or mu."""
    seen: dict[str, float] = {}

    def note(kind: str, values: Tensor) -> None:
        value = float(values.abs().amax())
        seen[kind] = max(seen.get(kind, 0.0), value if np.isfinite(value) else np.inf)

    hooks = []
    for module in loaded.network.modules():
        if isinstance(module, DepthConvBlock):
            hooks.append(module.register_forward_hook(lambda _m, _i, output: note("stream", output)))
            hooks.append(module.ffn_out.register_forward_hook(lambda _m, inputs, _o: note("product", inputs[0])))
    probe = Probe(loaded.network)
    run_model(loaded, probe, x, level)
    probe.remove()
    for hook in hooks:
        hook.remove()
    for name, value in probe.take().items():
        if name in BOUNDS:
            note(name, value)
    return seen


def attack(model: str, loaded: TorchModel, part: str, start: str, number: int, *, side: int, steps: int) -> Attack:
    """One ascent, and what the codec makes of its image. The number decides on the level and on the start's details."""
    level, x = number * 23 % LEVELS, start_image(start, number, side)
    probe = Probe(loaded.network)
    before = largest(loaded, probe, x, level)
    x = ascend(loaded, probe, x, level, part, steps)
    after = largest(loaded, probe, x, level)
    probe.remove()
    bounded = largest_bounded(loaded, x, level)
    broken = [kind for kind, bound in BOUNDS.items() if not bounded[kind] <= bound]
    faults = [f"{kind} reaches {bounded[kind]:g}; the bound is {BOUNDS[kind]:g}" for kind in broken]
    pixels = np.ascontiguousarray(x[0].mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    faults += coding_faults(model, pixels, level)
    return Attack(model, part, start, level, before, after, bounded, faults)


def coding_faults(model: str, pixels: Image, level: int) -> list[str]:
    """What goes wrong with an image, encoded and decoded in both types."""
    faults = []
    for dtype in DTYPES:
        files = encode_all(model, dtype, [pixels], level_to_quality(level))
        for other in DTYPES:
            [decoded] = decode_all(model, other, files)
            if decoded.failure or not decoded.finite or not files[0].finite:
                faults.append(f"{dtype} to {other}: {decoded.failure or 'not finite'}")
    return faults


def table(attacks: Sequence[Attack]) -> list[str]:
    """One line for each model and part: the largest values of all starts, before and after the ascent."""
    kinds = ("stream", "product", "y", "mu", "p")
    lines = [
        "| model | part | "
        + " | ".join(f"{kind} start, found" for kind in kinds)
        + " | bounded stream, product | faults |",
        "|---" * (len(kinds) + 4) + "|",
    ]
    for model, part in dict.fromkeys((one.model, one.part) for one in attacks):
        of = [one for one in attacks if (one.model, one.part) == (model, part)]
        cells = [f"{max(o.before[k] for o in of):.3g}, {max(o.after[k] for o in of):.3g}" for k in kinds]
        kept = ", ".join(f"{max(one.bounded[kind] for one in of):.3g}" for kind in kinds[:2])
        faults = sum(bool(one.faults) for one in of)
        lines.append(f"| {model} | {part or 'all'} | {' | '.join(cells)} | {kept} | {faults} of {len(of)} |")
    return lines


@click.command("adversary")
@click.option("--model", "models", multiple=True, help="A shipped name or the path of a weights file; default: all.")
@click.option("--steps", default=STEPS, show_default=True, type=click.IntRange(1))
@click.option("--starts", default=2, show_default=True, type=click.IntRange(1), help="For each part of the networks.")
@click.option("--side", default=128, show_default=True, type=click.IntRange(ALIGNMENT), help="A multiple of 64.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RESULTS / "adversary.json",
    show_default="bench/results/adversary.json",
)
def main(models: tuple[str, ...], steps: int, starts: int, side: int, out: Path) -> None:
    """Look for images on which the networks diverge; exit code 1 when one breaks a bound or a file."""
    attacks = []
    for model in models or [entry.name for entry in manifest()]:
        loaded = plain_model(model)
        todo = [part for part in PARTS for _ in range(starts)]
        for number, part in enumerate(track(todo, model, disable=not sys.stderr.isatty())):
            kind = list(STARTS)[number % len(STARTS)]
            attacks.append(attack(model, loaded, part, kind, number, side=side, steps=steps))
    faults = [f"{one.model} {one.part or 'all'} from {one.start}: {fault}" for one in attacks for fault in one.faults]
    save(out, {
        **header(), "steps": steps, "starts": starts, "side": side, "bounds": BOUNDS,
        "passed": not faults, "attacks": [_as_json(one) for one in attacks],
    })  # fmt: skip
    click.echo("\n".join([*table(attacks), *faults]))
    sys.exit(1 if faults else 0)


def _as_json(one: Attack) -> dict[str, object]:
    """JSON has no infinity: it is stored as null."""
    plain = asdict(one)
    for kind in ("before", "after", "bounded"):
        plain[kind] = {name: value if np.isfinite(value) else None for name, value in plain[kind].items()}
    return plain


if __name__ == "__main__":
    main(prog_name="python -m checks adversary")
