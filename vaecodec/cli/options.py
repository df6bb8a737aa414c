"""Arguments and options that several commands share, and the objects that they make together."""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from vaecodec import urls
from vaecodec.cli.console import Console
from vaecodec.cli.help import BareOption, RareOption, UsualBareOption, grouped
from vaecodec.cli.jobs import STDIO, Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import Placement
from vaecodec.cli.report import plan_lines
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task
from vaecodec.cli.sizes import parse_size
from vaecodec.cli.sources import Selection
from vaecodec.cli.target import LOSSLESS, Target
from vaecodec.errors import InputError
from vaecodec.levels import DEFAULT_QUALITY, QUALITY_MAX, QUALITY_MIN
from vaecodec.networks.config import NOISE_MAX
from vaecodec.refine import DEFAULT_EFFORT, PASSES
from vaecodec.urls import is_url
from vaecodec.weights.manifest import DEFAULT_MODEL, DENOISING_MODEL, TUNES, chosen_name

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class Strength(click.ParamType):  # type: ignore[type-arg]
    """The strength of noise: a standard deviation in shades of 255, or auto."""

    name = "sigma"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Fails outside 0..NOISE_MAX."""
        if value == "auto":
            return "auto"
        try:
            sigma = float(value)
        except ValueError:
            sigma = math.nan
        if not 0 < sigma <= NOISE_MAX:
            self.fail(f"{value!r} is no standard deviation above 0, at most {NOISE_MAX:g}, and not auto.", param, ctx)
        return sigma


class Size(click.ParamType):  # type: ignore[type-arg]
    """20KB, 1.5MB, 64KiB, 2000; at least `least` bytes."""

    name = "size"

    def __init__(self, least: int = 1) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            size = value if isinstance(value, int) else parse_size(value)
        except InputError as error:
            self.fail(str(error), param, ctx)
        if size < self.least:
            self.fail(f"{value!r} is too small; it must be {self.least} bytes or more", param, ctx)
        return size


class Number(click.ParamType):  # type: ignore[type-arg]
    """A number between two bounds; `closed` ones are legal themselves. What is no number (nan) is not legal."""

    name = "number"

    def __init__(self, low: float, high: float, *, closed: bool = False) -> None:
        self.low, self.high, self.closed = low, high, closed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        inside = self.low <= number <= self.high if self.closed else self.low < number < self.high
        if not inside:
            if math.isinf(self.high):
                legal = f"more than {self.low:g}"
            elif self.closed:
                legal = f"{self.low:g}..{self.high:g}"
            else:
                legal = f"more than {self.low:g} and less than {self.high:g}"
            self.fail(f"{value!r} is out of range; it must be {legal}", param, ctx)
        return number


class Quality(Number):
    """A quality, or `lossless`."""

    name = "quality"

    def __init__(self) -> None:
        super().__init__(QUALITY_MIN, QUALITY_MAX, closed=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return LOSSLESS if value == LOSSLESS else super().convert(value, param, ctx)


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
        if min(x, y) < 0 or min(width, height) < 1:
            self.fail(f"{value!r}: X and Y must be 0 or more, W and H 1 or more", param, ctx)
        return x, y, width, height


class Device(click.ParamType):  # type: ignore[type-arg]
    """auto, cpu, cuda or cuda:N."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _DEVICE.fullmatch(str(value)):
            self.fail(f"{value!r} is no device; it must be auto, cpu, cuda or cuda:N", param, ctx)
        return str(value)


def rare(*names: str, **settings: Any) -> Callable[[_Command], _Command]:
    """An option that only --help-all explains."""
    return click.option(*names, cls=RareOption, **settings)


