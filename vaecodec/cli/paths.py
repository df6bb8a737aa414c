"""What goes where: from the names on the command line to one `Job` per file."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from vaecodec.cli.exits import Fatal
from vaecodec.files import discard_leftovers, refuse_existing, write_atomic

STDIO = "-"

VAEC_SUFFIXES = (".vaec",)

# What `compress -r` picks out of a folder. A file named on the command line is tried whatever its name.
PHOTO_SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tga",
    ".tif",
    ".tiff",
    ".webp",
)


@dataclass(frozen=True)
class Job:
    """One file: ``source`` and ``output`` are paths or ``-``; ``output`` is None where nothing is written."""

    source: str
    output: str | None = None

    @property
    def name(self) -> str:
        return "<stdin>" if self.source == STDIO else self.source

    def check_output(self, *, overwrite: bool) -> None:
        """Before the work: raise ``FileExistsError`` when the output is there already."""
        if self.output not in (None, STDIO):
            refuse_existing(str(self.output), overwrite=overwrite)

    def read(self) -> bytes:
        if self.source == STDIO:
            return sys.stdin.buffer.read()
        return Path(self.source).read_bytes()

    def write(self, data: bytes, *, overwrite: bool) -> None:
        if self.output is None:
            return
        if self.output == STDIO:
            stream = sys.stdout.buffer
            stream.write(data)
            stream.flush()
            return
        Path(self.output).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.output, data, overwrite=overwrite)


def find(sources: Sequence[str], suffixes: Sequence[str], *, recursive: bool) -> list[Job]:
    """The jobs of a command that writes nothing: files as named, folders with ``recursive``."""
    return [Job(path) for path, _ in _expand(sources, suffixes, recursive=recursive)]


def plan(
    sources: Sequence[str], output: str | None, suffixes: Sequence[str], new_suffix: str, *, recursive: bool
) -> list[Job]:
    """The jobs of a command that writes one file for each it reads.

    Without ``output`` a file goes beside its source and standard input to standard output. ``output`` is a file for
    one source, and a folder for several sources, for a source that is a folder (its tree is mirrored), or when it is
    a folder already or ends with a slash.
    """
    found = _expand(sources, suffixes, recursive=recursive)
    if STDIO in sources and len(sources) > 1:
        message = "'-' (standard input) must be the only source."
        raise click.UsageError(message)
    if output is None:
        return [Job(path, STDIO if path == STDIO else str(Path(path).with_suffix(new_suffix))) for path, _ in found]
    into_folder = len(sources) > 1 or any(_is_folder(source) for source in sources)
    if not into_folder and (output == STDIO or not _names_folder(output)):
        return [Job(found[0][0], output)]
    if output == STDIO or (Path(output).exists() and not Path(output).is_dir()):
        message = f"several files cannot go to {output!r}: name a folder."
        raise click.UsageError(message)
    if STDIO in sources:
        message = "standard input has no name: give -o a file, not a folder."
        raise click.UsageError(message)
    return [Job(path, str(Path(output) / relative.with_suffix(new_suffix))) for path, relative in found]


def prepare(job: Job, *, overwrite: bool, skip_existing: bool) -> None:
    """Before the work: the output must be free. Of a killed run that is continued, no temporary file stays."""
    job.check_output(overwrite=overwrite)
    if skip_existing and job.output not in (None, STDIO):
        discard_leftovers(str(job.output))


def skipper(skip_existing: bool) -> Callable[[Job], bool]:
    """A function that is true for jobs whose output exists: under its final name a file is complete."""
    if not skip_existing:
        return lambda _: False
    return lambda job: job.output not in (None, STDIO) and Path(str(job.output)).is_file()


def check_stdout(jobs: Iterable[Job], *, as_json: bool) -> bool:
    """True when a file goes to standard output, which then must be free and no terminal. Raises UsageError."""
    if not any(job.output == STDIO for job in jobs):
        return False
    if as_json:
        message = "--json and the file cannot both go to standard output: give -o FILE."
        raise click.UsageError(message)
    if sys.stdout.isatty():
        message = "standard output is a terminal: give -o FILE, or send it to a file or pipe."
        raise click.UsageError(message)
    return True


def page_job(output: str | None, *, overwrite: bool) -> Job | None:
    """The job of a page made of all photos, None without a name for it. Raises Fatal where the name cannot be used."""
    if output is None:
        return None
    if output == STDIO:
        message = "the page needs a file of its own: --html page.html"
        raise click.UsageError(message)
    job = Job(output, output)
    try:
        job.check_output(overwrite=overwrite)
        _refuse_file_as_folder(Path(output).parent)
    except OSError as error:
        raise Fatal(error) from error
    return job


def _refuse_file_as_folder(folder: Path) -> None:
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))


def _expand(sources: Sequence[str], suffixes: Sequence[str], *, recursive: bool) -> list[tuple[str, Path]]:
    """Each file, and where it lies below the folder it was found in."""
    found: list[tuple[str, Path]] = []
    for source in sources:
        if not _is_folder(source):
            found.append((source, Path(Path(source).name)))
            continue
        if not recursive:
            message = f"{source} is a folder: -r takes the files in it."
            raise click.UsageError(message)
        inside = [(str(path), path.relative_to(source)) for path in _walk(Path(source), suffixes)]
        if not inside:
            message = f"{source} holds no file to work on ({' '.join(suffixes)})."
            raise click.UsageError(message)
        found += inside
    return found


def _walk(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """The files below a folder in a stable order; hidden ones are left alone, links to folders are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                yield Path(root) / name


def _is_folder(source: str) -> bool:
    return source != STDIO and Path(source).is_dir()


def _names_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir()
