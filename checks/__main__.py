"""`python -m checks`: the checks of what the project promises."""

from __future__ import annotations

import click

from bench.lazy import LazyGroup

COMMANDS = {
    "roundtrip": "checks.roundtrip:main",
    "determinism": "checks.determinism:main",
    "damage": "checks.damage:main",
    "limits": "checks.limits:main",
    "folders": "checks.folders:main",
    "deleting": "checks.deleting:main",
    "adversary": "checks.adversary:main",
    "hostile": "checks.hostile.command:main",
    "fuzz": "checks.fuzz.__main__:main",
}


@click.command(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Check what vaecodec promises, on more files and for longer than its tests do.

    \b
    python -m checks deleting           no photo is lost by --delete-original, whenever it is killed
    python -m checks damage             damaged files end in an image or in a FormatError
    python -m checks hostile PHOTOS     images that are no photographs come back, and no worse than from JPEG
    python -m checks adversary          images made to break the networks don't
    python -m checks fuzz --seconds 60  coverage-guided fuzzing of everything that reads hostile bytes
    """


if __name__ == "__main__":
    main(prog_name="python -m checks")
