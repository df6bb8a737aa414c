"""Whole files in, whole files out: a file under its final name is always complete.

Bytes go to a new file in the same folder first, are flushed to the disk, and only then get the final name.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
from collections.abc import Sequence
from pathlib import Path

_TOKEN_BYTES = 4
_MOST_NAME_BYTES = 255
"""Of one name, on the file systems of Linux, macOS and Windows."""
# What os.link says on file systems that have no hard links (FAT, many network shares, Android).
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}


def write_atomic(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    overwrite: bool = False,
    like: Sequence[os.stat_result] = (),
    preserve: bool = False,
) -> None:
    """Write ``data`` to ``path``, all of it or nothing.

    like: of the files that the data come from; group and others get no right to the new file that they have not to all
    of these, also where it replaces one that was open to them. preserve: mode and times of the first of ``like``, too.

    Raises ``FileExistsError`` when ``path`` exists and ``overwrite`` is false, also when it appeared while the data
    was being written. A symbolic link is followed, an overwritten file keeps its permissions, and what is no regular
    file (a device, a named pipe) is written to directly. Raises ``OSError`` when the folder cannot be written.
    """
    target = Path(path)
    if is_special(target):
        _write_special(target, data)
        return
    refuse_existing(target, overwrite=overwrite)
    if overwrite:
        target = _resolved(target)  # replacing a link would leave its target with the old content
    temporary = target.with_name(f"{_temporary_start(target)}{os.urandom(_TOKEN_BYTES).hex()}.tmp")
    try:
        _write_new(temporary, data, _mode_of(target) if overwrite else None, like, preserve=preserve)
        if overwrite:
            temporary.replace(target)
        else:
            _rename_to_new(temporary, target)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None  # the temporary name means nothing to a user
        raise
    finally:
        with contextlib.suppress(OSError):  # what cannot be written may not be looked at either
            temporary.unlink(missing_ok=True)


def _resolved(path: Path) -> Path:
    """Where links lead. Raises OSError for those that lead in a circle."""
    try:
        return path.resolve()
    except RuntimeError as error:  # until Python 3.12
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error


def sync_folder(path: Path) -> None:
    """Have the names in a folder reach the disk, as far as the system can: a file just made there stays."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed processes left of writing ``path``. Not while another process is writing it."""
    target = Path(path)
    for leftover in target.parent.glob(f"{glob.escape(_temporary_start(target))}{'[0-9a-f]' * 2 * _TOKEN_BYTES}.tmp"):
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


def _write_special(target: Path, data: bytes) -> None:
    try:
        target.write_bytes(data)
    except OSError as error:
        error.filename = str(target)  # writing names none, only opening does
        raise


def _temporary_start(target: Path) -> str:
    """Where the names of temporary files for ``target`` begin: hidden, with all of its name that leaves room."""
    room = _MOST_NAME_BYTES - 2 * _TOKEN_BYTES - len("..") - len(".tmp")
    return f".{os.fsdecode(os.fsencode(target.name)[:room])}."


def _mode_of(target: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(target.stat().st_mode)
    return None


def _write_new(path: Path, data: bytes, mode: int | None, like: Sequence[os.stat_result], *, preserve: bool) -> None:
    """mode: of the file that will be replaced. Nobody can open the new one who may not read it in the end."""
    descriptor = _create(path, 0o666)  # less the umask: the rights of any new file. mkstemp would make it private.
    if os.name != "nt":
        new = os.fstat(descriptor)
        if mode is None:
            mode = stat.S_IMODE((like[0] if preserve and like else new).st_mode) & 0o777
        mode = _limited(mode, like, new.st_gid)
        if new.st_mode & 0o077 & ~mode:  # somebody could open it already: begin again, it is empty
            os.close(descriptor)
            path.unlink()
            descriptor = _create(path, mode & 0o777)
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            with contextlib.suppress(PermissionError):  # a file system without rights, such as FAT
                path.chmod(mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if preserve and like:
        os.utime(path, ns=(like[0].st_atime_ns, like[0].st_mtime_ns))


def _create(path: Path, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)


def _limited(mode: int, like: Sequence[os.stat_result], group: int) -> int:
    """``mode`` without what group and others may not do with all of ``like``. group: the one of the new file."""
    for source in like:
        allowed = source.st_mode & 0o077
        if source.st_gid != group:  # another group's rights say nothing: its members count as others
            allowed &= 0o007 | (allowed & 0o007) << 3
        mode &= 0o7700 | allowed
    return mode


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
