"""`vaecodec info`: what .vaec files say about themselves."""

from __future__ import annotations

import dataclasses

import click

import vaecodec
from vaecodec.cli import options, report
from vaecodec.cli.paths import VAEC_SUFFIXES, Job, find
from vaecodec.cli.results import Record
from vaecodec.cli.run import finish, run


@click.command()
@options.combined(options.files, options.recursive, options.as_json)
def info(files: tuple[str, ...], recursive: bool, as_json: bool) -> None:
    """Show what .vaec files say about themselves.

    Only the headers are read: no picture is decoded and no model is loaded.

    \b
    vaecodec info photo.vaec
    vaecodec info --json -r small
    """
    lines: list[str] = []

    def work(job: Job) -> Record:
        header = vaecodec.inspect(job.read())
        lines.extend(report.info_lines(job.name, header))
        return dataclasses.asdict(header)

    finish(run(find(files, VAEC_SUFFIXES, recursive=recursive), work, "reading"), lines, as_json=as_json)
