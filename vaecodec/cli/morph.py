"""`vaecodec morph`: from one image to another through latent space."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaecodec.cli import options
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.indexing import opened
from vaecodec.cli.jobs import Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import extra_job
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sizes import format_size
from vaecodec.cli.startup import codec_maker, limit_threads
from vaecodec.weights.manifest import DEFAULT_MODEL

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec import Codec

FORMATS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG", ".apng": "PNG"}


@click.command(cls=Command)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("-o", "--output", metavar="FILE|DIR", required=True, help=".webp, .gif, .png (animated), or a folder/.")
@click.option("--steps", type=click.IntRange(2, 1000), default=24, show_default=True, metavar="N", help="Images.")
@click.option("--seconds", type=options.Number(0, 600), default=2, show_default=True, metavar="S", help="Playing time.")
@click.option("--curve", type=click.Choice(["smooth", "linear"]), default="smooth", show_default=True, help="Timing.")
@click.option("--back", is_flag=True, help="And back again, so that it loops.")
@click.option("--beside", is_flag=True, help="Show a cross-fade of the pixels on the right, to compare.")
@options.combined(options.overwrite, options.own_model, options.machine, options.console)
def morph(
    first: str,
    second: str,
    output: str,
    steps: int,
    seconds: float,
    curve: str,
    back: bool,
    beside: bool,
    overwrite: bool,
    own_model: Path | None,
    machine: Machine,
    console: Console,
) -> None:
    """Morph one image into another through latent space.

    A and B are photos or .vaec files; B is scaled and cropped to the size of A. Each image in between is what the
    decoder makes of a mean of both latents: a cross-fade with better edges, not a change of shape.

    \b
    vaecodec morph a.jpg b.jpg -o morph.webp
    vaecodec morph a.vaec b.vaec -o frames/ --steps 100
    """
    is_folder = output.endswith("/") or Path(output).is_dir()
    form = FORMATS.get(Path(output).suffix.lower(), "")
    if not form and not is_folder:
        message = f"-o {output}: it must be one of {', '.join(FORMATS)}, or a folder (with a slash at its end)."
        raise click.UsageError(message)
    outputs = [str(Path(output) / f"{number:04}.png") for number in range(steps)] if is_folder else [output]
    targets = [extra_job(name, "-o", [Job(first), Job(second)], overwrite=overwrite) for name in outputs]
    limit_threads(machine.threads)
    make_codec = codec_maker(own_model or DEFAULT_MODEL, machine)

    def work(_: Job) -> Record:
        frames = _frames(opened(Job(first)), opened(Job(second)), steps, curve, make_codec(), beside=beside)
        if is_folder:
            contents: Iterable[bytes] = (_png(frame) for frame in frames)
        else:
            images = list(frames)
            contents = [_animated([*images, *(images[-2:0:-1] if back else [])], form, seconds)]
        written = 0
        for target, content in zip(targets, contents, strict=True):
            if target is not None:
                target.write(content, overwrite=overwrite, shown=[Job(first), Job(second)])
                written += len(content)
        return {"output": output, "bytes": written, "frames": steps}

    def lines(record: Record) -> list[str]:
        return [f"{first} -> {second}: {output}, {steps} steps, {format_size(int(str(record['bytes'])))}"]

    finish(run([Job(first)], Task(work, "morphing", lines=lines), console), console)


def _frames(start: object, end: object, steps: int, curve: str, codec: Codec, *, beside: bool) -> Iterator[Image.Image]:
    from vaecodec.latents.blending import aligned, cross_fade, morph

    frames = morph(start, end, steps, codec, curve=curve)
    if not beside:
        return frames
    ends = [codec.synthesize(latents) for latents in aligned([start, end], codec)]
    pairs = zip(frames, cross_fade(ends[0], ends[1], steps, curve=curve), strict=True)
    return (_joined(left, right) for left, right in pairs)


def _joined(left: Image.Image, right: Image.Image) -> Image.Image:
    from PIL import Image

    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _animated(frames: Sequence[Image.Image], form: str, seconds: float) -> bytes:
    buffer = io.BytesIO()
    duration = max(1, round(1000 * seconds / len(frames)))
    options = {"quality": 85} if form == "WEBP" else {}
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:], duration=duration, loop=0, **options)
    return buffer.getvalue()
