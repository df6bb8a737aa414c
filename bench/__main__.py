"""`python -m bench`: the commands of the benchmark."""

from __future__ import annotations

import click

from bench.lazy import LazyGroup

COMMANDS = {
    "rd": "bench.rd.command:main",
    "kodak": "bench.kodak:main",
    "speed": "bench.speed.command:main",
    "practical": "bench.speed.practical:main",
    "scale": "bench.speed.scale:main",
    "startup": "bench.speed.startup:main",
    "instructions": "bench.speed.instructions:main",
    "install": "bench.install:main",
    "scale-out": "bench.speed.scale_out:main",
    "browser": "bench.speed.browser:main",
    "rans": "bench.speed.rans:main",
    "kernels": "bench.gpu.kernels:main",
    "choices": "bench.training.choices:main",
    "scales": "bench.training.scales:main",
    "ranges": "bench.training.ranges:main",
    "train-speed": "bench.training.steps:main",
    "untrained": "bench.training.untrained:main",
    "latents": "bench.latents.command:main",
    "figures": "bench.figures:main",
    "setup-compressai": "bench.codecs.setup_compressai:main",
}


@click.command(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare image codecs on your own photographs, with their own encoders and decoders.

    \b
    python -m bench rd kodak            size against quality on the Kodak images
    python -m bench rd PHOTOS           the same on a folder of photographs
    python -m bench speed               time and memory of every codec
    """


if __name__ == "__main__":
    main(prog_name="python -m bench")
