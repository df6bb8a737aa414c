"""Training on a machine that is there for minutes only: start it in the background, carry away what it has made so far.

    python tools/gpu_train.py start SHARDS --home ~/base --minutes 25 -- --config base --batch 64
    python tools/gpu_train.py collect --home ~/base --out OUT --seconds 500
    python tools/gpu_train.py stop --home ~/base --out OUT

`start` returns at once; the training has a session of its own and outlives the command that started it. `collect`
waits, then writes to OUT: ema.safetensors (averaged weights, float16), log.jsonl, curves.png and train.txt. Started
again, a run goes on from its checkpoint. tools/gpu-session.md is the whole story.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from vaecodec.training.checkpoint import CHECKPOINT
from vaecodec.training.curves import CURVES
from vaecodec.training.log import LOG
from vaecodec.training.log import read as read_log
from vaecodec.training.snapshot import read_weights, write_snapshot

PID = "train.pid"
OUTPUT = "train.txt"
EMA = "ema.safetensors"
STOP_SECONDS = 60
"""How long a checkpoint may take after SIGTERM."""

_home = click.option("--home", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
_out = click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for what is carried away.")


@click.group()
def main() -> None:
    """Training on a machine that is there for minutes only."""


@main.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_home
@click.option("--minutes", type=float, help="Choose the number of steps so that the run ends after this time.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def start(data: Path, home: Path, minutes: float | None, options: tuple[str, ...]) -> None:
    """Start (or go on with) a run in HOME on DATA; OPTIONS after `--` go to `vaecodec train`."""
    if running(home) is not None:
        message = f"{home}: process {running(home)} trains there already"
        raise click.ClickException(message)
    home.mkdir(parents=True, exist_ok=True)
    goes_on = (home / CHECKPOINT).exists()
    command = [sys.executable, "-m", "vaecodec", "train", str(data), "--out", str(home)]
    command += ["--resume", *without_init(options)] if goes_on else options
    command += ["--minutes", str(minutes)] if minutes is not None else []
    with (home / OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    (home / PID).write_text(str(process.pid))
    click.echo(f"process {process.pid}: {' '.join(command)}")


def without_init(options: Sequence[str]) -> list[str]:
    """The options of a run that goes on from its own weights."""
    kept, skips = [], False
    for option in options:
        if not skips and option != "--init" and not option.startswith("--init="):
            kept.append(option)
        skips = option == "--init"
    return kept


def running(home: Path) -> int | None:
    """The process that trains in `home`, if it does."""
    path = home / PID
    if not path.exists():
        return None
    pid = int(path.read_text())
    try:
        # A child of this very process stays in the table until it is asked for.
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return None
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    return pid


@main.command()
@_home
@_out
@click.option("--seconds", default=0.0, help="Wait this long first, or until the training has ended.")
def collect(home: Path, out: Path, seconds: float) -> None:
    """Copy what the run in HOME has made so far to OUT, and say where it stands."""
    end = time.monotonic() + seconds
    while running(home) is not None and time.monotonic() < end:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
    carry(home, out)


@main.command()
@_home
@_out
def stop(home: Path, out: Path) -> None:
    """End the run in HOME with a checkpoint, and copy what it has made to OUT."""
    pid = running(home)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while running(home) is not None and time.monotonic() < end:
        time.sleep(0.2)
    carry(home, out)


def carry(home: Path, out: Path) -> None:
    """Averaged weights of the last checkpoint as float16, log, curves and the training's own words to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    if (home / CHECKPOINT).exists():
        write_snapshot(read_weights(home), out / EMA)
    for name in (LOG, CURVES, OUTPUT):
        if (home / name).exists():
            shutil.copyfile(home / name, out / name)
    steps = [entry for entry in read_log(home) if "loss" in entry]
    state = "running" if running(home) is not None else "ended"
    if not steps:
        click.echo(f"{home}: {state}, no step yet")
        click.echo((home / OUTPUT).read_text()[-2000:])
        return
    last = steps[-50:]
    means = {name: sum(entry[name] for entry in last) / len(last) for name in ("loss", "bpp", "psnr", "seconds")}
    figures = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    click.echo(f"{home}: {state}, step {steps[-1]['step']}; {figures}")
    for entry in [entry for entry in read_log(home) if "heldout" in entry][-3:]:
        click.echo(f"step {entry['step']}: BD-rate against JPEG {entry['bd_rate']}")


if __name__ == "__main__":
    main(prog_name="python tools/gpu_train.py")
