"""The table of `compress --report`: a row of CSV for each file, written when the file is finished."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from vaecodec.cli.exits import Fatal, NotWholeError
from vaecodec.cli.jobs import Job
from vaecodec.cli.paths import Placement, extra_job
from vaecodec.cli.results import Outcome
from vaecodec.files import is_special

COLUMNS = (
    "source", "output", "status", "source_bytes", "bytes", "width", "height", "bpp", "quality", "seconds", "error",
)  # fmt: skip


class Table:
    """An open CSV file (RFC 4180, UTF-8): a header line, then a line for each file, on the disk as soon as it is known.

    What a name holds that is no UTF-8 is escaped (\\\\udcNN). A table that exists is an error without `overwrite`; with
    `resume` rows are added to it, and files it has already are not added a second time as skipped.
    """

    def __init__(self, path: str | None, jobs: Sequence[Job], placement: Placement) -> None:
        """Open the table before the work starts; None: no table. Raises UsageError and Fatal."""
        self._file: IO[bytes] | None = None
        self._earlier: set[str] = set()
        appends = placement.resume != "no" and not placement.overwrite and path is not None and Path(path).is_file()
        job = extra_job(path, "--report", jobs, overwrite=placement.overwrite or appends)
        if job is None or job.output_path is None:
            return
        try:
            if appends:
                self._continue(job.output_path)
            else:
                self._begin(job.output_path, overwrite=placement.overwrite)
        except OSError as error:
            raise Fatal(error) from error

    def _begin(self, path: Path, *, overwrite: bool) -> None:
        """Write the header. A file that was made for it and cannot hold it goes again. Raises OSError and Fatal."""
        is_new = not overwrite and not is_special(path)
        self._file = path.open("xb" if is_new else "wb")
        try:
            self._write(COLUMNS)
        except Fatal:
            self.close()
            if is_new:
                path.unlink()
            raise

    def _continue(self, path: Path) -> None:
        """Go on behind the last whole row. Raises OSError for a file that is no such table."""
        self._file = path.open("r+b")
        content = self._file.read()
        if not content.startswith(",".join(COLUMNS).encode() + b"\r\n"):
            self._file.close()
            raise NotWholeError(17, "is not a table of an earlier run", str(path))
        end = content.rindex(b"\r\n") + 2
        self._file.seek(end)
        self._file.truncate()
        rows = csv.DictReader(io.StringIO(content[:end].decode("utf-8", "replace"), newline=""))
        self._earlier = {row["source"] for row in rows if row["status"] in ("made", "kept", "skipped")}

    def add(self, outcome: Outcome) -> None:
        """Write the row of one file. Raises Fatal where it cannot be written."""
        if self._file is None or (outcome.skipped and _escaped(outcome.job.name) in self._earlier):
            return
        row: dict[str, object] = {"source": outcome.job.name, "output": outcome.job.output, **(outcome.record or {})}
        kept = outcome.record is not None and "kept" in outcome.record
        row["status"] = "skipped" if outcome.skipped else "failed" if outcome.failure else "kept" if kept else "made"
        row["error"] = "" if outcome.failure is None else outcome.failure[1]
        self._write([row.get(name, "") for name in COLUMNS])

    def close(self) -> None:
        """Close the file; what was added is in it already."""
        if self._file is not None:
            self._file.close()

    def _write(self, values: Sequence[object]) -> None:
        """Write a row. Raises Fatal, which names the table."""
        if self._file is None:
            return
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerow([_escaped(str(value)) for value in values])
        try:
            self._file.write(text.getvalue().encode())
            self._file.flush()
        except OSError as error:
            error.filename = self._file.name
            with contextlib.suppress(OSError):  # closing writes again what could not be written
                self._file.close()
            self._file = None
            raise Fatal(error) from error


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
