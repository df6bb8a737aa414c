"""Sizes in bytes as people read and write them."""

from __future__ import annotations

import re

from vaecodec.errors import InputError

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?(?:ytes?)?\s*", re.IGNORECASE)
MOST_BYTES = 2**63
"""Of a file, in every system's counting."""
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_size(text: str) -> int:
    """A size in bytes out of "20KB", "1.5 MB", "64KiB" or "2000"; a kB is 1000 bytes, a KiB 1024. Raises InputError
    for what is no size, and for one that no file has."""
    match = _SIZE.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a size; write it as 20KB, 1.5MB, 64KiB or 2000"
        raise InputError(message)
    size = float(match[1]) * _FACTORS[(match[2] or "").lower()]
    if size > MOST_BYTES:
        message = f"{text!r} is more bytes than a file can have"
        raise InputError(message)
    return int(size)


def format_size(n_bytes: int) -> str:
    """The size in three digits: ``84213`` -> ``84.2 kB``; a kB is 1000 bytes."""
    value = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{n_bytes} bytes" if unit == "bytes" else f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def format_change(before: int, after: int) -> str:
    """How much smaller or larger a file became, in percent of what it was."""
    if before == 0:
        return "from nothing"
    percent = 100 * (1 - after / before)
    return f"{percent:.1f} % smaller" if percent >= 0 else f"{-percent:.1f} % larger"
