"""What --resume keeps: outputs that are whole, and made from the source as it is now."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from vaecodec import container
from vaecodec.cli.exits import NotWholeError
from vaecodec.cli.jobs import Job
from vaecodec.cli.paths import Placement
from vaecodec.errors import FormatError, InputError, VaecodecError

Check = Callable[[Job, Path], None]
"""Raises VaecodecError where a file is not what the job would have made."""


def made_before(placement: Placement, check: Check) -> Callable[[Job], bool]:
    """A function that is true for jobs whose output was made by an earlier run. It raises NotWholeError for others'."""

    def skips(job: Job) -> bool:
        output = job.output_path
        if placement.resume == "no" or output is None or not output.is_file():
            return False
        try:
            _check_age(job, output)
            check(job, output)
        except VaecodecError as error:
            if placement.overwrite:
                return False
            raise NotWholeError(errno.EEXIST, f"is not what this run makes: {error}", str(output)) from error
        return True

    return skips


def _check_age(job: Job, output: Path) -> None:
    for source in job.source_stat():
        if output.stat().st_mtime_ns < source.st_mtime_ns:
            message = f"it is older than {job.source}"
            raise InputError(message)


def check_header(path: Path) -> container.Header:
    """The header of a .vaec file, which must be right and have the file's size. Raises FormatError."""
    with path.open("rb") as file:
        prefix = file.read(container.MAX_HEADER_BYTES)
    return container.parse_header(prefix, path.stat().st_size).header


def check_vaec(*, thoroughly: bool, model: Path | None = None, may_differ_in_size: bool = False) -> Check:
    """How an output of `compress` is looked at. thoroughly: all of it is decoded, and its size is the photo's."""

    def check(job: Job, output: Path) -> None:
        header = check_header(output)
        if not thoroughly:
            return
        import vaecodec
        from vaecodec.cli.image_files import size_of

        vaecodec.verify(output.read_bytes(), model=model)
        size = size_of(job.source)
        if not may_differ_in_size and size != (header.width, header.height):
            message = f"it has {header.width} x {header.height} pixels, {job.source} has {size[0]} x {size[1]}"
            raise FormatError(message)

    return check


def check_picture(*, thoroughly: bool, may_differ_in_size: bool) -> Check:
    """How an output of `decompress` is looked at. thoroughly: its pixels are read, too."""

    def check(job: Job, output: Path) -> None:
        from vaecodec.cli.image_files import open_photo, size_of

        header = check_header(Path(job.source))
        size = open_photo(output.read_bytes()).size if thoroughly else size_of(str(output))
        if not may_differ_in_size and size not in ((header.width, header.height), (header.height, header.width)):
            message = f"it has {size[0]} x {size[1]} pixels, {job.source} has {header.width} x {header.height}"
            raise InputError(message)

    return check
