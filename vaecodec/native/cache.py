"""Where compiled code is kept between processes: beside the package, or in the user's cache folder.

A file holds the SHA-256 of the rest, a line of JSON that says how the code is called, and the object file. A torn or
changed one counts as absent. Who may write beside the package could as well change the package itself; elsewhere, as in
a folder that several users share, code counts that only this user or root can have written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "NUMBA_CACHE_DIR"
"""The environment variable that names another folder: the one that numba heeds."""
SUFFIX = ".loop"
"""The ending of the files' names."""
_DIGEST = 32


@dataclass(frozen=True)
class Code:
    """Machine code of one function.

    symbol: its name in the object file. arguments: "int64", "uint64", "float32", or "uint8[2]" for an array of two
    dimensions. result: "int64", "uint64" or "none".
    """

    symbol: str
    arguments: tuple[str, ...]
    result: str
    objects: bytes

    def to_bytes(self) -> bytes:
        """The contents of its file."""
        head = {"symbol": self.symbol, "arguments": self.arguments, "result": self.result}
        body = json.dumps(head).encode() + b"\n" + self.objects
        return hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Code | None:
        """Read what `to_bytes` wrote; None for anything else."""
        digest, body = data[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            return None
        head, _, objects = body.partition(b"\n")
        facts = json.loads(head)
        return cls(facts["symbol"], tuple(facts["arguments"]), facts["result"], objects)


def folders() -> list[Path]:
    """Where code is looked for, and kept in the first that can be written."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return [Path(chosen) / "vaecodec"]
    own = _users_folder()
    return [_BESIDE] if own is None else [_BESIDE, own / "vaecodec"]


_BESIDE = Path(__file__).parent / "__pycache__"
_OTHERS_MAY_WRITE = 0o022


def _users_folder() -> Path | None:
    """The user's cache folder; None for a user without a home, as in some containers."""
    chosen = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    if chosen and sys.platform != "darwin":
        return Path(chosen)
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises where there is none)
    below = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return home / below if home.is_absolute() else None


def find(name: str) -> Path | None:
    """The file of this name, if there is one."""
    return next((path for folder in folders() if (path := folder / name).is_file()), None)


def has_any() -> bool:
    """Whether any code is kept: a process will then hardly compute its networks in NumPy."""
    return any(next(folder.glob(f"*{SUFFIX}"), None) for folder in folders())


def read(name: str) -> Code | None:
    """The code that is kept under this name, if it can be read and is whole."""
    path = find(name)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return Code.from_bytes(file.read()) if path.parent == _BESIDE or _is_trusted(file.fileno()) else None
    except OSError:  # another user's
        return None


def _is_trusted(descriptor: int) -> bool:
    """Whether an open file is this user's or root's, and no other may change it."""
    if os.name == "nt":
        return True
    state = os.fstat(descriptor)
    return state.st_uid in (0, os.geteuid()) and not state.st_mode & _OTHERS_MAY_WRITE


def keep(name: str, code: Code) -> None:
    """Keep code under a name, where any folder can be written; else every process compiles for itself."""
    for folder in folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / name, code.to_bytes())
            return


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: another process may read at any time."""
    import tempfile  # most processes only read

    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
