"""Which files a command takes: folders, lists, patterns; and what it leaves alone."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tests.conftest import Command
from vaecodec.cli.exits import Exit
from vaecodec.cli.sources import Selection


@pytest.fixture
def tree(command: Command, photo: NDArray[np.uint8]) -> Path:
    """A folder with photographs and other files."""
    for name in ("a.png", "b.jpg", "deep/c.png", "deep/old/d.jpg"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo[:20, :20]).save(path)
    Path("photos/notes.txt").write_text("text")
    Path("photos/README").write_text("text")
    Path("photos/.hidden.png").write_bytes(b"")
    return Path("photos")


def _planned(command: Command, *arguments: str, data: bytes | None = None) -> list[str]:
    done = command("compress", "--dry-run", "--json", *arguments, data=data)
    assert done.code == 0, done
    return [record["source"] for record in json.loads(done.out)["files"]]


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_folders_give_regular_files_only(command: Command, tree: Path, jobs: str) -> None:
    """A pipe would be waited for, for ever."""
    os.mkfifo("photos/fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("photos/socket.jpg")
        done = command("compress", "-r", "photos", "-o", "out", "-j", jobs)
    assert done.code == 0
    assert len(list(Path("out").rglob("*.vaec"))) == 4
    assert "note: 5 other files left alone: 1 .txt, 1 hidden, 2 special, 1 without extension" in done.err


@pytest.fixture
def _locked(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    """photos/deep/old may not be listed, as with the rights 000 by anybody but root."""
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith(("old", "closed")):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)


@pytest.mark.usefixtures("_locked")
@pytest.mark.parametrize("options", [[], ["-j", "3"], ["--resume"], ["--dry-run"]], ids=str)
def test_a_folder_that_cannot_be_listed_is_a_failure(command: Command, options: list[str]) -> None:
    """Its photographs would be missing in a copy that looks complete."""
    done = command("compress", "-r", "photos", "-o", "out", *options)
    assert done.code == Exit.FILE_SYSTEM
    assert "vaecodec: photos/deep/old: Permission denied\n" in done.err
    assert "1 of 4 files failed" in done.err
    assert len(list(Path("out").rglob("*.vaec"))) == (0 if "--dry-run" in options else 3)
    done = command("compress", "-r", "photos", "-o", "out", "--overwrite", "--exclude", "deep/old", *options)
    assert (done.code, "Permission" in done.err) == (0, False)


@pytest.mark.usefixtures("_locked")
def test_a_named_folder_that_cannot_be_listed_stops_the_run(command: Command) -> None:
    Path("closed").mkdir()
    done = command("compress", "-r", "photos", "closed", "-o", "out")
    assert (done.code, done.err) == (Exit.FILE_SYSTEM, "vaecodec: closed: Permission denied\n")
    assert not Path("out").exists()


def test_a_dry_run_names_what_may_not_be_read(command: Command, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, _: "a.png" not in str(path))
    done = command("compress", "-r", "photos", "-o", "out", "--dry-run")
    assert (done.code, "photos/a.png: Permission denied" in done.err) == (Exit.FILE_SYSTEM, True)


def test_include_and_exclude(command: Command, tree: Path) -> None:
    assert _planned(command, "-r", "photos", "--include", "*.png") == ["photos/a.png", "photos/deep/c.png"]
    assert _planned(command, "-r", "photos", "--exclude", "deep/*") == ["photos/a.png", "photos/b.jpg"]
    assert _planned(command, "-r", "photos", "--include", "README") == ["photos/README"]
    assert _planned(command, "photos/a.png", "photos/b.jpg", "--exclude", "*.jpg") == ["photos/a.png"]
    assert command("compress", "-r", "photos", "--include", "*.tif").code == 2
    assert command("compress", "photos/a.png", "--exclude", "*").code == 2


def test_lists_of_names(command: Command, tree: Path) -> None:
    Path("photos/a\nb.png").write_bytes((tree / "a.png").read_bytes())
    Path("lines.txt").write_text("photos/a.png\n\nphotos/b.jpg\n")
    Path("nul.txt").write_bytes(b"photos/a\nb.png\0photos/b.jpg\0")
    assert _planned(command, "--files-from", "lines.txt") == ["photos/a.png", "photos/b.jpg"]
    assert _planned(command, "--files-from", "nul.txt", "-0") == ["photos/a\nb.png", "photos/b.jpg"]
    assert _planned(command, "--files-from", "-", data=b"photos/a.png\n") == ["photos/a.png"]
    # A file that is named twice is taken once.
    assert _planned(command, "photos/b.jpg", "--files-from", "lines.txt") == ["photos/b.jpg", "photos/a.png"]
    Path("empty.txt").touch()
    for arguments, code in (
        (["--files-from", "empty.txt"], 2),
        (["--files-from", "absent.txt"], 5),
        (["-", "--files-from", "-"], 2),
        (["photos/a.png", "-0"], 2),
        ([], 2),
        ([""], 2),
    ):
        assert command("compress", *arguments).code == code, arguments


def test_patterns_are_expanded_where_the_shell_does_not(command: Command, tree: Path) -> None:
    assert _planned(command, "photos/*.png") == ["photos/a.png"]
    Path("photos/[a].png").write_bytes((tree / "a.png").read_bytes())
    assert _planned(command, "photos/[a].png") == ["photos/[a].png"]  # a file of that name comes first
    done = command("compress", "photos/*.tif")
    assert (done.code, done.err) == (5, "vaecodec: photos/*.tif: No such file or directory\n")


def test_links_to_files_are_followed_and_broken_ones_named(command: Command, tree: Path) -> None:
    (tree / "link.png").symlink_to("a.png")
    (tree / "nowhere.png").symlink_to("absent.png")
    (tree / "loop").symlink_to(".", target_is_directory=True)
    done = command("compress", "-r", "photos", "-o", "out")
    assert done.code == 5
    assert "photos/nowhere.png: No such file" in done.err
    assert len(list(Path("out").rglob("*.vaec"))) == 5


def test_suffixes_of_plugins_are_taken_where_they_are_installed(
    command: Command, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "pillow_jxl" or None)
    (tree / "e.jxl").write_bytes(b"")
    (tree / "f.heic").write_bytes(b"")
    assert "photos/e.jxl" in _planned(command, "-r", "photos")
    assert "photos/f.heic" not in _planned(command, "-r", "photos")


def test_a_format_of_an_absent_plugin_says_which(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Image.Image:
        raise UnidentifiedImageError

    monkeypatch.setattr("vaecodec.cli.image_files.importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("vaecodec.cli.image_files.Image.open", fail)  # another test may have loaded the plugin
    Path("a.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    Path("b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    done = command("compress", "a.jxl", "b.heic", "-o", "out/")
    assert done.code == 4
    assert "pip install pillow-jxl-plugin teaches it" in done.err
    assert "pip install pillow-heif teaches it" in done.err


def test_what_is_left_alone_is_counted() -> None:
    selection = Selection(("a",))
    assert selection.left_alone_line is None
    selection.left_alone.update({".txt": 2, "hidden": 1})
    assert selection.left_alone_line == "3 other files left alone: 2 .txt, 1 hidden"
