"""files.py: a file is complete under its name or not there at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from unittest import mock

import pytest

from vaecodec.files import write_atomic


def test_writes_the_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.vaec", b"content")
    assert (tmp_path / "a.vaec").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["a.vaec"]


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "a.vaec"
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    write_atomic(target, b"new", overwrite=True)
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.vaec"]


def _appear_during_fsync(target: Path) -> mock._patch[mock.MagicMock]:
    return mock.patch("vaecodec.files.os.fsync", side_effect=lambda _: target.write_bytes(b"other"))


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, links: bool) -> None:
    target = tmp_path / "a.vaec"
    refusal = None if links else OSError(errno.EPERM, "no links here")
    with (
        _appear_during_fsync(target),
        mock.patch("vaecodec.files.os.link", side_effect=refusal, wraps=os.link if links else None),
        pytest.raises(FileExistsError),
    ):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"other"
    assert os.listdir(tmp_path) == ["a.vaec"]


def test_file_systems_without_hard_links(tmp_path: Path) -> None:
    with mock.patch("vaecodec.files.os.link", side_effect=OSError(errno.ENOTSUP, "no links here")):
        write_atomic(tmp_path / "a.vaec", b"content")
    assert (tmp_path / "a.vaec").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["a.vaec"]


def test_other_link_errors_are_not_hidden(tmp_path: Path) -> None:
    failure = OSError(errno.EIO, "disk on fire")
    with mock.patch("vaecodec.files.os.link", side_effect=failure), pytest.raises(OSError, match="fire"):
        write_atomic(tmp_path / "a.vaec", b"content")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "disk full")])
def test_an_interruption_leaves_no_trace(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.vaec"
    target.write_bytes(b"old")
    with mock.patch("vaecodec.files.os.fsync", side_effect=error), pytest.raises(type(error)):
        write_atomic(target, b"new", overwrite=True)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.vaec"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_those_of_any_file(tmp_path: Path) -> None:
    plain, target = tmp_path / "plain", tmp_path / "a.vaec"
    plain.write_bytes(b"")
    write_atomic(target, b"1")
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    target.chmod(0o600)
    write_atomic(target, b"2", overwrite=True)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_a_link_is_followed_and_a_dangling_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    real = tmp_path / "folder" / "real.vaec"
    link = tmp_path / "link.vaec"
    link.symlink_to(real)
    with pytest.raises(FileExistsError):
        write_atomic(link, b"1")
    write_atomic(link, b"2", overwrite=True)
    assert link.is_symlink()
    assert real.read_bytes() == b"2"


@pytest.mark.skipif(os.name == "nt", reason="POSIX devices")
def test_devices_are_written_to_not_replaced() -> None:
    write_atomic("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # noqa: PTH116


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_device_that_takes_nothing_is_named() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic("/dev/full", b"much")
    assert caught.value.filename == "/dev/full"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path, b"1", overwrite=True)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "no" / "a.vaec", b"1")


def test_links_in_a_circle_are_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="levels of symbolic links"):
        write_atomic(tmp_path / "a", b"new", overwrite=True)
