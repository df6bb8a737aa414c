"""Where outputs go, who may read them, and what is never replaced."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from vaecodec.files import discard_leftovers, write_atomic

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX rights")


@pytest.fixture
def png(command: Command, photo: NDArray[np.uint8]) -> Path:
    """photo.png, with the rights 0600 and a time long ago."""
    path = Path("photo.png")
    Image.fromarray(photo).save(path)
    path.chmod(0o600)
    os.utime(path, ns=(10**18, 10**18 + 7))
    return path


def _mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


@POSIX
@pytest.mark.parametrize("options", [[], ["--preserve"], ["--overwrite"], ["--overwrite", "--preserve"]], ids=str)
def test_a_private_photo_stays_private(command: Command, png: Path, options: list[str]) -> None:
    if "--overwrite" in options:
        for name in ("photo.vaec", "back.png"):
            Path(name).write_bytes(b"open to all")
            Path(name).chmod(0o644)
    assert command("compress", "photo.png", *options).code == 0
    assert _mode("photo.vaec") == 0o600
    assert command("decompress", "photo.vaec", "-o", "back.png", *options).code == 0
    assert _mode("back.png") == 0o600
    assert (Path("back.png").stat().st_mtime_ns == 10**18 + 7) == ("--preserve" in options)


@POSIX
def test_rights_of_a_public_photo_are_those_of_any_new_file(command: Command, png: Path) -> None:
    png.chmod(0o664)
    Path("plain").touch()
    assert command("compress", "photo.png").code == 0
    assert _mode("photo.vaec") == _mode("plain") & 0o664
    assert command("compress", "photo.png", "-o", "b.vaec", "-p").code == 0
    assert _mode("b.vaec") == 0o664


@POSIX
def test_a_page_is_as_private_as_its_photos(command: Command, png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaecodec.compare.photos.CURVE_SETTINGS", (0.3, 0.6))
    assert command("compare", "photo.png", "--html", "page.html").code == 0
    assert _mode("page.html") == 0o600


@POSIX
def test_nobody_can_open_a_private_file_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rights are right before the first byte is in it."""
    source = tmp_path / "source"
    source.touch(0o600)
    seen: list[tuple[int, int]] = []
    fdopen = os.fdopen

    def look(descriptor: int, how: str) -> object:
        state = os.fstat(descriptor)
        seen.append((stat.S_IMODE(state.st_mode), state.st_size))
        return fdopen(descriptor, how)

    monkeypatch.setattr("vaecodec.files.os.fdopen", look)
    write_atomic(tmp_path / "new", b"x", like=[source.stat()])
    assert seen == [(0o600, 0)]


def test_several_photos_do_not_go_to_one_file(command: Command, png: Path) -> None:
    Path("other.png").write_bytes(png.read_bytes())
    for output in ("q.vaec", "q.JPG"):
        done = command("compress", "photo.png", "other.png", "-o", output)
        assert done.code == 2
        assert f"name a folder ({output}/ if that is its name)" in done.err
        assert not Path(output).exists()
    assert command("compress", "photo.png", "other.png", "-o", "q.vaec/").code == 0
    assert sorted(os.listdir("q.vaec")) == ["other.vaec", "photo.vaec"]
    assert command("decompress", "q.vaec/photo.vaec", "q.vaec/other.vaec", "-o", "q.jpg").code == 2


def test_the_source_is_never_replaced_by_its_own_output(command: Command, png: Path) -> None:
    before = png.read_bytes()
    for output in ("photo.png", "./photo.png", str(png.absolute())):
        done = command("compress", "photo.png", "-o", output, "--overwrite")
        assert done.code == 2
    Path("photo.vaec").symlink_to("photo.png")
    done = command("compress", "photo.png", "--overwrite")
    assert (done.code, "photo.vaec is a source of this run" in done.err) == (2, True)
    assert png.read_bytes() == before


def test_a_vaec_file_does_not_get_the_name_of_another_kind(command: Command, png: Path) -> None:
    Path("precious.jpg").write_bytes(b"precious")
    done = command("compress", "photo.png", "-o", "precious.jpg", "--overwrite")
    assert (done.code, "what is written is a .vaec file" in done.err) == (2, True)
    assert Path("precious.jpg").read_bytes() == b"precious"
    assert command("compress", "photo.png", "-o", "").code == 2
    assert command("compress", "photo.png", "-o", "any.name").code == 0


def test_both_extensions_can_be_kept(command: Command, png: Path) -> None:
    Path("photo.bmp").write_bytes(png.read_bytes())
    for extra in ([], ["--resume"], []):
        done = command("compress", "photo.bmp", "photo.png", *extra)
        assert done.code == 6
        assert "photo.vaec is already made from photo.bmp; --keep-extension gives both a name" in done.err
    assert command("compress", "photo.bmp", "photo.png", "--keep-extension").code == 0
    assert Path("photo.bmp.vaec").exists()
    assert Path("photo.png.vaec").exists()


