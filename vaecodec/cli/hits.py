"""Hits of a search as text, as JSON and on a page, for the commands that have some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from vaecodec.cli import report
from vaecodec.cli.console import Console
from vaecodec.cli.jobs import Job
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run, run_page

if TYPE_CHECKING:
    from vaecodec.latents.index import Hit


def hit_record(hit: Hit) -> Record:
    """A hit as --json prints it."""
    entry = hit.entry
    return {
        "path": entry.path,
        "similarity": round(hit.similarity, 4),
        "width": entry.width,
        "height": entry.height,
        "bytes": entry.size,
    }


def hit_lines(hits: Sequence[Hit]) -> list[str]:
    """Hits as a person reads them."""
    return [f"  {hit.similarity:.3f}  {hit.entry.path}  {hit.entry.width} x {hit.entry.height}" for hit in hits] or [
        "  nothing is that alike"
    ]


def finish_with_page(
    jobs: Sequence[Job], task: Task, page: Job | None, make_page: Callable[[Job], Record], console: Console
) -> NoReturn:
    """Run a task over jobs, make the page where one is asked for, and leave with the exit code."""
    results = run(jobs, task, console)
    summary: list[str] = []
    if page is not None and results.records and results.stop is None:
        summary = report.page_lines(run_page(page, Task(make_page, "page"), console, results))
    finish(results, console, summary)