def combined(*decorators: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Several of them, in the order of the help page."""

    def decorate(command: _Command) -> _Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def selection(metavar: str) -> Callable[[_Command], _Command]:
    """The files to work on, as `selection`: a Selection."""
    return grouped(
        "selection",
        lambda names, recursive, list_file, with_nul, include, exclude: Selection(
            names, recursive, list_file, with_nul, include, exclude
        ),
        click.argument("names", nargs=-1, metavar=f"{metavar}..."),
        click.option("-r", "--recursive", is_flag=True, help="Take the files in folders, and in folders below."),
        rare("--files-from", "list_file", metavar="FILE", help="Names from FILE, one a line; - for standard input."),
        rare("-0", "--null", "with_nul", is_flag=True, help="Names of --files-from end with NUL, as of find -print0."),
        rare("--include", multiple=True, metavar="PATTERN", help="Only files of such names, as '*.jpg'; repeatable."),
        rare("--exclude", multiple=True, metavar="PATTERN", help="No files of such names; repeatable."),
    )


placement = grouped(
    "placement",
    lambda output, overwrite, resume, keep_extension, preserve: Placement(
        output, overwrite, resume, keep_extension, preserve
    ),
    click.option("-o", "--output", metavar="FILE|DIR", help="Where to write; - for standard output. Else beside it."),
    click.option("--overwrite", is_flag=True, help="Replace output files that exist."),
    click.option(
        "--resume", "--skip-existing", cls=UsualBareOption, bare="header", default="no", metavar="[=verify]",
        type=click.Choice(["no", "header", "verify"]),
        help="Go on with an interrupted run: keep outputs that are whole (=verify: decode them to see).",
    ),
    rare("--keep-extension", is_flag=True, help="Name outputs photo.jpg.vaec, not photo.vaec."),
    rare("--preserve", "-p", is_flag=True, help="Outputs get mode and times of their sources."),
)  # fmt: skip

overwrite = click.option("--overwrite", is_flag=True, help="Replace the output file if it exists.")
jobs = click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N", help="Files at a time."
)
dry_run = rare("--dry-run", "-n", is_flag=True, help="Say what would be made of what; write nothing.")

console = grouped(
    "console",
    lambda as_json, quiet, verbose: _console(as_json, quiet, verbose),
    rare("--json", "as_json", is_flag=True, help="Print one JSON document instead of text."),
    rare("--quiet", is_flag=True, help="Say nothing but errors."),
    rare("--verbose", "-v", is_flag=True, help="Say more: what is left alone, seconds for each file."),
)


def _console(as_json: bool, quiet: bool, verbose: bool) -> Console:
    if quiet and verbose:
        message = "--quiet and --verbose cannot be combined."
        raise click.UsageError(message)
    return Console(as_json, quiet, verbose)


target = grouped(
    "target",
    Target.of_options,
    click.option(
        "-q", "--quality", type=Quality(), metavar="Q",
        help=f"{QUALITY_MIN} smallest, {QUALITY_MAX} best; {DEFAULT_QUALITY} by default; or lossless.",
    ),
    click.option("--target-size", type=Size(), metavar="SIZE", help="At most this large, as 20KB."),
    rare("--target-psnr", type=Number(0, 100), metavar="DB", help="At least this PSNR, by 0.05 dB."),
    rare("--target-bpp", type=Number(0, math.inf), metavar="BPP", help="At most so many bits per pixel."),
    rare(
        "--mode", type=click.Choice(["auto", "neural", "lossless"]),
        help="By networks or without loss; auto, the default: whichever suits the image.",
    ),
    click.option("--verify", is_flag=True, help="Decode each finished file and compare it with its image."),
    click.option(
        "--denoise", cls=BareOption, bare="auto", type=Strength(), metavar="[=SIGMA]",
        help=f"Take noise away, of SIGMA shades of 255 (else estimated), by the model {DENOISING_MODEL}.",
    ),
)  # fmt: skip
effort = click.option(
    "--effort", type=click.IntRange(1, max(PASSES)), default=DEFAULT_EFFORT, metavar="N",
    help=f"1..{max(PASSES)}, {DEFAULT_EFFORT} by default; above it smaller files, slowly (9: minutes). Needs PyTorch.",
)  # fmt: skip
quality = click.option(
    "-q", "--quality", type=Number(QUALITY_MIN, QUALITY_MAX, closed=True), default=DEFAULT_QUALITY, metavar="Q",
    help=f"{QUALITY_MIN} smallest, {QUALITY_MAX} best; {DEFAULT_QUALITY} by default.",
)  # fmt: skip


device = rare("--device", type=Device(), default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
machine = grouped(
    "machine",
    lambda device, max_memory, threads: Machine(device, max_memory, threads),
    device,
    rare("--max-memory", type=Size(10**6), metavar="SIZE", help="For each image under way, as 2GB; less is slower."),
    rare("--threads", type=click.IntRange(1, 1024), metavar="N", help="CPU threads in all; all cores by default."),
)

own_model = rare(
    "--model", "own_model", metavar="FILE", type=click.Path(path_type=Path),
    help="The weights file that the .vaec files were made with, if it is your own.",
)  # fmt: skip
model = grouped(
    "model",
    lambda model, tune: chosen_model(model, tune),
    rare(
        "--model", metavar="NAME|FILE", help=f"A shipped model, {DEFAULT_MODEL} by default, or a .safetensors file."
    ),
    rare(
        "--tune", type=click.Choice(TUNES),
        help="What the model was trained for: squared error alone, or (default) also structure, as eyes see it.",
    ),
)  # fmt: skip


def chosen_model(model: str | None, tune: str | None) -> str | Path:
    """The model that --model and --tune ask for together: a shipped name, or a path."""
    if model is not None and _is_path(model):
        if tune is not None:
            message = f"--tune {tune} chooses among shipped models; {model} is a weights file."
            raise click.UsageError(message)
        return Path(model)
    try:
        return chosen_name(model, tune)
    except InputError as error:
        raise click.UsageError(str(error)) from error


def _is_path(model: str) -> bool:
    """A weights file, by its suffix or by the folder before its name; other names are those of shipped models."""
    return model.endswith(".safetensors") or Path(model).name != model


def planning(placement: Placement, skip: Callable[[Job], bool]) -> Task:
    """What --dry-run does with each file: say where it would go, and fail where it would fail for its name."""

    def work(job: Job) -> Record:
        _check_source(job)
        job.check_output(overwrite=placement.overwrite)
        exists = job.output_exists() or (job.output_path is not None and job.output_path.exists())
        return {"output": job.output, "planned": "would be replaced" if exists else "would be made"}

    return Task(work, "planning", skip, plan_lines)


def _check_source(job: Job) -> None:
    """Raises OSError for a source that is not there, or that may not be read."""
    job.check_source()
    if not _exists(job):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), job.source)
    if job.source != STDIO and not is_url(job.source) and not os.access(job.source, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), job.source)


def _exists(job: Job) -> bool:
    if is_url(job.source):
        return job.source_state is not None or urls.state(job.source) is not None
    return job.source == STDIO or Path(job.source).exists()
