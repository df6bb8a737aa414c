"""`python -m bench`: the commands of the benchmark."""

from __future__ import annotations

import importlib

import click

# command -> (module, its click command): a command's imports are paid only when it runs
COMMANDS = {
    "rd": ("bench.rd_command", "main"),
    "speed": ("bench.speed", "main"),
    "untrained": ("bench.untrained", "main"),
    "setup-compressai": ("bench.setup_compressai", "main"),
    "kodak": ("bench.kodak", "main"),
    "rans": ("bench.rans", "main"),
    "kernels": ("bench.kernels", "main"),
    "scale": ("bench.scale", "main"),
    "scales": ("bench.scales", "main"),
    "choices": ("bench.choices", "main"),
    "folders": ("bench.folders", "main"),
    "practical": ("bench.practical", "main"),
    "roundtrip": ("bench.roundtrip", "main"),
    "determinism": ("bench.determinism", "main"),
    "damage": ("bench.damage", "main"),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, click.Command):
            return command
        return click.Command(cmd_name, callback=command, help=(command.__doc__ or "").strip())


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Compare image codecs on your own photographs, with their own encoders and decoders.

    \b
    python -m bench rd kodak            size against quality on the Kodak images
    python -m bench rd PHOTOS           the same on a folder of photographs
    python -m bench speed               time and memory of every codec
    """


if __name__ == "__main__":
    main(prog_name="python -m bench")