def test_errors_name_the_file_and_not_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: object, *_: object) -> None:
        raise OSError(30, "Read-only file system", path)

    with monkeypatch.context() as patch:
        patch.setattr("vaecodec.files.os.open", fail)
        with pytest.raises(OSError, match="Read-only") as caught:
            write_atomic(tmp_path / "a.vaec", b"x")
    assert caught.value.filename == str(tmp_path / "a.vaec")
    with pytest.raises(OSError) as missing:  # noqa: PT011 (the name is what counts)
        write_atomic(tmp_path / "no" / "a.vaec", b"x")
    assert missing.value.filename == str(tmp_path / "no" / "a.vaec")
    assert list(tmp_path.iterdir()) == []


NAMES = ["n" * 250, "ä" * 125, "-dash", "new\nline", "tab\t.x", "sp ace", "ü😀", "a[1]*?", "\x1b[31m"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_kinds(command: Command, png: Path, name: str) -> None:
    """250 bytes are a legal name, although the temporary file needs more letters."""
    if os.name == "nt" and set(name) & set('\n\t*?\x1b"'):
        pytest.skip("no name there")
    Path("in").mkdir()
    Path("in", name).write_bytes(png.read_bytes())
    done = command("compress", "--keep-extension", "--", str(Path("in", name)))
    assert done.code == (5 if len(os.fsencode(name)) > 250 else 0), done
    assert len(done.out.splitlines()) == 1
    assert "\x1b" not in done.out
    (file,) = [path for path in Path("in").iterdir() if path.suffix == ".vaec"]
    vaecodec.verify(file)
    leftover = write_leftover(file)
    discard_leftovers(file)
    assert not leftover.exists()


def write_leftover(path: Path) -> Path:
    """What a process that is killed while it writes leaves."""
    code = (
        "import os, sys, vaecodec.files\n"
        "vaecodec.files.os.link = lambda *_: os._exit(9)\n"
        "vaecodec.files.write_atomic(sys.argv[1], b'half')"
    )
    moved = path.rename(path.with_name("moved"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path.absolute())], cwd=Path(vaecodec.__file__).parents[1], check=False
    )
    assert done.returncode == 9
    (leftover,) = [other for other in path.parent.iterdir() if other.name.endswith(".tmp")]
    moved.rename(path)
    return leftover


def test_a_name_too_long_is_one_line(command: Command, png: Path) -> None:
    done = command("compress", "photo.png", "-o", "x" * 300 + ".vaec")
    assert done.code == 5
    assert done.err.count("\n") == 1
    assert "tmp" not in done.err


def test_dry_run_writes_nothing(command: Command, png: Path) -> None:
    Path("taken.png").write_bytes(png.read_bytes())
    Path("taken.vaec").write_bytes(b"taken")
    done = command("compress", "photo.png", "taken.png", "absent.png", "-n")
    assert done.code == 1
    assert done.out == "photo.png -> photo.vaec: would be made\n"
    assert "taken.vaec exists; --overwrite replaces it" in done.err
    assert "absent.png: No such file" in done.err
    done = command("compress", "taken.png", "--dry-run", "--overwrite")
    assert done.out == "taken.png -> taken.vaec: would be replaced\n"
    assert command("decompress", "absent.vaec", "--dry-run").code == 5
    assert sorted(os.listdir()) == ["photo.png", "taken.png", "taken.vaec"]
    assert Path("taken.vaec").read_bytes() == b"taken"


