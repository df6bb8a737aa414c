"""Exit codes, one per kind of failure. The numbers are part of the interface: they are never reused."""

from __future__ import annotations

from enum import IntEnum

from vaecodec.errors import BackendError, FormatError, InputError, WeightsError


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
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


# What may happen to one file without stopping the others.
EXPECTED = (FormatError, InputError, WeightsError, BackendError, OSError, MemoryError)

# The first match counts: FileExistsError is an OSError too.
_KINDS: tuple[tuple[type[BaseException], Exit], ...] = (
    (FormatError, Exit.BAD_FILE),
    (InputError, Exit.BAD_IMAGE),
    (WeightsError, Exit.WEIGHTS),
    (BackendError, Exit.BACKEND),
    (FileExistsError, Exit.EXISTS),
    (OSError, Exit.FILE_SYSTEM),
    (MemoryError, Exit.BACKEND),
)


def exit_of(error: BaseException) -> Exit:
    """The exit code for an error out of ``EXPECTED``."""
    return next((code for kind, code in _KINDS if isinstance(error, kind)), Exit.SEVERAL)


def message_of(error: BaseException) -> str:
    """One line for a person."""
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
