"""`vaecodec map`: a page on which alike images lie close together."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaecodec.cli import options, report
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import extra_job, find_jobs
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run, run_page
from vaecodec.cli.sources import Selection
from vaecodec.cli.startup import codec_maker, limit_threads
from vaecodec.weights.manifest import DEFAULT_MODEL

if TYPE_CHECKING:
    from vaecodec.latents.mapping import Place


@click.command(cls=Command)
@options.selection("FOLDER")
@click.option("-o", "--output", metavar="PAGE", required=True, help="The page.")
@options.combined(options.overwrite, options.jobs, options.own_model, options.machine, options.console)
def map(  # noqa: A001 (the name of the command)
    selection: Selection,
    output: str,
    overwrite: bool,
    jobs: int,
    own_model: Path | None,
    machine: Machine,
    console: Console,
) -> None:
    """Map a collection of images: alike ones close together.

    One HTML page for any browser, without a network: zoom, names, click for details and the nearest in latent space.
    Takes .vaec files and photos in folders and in folders below; photos are made small and encoded on the way.

    \b
    vaecodec map photos -o map.html
    """
    from vaecodec.cli.indexing import index_suffixes, placed

    sources = find_jobs(dataclasses.replace(selection, recursive=True), index_suffixes())
    page = extra_job(output, "-o", sources, overwrite=overwrite)
    limit_threads(machine.threads)
    make_codec = codec_maker(own_model or DEFAULT_MODEL, machine, jobs=jobs)
    places: dict[str, Place] = {}

    def work(job: Job) -> Record:
        place = places[job.source] = placed(job, make_codec)
        return {"width": place.width, "height": place.height}

    def make_page(job: Job) -> Record:
        from vaecodec.latents.pages import map_page

        shown = [places[source.source] for source in sources if source.source in places]
        note = f"{len(shown)} images; alike ones are close together (t-SNE of pooled latents)."
        content = map_page(f"Map of {_title(selection)}", note, shown).encode()
        job.write(content, overwrite=overwrite, shown=sources)
        return {"output": job.output, "bytes": len(content)}

    results = run(sources, Task(work, "reading"), console, workers=jobs)
    lines: list[str] = []
    if page is not None and places and results.stop is None:
        lines = report.page_lines(run_page(page, Task(make_page, "page"), console, results))
    finish(results, console, lines)


def _title(selection: Selection) -> str:
    return ", ".join(Path(os.path.abspath(name)).name for name in selection.names) or "images"  # noqa: PTH100
