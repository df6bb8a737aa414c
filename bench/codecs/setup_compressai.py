"""`python -m bench setup-compressai`: CompressAI in an environment of its own.

It needs numpy below 2 and brings some sixty packages, so it does not share vaecodec's environment; the
benchmark talks to it through a pipe and files (bench/codecs/compressai_worker.py).
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import click

from bench.codecs.compressai import DEFAULT_ENVIRONMENT, environment_python, worker_command

# One resolver call for all: installed afterwards, torchvision would replace torch by its newest CUDA build.
TORCH = "torch==2.13.0"
PACKAGES = ("compressai>=1.2.8", "numpy<2")


@click.command("setup-compressai")
@click.option("--env", "where", default=DEFAULT_ENVIRONMENT, show_default=True, type=click.Path(file_okay=False))
@click.option("--torch", default=TORCH, show_default=True, help="The torch to install; use a CPU build for fairness.")
@click.option("--pip-args", default="", help="Passed on to pip, for example to name another package index.")
def main(where: str, torch: str, pip_args: str) -> None:
    """Make the environment that the codecs compressai:MODEL run in (about 1.5 GB)."""
    folder = Path(where)
    python = environment_python(folder)
    if not python.exists():
        click.echo(f"making {folder}", err=True)
        venv.create(folder, with_pip=True)
    # torch first: its index may differ, and the second call then finds it in place
    for packages in ((torch,), (torch, *PACKAGES)):
        pip(python, pip_args.split(), packages)
    check(python)
    click.echo(f"{folder}: ready")


def pip(python: Path, options: list[str], packages: tuple[str, ...]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, *packages]
    if subprocess.run(command, check=False).returncode != 0:
        message = f"pip could not install {' '.join(packages)} into {python.parent.parent} (its words are above)"
        raise click.ClickException(message)


def check(python: Path) -> None:
    """Start the worker once: an environment that cannot import CompressAI is not ready."""
    done = subprocess.run([*worker_command(python), "--check"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"CompressAI does not start there:\n{done.stderr[-2000:]}"
        raise click.ClickException(message)
    click.echo(done.stdout.strip(), err=True)


if __name__ == "__main__":
    sys.exit(main())
