"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from vaecodec.cli.sizes import parse_size
from vaecodec.errors import InputError
from vaecodec.levels import DEFAULT_QUALITY, QUALITY_MAX, QUALITY_MIN
from vaecodec.weights.manifest import DEFAULT_MODEL, DEFAULT_SIZE, TUNES, tuned_name

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Size(click.ParamType):  # type: ignore[type-arg]
    """20KB, 1.5MB, 64KiB, 2000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_size(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


class Rectangle(click.ParamType):  # type: ignore[type-arg]
    """X,Y,W,H."""

    name = "rectangle"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        try:
            x, y, width, height = (int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not X,Y,W,H: left, top, width and height in pixels", param, ctx)
        return x, y, width, height


photos = click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
files = click.argument("files", nargs=-1, required=True, metavar="FILE...")
output = click.option(
    "-o", "--output", metavar="FILE|DIR", help="Where to write; a folder for several inputs; - for standard output."
)
recursive = click.option("-r", "--recursive", is_flag=True, help="Take the files in folders, and in folders below.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
resume = click.option(
    "--resume",
    "--skip-existing",
    "skip_existing",
    is_flag=True,
    help="Leave out what has its output already: go on with a run that was interrupted.",
)
jobs = click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N", help="Files at a time."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
quality = click.option(
    "-q",
    "--quality",
    type=click.IntRange(QUALITY_MIN, QUALITY_MAX),
    help=f"1 smallest, 100 best; {DEFAULT_QUALITY} by default.",
)
device = click.option(
    "--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda or cuda:N."
)
model = click.option(
    "--model", metavar="NAME|FILE", help=f"A shipped model, {DEFAULT_MODEL} by default, or a .safetensors file."
)
tune = click.option(
    "--tune",
    type=click.Choice(TUNES),
    help="What the model was trained for: squared error alone, or (default) also structure, as eyes see it.",
)
max_memory = click.option(
    "--max-memory", type=Size(), metavar="SIZE", help="For each picture under way, as 2GB; less is a little slower."
)


def combined(*decorators: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Several of them, in the order of the help page."""

    def decorate(command: _Command) -> _Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def chosen_model(model: str | None, tune: str | None) -> str:
    """The model that --model and --tune ask for together. A weights file is what it is."""
    if tune is None:
        return model or DEFAULT_MODEL
    if model is not None and model.endswith(".safetensors"):
        message = f"--tune {tune} chooses among shipped models; {model} is a weights file."
        raise click.UsageError(message)
    return tuned_name(model or DEFAULT_SIZE, tune)
