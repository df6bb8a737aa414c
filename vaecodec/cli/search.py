"""`vaecodec search`: which images of an index are like this one, or hold it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vaecodec.cli import options
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.hits import finish_with_page, hit_lines, hit_record
from vaecodec.cli.jobs import Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import extra_job
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task
from vaecodec.cli.startup import codec_maker, limit_threads
from vaecodec.weights.manifest import DEFAULT_MODEL

if TYPE_CHECKING:
    from vaecodec.latents.index import Hit


@click.command(cls=Command)
@click.argument("queries", nargs=-1, required=True, metavar="QUERY... INDEX")
@click.option(
    "-n", "--count", type=click.IntRange(1, 1000), default=10, show_default=True, metavar="N", help="Hits at most."
)
@click.option(
    "--least", type=options.Number(0, 1, closed=True), default=0.6, show_default=True, metavar="S",
    help="Hits at least this alike; 1 is the same image.",
)  # fmt: skip
@click.option("--html", metavar="FILE", help="Write a page with the hits.")
@options.combined(options.overwrite, options.own_model, options.machine, options.console)
def search(
    queries: tuple[str, ...],
    count: int,
    least: float,
    html: str | None,
    overwrite: bool,
    own_model: Path | None,
    machine: Machine,
    console: Console,
) -> None:
    """Find images of an index that are like an image, a part of it, or hold it.

    QUERY is a photo or a .vaec file: an edited copy (cropped, resized, recompressed, mirrored, written over, framed) is
    enough. The similarity of unrelated photos is seldom above 0.8.

    \b
    vaecodec search holiday.jpg photos.index
    vaecodec search holiday.jpg photos.index --html hits.html
    """
    from vaecodec.cli.indexing import describe, open_index

    *names, index_name = queries
    if not names:
        message = "name an image to look for, and then the index."
        raise click.UsageError(message)
    jobs = [Job(name) for name in names]
    page = extra_job(html, "--html", [*jobs, Job(index_name)], overwrite=overwrite)
    limit_threads(machine.threads)
    opened, make_codec = open_index(index_name), codec_maker(own_model or DEFAULT_MODEL, machine)
    groups: list[tuple[str, list[Hit]]] = []

    def work(job: Job) -> Record:
        hits = opened.search(describe(job, make_codec).thumbnail, count, least=least)
        groups.append((job.name, hits))
        return {"hits": [hit_record(hit) for hit in hits]}

    def lines(record: Record) -> list[str]:
        return [f"{record['source']}:", *hit_lines(groups[-1][1])]

    def make_page(job: Job) -> Record:
        from vaecodec.latents.pages import hits_page

        note = f"From {index_name}, {len(opened)} images; the likest first, at least {least:g} alike."
        content = hits_page("Images that are alike", note, groups).encode()
        job.write(content, overwrite=overwrite, shown=[*jobs, Job(index_name)])
        return {"output": job.output, "bytes": len(content)}

    with opened:
        finish_with_page(jobs, Task(work, "searching", lines=lines), page, make_page, console)
