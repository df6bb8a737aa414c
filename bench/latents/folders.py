"""The images of a folder."""

from __future__ import annotations

from pathlib import Path

import click

SUFFIXES = (".avif", ".jpg", ".jpeg", ".png", ".webp")


def images_of(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name. Raises ClickException where there is none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        message = f"{folder} holds no image ({' '.join(SUFFIXES)})"
        raise click.ClickException(message)
    return paths
