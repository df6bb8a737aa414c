"""Search and duplicates: descriptors, the index, and its commands."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.conftest import Command, with_other_words
from vaecodec.cli import indexing
from vaecodec.cli.index import _is_gone
from vaecodec.cli.jobs import Job
from vaecodec.codec import Codec
from vaecodec.errors import BackendError, FormatError, InputError
from vaecodec.latents import extra, index
from vaecodec.latents.descriptors import (
    DIMENSIONS,
    WINDOWS,
    describe,
    describe_queries,
    similarities,
    thumbnail,
    unpacked,
)
from vaecodec.latents.images import describe_file, describe_files, describe_image
from vaecodec.latents.index import Entry, Hit, ImageIndex

Photo = NDArray[np.uint8]


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Smooth blobs of colour, unlike those of another seed."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def entry(seed: int, path: str = "") -> Entry:
    return describe_image(scene(seed), path or f"/photos/{seed}.png", 1000, 5)


def likeness(asked: Image.Image, stored: Image.Image) -> float:
    query, kept = (thumbnail(np.asarray(image.convert("RGB")))[None] for image in (asked, stored))
    return float(similarities(describe_queries(query), describe(kept))[0, 0])


# Descriptors


def test_descriptors_have_unit_length() -> None:
    descriptors = describe(np.stack([entry(1).thumbnail, entry(2).thumbnail]))
    assert descriptors.windows.shape == (2, WINDOWS, DIMENSIONS)
    assert np.linalg.norm(descriptors.windows, axis=2) == pytest.approx(np.ones((2, WINDOWS)), abs=1e-4)
    assert np.linalg.norm(descriptors.signs, axis=1) == pytest.approx(np.ones(2), abs=1e-4)


def test_an_index_keeps_descriptors_to_a_hundredth() -> None:
    stored = describe(np.stack([entry(seed).thumbnail for seed in range(9)]))
    query = describe_queries(np.stack([entry(3).thumbnail, entry(20).thumbnail]))
    kept = unpacked(stored.packed())
    assert np.array_equal(kept.signs, stored.signs)
    assert similarities(query, kept) == pytest.approx(similarities(query, stored), abs=0.01)


def test_several_queries_are_compared_as_each_by_itself() -> None:
    stored = describe(np.stack([entry(seed).thumbnail for seed in range(9)]))
    asked = np.stack([entry(seed).thumbnail for seed in (4, 12, 0)])
    alone = [similarities(describe_queries(each[None]), stored)[0] for each in asked]
    assert similarities(describe_queries(asked), stored) == pytest.approx(np.stack(alone), abs=1e-5)


def test_a_logo_over_a_quarter_hides_no_image() -> None:
    copies = [_with_logo(scene(seed), seed) for seed in range(12)]
    for seed, copy in enumerate(copies):
        assert likeness(copy, scene(seed)) > max(likeness(copy, scene(other)) for other in range(12) if other != seed)


def _with_logo(image: Image.Image, seed: int) -> Image.Image:
    copy, (left, top) = image.copy(), np.random.default_rng(seed).uniform(0, 0.5, 2)
    box = tuple(
        round(side * at) for side, at in zip((160, 120, 160, 120), (left, top, left + 0.5, top + 0.5), strict=True)
    )
    ImageDraw.Draw(copy).ellipse(box, "white", "black")
    ImageDraw.Draw(copy).rectangle((10, 50, 150, 65), "black")
    return copy


def test_drawings_do_not_agree_by_what_is_plain() -> None:
    first, second = (Image.new("RGB", (160, 120), "white") for _ in range(2))
    ImageDraw.Draw(first).ellipse((20, 20, 60, 50), "black")
    ImageDraw.Draw(second).line((100, 20, 150, 110), "black", 5)
    assert likeness(first, second) < 0.7
    assert likeness(first, first) > 0.99


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("crop", lambda image: image.crop((30, 10, 140, 95))),
        ("mirror", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        ("half", lambda image: image.resize((80, 60))),
        ("dark", lambda image: image.point(lambda value: value * 0.6)),
        ("frame", lambda image: _framed(image)),
    ],
)
def test_an_edited_copy_is_likest_to_its_image(name: str, edit: Callable[[Image.Image], Image.Image]) -> None:
    copy = edit(scene(0))
    assert likeness(copy, scene(0)) > max(likeness(copy, scene(seed)) for seed in range(1, 20)) + 0.1


def _framed(image: Image.Image) -> Image.Image:
    framed = Image.new("RGB", (200, 150), "green")
    framed.paste(image, (20, 15))
    return framed


def test_a_plain_image_has_descriptors_that_are_numbers() -> None:
    descriptors = describe(np.full((1, 32, 32, 3), 200, np.uint8))
    assert np.isfinite(descriptors.windows).all()
    assert not descriptors.signs.any()
    assert likeness(Image.new("RGB", (64, 64), "white"), scene(1)) < 0.5


def test_a_file_is_described_as_its_image(photo: Photo) -> None:
    codec = Codec("base", device="cpu")
    data = codec.encode(photo, 80, mode="neural")
    of_file = describe_file(data, lambda: codec, "/a", 1)
    of_image = describe_image(Image.fromarray(photo), "/a", 1, 1)
    assert (of_file.width, of_file.height) == (90, 61)
    asked, stored = describe_queries(of_image.thumbnail[None]), describe(of_file.thumbnail[None])
    assert similarities(asked, stored)[0, 0] > 0.95


def test_small_files_are_described_together_as_each_by_itself(photo: Photo) -> None:
    codec = Codec("fast-perceptual", device="cpu")
    images = [photo, photo[::-1], photo[:30, :40], np.asarray(scene(1, (128, 64))), photo[:, ::-1]]
    files = [codec.encode(image, 60 + 10 * (number == 4), mode="neural") for number, image in enumerate(images)]
    files += [codec.encode(photo, lossless=True), files[0][:-3]]
    paths = [f"/{number}" for number in range(len(files))]
    *together, bad = describe_files(files, codec, paths, range(len(files)))
    assert isinstance(bad, FormatError)
    for number, entry in enumerate(together):
        alone = describe_file(files[number], lambda: codec, paths[number], number)
        assert isinstance(entry, Entry)
        assert np.array_equal(entry.thumbnail, alone.thumbnail)
        assert (entry.path, entry.size, entry.time, entry.width, entry.height, entry.picture) == (
            alone.path, alone.size, alone.time, alone.width, alone.height, alone.picture,
        )  # fmt: skip


def test_previews_of_a_batch_are_those_of_each(photo: Photo) -> None:
    codec = Codec("fast-perceptual", device="cpu")
    files = [codec.encode(np.roll(photo, shift, 1), 60, mode="neural") for shift in range(5)]
    together = codec.decode_batch(files, reduction=8, as_array=True)
    assert all(
        np.array_equal(a, codec.decode(b, reduction=8, as_array=True)) for a, b in zip(together, files, strict=True)
    )
    halves = codec.decode_batch(files[:2], reduction=2, as_array=True)
    assert np.array_equal(halves[1], codec.decode(files[1], reduction=2, as_array=True))


def test_bad_words_among_small_files_are_said_alone(photo: Photo) -> None:
    """Their checksums are right, so that only the entropy decoder can tell."""
    codec = Codec("fast-perceptual", device="cpu")
    good = [codec.encode(np.roll(photo, shift, 1), 60, mode="neural") for shift in range(3)]
    files = [good[0], with_other_words(good[1], 12), good[1], with_other_words(good[2], -1), good[2]]
    outcomes = codec.decode_batch(files, reduction=8, as_array=True, on_error="collect")
    for number, (data, outcome) in enumerate(zip(files, outcomes, strict=True)):
        if number in (1, 3):
            with pytest.raises(FormatError) as alone:
                codec.decode(data, reduction=8)
            assert isinstance(outcome, FormatError)
            assert str(outcome) == str(alone.value)
        else:
            assert np.array_equal(outcome, codec.decode(data, reduction=8, as_array=True))  # type: ignore[arg-type]


def test_a_lossless_file_is_described_too(codec: Codec, photo: Photo) -> None:
    data = codec.encode(photo, lossless=True)
    assert describe_file(data, lambda: codec, "/a", 1).size == len(data)


def test_a_turned_photo_is_described_upright() -> None:
    image = scene(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    turned = Image.new("RGB", image.size)
    turned.paste(image)
    turned.getexif()[0x0112] = 6
    assert describe_image(turned, "/a", 1, 1).width == image.height


# The index


def test_an_index_finds_what_was_added(tmp_path: Path) -> None:
    with ImageIndex(tmp_path / "i", create=True) as opened:
        opened.add([entry(seed) for seed in range(20)])
    with ImageIndex(tmp_path / "i") as opened:
        hits = opened.search(entry(7).thumbnail, 3)
        assert len(opened) == 20
        assert [hits[0].entry.path, len(hits)] == ["/photos/7.png", 3]
        assert hits[0].similarity == pytest.approx(1, abs=1e-3)
        assert hits[0].similarity >= hits[1].similarity >= hits[2].similarity
        assert len(opened.search(entry(7).thumbnail, 3, least=0.99)) == 1


def test_an_image_that_changed_replaces_its_old_self(tmp_path: Path) -> None:
    with ImageIndex(tmp_path / "i", create=True) as opened:
        opened.add([entry(1, "/a")])
        assert opened.has("/a", 1000, 5)
        assert not opened.has("/a", 1000, 6)
        opened.add([entry(2, "/a")])
        assert opened.paths() == ["/a"]
        assert opened.search(entry(2).thumbnail)[0].similarity > 0.99
        opened.remove(["/a"])
        assert opened.search(entry(2).thumbnail) == []


def test_a_name_that_is_no_utf8_comes_back(tmp_path: Path) -> None:
    path = os.fsdecode(b"/photos/\xff.jpg")
    with ImageIndex(tmp_path / "i", create=True) as opened:
        opened.add([entry(1, path)])
        assert opened.paths() == [path]


def test_copies_are_grouped(tmp_path: Path) -> None:
    crop = describe_image(scene(4).crop((20, 15, 140, 110)), "/crop.png", 1, 1)
    mirrored = describe_image(scene(9).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "/mirrored.png", 1, 1)
    with ImageIndex(tmp_path / "i", create=True) as opened:
        opened.add([*(entry(seed) for seed in range(12)), crop, mirrored])
        groups = [[hit.entry.path for hit in group] for group in opened.duplicates(0.8)]
    assert groups == [["/photos/4.png", "/crop.png"], ["/photos/9.png", "/mirrored.png"]]


def test_many_images_are_compared_chunk_by_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ImageIndex(tmp_path / "i", create=True) as opened:
        opened.add([entry(seed) for seed in range(20)])
        crop = thumbnail(np.asarray(scene(11).crop((20, 15, 140, 110))))
        whole, groups = opened.search(crop, 5), opened.duplicates(0.6)
        for name, size in (("CHUNK", 3), ("QUERIES", 4), ("KEPT", 0)):
            monkeypatch.setattr(index, name, size)
        assert whole[0].entry.path == "/photos/11.png"
        assert [_told(hit) for hit in opened.search(crop, 5)] == [_told(hit) for hit in whole]
        assert [[_told(hit) for hit in group] for group in opened.duplicates(0.6)] == [
            [_told(hit) for hit in group] for group in groups
        ]


def _told(hit: Hit) -> tuple[str, float]:
    return hit.entry.path, round(hit.similarity, 4)


def test_an_index_that_was_taken_from_holds_no_descriptors_of_it(tmp_path: Path) -> None:
    with ImageIndex(tmp_path / "i", create=True) as opened:
        opened.add([entry(seed) for seed in range(3)])
        opened.add([entry(5, "/photos/1.png")])
        opened.remove(["/photos/0.png", "/absent"])
        opened.add([])
    with sqlite3.connect(tmp_path / "i") as connection:
        ids = connection.execute("SELECT id FROM image ORDER BY id").fetchall()
        kept = connection.execute("SELECT id FROM descriptor").fetchall()
    assert ids == kept
    assert len(ids) == 2


def test_another_file_is_no_index_and_stays_as_it_is(tmp_path: Path) -> None:
    for name, content in {"text": b"a text that is no index", "empty.db": b""}.items():
        path = tmp_path / name
        if content:
            path.write_bytes(content)
        else:
            with sqlite3.connect(path) as connection:
                connection.execute("CREATE TABLE other (x)")
        before = path.read_bytes()
        with pytest.raises(InputError, match="no index of images"):
            ImageIndex(path, create=True)
        assert path.read_bytes() == before


def test_a_missing_index_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        ImageIndex(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_a_missing_library_is_named_with_its_extra() -> None:
    with pytest.raises(BackendError, match=r"pip install 'vaecodec\[latents\]'"):
        extra.library("a_library_that_is_not_there")


# The commands


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight photos, a crop of one, a .vaec file, and two damaged files."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(8):
        scene(seed).save(folder / f"{seed}.png")
    scene(3).crop((20, 15, 140, 110)).save(folder / "crop of 3.png")
    (folder / "lossless.vaec").write_bytes(Codec().encode(np.asarray(scene(20)), lossless=True))
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "broken.vaec").write_bytes(b"\x8fVAC")
    return folder


def test_damaged_files_are_reported_and_left_out(command: Command, photos: Path) -> None:
    done = command("index", "photos", "-o", "p.index")
    assert done.code == 1
    assert "broken.jpg: not an image" in done.err
    assert "broken.vaec" in done.err
    assert "10 images, 10 of them new, 0 known before" in done.out
    again = command("index", "photos", "-o", "p.index", "--json")
    assert len(json.loads(again.out)["skipped"]) == 10
    assert json.loads(again.out)["files"] == []


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_small_files_are_indexed_under_their_own_names(command: Command, tmp_path: Path, jobs: str) -> None:
    (tmp_path / "small").mkdir()
    for seed in range(9):
        data = Codec().encode(np.asarray(scene(seed, (64, 48))), lossless=seed % 3 == 0, mode="auto")
        (tmp_path / "small" / f"{seed}.vaec").write_bytes(data[:-1] if seed == 4 else data)
    (tmp_path / "small" / "photo.vaec").write_bytes(b"\x89PNG no file of ours")
    done = command("index", "small", "-o", "s.index", "--jobs", jobs)
    assert done.code == 1
    assert all(f"vaecodec: small/{name}.vaec: " in done.err for name in ("4", "photo"))
    assert "2 of 10 files failed" in done.err
    with ImageIndex(tmp_path / "s.index") as opened:
        assert sorted(opened.paths()) == [str(tmp_path / "small" / f"{seed}.vaec") for seed in range(9) if seed != 4]
        for seed in (0, 5, 8):
            hit = opened.search(thumbnail(np.asarray(scene(seed, (64, 48)))), 1)[0]
            assert hit.entry.path.endswith(f"{seed}.vaec")
    assert "0 of them new, 8 known before" in command("index", "small", "-o", "s.index", "--jobs", jobs).out


def test_search_writes_text_json_and_a_page(command: Command, photos: Path) -> None:
    command("index", "photos", "-o", "p.index", "--exclude", "broken*")
    done = command("search", str(photos / "crop of 3.png"), "p.index", "--html", "hits.html")
    assert done.code == 0
    assert done.out.splitlines()[1].endswith(f"{photos / 'crop of 3.png'}  120 x 95")
    assert done.out.splitlines()[2].endswith(f"{photos / '3.png'}  160 x 120")
    page = Path("hits.html").read_text(encoding="utf-8")
    assert page.count("<li>") == len([line for line in done.out.splitlines() if "photos/" in line]) - 1
    assert "http" not in page.replace("http-equiv", "")
    [file] = json.loads(command("search", str(photos / "3.png"), "p.index", "-n", "1", "--json").out)["files"]
    assert file["hits"][0]["path"] == str(photos / "3.png")
    assert command("search", str(photos / "3.png"), "p.index", "--html", "hits.html").code == 6


def test_duplicates_names_the_groups(command: Command, photos: Path) -> None:
    command("index", "photos", "-o", "p.index", "--exclude", "broken*")
    done = command("duplicates", "p.index", "--least", "0.8", "--html", "copies.html")
    assert done.out.splitlines()[0] == "10 images, 1 of them copies in 1 groups"
    assert "crop of 3.png" in Path("copies.html").read_text(encoding="utf-8")


def test_prune_takes_out_what_is_gone(command: Command, photos: Path) -> None:
    command("index", "photos", "-o", "p.index", "--exclude", "broken*")
    (photos / "5.png").unlink()
    assert "10 images" in command("index", "photos", "-o", "p.index", "--exclude", "broken*").out
    assert "9 images" in command("index", "photos", "-o", "p.index", "--exclude", "broken*", "--prune").out


def test_prune_keeps_what_may_not_be_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without rights, or a share that is not answering, is no reason to forget its images."""
    (tmp_path / "file").touch()
    assert [_is_gone(str(tmp_path / name)) for name in ("file", "absent", "file/below")] == [False, True, True]

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("vaecodec.cli.index.os.stat", refuse)
    assert not _is_gone(str(tmp_path / "absent"))


