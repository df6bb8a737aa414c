"""`vaecodec index`: a collection of images, made searchable."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import click

from vaecodec.cli import options
from vaecodec.cli.console import Console
from vaecodec.cli.exits import EXPECTED, Fatal
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import STDIO, Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import find_jobs
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sources import Selection
from vaecodec.cli.startup import codec_maker, limit_threads
from vaecodec.weights.manifest import DEFAULT_MODEL


@click.command(cls=Command)
@options.selection("FOLDER")
@click.option("-o", "--output", metavar="INDEX", required=True, help="The index: a new file, or one to be continued.")
@click.option("--prune", is_flag=True, help="Take images out whose files are gone.")
@options.combined(options.jobs, options.own_model, options.machine, options.console)
def index(
    selection: Selection,
    output: str,
    prune: bool,
    jobs: int,
    own_model: Path | None,
    machine: Machine,
    console: Console,
) -> None:
    """Make a collection of images searchable.

    Takes .vaec files and photos in folders and in folders below. Of a .vaec file the latents are decoded, not the
    pixels. The same command again adds what is new or changed, and goes on where an interrupted run was; files that
    cannot be read are said and left out.

    \b
    vaecodec index photos -o photos.index
    vaecodec search holiday.jpg photos.index
    vaecodec duplicates photos.index
    """
    from vaecodec.cli.indexing import Indexing, index_suffixes, open_index

    sources = find_jobs(dataclasses.replace(selection, recursive=True), index_suffixes())
    if sources[0].source == STDIO:
        message = "standard input has no name to be found by: give files or folders."
        raise click.UsageError(message)
    limit_threads(machine.threads)
    _make_private(output, sources)
    opened = open_index(output, create=True)
    indexing = Indexing(opened, codec_maker(own_model or DEFAULT_MODEL, machine, jobs=jobs), sources)
    lines: list[str] = []
    with opened:
        try:
            results = run(sources, Task(indexing.work, "indexing", indexing.is_known), console, workers=jobs)
            indexing.commit()
            if prune:
                gone = [path for path in opened.paths() if _is_gone(path)]
                opened.remove(gone)
                lines.append(f"{len(gone)} taken out: their files are gone")
            new, known = len(results.records), len(results.skipped)
            lines.append(f"{output}: {len(opened)} images, {new} of them new, {known} known before")
        except EXPECTED as error:
            raise Fatal(error) from error
    finish(results, console, lines, can_resume=False)


def _make_private(output: str, sources: Sequence[Job]) -> None:
    """Make the file of a new index, as private as the images of which it will hold thumbnails. Raises Fatal."""
    if os.path.lexists(output):
        return
    try:
        Job(output, output).write(b"", overwrite=False, shown=sources)
    except OSError as error:
        raise Fatal(error) from error


def _is_gone(path: str) -> bool:
    """True for a file that is not there; one whose folder may not be looked into may be."""
    try:
        os.stat(path)  # noqa: PTH116 (Path.exists takes a refusal for an absence, or raises it)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
