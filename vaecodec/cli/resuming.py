"""What --resume keeps: outputs that are whole, and made from the source as it is now."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import vaecodec
from vaecodec import container
from vaecodec.cli.exits import NotWholeError
from vaecodec.cli.jobs import STDIO, Job
from vaecodec.cli.paths import Placement
from vaecodec.errors import FormatError, InputError, VaecodecError
from vaecodec.urls import is_url

Check = Callable[[Job], None]
"""Raises VaecodecError where the output of a job is not what it would have made."""


def made_before(placement: Placement, check: Check, *, copies: bool = False) -> Callable[[Job], bool]:
    """A function that is true for jobs whose output was made by an earlier run. It raises NotWholeError for others'.

    copies: in place of the output there may be a copy of the source, equal to it.
    """

    def skips(job: Job) -> bool:
        if placement.resume == "no" or job.output in (None, STDIO):
            return False
        if not job.output_exists():
            return copies and _is_copied(job)
        try:
            _check_age(job)
            check(job)
        except VaecodecError as error:
            if placement.overwrite:
                return False
            raise NotWholeError(errno.EEXIST, f"is not what this run makes: {error}", str(job.output)) from error
        return True

    return skips


def _is_copied(job: Job) -> bool:
    copied = job.copy if job.source != STDIO else None
    return copied is not None and copied.output_exists() and copied.read_output() == job.read()


def _check_age(job: Job) -> None:
    source, output = job.source_time(), job.output_time()
    unit = 1 if job.output_path is not None and not is_url(job.source) else 10**9  # stores keep whole seconds
    if source is not None and output is not None and output // unit < source // unit:
        message = f"it is older than {job.source}"
        raise InputError(message)


def _header_of_file(path: Path) -> container.Header:
    """The header of a .vaec file, which must be right and have the file's size. Raises FormatError."""
    with path.open("rb") as file:
        prefix = file.read(container.MAX_HEADER_BYTES)
    return container.parse_header(prefix, path.stat().st_size).header


def _check_listed(job: Job) -> bool:
    """True where the output is an object. It is whole, or it would not be listed: none but an empty one is asked for.

    Raises FormatError for one that is empty.
    """
    if job.output_state is not None and job.output_state.size == 0:
        message = "it is empty"
        raise FormatError(message)
    return job.output_state is not None


def check_vaec(*, thoroughly: bool, model: Path | None = None, may_differ_in_size: bool = False) -> Check:
    """How an output of `compress` is looked at. thoroughly: all of it is decoded, and its size is the photo's."""

    def check(job: Job) -> None:
        if not _check_listed(job) and job.output_path is not None:
            _header_of_file(job.output_path)
        if not thoroughly:
            return
        from vaecodec.cli.image_files import size_of

        info = vaecodec.verify(job.read_output(), model=model)
        size = size_of(job.source)
        if not may_differ_in_size and size != (info.width, info.height):
            message = f"it has {info.width} x {info.height} pixels, {job.source} has {size[0]} x {size[1]}"
            raise FormatError(message)

    return check


def check_picture(*, thoroughly: bool, may_differ_in_size: bool) -> Check:
    """How an output of `decompress` is looked at. thoroughly: its pixels are read, too."""

    def check(job: Job) -> None:
        from vaecodec.cli.image_files import open_photo, size_of

        if _check_listed(job) and not thoroughly:
            return
        header = vaecodec.inspect(job.read()) if is_url(job.source) else _header_of_file(Path(job.source))
        size = open_photo(job.read_output()).size if thoroughly else size_of(str(job.output))
        if not may_differ_in_size and size not in ((header.width, header.height), (header.height, header.width)):
            message = f"it has {size[0]} x {size[1]} pixels, {job.source} has {header.width} x {header.height}"
            raise InputError(message)

    return check