def test_no_index_and_no_query_are_said(command: Command, photos: Path) -> None:
    assert command("search", "p.index").code == 2
    assert command("search", str(photos / "1.png"), "absent.index").code == 5
    assert "no index" in command("duplicates", str(photos / "1.png")).err
    assert command("index", "photos", "-o", str(photos / "1.png")).code == 4
    assert (photos / "1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("batch", "seconds", "committed"), [(256, 60.0, 0), (256, 0.0, 3), (2, 60.0, 2)])
def test_images_are_committed_by_number_and_by_time(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, batch: int, seconds: float, committed: int
) -> None:
    monkeypatch.setattr(indexing, "BATCH", batch)
    monkeypatch.setattr(indexing, "BATCH_S", seconds)
    jobs = [Job(str(photos / f"{seed}.png")) for seed in range(3)]
    with ImageIndex(tmp_path / "i", create=True) as opened:
        work = indexing.Indexing(opened, Codec, jobs)
        for job in jobs:
            work.work(job)
        assert len(opened) == committed
        work.commit()
        assert len(opened) == 3


@pytest.mark.slow
def test_an_index_that_is_killed_five_times_is_completed_with_nothing_twice(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(60):
        scene(seed, (800, 600)).save(folder / f"{seed:03}.jpg")
    program = "from vaecodec.cli import indexing, main; indexing.BATCH = 2; main()"
    call = [sys.executable, "-c", program, "index", str(folder), "-o", str(tmp_path / "p.index")]
    counts = [0]
    for _ in range(5):
        process = subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and _count(tmp_path / "p.index") < counts[-1] + 4:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        counts.append(_count(tmp_path / "p.index"))
    assert counts == sorted(set(counts))
    assert counts[-1] < 60
    last = subprocess.run(call, env=environment, check=True, capture_output=True, text=True)
    assert f"60 images, {60 - counts[-1]} of them new, {counts[-1]} known before" in last.stdout
    with ImageIndex(tmp_path / "p.index") as opened:
        assert sorted(opened.paths()) == sorted(map(str, folder.iterdir()))


def _count(path: Path) -> int:
    """Committed images of an index that another process may be writing."""
    try:
        with ImageIndex(path) as opened:
            return len(opened)
    except (OSError, InputError, sqlite3.OperationalError):  # not there yet, or locked
        return 0


def test_a_file_that_is_named_twice_is_in_the_index_once(command: Command, photos: Path) -> None:
    done = command("index", str(photos), str(photos / "3.png"), "-o", "photos.index")
    assert "photos.index: 10 images" in done.out, done


def test_what_is_wrong_with_an_index_is_one_line(command: Command, photos: Path) -> None:
    assert "a.index: 10 images" in command("index", str(photos), "-o", "missing/folder/a.index").out
    path = Path("missing/folder/a.index")
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = command("search", str(photos / "3.png"), str(path))
        assert (done.code, "the index cannot be used: database is locked" in done.err) == (5, True)
        other.rollback()
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    done = command("search", str(photos / "3.png"), str(path))
    assert (done.code, "is damaged, or no index of images" in done.err) == (4, True)


def test_standard_input_is_searched_for_and_not_indexed(command: Command, photos: Path) -> None:
    command("index", str(photos), "-o", "a.index")
    data = (photos / "3.png").read_bytes()
    done = command("search", "-", "a.index", data=data)
    assert (done.code, "3.png" in done.out) == (0, True)
    done = command("index", "-", "-o", "b.index", data=data)
    assert (done.code, "no name to be found by" in done.err, Path("b.index").exists()) == (2, True, False)
