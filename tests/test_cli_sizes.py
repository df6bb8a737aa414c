"""Sizes as people write and read them."""

from __future__ import annotations

import pytest

from vaecodec.cli.sizes import format_change, format_size, parse_size
from vaecodec.errors import InputError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20KB", 20_000),
        ("20 kb", 20_000),
        ("1.5MB", 1_500_000),
        ("64KiB", 65_536),
        ("2000", 2000),
        ("7B", 7),
        ("2G", 2 * 10**9),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KB", "-3", "20 apples", "1e3", "2TB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="write it as 20KB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(7, "7 bytes"), (84_213, "84.2 kB"), (1_500_000, "1.5 MB"), (2 * 10**12, "2000 GB")]
)
def test_sizes_as_people_read_them(n_bytes: int, text: str) -> None:
    assert format_size(n_bytes) == text


def test_changes_as_people_read_them() -> None:
    assert format_change(200, 50) == "75.0 % smaller"
    assert format_change(50, 200) == "300.0 % larger"
    assert format_change(0, 5) == "from nothing"


def test_a_size_that_no_file_has_is_refused() -> None:
    for text in ("9" * 400, "9" * 30, "99999999999GiB"):
        with pytest.raises(InputError, match="more bytes than a file can have"):
            parse_size(text)
