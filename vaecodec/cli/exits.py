"""Exit codes, one per kind of failure. The numbers are part of the interface: they are never reused."""

from __future__ import annotations

from enum import IntEnum

from vaecodec.errors import BackendError, CodingError, FormatError, InputError, WeightsError


class Exit(IntEnum):
    """What the process returns. Several files that failed in different ways give ``SEVERAL``."""

    OK = 0
    SEVERAL = 1
    USAGE = 2  # click's own
    BAD_FILE = 3
    BAD_IMAGE = 4
    FILE_SYSTEM = 5
    EXISTS = 6
    WEIGHTS = 7
    BACKEND = 8
    CODING = 9
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


MEANINGS: dict[Exit, str] = {
    Exit.OK: "everything worked",
    Exit.SEVERAL: "several files failed in different ways",
    Exit.USAGE: "wrong usage: nothing was done",
    Exit.BAD_FILE: "a .vaec file is damaged or of an unknown version",
    Exit.BAD_IMAGE: "an image cannot be read, cannot be made as asked, or misses its target",
    Exit.FILE_SYSTEM: "a file cannot be read or written",
    Exit.EXISTS: "an output exists already (see --overwrite)",
    Exit.WEIGHTS: "the weights of a model are missing or do not match (see --model)",
    Exit.BACKEND: "the device cannot be used or does not decode exactly, or memory ran out",
    Exit.CODING: "the networks cannot code an image, or a finished file did not pass --verify",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
    Exit.BROKEN_PIPE: "the reader of the output is gone",
    Exit.TERMINATED: "terminated (SIGTERM)",
}
"""Each code in words, for the help page and docs/cli.md."""

SHORT: dict[Exit, str] = {
    Exit.BAD_FILE: "damaged",
    Exit.BAD_IMAGE: "cannot be read or made as asked",
    Exit.FILE_SYSTEM: "cannot be read or written",
    Exit.EXISTS: "exist already",
    Exit.WEIGHTS: "for want of weights",
    Exit.BACKEND: "for want of device or memory",
    Exit.CODING: "not coded, or not as they should be",
}
"""What failed files are counted as."""


class NotWholeError(FileExistsError):
    """An output that --resume meets is not what this run would have made. strerror says why."""


# What may happen to one file without stopping the others. A RuntimeWarning is raised by `run` where a number is none.
EXPECTED = (FormatError, InputError, WeightsError, BackendError, CodingError, RuntimeWarning, OSError, MemoryError)

# The first match counts: FileExistsError is an OSError too.
_KINDS: tuple[tuple[type[BaseException], Exit], ...] = (
    (FormatError, Exit.BAD_FILE),
    (InputError, Exit.BAD_IMAGE),
    (WeightsError, Exit.WEIGHTS),
    (BackendError, Exit.BACKEND),
    (CodingError, Exit.CODING),
    (RuntimeWarning, Exit.CODING),
    (FileExistsError, Exit.EXISTS),
    (OSError, Exit.FILE_SYSTEM),
    (MemoryError, Exit.BACKEND),
)


def exit_of(error: BaseException) -> Exit:
    """The exit code for an error out of ``EXPECTED``."""
    return next((code for kind, code in _KINDS if isinstance(error, kind)), Exit.SEVERAL)


def message_of(error: BaseException) -> str:
    """The error as one line for a person."""
    if isinstance(error, NotWholeError):
        return f"{error.filename} {error.strerror}; --overwrite makes it anew"
    if isinstance(error, FileExistsError):
        return f"{error.filename} exists; --overwrite replaces it"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory"
    return " ".join(str(error).split()) or type(error).__name__


class Fatal(Exception):
    """An error that stops the whole run: it would be the same for every file."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(message_of(error))
        self.exit_code = exit_of(error)