def test_keep_smaller(command: Command, photo: NDArray[np.uint8]) -> None:
    """A JPEG of low quality is smaller than the best .vaec file of it, which a .bmp never is."""
    Image.fromarray(photo).save("low.jpg", quality=30)
    Image.fromarray(photo).save("raw.bmp")
    size = Path("low.jpg").stat().st_size
    best = ("-o", "out/", "-q", "100")
    done = command("compress", "low.jpg", "raw.bmp", *best, "--keep-smaller")
    assert done.code == 0
    assert f"low.jpg: kept as it is, {size} bytes; as .vaec " in done.out
    assert sorted(os.listdir("out")) == ["raw.vaec"]
    done = command("compress", "low.jpg", *best, "--keep-smaller=copy", "--json")
    assert done.code == 0
    assert '"kept": "copied"' in done.out
    assert Path("out/low.jpg").read_bytes() == Path("low.jpg").read_bytes()
    assert command("compress", "low.jpg", *best, "--keep-smaller=copy").code == 6  # the copy exists
    done = command("compress", "low.jpg", *best, "--keep-smaller=copy", "--resume")
    assert done.out == "1 file skipped: made before\n"
    assert sorted(os.listdir("out")) == ["low.jpg", "raw.vaec"]
    Path("out/low.jpg").write_bytes(b"another")
    assert command("compress", "low.jpg", *best, "--keep-smaller=copy", "--resume").code == 6
    assert Path("out/low.jpg").read_bytes() == b"another"
    best = ("-o", "all/", "-q", "100", "--keep-extension")
    assert command("compress", "low.jpg", *best, "--keep-smaller=copy").code == 0
    assert os.listdir("all") == ["low.jpg"]
    done = command("compress", "low.jpg", "-q", "100", "--keep-smaller=copy")  # beside itself it is there already
    assert done.code == 0
    assert sorted(os.listdir()) == ["all", "low.jpg", "out", "raw.bmp"]
    assert command("compress", "low.jpg", "--keep-smaller=maybe").code == 2


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["new", "overwrite"])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("os.open", OSError(errno.EROFS, "Read-only file system")),
        ("os.open", OSError(errno.EACCES, "Permission denied")),
        ("os.fsync", OSError(errno.ENOSPC, "No space left on device")),
        ("os.fsync", OSError(errno.EDQUOT, "Disk quota exceeded")),
    ],
    ids=lambda value: value.strerror if isinstance(value, OSError) else value,
)
def test_what_the_disk_refuses_is_one_line_and_loses_nothing(
    command: Command, png: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: OSError, overwrite: list[str]
) -> None:
    before = png.read_bytes()
    old = Path("photo.vaec")
    if overwrite:
        old.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"vaecodec.files.{call}", refuse)
        done = command("compress", "photo.png", *overwrite)
    assert done.code == 5
    assert done.err == f"vaecodec: photo.png: photo.vaec: {error.strerror}\n"
    assert done.out == ""
    assert png.read_bytes() == before
    assert sorted(os.listdir()) == ["photo.png", *(["photo.vaec"] if overwrite else [])]
    assert not overwrite or old.read_bytes() == b"old"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
@pytest.mark.filterwarnings("ignore:mode|CMYK")
def test_max_dimension(command: Command, photo: NDArray[np.uint8], mode: str) -> None:
    image = Image.fromarray(photo)
    image = Image.fromarray(np.full((61, 90), 30000, np.uint16)) if mode == "I;16" else image.convert(mode)
    image.save("a.tif")
    assert command("compress", "a.tif", "--max-dimension", "30").code == 0
    info = vaecodec.inspect("a.vaec")
    assert (info.width, info.height) == (30, 20)
    assert command("compress", "a.tif", "--max-dimension", "90", "--overwrite").code == 0
    assert vaecodec.inspect("a.vaec").width == 90
    assert command("compress", "a.tif", "--max-dimension", "0").code == 2


def test_resume_looks_at_what_it_finds(command: Command, png: Path) -> None:
    assert command("compress", "photo.png").code == 0
    whole = Path("photo.vaec").read_bytes()
    for content, reason in ((whole[:100], "file has 100 bytes"), (whole + b"x", "nothing may follow"), (b"text", "4")):
        Path("photo.vaec").write_bytes(content)
        done = command("compress", "photo.png", "--resume")
        assert done.code == 6
        assert "--overwrite makes it anew" in done.err
        assert Path("photo.vaec").read_bytes() == content
        assert reason in done.err
    assert command("compress", "photo.png", "--resume", "--overwrite").code == 0
    assert Path("photo.vaec").read_bytes() == whole
    assert "1 file skipped: made before" in command("compress", "photo.png", "--resume").out
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    Path("photo.vaec").write_bytes(flipped)
    assert command("compress", "photo.png", "--resume").code == 0  # the header is right
    done = command("compress", "photo.png", "--resume=verify")
    assert (done.code, "CRC" in done.err) == (6, True)
    Path("photo.vaec").write_bytes(whole)
    assert command("compress", "photo.png", "--resume=verify").code == 0
    assert command("compress", "photo.png", "--resume=maybe").code == 2


def test_resume_notices_a_photo_that_is_newer_or_another(command: Command, png: Path, photo: NDArray[np.uint8]) -> None:
    assert command("compress", "photo.png").code == 0
    os.utime("photo.vaec", ns=(10**18, 10**18))
    done = command("compress", "photo.png", "--resume")
    assert (done.code, "photo.vaec is not what this run makes: it is older than photo.png" in done.err) == (6, True)
    os.utime("photo.vaec")
    Image.fromarray(photo[:30]).save(png)
    os.utime(png, ns=(10**18, 10**18))
    done = command("compress", "photo.png", "--resume=verify")
    assert (done.code, "it has 90 x 61 pixels, photo.png has 90 x 30" in done.err) == (6, True)


