"""`vaecodec sample`: images from the priors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from vaecodec.cli import options
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.indexing import opened_latents
from vaecodec.cli.jobs import Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import extra_job
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sizes import format_size
from vaecodec.cli.startup import codec_maker, limit_threads
from vaecodec.levels import quality_to_level
from vaecodec.weights.manifest import DEFAULT_MODEL

if TYPE_CHECKING:
    from vaecodec import Codec
    from vaecodec.entropy.coding import Latents


class Sides(click.ParamType):  # type: ignore[type-arg]
    """WxH, in pixels."""

    name = "sides"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            width, height = (int(part) for part in str(value).lower().split("x"))
        except ValueError:
            self.fail(f"{value!r} is not WxH, as 512x384", param, ctx)
        if not (1 <= width <= 8192 and 1 <= height <= 8192):
            self.fail(f"{value!r}: sides must be 1..8192 pixels", param, ctx)
        return width, height


@click.command(cls=Command)
@click.option("-o", "--output", metavar="DIR", required=True, help="Where sample-0000.png and so on go.")
@click.option("--like", metavar="FILE", help="Keep z of this photo or .vaec file, and draw the details anew.")
@click.option(
    "--temperature", type=options.Number(0, 4, closed=True), default=1, show_default=True, metavar="T",
    help="Below 1 closer to what is likeliest; 0 is that.",
)  # fmt: skip
@click.option(
    "--share", type=options.Number(0, 1, closed=True), default=1, show_default=True, metavar="S",
    help="With --like: so much of the places is drawn anew.",
)  # fmt: skip
@click.option(
    "-n", "--count", type=click.IntRange(1, 10_000), default=4, show_default=True, metavar="N", help="Images."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the random numbers."
)
@click.option("--size", type=Sides(), default="512x384", show_default=True, metavar="WxH", help="Without --like.")
@click.option("--files", is_flag=True, help="Write .vaec files, not .png.")
@options.combined(options.quality, options.overwrite, options.own_model, options.machine, options.console)
def sample(
    output: str,
    like: str | None,
    temperature: float,
    share: float,
    count: int,
    seed: int,
    size: tuple[int, int],
    files: bool,
    quality: float,
    overwrite: bool,
    own_model: Path | None,
    machine: Machine,
    console: Console,
) -> None:
    """Draw images from the priors: what the model believes.

    The priors are those of a codec: they know what patches of photographs are like, not what is shown. Without --like
    images are clouds of texture; with it the large forms stay and the details are others of their kind.

    \b
    vaecodec sample -o samples
    vaecodec sample -o variations --like photo.jpg --temperature 0.8
    """
    suffix = ".vaec" if files else ".png"
    names = [str(Path(output) / f"sample-{number:04}{suffix}") for number in range(count)]
    jobs = [Job(name, name) for name in names]
    for job in jobs:
        extra_job(job.output, "-o", [] if like is None else [Job(like)], overwrite=overwrite)
    limit_threads(machine.threads)
    make_codec = codec_maker(own_model or DEFAULT_MODEL, machine)

    def work(job: Job) -> Record:
        number, codec = jobs.index(job), make_codec()
        rng = np.random.default_rng([seed, number])
        data = _drawn(codec, like, temperature, share, size, quality, rng)
        content = data if files else _png(codec, data)
        job.write(content, overwrite=overwrite, shown=[] if like is None else [Job(like)])
        return {"output": job.output, "bytes": len(content), "vaec_bytes": len(data)}

    def lines(record: Record) -> list[str]:
        return [f"{record['output']}: {format_size(int(str(record['bytes'])))}"]

    finish(run(jobs, Task(work, "sampling", lines=lines), console), console)


def _drawn(
    codec: Codec,
    like: str | None,
    temperature: float,
    share: float,
    size: tuple[int, int],
    quality: float,
    rng: np.random.Generator,
) -> bytes:
    """A .vaec file of a sample."""
    from vaecodec.latents.sampling import draw, redraw

    entropy = codec.loaded_model().entropy
    if like is None:
        return codec.from_latents(draw(entropy, size, quality_to_level(quality), rng, temperature), size)
    latents = opened_latents(Job(like), codec, quality)
    integers: Latents = redraw(entropy, latents.integers, rng, temperature, share)
    return codec.from_latents(integers, (latents.header.width, latents.header.height))


def _png(codec: Codec, data: bytes) -> bytes:
    buffer = io.BytesIO()
    codec.decode(data).save(buffer, "PNG")
    return buffer.getvalue()
