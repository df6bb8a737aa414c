"""`compress --report`: the table is opened first, never takes another file's place, and is on the disk at any time."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import Command
from vaecodec.cli.exits import Exit, Fatal
from vaecodec.cli.table import Table


@pytest.fixture
def folder(command: Command, photo: NDArray[np.uint8]) -> Path:
    """Three photographs of a few pixels."""
    Path("photos").mkdir()
    for name in "abc":
        Image.fromarray(photo).save(f"photos/{name}.png")
    return Path("photos")


def _rows(path: str = "table.csv") -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_never_takes_the_place_of_another_file(command: Command, folder: Path) -> None:
    photo = (folder / "a.png").read_bytes()
    Path("notes.txt").write_text("mine")
    for name, options, code in (
        ("photos/a.png", [], Exit.USAGE),
        ("photos/a.png", ["--overwrite"], Exit.USAGE),
        ("photos/a.png", ["--resume"], Exit.USAGE),
        ("out/b.vaec", ["--overwrite"], Exit.USAGE),
        ("notes.txt", [], Exit.EXISTS),
        ("notes.txt", ["--resume"], Exit.EXISTS),
        ("-", [], Exit.USAGE),
        ("", [], Exit.USAGE),
        ("no/folder/table.csv", [], Exit.FILE_SYSTEM),
        ("notes.txt/table.csv", [], Exit.FILE_SYSTEM),
    ):
        done = command("compress", "-r", "photos", "-o", "out", "--report", name, *options)
        assert done.code == code, (name, options, done)
        assert not Path("out").exists()  # refused before the work
    assert (folder / "a.png").read_bytes() == photo
    assert Path("notes.txt").read_text() == "mine"


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line_that_names_the_table(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["compress", "-r", "photos", "-o", "out", "--report"]
    done = command(*arguments, str(FULL))
    assert (done.code, done.err) == (Exit.FILE_SYSTEM, "vaecodec: /dev/full: No space left on device\n")
    assert not Path("out").exists()
    begin = Table._begin

    def fill(table: Table, path: Path, *, overwrite: bool) -> None:
        """From the first row on there is no room."""
        begin(table, path, overwrite=overwrite)
        table.close()
        table._file = FULL.open("wb")

    monkeypatch.setattr(Table, "_begin", fill)
    done = command(*arguments, "table.csv")
    assert (done.code, done.err) == (Exit.FILE_SYSTEM, "vaecodec: /dev/full: No space left on device\n")
    assert [path.name for path in Path("out").iterdir()] == ["a.vaec"]


def test_a_table_without_room_for_its_header_is_not_left(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(table: Table, _: object) -> None:
        raise Fatal(OSError(28, "No space left on device", "table.csv"))

    monkeypatch.setattr(Table, "_write", refuse)
    done = command("compress", "-r", "photos", "-o", "out", "--report", "table.csv")
    assert (done.code, done.err) == (Exit.FILE_SYSTEM, "vaecodec: table.csv: No space left on device\n")
    assert not Path("table.csv").exists()


def test_overwrite_replaces_a_table(command: Command, folder: Path) -> None:
    Path("table.csv").write_text("old")
    assert command("compress", "-r", "photos", "-o", "out", "--report", "table.csv").code == Exit.EXISTS
    assert command("compress", "-r", "photos", "-o", "out", "--report", "table.csv", "--overwrite").code == 0
    assert [row["status"] for row in _rows()] == ["made"] * 3


def test_resuming_adds_rows_and_keeps_the_earlier_ones(command: Command, folder: Path) -> None:
    assert command("compress", "photos/a.png", "-o", "out/", "--report", "table.csv").code == 0
    first = _rows()
    with Path("table.csv").open("ab") as file:
        file.write(b"photos/b.p")  # a killed process
    (folder / "b.png").write_bytes(b"no image")
    done = command("compress", "-r", "photos", "-o", "out", "--resume", "--report", "table.csv")
    assert done.code == Exit.BAD_IMAGE
    rows = _rows()
    assert rows[:1] == first
    assert [(row["source"], row["status"]) for row in rows] == [
        ("photos/a.png", "made"),
        ("photos/b.png", "failed"),
        ("photos/c.png", "made"),
    ]
    assert rows[0]["bytes"] == str(Path("out/a.vaec").stat().st_size)


def test_a_name_that_is_no_utf8_does_not_lose_the_table(command: Command, folder: Path) -> None:
    if os.name == "nt":
        pytest.skip("names are text there")
    odd = os.fsdecode(b"photos/\xff\xfe.png")
    Path(odd).write_bytes((folder / "a.png").read_bytes())
    done = command("compress", "-r", "photos", "-o", "out", "--report", "table.csv")
    assert done.code == 0
    assert "\\udcff\\udcfe.png" in done.out
    assert [row["source"] for row in _rows()][-1] == "photos/\\udcff\\udcfe.png"
    assert command("compress", "-r", "photos", "-o", "out", "--resume", "--report", "table.csv").code == 0
    assert len(_rows()) == 4


def test_a_table_without_a_whole_header_is_no_table(command: Command, folder: Path) -> None:
    command("compress", "-r", "photos", "-o", "out", "--report", "table.csv")
    header = Path("table.csv").read_bytes().split(b"\r\n")[0]
    Path("table.csv").write_bytes(header)
    done = command("compress", "-r", "photos", "-o", "out", "--report", "table.csv", "--resume")
    assert (done.code, "is not a table of an earlier run" in done.err) == (6, True)
    assert Path("table.csv").read_bytes() == header
