"""`vaecodec duplicates`: which images of an index are copies of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vaecodec.cli import options
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.hits import finish_with_page, hit_lines, hit_record
from vaecodec.cli.jobs import Job
from vaecodec.cli.paths import extra_job
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task

if TYPE_CHECKING:
    from vaecodec.latents.index import Hit


@click.command(cls=Command)
@click.argument("index_name", metavar="INDEX")
@click.option(
    "--least", type=options.Number(0, 1, closed=True), default=0.9, show_default=True, metavar="S",
    help="Copies are at least this alike; 1 is the same image.",
)  # fmt: skip
@click.option("--html", metavar="FILE", help="Write a page with the groups.")
@options.combined(options.overwrite, options.console)
def duplicates(index_name: str, least: float, html: str | None, overwrite: bool, console: Console) -> None:
    """Find images of an index that are copies of each other, edited or not.

    Each group begins with its largest image. Nothing is deleted.

    \b
    vaecodec duplicates photos.index
    vaecodec duplicates photos.index --least 0.97 --html copies.html
    """
    from vaecodec.cli.indexing import open_index

    job = Job(index_name)
    page = extra_job(html, "--html", [job], overwrite=overwrite)
    opened = open_index(index_name)
    groups: list[list[Hit]] = []

    def work(_: Job) -> Record:
        groups.extend(opened.duplicates(least))
        return {"images": len(opened), "groups": [[hit_record(hit) for hit in group] for group in groups]}

    def lines(record: Record) -> list[str]:
        copies = sum(len(group) - 1 for group in groups)
        shown = [line for group in groups for line in ("", *hit_lines(group))]
        return [f"{record['images']} images, {copies} of them copies in {len(groups)} groups", *shown]

    def make_page(job: Job) -> Record:
        from vaecodec.latents.pages import hits_page

        note = f"From {index_name}, {len(opened)} images; the largest of a group first, at least {least:g} alike."
        titled = [(f"Group {number}", group) for number, group in enumerate(groups, 1)]
        content = hits_page("Copies", note, titled).encode()
        job.write(content, overwrite=overwrite, shown=[Job(index_name)])
        return {"output": job.output, "bytes": len(content)}

    with opened:
        finish_with_page([job], Task(work, "comparing", lines=lines), page, make_page, console)
