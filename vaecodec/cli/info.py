"""`vaecodec info`: what .vaec files say about themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import Job
from vaecodec.cli.paths import find_jobs
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sources import VAEC_SUFFIXES, Selection
from vaecodec.inspection import weights_of


@click.command(cls=Command)
@options.combined(options.selection("FILE"), options.own_model, options.console)
def info(selection: Selection, own_model: Path | None, console: Console) -> None:
    """Show what .vaec files say about themselves.

    No picture is decoded and no model is loaded.

    \b
    vaecodec info photo.vaec
    vaecodec info --json -r small
    """

    def work(job: Job) -> Record:
        data = job.read()
        facts = vaecodec.inspect(data)
        if own_model is not None and facts.model == "unknown":
            weights_of(data, own_model)  # raises where these are others
            facts = dataclasses.replace(facts, model=own_model.stem)
        return dataclasses.asdict(facts)

    finish(run(find_jobs(selection, VAEC_SUFFIXES), Task(work, "reading", lines=report.info_lines), console), console)
