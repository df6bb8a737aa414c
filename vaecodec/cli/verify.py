"""`vaecodec verify`: are .vaec files whole, and does this machine decode exactly?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

import vaecodec
from vaecodec.cli import options
from vaecodec.cli.console import Console
from vaecodec.cli.exits import Exit, Fatal
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import Job
from vaecodec.cli.paths import find_jobs
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sources import VAEC_SUFFIXES, Selection
from vaecodec.errors import VaecodecError


@click.command(cls=Command)
@options.selection("[FILE]")
@click.option("--conformance", is_flag=True, help="Check this machine instead: does it decode exactly?")
@options.combined(options.own_model, options.device, options.console)
def verify(selection: Selection, conformance: bool, own_model: Path | None, device: str, console: Console) -> None:
    """Check that .vaec files are whole.

    All checksums, and every symbol decoded to the end of the stream. With --conformance the files of the conformance
    set are decoded and compared instead; --device is for that only.

    \b
    vaecodec verify photo.vaec
    vaecodec verify -r small && echo all good
    vaecodec verify --conformance
    """
    if conformance == selection.is_given:
        message = "give FILE... to check files, or --conformance alone to check this machine."
        raise click.UsageError(message)
    if conformance:
        _show_conformance(device, as_json=console.as_json)

    def work(job: Job) -> Record:
        return {"ok": True, **dataclasses.asdict(vaecodec.verify(job.read(), model=own_model))}

    task = Task(work, "verifying", lines=lambda record: [f"{record['source']}: ok"])
    finish(run(find_jobs(selection, VAEC_SUFFIXES), task, console), console)


def _show_conformance(device: str, *, as_json: bool) -> None:
    """Run the conformance set, say the result in one line for each dtype, leave with 8 if anything differs."""
    from vaecodec.conformance import run_all

    try:
        reports = list(run_all(device))
    except (VaecodecError, OSError) as error:
        raise Fatal(error) from error
    if as_json:
        documents = [{"ok": not report.faults, **dataclasses.asdict(report)} for report in reports]
        click.echo(json.dumps({"conformance": documents}, indent=2))
    for report in [] if as_json else reports:
        click.echo(report.line)
        for outcome in report.faults:
            click.echo(f"vaecodec: {outcome.name}: {outcome.fault}", err=True)
    click.get_current_context().exit(Exit.BACKEND if any(report.faults for report in reports) else Exit.OK)
