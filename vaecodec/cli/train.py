"""`vaecodec train`: options to settings, a progress bar, and what is said at the end."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vaecodec.cli.exits import EXPECTED, Exit, Fatal
from vaecodec.cli.help import Command, RareOption
from vaecodec.cli.progress import bar
from vaecodec.cli.startup import require_pytorch
from vaecodec.errors import InputError, VaecodecError

if TYPE_CHECKING:
    import torch

    from vaecodec.training.distributed import Peers
    from vaecodec.training.loop import Trainer
    from vaecodec.training.runner import Clock, Evaluation
    from vaecodec.training.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
SMOOTHING = 0.98  # of the figures on the bar: single steps only scatter

# option, type, help: each sets the Settings field of its name; one that isn't given keeps the default, or the run's.
_SETTINGS: tuple[tuple[str, Any, str], ...] = (
    ("--steps", int, "Optimizer steps in all, 10000 by default."),
    ("--batch", int, "Images a step, 8 by default (over all processes)."),
    ("--crop", int, "Side of the crops, a multiple of 64; 256 by default."),
    ("--muon-lr", float, "Peak learning rate of the convolution matrices (Muon), 0.002 by default."),
    ("--adam-lr", float, "Peak learning rate of everything else (AdamW), 0.001 by default."),
    ("--warmup", int, "Steps from zero to the peak, 200 by default."),
    ("--decay", float, "Share of the steps, at the end, over which the rate falls; 0.4 by default."),
    ("--ema", float, "Decay of the averaged weights, which are what is exported; 0.999 by default."),
    ("--seed", int, "Seed of crops, levels and noise, 1 by default."),
    ("--eval-every", int, "Steps between two evaluations, 1000 by default."),
    ("--checkpoint-every", int, "Steps between two checkpoints, 250 by default."),
    ("--log-every", int, "Steps between two lines of the log; 1 by default, 10 on a GPU."),
    ("--rounded-rate/--noise-rate", bool, "Rate of rounded values instead of noisy ones, for fine-tuning."),
    ("--tune", str, "psnr (default), or perceptual: squared error, MS-SSIM and SSIMULACRA2 mixed."),
    ("--ms-ssim-share", float, "Share of MS-SSIM in the distortion of --tune perceptual, 0.2 by default."),
    ("--ssimulacra2-share", float, "Share of SSIMULACRA2 in it, 0.5 by default; squared error has the rest."),
    ("--graphics-share", float, "Share of the crops taken from --graphics, 0.2 by default."),
    ("--denoise/--no-denoise", bool, "Train a denoising encoder for the model of --init, which stays as it is."),
    ("--bf16/--fp32", bool, "bfloat16 autocast (default), or float32 throughout."),
    ("--compile/--no-compile", bool, "torch.compile; default on a GPU."),
)


_USUAL = ("--steps", "--batch", "--tune")


def _settings_options(command: _Command) -> _Command:
    for name, kind, text in reversed(_SETTINGS):
        kinds = {} if kind is bool else {"type": kind, "metavar": "N" if kind is int else "X"}
        kind_of_option = click.Option if name in _USUAL else RareOption
        command = click.option(name, cls=kind_of_option, default=None, help=text, **kinds)(command)
    return command


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--config", metavar="NAME", help="Size of the network: fast, base (default) or large; tiny for tests.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run; runs/CONFIG.")
@click.option("--resume", is_flag=True, help="Go on from the run's checkpoint; its settings hold unless given anew.")
@click.option(
    "--init", type=click.Path(exists=True, path_type=Path), metavar="RUN|FILE",
    help="Start from the averaged weights of a run, a snapshot or a model, with fresh optimizers.",
)  # fmt: skip
@click.option("--graphics", type=FOLDER, help="Images that are no photographs, mixed in: text, screenshots, noise.")
@click.option("--heldout", type=FOLDER, help="Photographs to evaluate on: the first 24, centre crops of 384 pixels.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Choose --steps to end after this time.")
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
@_settings_options
def train(
    folder: Path,
    config: str | None,
    out: Path | None,
    resume: bool,
    init: Path | None,
    graphics: Path | None,
    heldout: Path | None,
    minutes: float | None,
    device: str,
    threads: int | None,
    **settings: Any,
) -> None:
    """Train a model on the photographs in DIR.

    DIR holds image files or shards (`vaecodec pack`), in folders of any depth. The run's folder gets checkpoint.pt,
    log.jsonl and curves.png (matplotlib). Ctrl-C and SIGTERM end the run with a checkpoint; a killed run loses at most
    the steps since its last one.

    \b
    vaecodec train photos --heldout others --out runs/mine
    vaecodec train photos --out runs/mine --resume --steps 50000
    vaecodec train photos --init runs/mine --out runs/fine --crop 512 --rounded-rate --muon-lr 0.0005
    torchrun --nproc-per-node 4 -m vaecodec train photos --batch 128
    vaecodec export runs/mine photos -o mine.safetensors
    """
    if resume and init is not None:
        message = "--resume goes on with the run's own weights: it cannot be combined with --init."
        raise click.UsageError(message)
    require_pytorch("train")
    overrides = {name: value for name, value in {"config": config, **settings}.items() if value is not None}
    try:
        _train(folder, graphics, out, resume, init, heldout, minutes, device, threads, overrides)
    except (VaecodecError, *EXPECTED) as error:  # a diverging run is no error of the codec's kinds
        raise Fatal(error) from error


def _train(
    folder: Path,
    graphics: Path | None,
    out: Path | None,
    resume: bool,
    init: Path | None,
    heldout: Path | None,
    minutes: float | None,
    device: str,
    threads: int | None,
    overrides: dict[str, Any],
) -> None:
    import torch

    from vaecodec.runtime.devices import choose_device
    from vaecodec.training import distributed
    from vaecodec.training.runner import Clock
    from vaecodec.training.snapshot import read_weights

    clock = Clock(minutes) if minutes is not None else None
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = torch.device(choose_device(device))
    if chosen.type == "cuda":
        # Products of float32 matrices may use TF32: what must be exact are small integers, and TF32 holds those.
        torch.set_float32_matmul_precision("high")
    if init is not None:
        overrides.setdefault("config", read_weights(init).config)
    run = out or Path("runs") / str(overrides.get("config", "base"))
    settings = _settings(run, resume, chosen, overrides)
    peers = distributed.join(chosen)
    try:
        trainer = _make_trainer(folder, graphics, run, resume, init, settings, peers)
        _run(trainer, heldout, clock)
    finally:
        distributed.leave()


def _settings(run: Path, resume: bool, device: torch.device, overrides: dict[str, Any]) -> Settings:
    """Settings of the run: the checkpoint's, or defaults; what was given on the command line counts more."""
    from vaecodec.training.checkpoint import CHECKPOINT, load_checkpoint
    from vaecodec.training.settings import Settings

    if overrides.get("compile") and device.type == "cpu" and shutil.which("g++") is None:
        message = "--compile on a CPU needs the C++ compiler g++."
        raise click.UsageError(message)
    try:
        if resume:
            return replace(Settings.from_dict(load_checkpoint(run)["settings"]), **overrides)
        if (run / CHECKPOINT).exists():
            message = f"{run} holds a run: --resume goes on with it, --out names another folder."
            raise click.UsageError(message)
        if device.type == "cuda":
            overrides = {"compile": True, "log_every": 10} | overrides
        return Settings(**overrides)
    except InputError as error:
        raise click.UsageError(str(error)) from error


