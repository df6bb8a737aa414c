"""Objects behind URLs (s3://, gs://, abfs://, memory://, ...), by fsspec: whole objects in, whole objects out.

fsspec is the extra [cloud]; the library of a store (s3fs, gcsfs, adlfs, ...), its credentials and how often it asks
again are the user's: by fsspec's own configuration (~/.config/fsspec, FSSPEC_S3_...) and that of the library. What goes
wrong is an OSError with the URL in it.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

ONE_PUT = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "hf", "memory"))
"""Stores in which an object appears when its last byte is there. In others it is written under another name first."""

_TIME_KEYS = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
"""Where fsspec's file systems say when an object was written."""

_STORE_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("aiohttp", "ClientError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("gcsfs.retry", "HttpError"),
    ("azure.core.exceptions", "AzureError"),
    ("paramiko", "SSHException"),
)
"""What the libraries of stores raise beside OSError."""


@dataclass(frozen=True)
class State:
    """What a store says of an object: its size in bytes, and when it was written, in ns since 1970, if it says that."""

    size: int
    modified_ns: int | None = None


def is_url(name: str) -> bool:
    """True for a URL; a drive of Windows is none."""
    return _SCHEME.match(name) is not None


def join(folder: str, relative: str) -> str:
    """The URL of what lies below a folder."""
    return f"{folder.rstrip('/')}/{relative}"


def read(url: str, length: int | None = None) -> bytes:
    """All bytes of an object, or its first `length`."""
    with _named(url):
        fs, path = _store(url)
        data: bytes = fs.cat_file(path) if length is None else fs.cat_file(path, start=0, end=length)
    return data


def state(url: str) -> State | None:
    """What the store says of an object; None where there is none of that name."""
    info = _info(url)
    return None if info is None or info["type"] == "directory" else _state(info)


def is_folder(url: str) -> bool:
    """True where objects lie below this name."""
    info = _info(url)
    return info is not None and info["type"] == "directory"


def listing(url: str) -> dict[str, State]:
    """The objects below a folder, by their names below it, in order: one listing, however many there are."""
    with _named(url):
        fs, path = _store(url)
        fs.invalidate_cache()  # what an earlier listing of this process saw is not what is there now
        start = path.rstrip("/") + "/"
        infos = fs.find(path, detail=True)
    objects = {name[len(start) :]: _state(info) for name, info in infos.items() if name.startswith(start)}
    return {name: objects[name] for name in sorted(objects) if name and not name.endswith("/")}


def matching(pattern: str) -> list[str]:
    """The URLs that a pattern (* ? [...]) stands for, in order."""
    with _named(pattern):
        fs, path = _store(pattern)
        start = pattern[: pattern.index("://") + 3]
        return sorted(start + name.lstrip("/") for name in fs.glob(path))


def write(url: str, data: bytes, *, overwrite: bool) -> None:
    """Write an object, all of it or nothing.

    Raises FileExistsError where there is one already and `overwrite` is false, unless it holds these very bytes: the
    answer to a first request may have been lost and the request repeated, or a worker have died after its last byte.
    """
    with _named(url):
        fs, path = _store(url)
        try:
            if _scheme(url) in ONE_PUT:
                fs.pipe_file(path, data, mode="overwrite" if overwrite else "create")
            else:
                _write_and_rename(fs, path, data, overwrite=overwrite)
        except FileExistsError:
            if fs.cat_file(path) != data:
                raise


def _write_and_rename(fs: Any, path: str, data: bytes, *, overwrite: bool) -> None:
    if not overwrite and fs.exists(path):
        raise FileExistsError
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.{os.urandom(4).hex()}.tmp"
    try:
        fs.makedirs(folder, exist_ok=True)
        fs.pipe_file(temporary, data)
        fs.mv(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            if fs.exists(temporary):
                fs.rm(temporary)


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _store(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and its name there."""
    if _scheme(url) == "file":
        raise OSError(errno.EINVAL, "files are named by their path, without file://")
    if importlib.util.find_spec("fsspec") is None:
        raise OSError(errno.ENOSYS, "URLs need fsspec: pip install 'vaecodec[cloud]'")
    import fsspec
    from fsspec.registry import known_implementations

    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        library = known_implementations[_scheme(url)]["class"].partition(".")[0]
        raise OSError(errno.ENOSYS, f"{_scheme(url)}:// needs {library}: pip install {library}") from error
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from error
    return fs, path


def _info(url: str) -> dict[str, Any] | None:
    with _named(url):
        fs, path = _store(url)
        fs.invalidate_cache()
        try:
            info: dict[str, Any] = fs.info(path)
        except FileNotFoundError:
            return None
    return info


def _state(info: dict[str, Any]) -> State:
    return State(int(info["size"] or 0), next((_nanoseconds(info[key]) for key in _TIME_KEYS if info.get(key)), None))


def _nanoseconds(time: object) -> int | None:
    """A time of a store; one without a zone is in UTC. None for a text that is no time of ISO 8601."""
    if isinstance(time, str):
        try:
            time = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(time, datetime.datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)).timestamp()
    return round(float(time) * 1e9)  # type: ignore[arg-type]


@contextlib.contextmanager
def _named(url: str) -> Iterator[None]:
    """Errors of a store name the URL, as those of files name the path."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url) from error
    except PermissionError as error:
        reason = f"access denied: {_reason(error)} (credentials are those of the store's own library)"
        raise PermissionError(errno.EACCES, reason, url) from error
    except OSError as error:
        raise OSError(error.errno or errno.EIO, _reason(error), url) from error
    except _store_errors() as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {_reason(error)}", url) from error


def _reason(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return " ".join(str(strerror or error).split()) or type(error).__name__


def _store_errors() -> tuple[type[BaseException], ...]:
    """The error classes of those libraries that are loaded."""
    loaded = [(sys.modules[module], name) for module, name in _STORE_ERRORS if module in sys.modules]
    return (NotImplementedError, *(getattr(module, name) for module, name in loaded))
