"""What goes where: from the files that were found to one `Job` for each."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import click

from vaecodec import urls
from vaecodec.cli.exits import Fatal
from vaecodec.cli.jobs import STDIO, Job, renamed_url
from vaecodec.cli.sources import PHOTO_SUFFIXES, PLUGINS, VAEC_SUFFIXES, Selection, Source, is_folder
from vaecodec.files import discard_leftovers
from vaecodec.urls import State, is_url

Resume = Literal["no", "header", "verify"]


@dataclass(frozen=True)
class Placement:
    """Where outputs go, and what happens to files that are there.

    output: a file, a folder, "-", or None for beside the source. resume: outputs of an earlier run are kept, once their
    header and size ("header") or all of them ("verify") were looked at. keep_extension: photo.jpg.vaec.
    preserve: outputs have mode and times of their sources. may_be_repeated: the work is done by processes that may die
    after their last byte and be followed by others: that an output is free is seen before (`Job.check_output`), and one
    that then holds these very bytes is as good as written.
    """

    output: str | None = None
    overwrite: bool = False
    resume: Resume = "no"
    keep_extension: bool = False
    preserve: bool = False
    may_be_repeated: bool = False

    def plan(self, sources: Sequence[Source], new_suffix: str, *, has_folder: bool) -> list[Job]:
        """The jobs of a command that writes one file for each it reads. Raises UsageError.

        Without ``output`` a file goes beside its source and standard input to standard output. ``output`` is a file for
        one source, and a folder for several sources, for a source that is a folder (its tree is mirrored), or when it
        is a folder already or ends with a slash. Of outputs behind URLs the states are asked for, by listing where they
        are many; raises Fatal where a store refuses.
        """
        try:
            jobs = self._place(sources, new_suffix, has_folder=has_folder)
            states = _output_states([job.output_url for job in jobs if job.output_url is not None], self.output)
        except OSError as error:
            raise Fatal(error) from error
        refuse_sources(jobs, [job.output for job in jobs])
        for job in jobs:
            if self.preserve and (is_url(job.source) or job.output_url is not None):
                message = f"--preserve is for files: {job.source} -> {job.output} has no mode to keep."
                raise click.UsageError(message)
        return [replace(job, output_state=states.get(job.output_url or "")) for job in jobs]

    def _place(self, sources: Sequence[Source], new_suffix: str, *, has_folder: bool) -> list[Job]:
        output = self.output
        if output is None:
            return [Job(s.path, self._beside(s.path, new_suffix), s.state, error=s.error) for s in sources]
        if not output:
            message = "-o '' names neither a file nor a folder."
            raise click.UsageError(message)
        if len(sources) == 1 and not has_folder and (output == STDIO or not _names_folder(output)):
            _refuse_foreign_name(output, new_suffix)
            return [Job(sources[0].path, output, sources[0].state)]
        if output == STDIO or (not is_url(output) and os.path.exists(output) and not is_folder(output)):  # noqa: PTH110
            message = f"several files cannot go to {output!r}: name a folder."
            raise click.UsageError(message)
        if not _names_folder(output) and Path(output).suffix.lower() in _FILE_SUFFIXES:
            message = f"several files cannot go to one file {output!r}: name a folder ({output}/ if that is its name)."
            raise click.UsageError(message)
        if any(source.path == STDIO for source in sources):
            message = "standard input has no name: give -o a file, not a folder."
            raise click.UsageError(message)
        return [
            Job(s.path, _below(output, self._renamed(s.relative, new_suffix)), s.state, error=s.error) for s in sources
        ]

    def _beside(self, source: str, new_suffix: str) -> str:
        """Where the output of a source goes without -o."""
        if source == STDIO:
            return STDIO
        if is_url(source):
            return renamed_url(source, self._renamed(Path(PurePosixPath(source).name), new_suffix).name)
        return str(self._renamed(Path(source), new_suffix))

    def _renamed(self, path: Path, new_suffix: str) -> Path:
        return path.with_name(path.name + new_suffix) if self.keep_extension else path.with_suffix(new_suffix)

    @property
    def can_resume(self) -> bool:
        """True where --resume would find what a stopped run has made."""
        return self.output != STDIO

    def prepare(self, job: Job) -> None:
        """Before the work: the output must be free. Of a killed run that is continued, no temporary file stays."""
        if not self.may_be_repeated:
            job.check_output(overwrite=self.overwrite)
        if (self.resume != "no" or self.may_be_repeated) and job.output_path is not None:
            discard_leftovers(job.output_path)

    def write(self, job: Job, data: bytes) -> None:
        """Write the output of a job. Raises OSError."""
        try:
            job.write(data, overwrite=self.overwrite, preserve=self.preserve)
        except FileExistsError:
            if not self.may_be_repeated or job.read_output() != data:
                raise


ASKED_ONE_BY_ONE = 8
"""Outputs up to which each is asked for: named ones may lie far apart, and a listing between them be long."""


def _output_states(outputs: Sequence[str], folder: str | None) -> dict[str, State]:
    """What stores say of the outputs that they hold already, by URL. Raises OSError."""
    if len(outputs) <= ASKED_ONE_BY_ONE:
        asked = {output: urls.state(output) for output in dict.fromkeys(outputs)}
        return {output: state for output, state in asked.items() if state is not None}
    folders = [folder] if folder is not None else _common_folders(outputs)
    return {urls.join(name, key): state for name in folders for key, state in urls.listing(name).items()}


def _common_folders(names: Iterable[str]) -> list[str]:
    """For each store and bucket the folder that all of its URLs lie below."""
    groups = defaultdict(list)
    for name in names:
        groups[tuple(name.split("/", 3)[:3])].append(name)  # scheme, nothing, bucket
    return [os.path.commonprefix(group).rpartition("/")[0] for group in groups.values()]  # noqa: RUF071 (no paths)


def _below(folder: str, relative: Path) -> str:
    return urls.join(folder, relative.as_posix()) if is_url(folder) else str(Path(folder) / relative)


def find_jobs(selection: Selection, suffixes: Sequence[str]) -> list[Job]:
    """The jobs of a command that writes nothing."""
    return [Job(source.path, source_state=source.state, error=source.error) for source in selection.find(suffixes)]


_FILE_SUFFIXES = {*PHOTO_SUFFIXES, *PLUGINS, *VAEC_SUFFIXES}


def _refuse_foreign_name(output: str, new_suffix: str) -> None:
    """A .vaec file is not given the name of a JPEG; of pictures, the name chooses the format."""
    if new_suffix == ".vaec" and Path(output).suffix.lower() in _FILE_SUFFIXES - set(VAEC_SUFFIXES):
        message = f"-o {output}: what is written is a .vaec file, not one of that kind."
        raise click.UsageError(message)


def refuse_sources(jobs: Sequence[Job], written: Iterable[str | None]) -> None:
    """Raises UsageError where a run would write what it reads, under this name or another."""
    names = {job.source for job in jobs}
    outputs = {name: _place_of(name) for name in written if name is not None and name != STDIO}
    # Sources are only looked at where something is in the place of an output.
    sources = {_place_of(name) for name in names} - {None} if any(outputs.values()) else set()
    for name, place in outputs.items():
        if name in names or place in sources:
            message = f"{name} is a source of this run: it would be lost."
            raise click.UsageError(message)


def _place_of(name: str) -> tuple[int, int] | None:
    """Device and number of a file, equal for all its names; None for what is no file of this machine."""
    if name == STDIO or is_url(name):
        return None
    try:
        state = os.stat(name)  # noqa: PTH116 (to make a Path takes longer than the call)
    except (OSError, ValueError):
        return None
    return (state.st_dev, state.st_ino) if stat.S_ISREG(state.st_mode) else None


def check_stdout(jobs: Iterable[Job], *, as_json: bool) -> bool:
    """True when a file goes to standard output, which then must be free and no terminal. Raises UsageError."""
    if not any(job.output == STDIO for job in jobs):
        return False
    if as_json:
        message = "--json and the file cannot both go to standard output: give -o FILE."
        raise click.UsageError(message)
    if sys.stdout is not None and sys.stdout.isatty():
        message = "standard output is a terminal: give -o FILE, or send it to a file or pipe."
        raise click.UsageError(message)
    return True


def extra_job(output: str | None, option: str, jobs: Sequence[Job], *, overwrite: bool) -> Job | None:
    """The job of one file beside those of the run, such as a page or a table; None without a name for it.

    Raises UsageError and Fatal where the name cannot be used: it is taken, or belongs to a file of the run.
    """
    if output is None:
        return None
    if output in ("", STDIO):
        message = f"{option} needs a file of its own, not {output!r}."
        raise click.UsageError(message)
    if is_url(output):
        message = f"{option} {output}: it is written bit by bit, into a file of this machine."
        raise click.UsageError(message)
    extra, place = Job(output, output), _place_of(output)
    for job in jobs:
        if (place is not None and place == _place_of(job.source)) or (
            job.output_path and job.output_path.absolute() == Path(output).absolute()
        ):
            message = f"{option} {output}: that is a file of this run."
            raise click.UsageError(message)
    try:
        extra.check_output(overwrite=overwrite)
        _refuse_file_as_folder(Path(output).parent)
    except OSError as error:
        raise Fatal(error) from error
    return extra


def _refuse_file_as_folder(folder: Path) -> None:
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))


def _names_folder(output: str) -> bool:
    if is_url(output):
        has_name = "/" in output.partition("://")[2]  # s3://bucket is a folder; whether it exists is seen later
        return output.endswith("/") or not has_name or urls.is_folder(output)
    return output.endswith(("/", os.sep)) or is_folder(output)