def _make_trainer(
    folder: Path, graphics: Path | None, run: Path, resume: bool, init: Path | None, settings: Settings, peers: Peers
) -> Trainer:
    from vaecodec.training import log
    from vaecodec.training.data import load_corpus, mix
    from vaecodec.training.loop import Trainer
    from vaecodec.training.snapshot import read_weights

    if settings.denoise and init is None and not resume:
        message = "--denoise needs --init MODEL: it trains an encoder for the decoder of that model."
        raise click.UsageError(message)
    run.mkdir(parents=True, exist_ok=True)
    _say(peers, f"reading {folder}")
    corpus = load_corpus(folder, settings.crop)
    if graphics is not None:
        corpus = mix(corpus, load_corpus(graphics, settings.crop), settings.graphics_share)
    _say(peers, f"{len(corpus)} images, {corpus.flat.numel() / 3e6:.0f} megapixels; training on {peers.device}")
    trainer = Trainer(settings, corpus, run, str(peers.device), peers)
    if resume:
        trainer.resume()
        if peers.leads:
            log.rewind(run, trainer.steps_done)
    elif init is not None:
        source = read_weights(init)
        if source.config != settings.config:
            message = f"--init {init} is of config {source.config}, not {settings.config}."
            raise click.UsageError(message)
        if source.settings.get("denoise") and not settings.denoise:
            message = f"--init {init} trains a denoising encoder: --resume goes on with it, a model begins another."
            raise click.UsageError(message)
        trainer.start_from(source.weights, source.history)
    return trainer


