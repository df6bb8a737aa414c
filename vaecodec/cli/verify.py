"""`vaecodec verify`: are .vaec files whole, and does this machine decode exactly?"""

from __future__ import annotations

import dataclasses
import json

import click

import vaecodec
from vaecodec.cli import options
from vaecodec.cli.exits import Exit, Fatal
from vaecodec.cli.paths import VAEC_SUFFIXES, Job, find
from vaecodec.cli.results import Record
from vaecodec.cli.run import finish, run
from vaecodec.errors import VaecodecError


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option("--conformance", is_flag=True, help="Check this machine instead: does it decode exactly?")
@options.combined(options.recursive, options.device, options.as_json)
def verify(files: tuple[str, ...], conformance: bool, recursive: bool, device: str, as_json: bool) -> None:
    """Check that .vaec files are whole.

    All checksums, and every symbol decoded to the end of the stream. With --conformance the files of the conformance
    set are decoded and compared instead; --device is for that only.

    \b
    vaecodec verify photo.vaec
    vaecodec verify -r small && echo all good
    vaecodec verify --conformance
    """
    if conformance == bool(files):
        message = "give FILE... to check files, or --conformance alone to check this machine."
        raise click.UsageError(message)
    if conformance:
        _show_conformance(device, as_json=as_json)

    def work(job: Job) -> Record:
        return {"ok": True, **dataclasses.asdict(vaecodec.verify(job.read()))}

    results = run(find(files, VAEC_SUFFIXES, recursive=recursive), work, "verifying")
    finish(results, [f"{record['source']}: ok" for record in results.records], as_json=as_json)


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
