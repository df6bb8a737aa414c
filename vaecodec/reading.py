"""The bytes of a file out of whatever a caller holds of it: bytes, a path, or an open file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, cast

from vaecodec.errors import InputTypeError

Content = bytes | bytearray | memoryview
"""The bytes of a file."""
Data = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]
"""A .vaec file: its bytes (or anything with a buffer of bytes), its path, or a file open for reading in binary mode."""


def read_data(data: Data) -> Content:
    """All bytes of a file; an open one is read from where it stands. Raises InputTypeError and OSError."""
    if isinstance(data, bytes | bytearray):
        return data
    if isinstance(data, str | os.PathLike):
        return Path(data).read_bytes()
    read = getattr(data, "read", None)
    if callable(read):
        content = read()
        if isinstance(content, bytes | bytearray):
            return content
        message = f"data: the file gives {type(content).__name__}, not bytes; open it in binary mode ('rb')"
        raise InputTypeError(message)
    try:
        view = memoryview(cast(bytes, data))
    except TypeError as error:
        message = f"data: expected bytes, a path or an open file, got {type(data).__name__}"
        raise InputTypeError(message) from error
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()
