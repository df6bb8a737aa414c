"""`vaecodec view`: .vaec files in the browser."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import Job
from vaecodec.cli.paths import extra_job, find_jobs
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run, run_page
from vaecodec.cli.sources import VAEC_SUFFIXES, Selection


@click.command(cls=Command)
@options.selection("FILE")
@click.option("-o", "--output", metavar="PAGE", help="Write the page to this file and open nothing.")
@options.combined(options.overwrite, options.console)
def view(selection: Selection, output: str | None, overwrite: bool, console: Console) -> None:
    """Show .vaec files in the browser.

    Makes one HTML page with the files, a decoder in WebAssembly and its weights inside, 6 MB and more, and opens it: no
    server, no network. With -o the page can be sent to somebody who has no vaecodec.

    \b
    vaecodec view photo.vaec
    vaecodec view -r small -o page.html
    """
    import webbrowser

    from vaecodec.web import shipped_model, viewer_page

    jobs = find_jobs(selection, VAEC_SUFFIXES)
    page = extra_job(output, "-o", jobs, overwrite=overwrite)
    shown: list[tuple[str, bytes]] = []

    def work(job: Job) -> Record:
        data = job.read()
        size = vaecodec.inspect(data).file_size
        shipped_model(data)  # raises where the page could only say that weights are missing
        shown.append((Path(job.name).name, data))
        return {"bytes": size}

    def make_page(job: Job) -> Record:
        content = viewer_page(shown).encode()
        job.write(content, overwrite=overwrite, shown=jobs)
        return {"output": job.output, "bytes": len(content), "files": [name for name, _ in shown]}

    results = run(jobs, Task(work, "reading"), console)
    lines = []
    if shown and results.stop is None:
        job = _temporary_page() if page is None else page
        record = run_page(job, Task(make_page, "page"), console, results)
        lines = report.page_lines(record)
        if page is None and record is not None and not webbrowser.open(Path(str(job.output)).as_uri()):
            console.note("no browser can be started here: open the page in one")
    finish(results, console, lines)


def _temporary_page() -> Job:
    """A page that stays when this program ends, since the browser reads it later. The folder is the user's alone."""
    path = str(Path(tempfile.mkdtemp(prefix="vaecodec-")) / "view.html")
    return Job(path, path)
