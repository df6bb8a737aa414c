"""URLs where paths go: objects appear whole or not at all, existing ones are kept, a run goes on from a listing."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from tests.stores import KEY, FaultyStore, credentials, put_photos, serving
from vaecodec import urls
from vaecodec.cli.jobs import Job
from vaecodec.cli.sources import Selection

pytest.importorskip("fsspec", reason="URLs need fsspec")
import fsspec

MODEL = ("--model", "fast-perceptual")


@pytest.fixture
def memory() -> Iterator[str]:
    """An empty folder in the memory of this process."""
    folder = f"memory://{uuid.uuid4().hex}"
    yield folder
    fs, path = fsspec.core.url_to_fs(folder)
    if fs.exists(path):
        fs.rm(path, recursive=True)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[FaultyStore, str]]:
    for library in ("s3fs", "moto", "flask_cors"):
        pytest.importorskip(library, reason="an S3 server on loopback needs s3fs, moto and flask-cors")
    store = FaultyStore()
    with serving(store) as endpoint:
        yield store, endpoint


@pytest.fixture
def s3(server: tuple[FaultyStore, str], monkeypatch: pytest.MonkeyPatch) -> FaultyStore:
    """A server without faults and with an empty bucket `photos`; the environment has its key."""
    import s3fs

    store, endpoint = server
    store.throttled = store.failed = store.lost = 0
    credentials(monkeypatch, endpoint, KEY)
    fs = s3fs.S3FileSystem()
    if fs.exists("photos"):
        fs.rm("photos", recursive=True)
    fs.mkdir("photos")
    store.counts.clear()
    return store


NAMES = ("a.png", "b/c.png", "b/d.png")


def test_a_tree_of_objects_is_mirrored_and_holds_the_bytes_of_the_local_command(
    command: Command, memory: str, photo: NDArray[np.uint8]
) -> None:
    put_photos(f"{memory}/in", photo, NAMES)
    for name in NAMES:
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).write_bytes(urls.read(f"{memory}/in/{name}"))
    assert command("compress", "-r", "in", "-o", "out", *MODEL).code == 0
    done = command("compress", "-r", f"{memory}/in", "-o", f"{memory}/out", "-j", "2", *MODEL)
    assert done.code == 0, done
    expected = [str(Path(name).with_suffix(".vaec")) for name in NAMES]
    assert list(urls.listing(f"{memory}/out")) == expected
    for name in expected:
        assert urls.read(f"{memory}/out/{name}") == Path("out", name).read_bytes()
    mixed = command("compress", "-r", f"{memory}/in", "-o", "down", *MODEL)
    assert mixed.code == 0
    assert Path("down", expected[1]).read_bytes() == Path("out", expected[1]).read_bytes()


def test_info_verify_and_decompress_read_objects(command: Command, memory: str, photo: NDArray[np.uint8]) -> None:
    put_photos(memory, photo, NAMES)
    assert command("compress", f"{memory}/a.png", *MODEL).code == 0
    assert json.loads(command("info", "--json", f"{memory}/a.vaec").out)["files"][0]["width"] == 90
    done = command("verify", "-r", memory)
    assert (done.code, done.out) == (0, f"{memory}/a.vaec: ok\n")
    assert command("decompress", f"{memory}/a.vaec", "-o", f"{memory}/new.webp").code == 0
    assert Image.open(io.BytesIO(urls.read(f"{memory}/new.webp"))).format == "WEBP"
    assert command("decompress", f"{memory}/a.vaec", "-o", "new.png").code == 0
    with Image.open("new.png") as image:
        assert image.size == (90, 20)
    Path("list.txt").write_text(f"{memory}/a.vaec\n")
    assert command("info", "--files-from", "list.txt").code == 0
    assert command("info", f"{memory}/*.vaec").code == 0


def test_objects_that_exist_are_kept(command: Command, memory: str, photo: NDArray[np.uint8]) -> None:
    put_photos(f"{memory}/in", photo, NAMES)
    urls.write(f"{memory}/out/a.vaec", b"mine", overwrite=False)
    done = command("compress", "-r", f"{memory}/in", "-o", f"{memory}/out", *MODEL)
    assert (done.code, urls.read(f"{memory}/out/a.vaec")) == (6, b"mine")
    assert f"{memory}/out/a.vaec exists; --overwrite replaces it" in done.err
    assert len(urls.listing(f"{memory}/out")) == 3
    assert command("compress", f"{memory}/in/a.png", "-o", f"{memory}/out/a.vaec", *MODEL).code == 6
    assert command("compress", f"{memory}/in/a.png", "-o", f"{memory}/out/a.vaec", "--overwrite", *MODEL).code == 0
    assert vaecodec.inspect(urls.read(f"{memory}/out/a.vaec")).width == 90


def test_an_object_that_appears_meanwhile_is_kept(memory: str) -> None:
    job = Job("a.png", f"{memory}/a.vaec")
    job.check_output(overwrite=False)
    urls.write(f"{memory}/a.vaec", b"theirs", overwrite=False)
    with pytest.raises(FileExistsError):
        job.write(b"ours", overwrite=False)
    job.write(b"theirs", overwrite=False)  # the very bytes: as good as written


def test_resume_asks_for_a_listing_and_not_for_each_object(
    command: Command, s3: FaultyStore, photo: NDArray[np.uint8]
) -> None:
    names = tuple(f"{number:02}.png" for number in range(12))
    put_photos("s3://photos/in", photo, names)
    assert command("compress", "-r", "s3://photos/in", "-o", "s3://photos/out", "-j", "4", *MODEL).code == 0
    s3.counts.clear()
    done = command("compress", "-r", "s3://photos/in", "-o", "s3://photos/out", "--resume", *MODEL)
    assert (done.code, done.out) == (0, "12 files skipped: made before\n")
    assert s3.counts["PUT"] == 0
    assert s3.counts["all"] < 6
    urls.write("s3://photos/out/03.vaec", b"", overwrite=True)
    assert command("compress", "-r", "s3://photos/in", "-o", "s3://photos/out", "--resume", *MODEL).code == 6
    again = command("compress", "-r", "s3://photos/in", "-o", "s3://photos/out", "--resume", "--overwrite", *MODEL)
    assert "11 files skipped" in again.out
    assert command("verify", "-r", "s3://photos/out").code == 0
    urls.write("s3://photos/out/03.vaec", b"damaged", overwrite=True)
    assert command("compress", "-r", "s3://photos/in", "-o", "s3://photos/out", "--resume=verify", *MODEL).code == 6


def test_throttled_failing_and_lost_requests_lose_nothing(
    command: Command, s3: FaultyStore, photo: NDArray[np.uint8]
) -> None:
    names = tuple(f"{number:02}.png" for number in range(10))
    put_photos("s3://photos/in", photo, names)
    s3.throttled, s3.failed, s3.lost = 3, 5, 4
    done = command("compress", "-r", "s3://photos/in", "-o", "s3://photos/out", "-j", "3", "--report", "r.csv", *MODEL)
    assert done.code == 0, done
    assert min(s3.counts[kind] for kind in ("throttled", "failed", "lost")) > 0
    s3.throttled = s3.failed = s3.lost = 0
    assert list(urls.listing("s3://photos/out")) == [f"{number:02}.vaec" for number in range(10)]
    assert command("verify", "-r", "s3://photos/out").code == 0
    rows = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert sorted(row["output"] for row in rows) == [f"s3://photos/out/{number:02}.vaec" for number in range(10)]
    assert {row["status"] for row in rows} == {"made"}


@pytest.mark.parametrize(("key", "complaint"), [("wrong", "access denied"), (None, "NoCredentialsError")])
def test_wrong_credentials_are_one_line(
    command: Command,
    s3: FaultyStore,
    server: tuple[FaultyStore, str],
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
    complaint: str,
) -> None:
    credentials(monkeypatch, server[1], key)
    done = command("compress", "-r", "s3://photos/in", "-o", "out")
    assert (done.code, done.out, len(done.err.splitlines())) == (5, "", 1)
    assert done.err.startswith("vaecodec: s3://photos/in: ")
    assert complaint in done.err
    assert not Path("out").exists()


def test_libraries_that_are_absent_are_named_with_the_command_that_brings_them(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    done = command("info", "gs://bucket/a.vaec")
    assert (done.code, done.err) == (5, "vaecodec: gs://bucket/a.vaec: gs:// needs gcsfs: pip install gcsfs\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install 'vaecodec[cloud]'" in command("info", "s3://bucket/a.vaec").err


def test_names_in_listings_do_not_lead_out_of_a_folder(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {name: urls.State(1) for name in ("../x.png", "a/../../x.png", "/x.png", ".x.png", "a/.b/x.png", "a.png")}
    monkeypatch.setattr(urls, "listing", lambda _: states)
    selection = Selection((memory,), recursive=True)
    assert [source.relative.as_posix() for source in selection.find([".png"])] == ["a.png"]
    assert selection.left_alone_line == "5 other files left alone: 5 hidden"


def test_what_urls_cannot_do_is_said_before_anything_is_done(command: Command, memory: str) -> None:
    for arguments in (
        ("compress", f"{memory}/a.png", "--preserve"),
        ("compress", f"{memory}/a.png", "-o", f"{memory}/a.png"),
        ("compress", f"{memory}/a.png", "--delete-original"),
        ("compress", f"{memory}/a.png", "-o", "a.vaec", "--report", f"{memory}/r.csv"),
        ("compress", f"{memory}/folder/"),
    ):
        assert command(*arguments).code == 2, arguments
    assert command("info", f"{memory}/absent.vaec").code == 5
    assert command("info", "file:///tmp/a.vaec").code == 5
    assert command("info", "unheard-of://a.vaec").code == 5
    assert command("info", "-r", f"{memory}/absent").code == 5


def test_a_store_that_is_a_file_system_gets_its_objects_by_renaming(tmp_path: Path) -> None:
    from fsspec.implementations.local import LocalFileSystem

    class Shelf(LocalFileSystem):  # type: ignore[misc]
        protocol = "shelf"
        broken = False

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(path).removeprefix("shelf://")

        def mv(self, path1: str, path2: str, **_: object) -> None:
            if self.broken:
                raise OSError(5, "the shelf is broken")
            super().mv(path1, path2)

    fsspec.register_implementation("shelf", Shelf, clobber=True)
    url = f"shelf://{tmp_path}/deep/a.vaec"
    urls.write(url, b"1", overwrite=False)
    with pytest.raises(FileExistsError):
        urls.write(url, b"2", overwrite=False)
    urls.write(url, b"3", overwrite=True)
    Shelf.broken = True
    with pytest.raises(OSError, match="the shelf is broken"):
        urls.write(url, b"4", overwrite=True)
    assert urls.read(url) == b"3"
    assert os.listdir(tmp_path / "deep") == ["a.vaec"]


def test_times_of_stores() -> None:
    """One without a zone is in UTC, whatever the zone of this machine; a text that is no time says nothing."""
    expected = 1_767_225_600 * 10**9
    utc = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    for time in (utc, utc.replace(tzinfo=None), "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", 1_767_225_600.0):
        assert urls._nanoseconds(time) == expected
    assert urls._nanoseconds("Thu, 01 Jan 2026") is None
