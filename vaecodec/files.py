"""Whole files in, whole files out: a file under its final name is always complete.

Bytes go to a new file in the same folder first, are flushed to the disk, and only then get the final name.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
from pathlib import Path

_TOKEN_BYTES = 4
# What os.link says on file systems that have no hard links (FAT, many network shares, Android).
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}


def write_atomic(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False) -> None:
    """Write ``data`` to ``path``, all of it or nothing.

    Raises ``FileExistsError`` when ``path`` exists and ``overwrite`` is false, also when it appeared while the data
    was being written. A symbolic link is followed, an overwritten file keeps its permissions, and what is no regular
    file (a device, a named pipe) is written to directly. Raises ``OSError`` when the folder cannot be written.
    """
    target = Path(path)
    if is_special(target):
        target.write_bytes(data)
        return
    refuse_existing(target, overwrite=overwrite)
    if overwrite:
        target = target.resolve()  # replacing a link would leave its target with the old content
    temporary = target.with_name(f".{target.name}.{os.urandom(_TOKEN_BYTES).hex()}.tmp")
    try:
        _write_new(temporary, data)
        if overwrite:
            _replace(temporary, target)
        else:
            _rename_to_new(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def discard_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes left of writing ``path``. Not while another process is writing it."""
    target = Path(path)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 2 * _TOKEN_BYTES}.tmp"):
        leftover.unlink(missing_ok=True)


def refuse_existing(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Before any work is done: ``FileExistsError`` for a path that is taken, ``IsADirectoryError`` for a folder."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not overwrite and os.path.lexists(target) and not is_special(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def is_special(path: Path) -> bool:
    """True for a device, pipe or socket, such as /dev/null: replacing it by a file would break it for everyone."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def _write_new(path: Path, data: bytes) -> None:
    # 0o666 less the umask: the rights of any newly made file. mkstemp would make it private.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace(temporary: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    temporary.replace(target)


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Give the file its final name unless that is taken: ``os.link`` decides it in one step."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno not in _NO_LINKS:
            raise
        # Reserve the name, then fill it.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary.replace(target)
