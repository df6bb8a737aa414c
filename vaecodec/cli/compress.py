"""`vaecodec compress`: image files in, .vaec files out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.cluster import Cluster
from vaecodec.cli.console import Console
from vaecodec.cli.exits import Fatal
from vaecodec.cli.help import BareOption, Command, grouped
from vaecodec.cli.jobs import Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import Placement, check_stdout, refuse_sources
from vaecodec.cli.progress import share_of
from vaecodec.cli.results import Record
from vaecodec.cli.resuming import check_vaec, made_before
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sources import Selection, photo_suffixes
from vaecodec.cli.startup import codec_maker, limit_threads, may_skip_numba, resume_collector, spare_blas
from vaecodec.cli.table import Table
from vaecodec.cli.target import LOSSLESS, Target
from vaecodec.refine import PASSES, Progress, passes_of
from vaecodec.weights.manifest import DENOISING_MODEL, denoiser_of

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Changes:
    """What is changed of the photo before it is coded: metadata left out, sides of at most so many pixels."""

    strip: bool = False
    max_dimension: int | None = None


changes = grouped(
    "changes",
    lambda strip, max_dimension: Changes(strip, max_dimension),
    click.option("--strip", is_flag=True, help="Leave EXIF, XMP and profile out; turned upright, in sRGB."),
    options.rare(
        "--max-dimension", type=click.IntRange(1, 65535), metavar="N", help="Scale down to N pixels a side, at most."
    ),
)

cluster = grouped(
    "cluster",
    Cluster.of_options,
    options.rare(
        "--engine", type=click.Choice(["local", "ray"]), default="local",
        help="ray: on a Ray cluster, one file an actor; -j N: N actors at most.",
    ),
    options.rare("--address", metavar="HOST:PORT", help="Of the cluster; else RAY_ADDRESS, or one of this machine."),
)  # fmt: skip


@click.command(cls=Command)
@options.combined(options.placement, options.target, options.effort, options.selection("PHOTO"), options.jobs, changes)
@options.rare("--report", "report_path", metavar="CSV", help="Write a table: what became of every file.")
@click.option(
    "--keep-smaller", cls=BareOption, bare="skip", type=click.Choice(["skip", "copy"]), metavar="[=copy]",
    help="Make no .vaec file that is larger than its photo (=copy: copy the photo to -o DIR instead).",
)  # fmt: skip
@options.rare("--delete-original", is_flag=True, help="Delete a photo once its .vaec file was compared with it.")
@options.combined(options.dry_run, options.model, options.machine, cluster, options.console)
def compress(
    selection: Selection,
    target: Target,
    effort: int,
    placement: Placement,
    jobs: int,
    changes: Changes,
    report_path: str | None,
    keep_smaller: str | None,
    delete_original: bool,
    dry_run: bool,
    model: str | Path,
    machine: Machine,
    cluster: Cluster | None,
    console: Console,
) -> None:
    """Make .vaec files from photos.

    PHOTO is an image file of any format that Pillow reads, a folder (with -r), or - for standard input. Without -o
    the file goes beside the photo. Transparency is kept without loss; EXIF, XMP and colour profile are kept.

    \b
    vaecodec compress photo.jpg                  photo.vaec, beside it
    vaecodec compress *.jpg -o small -q 40       into the folder small, smaller files
    vaecodec compress photo.jpg --target-size 20KB
    vaecodec compress photo.jpg --effort 9       minutes for as small a file as can be
    vaecodec compress night.jpg --denoise        noise taken away, which saves its bytes
    vaecodec compress -r photos -o small -j 4    a whole tree; --resume goes on after an interruption
    cat photo.png | vaecodec compress - > photo.vaec
    """
    sources = selection.find(photo_suffixes())
    planned = placement.plan(sources, ".vaec", has_folder=selection.has_folder)
    console.lines_to_stderr = check_stdout(planned, as_json=console.as_json)
    if cluster is not None:
        cluster.check(planned, deletes=delete_original)
    if delete_original:
        _check_deletion(planned, changes, target)
        # What --verify allows was measured with shipped models: own ones have the comparison after writing alone.
        target = dataclasses.replace(target, verify=target.verify or isinstance(model, str))
    if keep_smaller == "copy" and placement.overwrite:
        refuse_sources(planned, [job.copy_output for job in planned])
    if target.denoise is not None:
        model = _denoising_model(model, options=click.get_current_context().params)
    selection.say_left_alone(console)
    own_weights = model if isinstance(model, Path) else None
    check = check_vaec(
        thoroughly=placement.resume == "verify", model=own_weights, may_differ_in_size=changes.max_dimension is not None
    )
    skip = made_before(placement, check, copies=keep_smaller == "copy")
    if dry_run:
        finish(run(planned, options.planning(placement, skip), console), console)
    limit_threads(machine.threads)
    spare_blas()
    passes = _checked_passes(effort)
    if cluster is not None:
        jobs, machine, placement = 1, cluster.machine(machine), dataclasses.replace(placement, may_be_repeated=True)
    coder = _Coder(target, effort, changes, model, machine, len(planned), jobs)
    shows_passes = passes > 0 and len(planned) == 1 and not console.quiet
    work = Work(coder, placement, keep_smaller, delete_original, shows_passes)
    with contextlib.closing(Table(report_path, planned, placement)) as table:
        task = Task(work, "compressing", work.skipping(skip), report.compress_lines, table.add)
        if cluster is None:
            results = run(planned, task, console, workers=jobs)
        else:
            results = cluster.run(planned, task, console, machine, overwrite=placement.overwrite)
    finish(results, console, report.compress_summary(results), can_resume=placement.can_resume)


def _denoising_model(model: str | Path, *, options: Mapping[str, object]) -> str | Path:
    """The model of --denoise: the one that is named, if it can. Raises UsageError."""
    if options["model"] is None and options["tune"] is None:
        return DENOISING_MODEL
    try:
        denoiser_of(str(model))
    except vaecodec.InputError as error:
        message = f"--denoise: {error}."
        raise click.UsageError(message) from error
    return model


@dataclass(frozen=True)
class Work:
    """What is done with each photo; picklable, so that other machines can do it."""

    coder: _Coder
    placement: Placement
    keep_smaller: str | None = None
    delete_original: bool = False
    shows_passes: bool = False

    def skipping(self, skip: Callable[[Job], bool]) -> Callable[[Job], bool]:
        """`skip`, and the deletion of its photo: a killed run may have made an output without that."""

        def skip_and_delete(job: Job) -> bool:
            if not skip(job):
                return False
            state, image = job.source_stat(), self.coder.open(job.read())
            self.coder.delete(job, image, state)
            return True

        return skip_and_delete if self.delete_original else skip

    def __call__(self, job: Job) -> Record:
        """Make the .vaec file of one photo. Raises EXPECTED."""
        self.placement.prepare(job)
        state = job.source_stat()
        source = job.read()
        image = self.coder.open(source)
        with share_of("refining", shown=self.shows_passes) as progress:
            data, (width, height) = self.coder.encode(image, progress)
        facts: Record = {
            "output": job.output,
            "source_bytes": len(source),
            "bytes": len(data),
            "quality": vaecodec.inspect(data).quality,
            "lossless": vaecodec.inspect(data).lossless,
            "width": width,
            "height": height,
            "bpp": round(8 * len(data) / (width * height), 4),
        }
        if self.keep_smaller is not None and len(data) >= len(source):
            return facts | _keep(job, source, self.placement, copy=self.keep_smaller == "copy")
        self.placement.write(job, data)
        if self.delete_original:
            self.coder.delete(job, image, state)
            return facts | {"deleted": True}
        return facts


def _check_deletion(planned: Sequence[Job], changes: Changes, target: Target) -> None:
    """Raises UsageError where a .vaec file could not take the place of its photo."""
    from vaecodec.cli.deleting import check_deletable

    if changes.max_dimension is not None:
        message = "--delete-original and --max-dimension cannot be combined: pixels would be lost."
        raise click.UsageError(message)
    if target.denoise is not None:
        message = "--delete-original and --denoise cannot be combined: what was taken for noise would be lost."
        raise click.UsageError(message)
    check_deletable(planned)


class _Coder:
    """Codes the photos of one run, one small one without numba."""

    def __init__(
        self, target: Target, effort: int, changes: Changes, model: str | Path, machine: Machine, files: int, jobs: int
    ) -> None:
        self._effort = effort
        self._target, self._changes, self._model, self._machine, self._files = target, changes, model, machine, files
        self._make_codec = codec_maker(model, machine, jobs=jobs)
        self._arguments = (target, effort, changes, model, machine, files, jobs)

    def __reduce__(self) -> tuple[type[_Coder], tuple[object, ...]]:
        """In another process the codec is made anew."""
        return _Coder, self._arguments

    def open(self, source: bytes) -> Image.Image:
        """The image in an image file, as it is to be coded. Raises InputError."""
        from vaecodec.cli.image_files import open_photo, scaled_down

        return scaled_down(open_photo(source), self._changes.max_dimension)

    def delete(self, job: Job, image: Image.Image, state: Sequence[os.stat_result]) -> None:
        """Delete the photo, if its .vaec file is right."""
        from vaecodec.cli.deleting import delete_original

        delete_original(job, image, state, self._decode, strip=self._changes.strip)

    def _decode(self, data: bytes) -> Image.Image:
        from vaecodec import numpy_codec

        info = vaecodec.inspect(data)
        if self._skips_numba(info.width * info.height, "decode"):
            return numpy_codec.decode(data)
        return self._make_codec().decode(data)

    def _skips_numba(self, pixels: int, task: Literal["encode", "decode"]) -> bool:
        is_plain = self._target.is_quality and isinstance(self._model, str)
        return may_skip_numba(pixels, self._machine, files=self._files, is_plain=is_plain, task=task)

    def encode(self, image: Image.Image, progress: Progress | None) -> tuple[bytes, tuple[int, int]]:
        """An image -> the .vaec file, and width and height of the image in it. progress: of its refinement."""
        strip, is_plain = self._changes.strip, self._effort not in PASSES and self._target.mode != LOSSLESS
        if is_plain and self._skips_numba(image.width * image.height, "encode"):
            data = self._target.encode_alone(image, model=str(self._model), strip=strip, effort=self._effort)
        else:
            data = self._target.encode(
                self._make_codec, image, strip=strip, effort=self._effort, progress=progress,
                max_memory=self._machine.max_memory,
            )  # fmt: skip
        header = vaecodec.inspect(data)  # stripping may have turned the image
        return data, (header.width, header.height)


def _checked_passes(effort: int) -> int:
    """The passes of an effort, before a photo is read. Raises Fatal where PyTorch is missing."""
    try:
        passes = passes_of(effort)
    except vaecodec.VaecodecError as error:
        raise Fatal(error) from error
    if passes > 0:
        resume_collector()
    return passes


def _keep(job: Job, source: bytes, placement: Placement, *, copy: bool) -> Record:
    """The photo is smaller than its .vaec file: leave it alone, or copy it to where that would be."""
    copied = job.copy
    if not copy or copied is None:
        return {"output": None, "kept": "skipped"}
    placement.prepare(copied)
    placement.write(copied, source)
    return {"output": copied.output, "kept": "copied"}
