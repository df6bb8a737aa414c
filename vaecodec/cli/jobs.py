"""One file on its way through a command: where it comes from, where it goes, and how it is read and written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from vaecodec.files import refuse_existing, write_atomic

STDIO = "-"


@dataclass(frozen=True)
class Job:
    """One file: ``source`` and ``output`` are paths or ``-``; ``output`` is None where nothing is written."""

    source: str
    output: str | None = None

    @property
    def name(self) -> str:
        """The source as messages name it."""
        return "<stdin>" if self.source == STDIO else self.source

    @property
    def output_path(self) -> Path | None:
        """The file that is written; None where nothing is, or to standard output."""
        return None if self.output in (None, STDIO) else Path(str(self.output))

    def beside_output(self, suffix: str) -> Job | None:
        """The job that writes a file of another suffix where the output would go; None where that is the source."""
        if self.output_path is None:
            return None
        path = self.output_path.with_suffix(suffix)
        return (
            None
            if path.exists() and self.source != STDIO and path.samefile(self.source)
            else Job(self.source, str(path))
        )

    def check_output(self, *, overwrite: bool) -> None:
        """Before the work: raise ``FileExistsError`` when the output exists already."""
        if self.output_path is not None:
            refuse_existing(self.output_path, overwrite=overwrite)

    def read(self) -> bytes:
        """All bytes of the source. Raises OSError."""
        if self.source == STDIO:
            if sys.stdin is None:
                raise OSError(errno.EBADF, "standard input is closed")
            return sys.stdin.buffer.read()
        return Path(self.source).read_bytes()

    def source_stat(self) -> list[os.stat_result]:
        """Rights and times of the source, where it is a file; empty for a pipe, a device or one that has vanished."""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a test's or a service's stdin has no fileno
            status = os.fstat(sys.stdin.fileno()) if self.source == STDIO else Path(self.source).stat()
            return [status] if stat.S_ISREG(status.st_mode) else []
        return []

    def write(self, data: bytes, *, overwrite: bool, preserve: bool = False) -> None:
        """Write the output, as private as the source. preserve: with its mode and times. Raises OSError."""
        if self.output == STDIO:
            if sys.stdout is None:
                raise OSError(errno.EBADF, "standard output is closed")
            stream = sys.stdout.buffer
            stream.write(data)
            stream.flush()
        elif self.output_path is not None:
            self.output_path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.output_path, data, overwrite=overwrite, like=self.source_stat(), preserve=preserve)
