"""`vaecodec compare`: how large would a JPEG of the same PSNR be?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vaecodec.cli import options, report
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import Job
from vaecodec.cli.machine import Machine
from vaecodec.cli.paths import extra_job, find_jobs
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run, run_page
from vaecodec.cli.sources import Selection, photo_suffixes
from vaecodec.cli.startup import codec_maker, limit_threads


@click.command(cls=Command)
@options.combined(options.selection("PHOTO"), options.quality)
@click.option("--html", metavar="FILE", help="Write a page with the photos through every codec at equal bytes.")
@options.combined(options.overwrite, options.model, options.machine, options.console)
def compare(
    selection: Selection,
    quality: float,
    html: str | None,
    overwrite: bool,
    model: str | Path,
    machine: Machine,
    console: Console,
) -> None:
    """Compare the size with that of a JPEG of equal PSNR.

    The JPEG is Pillow's (4:2:0, optimized), of the lowest quality that reaches the same PSNR. Nothing is written,
    unless --html asks for a page: one file to open in any browser, without a network, with the photos beside what
    JPEG, WebP, AVIF and JPEG XL make of them at the size of the .vaec file. It takes a minute or so for each photo.

    \b
    vaecodec compare photo.jpg
    vaecodec compare -r samples -q 40
    vaecodec compare photo.jpg --html page.html
    """
    jobs = find_jobs(selection, photo_suffixes())
    page = extra_job(html, "--html", jobs, overwrite=overwrite)
    limit_threads(machine.threads)
    make_codec = codec_maker(model, machine)
    shown: list[tuple[str, Any]] = []

    def work(job: Job) -> Record:
        from vaecodec.cli.comparison import compare_one, open_rgb

        image, upright = open_rgb(job)
        record = compare_one(image, make_codec(), quality)
        if page is not None:
            shown.append((job.name, upright))
        return record

    def make_page(job: Job) -> Record:
        from vaecodec.cli.comparison import write_page

        return write_page(job, jobs, shown, make_codec(), quality, overwrite=overwrite)

    results = run(jobs, Task(work, "comparing", lines=report.compare_lines(jobs)), console)
    lines = report.compare_summary(results)
    if page is not None and shown and results.stop is None:
        lines += report.page_lines(run_page(page, Task(make_page, "page"), console, results))
    finish(results, console, lines)