def test_resumed_decompression_looks_at_the_pictures(command: Command, png: Path) -> None:
    assert command("compress", "photo.png", "-o", "a.vaec").code == 0
    assert command("decompress", "a.vaec").code == 0
    assert command("decompress", "a.vaec", "--resume").out == "1 file skipped: made before\n"
    whole = Path("a.png").read_bytes()
    Path("a.png").write_bytes(whole[:-40])
    assert command("decompress", "a.vaec", "--resume").code == 0  # header only
    assert command("decompress", "a.vaec", "--resume=verify").code == 6
    Image.new("L", (3, 3)).save("a.png")
    done = command("decompress", "a.vaec", "--resume")
    assert (done.code, "it has 3 x 3 pixels" in done.err) == (6, True)


def test_a_copy_never_replaces_another_photo_of_the_run(command: Command, png: Path) -> None:
    """d/x.png would be copied to d/out, where a source of the same name lies."""
    Path("d/out").mkdir(parents=True)
    with Image.open(png) as image:
        image.quantize(2).save("d/x.png")
        image.rotate(180).quantize(2).save("d/out/x.png")
    before = [Path(name).read_bytes() for name in ("d/x.png", "d/out/x.png")]
    options = ("-r", "d", "-o", "d/out", "-q", "lossless", "--keep-smaller=copy")
    done = command("compress", *options, "--overwrite")
    assert (done.code, "d/out/x.png is a source of this run" in done.err) == (2, True)
    command("compress", *options)
    assert [Path(name).read_bytes() for name in ("d/x.png", "d/out/x.png")] == before


def test_a_file_in_place_of_a_folder_is_not_offered_for_overwriting(command: Command, png: Path) -> None:
    before = png.read_bytes()
    for options in ([], ["--overwrite"]):
        done = command("compress", "photo.png", "-o", "photo.png/x.vaec", *options)
        assert (done.code, "--overwrite" in done.err, "Not a directory" in done.err) == (5, False, True)
    assert png.read_bytes() == before


def test_the_hint_of_equal_names_helps(command: Command, png: Path) -> None:
    Path("a").mkdir()
    Path("a/photo.png").write_bytes(png.read_bytes())
    Path("photo.bmp").write_bytes(png.read_bytes())
    done = command("compress", "photo.png", "a/photo.png", "photo.bmp", "-o", "out/")
    same, other = (next(line for line in done.err.splitlines() if name in line) for name in ("a/photo.png", "bmp:"))
    assert ("is already made from photo.png" in same, "--keep-extension" in same) == (True, False)
    assert "--keep-extension" in other


@pytest.mark.parametrize("form", ["../x", "a/b", "", "."])
def test_a_format_is_an_extension(command: Command, png: Path, form: str) -> None:
    assert command("compress", "photo.png").code == 0
    done = command("decompress", "photo.vaec", "--format", form)
    assert (done.code, "is no extension" in done.err) == (2, True)


@pytest.mark.parametrize("other", ["link/photo.bmp", "sub/../photo.bmp"])
def test_one_output_that_is_named_in_two_ways_is_made_once(command: Command, png: Path, other: str) -> None:
    """The second would replace what the first has made, after its photo is gone."""
    Path("sub").mkdir()
    Path("link").symlink_to(".")
    Path("photo.bmp").write_bytes(png.read_bytes())
    done = command("compress", "photo.png", other, "--overwrite", "--delete-original")
    assert (done.code, f"{other}: " in done.err, "is already made from photo.png" in done.err) == (6, True, True)
    assert (png.exists(), Path("photo.bmp").exists(), Path("photo.vaec").exists()) == (False, True, True)


@POSIX
def test_what_is_made_of_private_photos_is_private(command: Command, png: Path, tiny_model: Path) -> None:
    """Pages, morphs and indexes show what is in them."""
    assert command("compress", "photo.png").code == 0
    for arguments in (
        ("view", "photo.vaec", "-o", "view.html"),
        ("map", "photo.png", "-o", "map.html"),
        ("compare", "photo.png", "--html", "compare.html"),
        ("index", "photo.png", "-o", "photos.index"),
        ("search", "photo.png", "photos.index", "--html", "hits.html"),
        ("duplicates", "photos.index", "--html", "copies.html"),
        ("morph", "photo.png", "photo.vaec", "--steps", "2", "-o", "morph.gif"),
        ("sample", "--like", "photo.png", "--count", "1", "-o", "samples"),
    ):
        done = command(*arguments)
        assert done.code == 0, done
        path = Path(arguments[arguments.index("-o" if "-o" in arguments else "--html") + 1])
        path = next(path.iterdir()) if path.is_dir() else path
        assert path.stat().st_mode & 0o777 == 0o600, path
