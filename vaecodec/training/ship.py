"""For maintainers, in a checkout: put exported models into the package and update its manifest.

python -m vaecodec.training.ship MODEL.safetensors...
"""

from __future__ import annotations

from pathlib import Path

import click

from vaecodec.errors import VaecodecError
from vaecodec.training.export_denoiser import ship_denoiser
from vaecodec.training.export_run import ship
from vaecodec.weights.denoisers import MODEL_KEY
from vaecodec.weights.store import read_card


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(models: tuple[Path, ...]) -> None:
    """Put exported MODELS and denoising encoders into the package under their names, and into the manifest."""
    for model in models:
        try:
            put = ship_denoiser if MODEL_KEY in read_card(model) else ship
            click.echo(f"{model} -> {put(model)}")
        except VaecodecError as error:
            raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="python -m vaecodec.training.ship")