def _run(trainer: Trainer, heldout: Path | None, clock: Clock | None) -> None:
    from vaecodec.training import curves
    from vaecodec.training.runner import StopRequest, load_heldout, run_training

    peers, run = trainer.peers, trainer.run
    draws = peers.leads and curves.can_draw()
    if not draws:
        _say(peers, f'no {curves.CURVES}: matplotlib is not installed (pip install "vaecodec[train]")')
    images = load_heldout(heldout) if heldout is not None and peers.leads else []

    def on_evaluation(result: Evaluation) -> None:
        _say(peers, _evaluation_line(result))
        if draws:
            curves.draw_curves(run)

    with StopRequest() as stop, _bar(trainer) as report:
        finished = run_training(trainer, images, report, clock=clock, on_evaluation=on_evaluation, stop=stop)
    if draws:
        curves.draw_curves(run)
    _say(peers, f"{run}: {trainer.steps_done} steps done{'' if finished else '; --resume goes on'}")
    if not finished:
        code = Exit.TERMINATED if stop.signal == signal.SIGTERM else Exit.INTERRUPTED
        click.get_current_context().exit(code)


def _evaluation_line(result: Evaluation) -> str:
    points = ", ".join(f"{point.bpp:.3f} bpp {point.psnr:.2f} dB" for point in result.points)
    against = "" if result.bd_rate is None else f"; BD-rate against JPEG {result.bd_rate:+.1f} %"
    return f"step {result.step}: {points}{against}"


def _say(peers: Peers, line: str) -> None:
    if peers.leads:
        click.echo(line, err=True)


@contextlib.contextmanager
def _bar(trainer: Trainer) -> Iterator[Callable[[dict[str, float]], None]]:
    """A function that takes the figures of each step; it draws a bar on standard error where that is a terminal."""
    if not trainer.peers.leads or not sys.stderr.isatty():
        yield lambda _: None
        return
    means: dict[str, float] = {}
    with bar("", trainer.settings.steps - trainer.steps_done) as shown:
        begun = trainer.steps_done

        def report(entry: dict[str, float]) -> None:
            for name in ("loss", "bpp", "psnr", "seconds"):
                means[name] = SMOOTHING * means.get(name, entry[name]) + (1 - SMOOTHING) * entry[name]
            rate = trainer.settings.batch / means["seconds"]
            step, steps = round(entry["step"]), trainer.settings.steps
            figures = f"{means['bpp']:.3f} bpp  {means['psnr']:.2f} dB  loss {means['loss']:.3f}  {rate:.1f} images/s"
            shown.length = steps - begun
            shown.update(step - begun - shown.pos, f"{step}/{steps}  {figures}")

        yield report
