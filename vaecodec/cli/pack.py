"""`vaecodec pack`: photographs into a few large files to train from."""

from __future__ import annotations

from pathlib import Path

import click

from vaecodec.cli import options
from vaecodec.cli.exits import EXPECTED, Fatal
from vaecodec.cli.help import Command
from vaecodec.cli.sizes import format_size
from vaecodec.cli.startup import require_pytorch
from vaecodec.cli.train import FOLDER


@click.command(cls=Command)
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where to write.")
@click.option(
    "--shard-size",
    type=options.Size(),
    metavar="SIZE",
    default="50MB",
    show_default=True,
    help="Images in one shard, at most.",
)
@click.option(
    "--encoding",
    type=click.Choice(["keep", "jpeg", "webp"]),
    default="keep",
    show_default=True,
    help="keep: the files as they are. jpeg: quality 97, 4:4:4. webp: lossless.",
)
@click.option("--overwrite", is_flag=True, help="Replace shards that exist.")
def pack(folder: Path, output: Path, shard_size: int, encoding: str, overwrite: bool) -> None:
    """Pack the photographs in DIR into a few large files to train from on another machine.

    `keep` trains on the very same pixels. `jpeg` and `webp` are for machines whose Pillow cannot read the originals
    (AVIF, say): about 1.9 and 3.6 times as large as AVIF, the first with a small loss.

    \b
    vaecodec pack photos -o shards
    vaecodec train shards
    """
    require_pytorch("pack")
    from vaecodec.training.data import find_images
    from vaecodec.training.shards import write_shards

    try:
        paths = find_images(folder)
        if not paths:
            message = f"{folder}: no images in it."
            raise click.UsageError(message)
        for path, count in write_shards(folder, paths, output, shard_size, encoding, overwrite=overwrite):
            click.echo(f"{path}: {count} images, {format_size(path.stat().st_size)}", err=True)
    except EXPECTED as error:
        raise Fatal(error) from error
