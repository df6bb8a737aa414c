"""`vaecodec verify --conformance`: does this machine decode exactly?"""

from __future__ import annotations

import dataclasses
import json

import click

from vaecodec.cli.exits import Exit, Fatal
from vaecodec.errors import VaecodecError


def show_conformance(device: str, *, as_json: bool) -> None:
    """Run the conformance set, say the result in one line for each dtype, leave with 8 if anything differs."""
    from vaecodec.conformance import run_all

    try:
        reports = list(run_all(device))
    except (VaecodecError, OSError) as error:
        raise Fatal(error) from error
    if as_json:
        told = [{"ok": not report.faults, **dataclasses.asdict(report)} for report in reports]
        click.echo(json.dumps({"conformance": told}, indent=2))
    for report in [] if as_json else reports:
        click.echo(report.line)
        for outcome in report.faults:
            click.echo(f"vaecodec: {outcome.name}: {outcome.fault}", err=True)
    click.get_current_context().exit(Exit.BACKEND if any(report.faults for report in reports) else Exit.OK)
