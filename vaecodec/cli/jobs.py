"""One file on its way through a command: where it comes from, where it goes, and how it is read and written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vaecodec import urls
from vaecodec.files import refuse_existing, write_atomic
from vaecodec.urls import State, is_url

STDIO = "-"


@dataclass(frozen=True)
class Job:
    """One file: ``source`` and ``output`` are paths, URLs or ``-``; ``output`` is None where nothing is written.

    source_state, output_state: of URLs, what their store said before the run; None for an output that was absent.
    error: of a source that could not even be listed.
    """

    source: str
    output: str | None = None
    source_state: State | None = None
    output_state: State | None = None
    error: OSError | None = None

    @property
    def name(self) -> str:
        """The source as messages name it."""
        return "<stdin>" if self.source == STDIO else self.source

    @property
    def output_path(self) -> Path | None:
        """The file that is written; None where nothing is, or to standard output or a URL."""
        if self.output is None or self.output == STDIO or is_url(self.output):
            return None
        return Path(self.output)

    @property
    def output_url(self) -> str | None:
        """The URL that is written to; None where it is none."""
        return self.output if self.output is not None and is_url(self.output) else None

    @property
    def output_suffix(self) -> str:
        """The extension of the output, with its dot; empty for standard output."""
        return "" if self.output in (None, STDIO) else PurePosixPath(str(self.output)).suffix

    @property
    def copy(self) -> Job | None:
        """The job that puts the source itself where the output would go; None where it is there already."""
        output = self.copy_output
        if output is None:
            return None
        return Job(self.source, output, self.source_state, urls.state(output) if is_url(output) else None)

    @property
    def copy_output(self) -> str | None:
        """Where `copy` puts the source. No store is asked for it."""
        name = self._name_of_copy()
        if self.output_url is not None:
            url = renamed_url(self.output_url, name)
            return None if url == self.source else url
        if self.output_path is None:
            return None
        path = self.output_path.with_name(name)
        is_there = path.exists() and self.source != STDIO and not is_url(self.source) and path.samefile(self.source)
        return None if is_there else str(path)

    def _name_of_copy(self) -> str:
        """photo.vaec and photo.jpg.vaec -> photo.jpg."""
        stem, source = Path(str(self.output)).stem, Path(self.source)
        return stem if stem == source.name else f"{stem}{source.suffix}"

    def check_output(self, *, overwrite: bool) -> None:
        """Before the work: raise ``FileExistsError`` when the output exists already."""
        if self.output_path is not None:
            refuse_existing(self.output_path, overwrite=overwrite)
        elif self.output_url is not None and self.output_state is not None and not overwrite:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.output_url)

    def check_source(self) -> None:
        """Before the work: raise what the listing of a folder raised."""
        if self.error is not None:
            raise self.error

    def output_exists(self) -> bool:
        """True where the output is a file that is there, or an object that was there before the run."""
        return self.output_state is not None or (self.output_path is not None and self.output_path.is_file())

    def read(self) -> bytes:
        """All bytes of the source. Raises OSError."""
        self.check_source()
        if is_url(self.source):
            return urls.read(self.source)
        if self.source == STDIO:
            if sys.stdin is None:
                raise OSError(errno.EBADF, "standard input is closed")
            return sys.stdin.buffer.read()
        return Path(self.source).read_bytes()

    def read_output(self) -> bytes:
        """All bytes of an output that exists. Raises OSError."""
        return Path(str(self.output)).read_bytes() if self.output_url is None else urls.read(self.output_url)

    def source_stat(self) -> list[os.stat_result]:
        """Rights and times of the source, where it is a file; empty for a pipe, a device or one that has vanished."""
        if is_url(self.source):
            return []
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a test's or a service's stdin has no fileno
            status = os.fstat(sys.stdin.fileno()) if self.source == STDIO else Path(self.source).stat()
            return [status] if stat.S_ISREG(status.st_mode) else []
        return []

    def source_time(self) -> int | None:
        """When the source was written, in ns; None where nothing says it."""
        if is_url(self.source):
            state = self.source_state or urls.state(self.source)
            return None if state is None else state.modified_ns
        return next((status.st_mtime_ns for status in self.source_stat()), None)

    def output_time(self) -> int | None:
        """When an output that exists was written, in ns; None where nothing says it."""
        if self.output_path is not None:
            return self.output_path.stat().st_mtime_ns
        return None if self.output_state is None else self.output_state.modified_ns

    def write(self, data: bytes, *, overwrite: bool, preserve: bool = False, shown: Sequence[Job] = ()) -> None:
        """Write the output, as private as the source, and as the sources of `shown`, of which something is in it.

        preserve: with mode and times of the source. Raises OSError.
        """
        if self.output == STDIO:
            if sys.stdout is None:
                raise OSError(errno.EBADF, "standard output is closed")
            stream = sys.stdout.buffer
            stream.write(data)
            stream.flush()
        elif self.output_url is not None:
            urls.write(self.output_url, data, overwrite=overwrite)
        elif self.output_path is not None:
            _make_folder(self.output_path.parent)
            like = [state for job in (self, *shown) for state in job.source_stat()]
            write_atomic(self.output_path, data, overwrite=overwrite, like=like, preserve=preserve)


def _make_folder(path: Path) -> None:
    """Raises OSError, and never FileExistsError: what is in the way is not the output, and not to be overwritten."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from error


def renamed_url(url: str, name: str) -> str:
    """A URL with another last part."""
    return urls.join(url.rpartition("/")[0], name)
