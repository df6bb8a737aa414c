"""`vaecodec web`: the files of a site that shows .vaec images."""

from __future__ import annotations

from pathlib import Path

import click

from vaecodec.cli import options
from vaecodec.cli.console import Console
from vaecodec.cli.help import Command
from vaecodec.cli.jobs import Job
from vaecodec.cli.results import Record
from vaecodec.cli.run import Task, finish, run
from vaecodec.cli.sizes import format_size
from vaecodec.weights.manifest import entry_by_name, manifest


@click.command(cls=Command)
@click.option("-o", "--output", required=True, metavar="DIR", help="The folder to write to.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice([entry.name for entry in manifest()]),
    help="Only the weights of this model, not of all; repeatable.",
)
@click.option("--no-encoder", is_flag=True, help="Only decode: leave out the weights that encoding takes.")
@options.combined(options.overwrite, options.console)
def web(output: str, models: tuple[str, ...], no_encoder: bool, overwrite: bool, console: Console) -> None:
    """Write the browser codec to a folder.

    viewer.html shows .vaec files that are dropped on it, and makes .vaec files of other images, from a server or from
    the disk. vaecodec.js is a module that makes <vaec-image src="photo.vaec"> known to any page. weights/ holds what
    decoding needs, a file for each model, and in a second one what encoding takes beside; a page fetches neither before
    it needs it.

    \b
    vaecodec web -o site
    vaecodec web -o site --model base-perceptual --no-encoder
    """
    from vaecodec.web import site_files

    entries = [entry_by_name(name) for name in models] or list(manifest())
    contents = site_files(entries, with_encoders=not no_encoder)
    jobs = [Job(name, str(Path(output, name))) for name in contents]

    def work(job: Job) -> Record:
        job.check_output(overwrite=overwrite)
        job.write(contents[job.source], overwrite=overwrite)
        return {"output": job.output, "bytes": len(contents[job.source])}

    finish(run(jobs, Task(work, "writing", lines=_lines), console), console)


def _lines(record: Record) -> list[str]:
    return [f"{record['output']}: {format_size(int(str(record['bytes'])))}"]
