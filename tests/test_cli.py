"""The command line as a user meets it: what is written where, what is said, and which exit code comes back."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from vaecodec.cli.exits import Exit
from vaecodec.cli.program import cli


@pytest.fixture
def run(command: Command) -> Command:
    """Runs a command in an empty folder."""
    return command


def process(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a process of its own, as from a shell."""
    return subprocess.run([sys.executable, "-m", "vaecodec", *arguments], capture_output=True, timeout=120, **options)


@pytest.fixture
def jpeg(photo: NDArray[np.uint8]) -> bytes:
    """A JPEG with EXIF (orientation 6) and XMP."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=95, exif=exif, xmp=b"<x:xmpmeta/>")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def vaec() -> bytes:
    return vaecodec.encode(np.full((40, 50, 3), 90, np.uint8))


def test_there_and_back(run: Command, jpeg: bytes, photo: NDArray[np.uint8]) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    done = run("compress", "photo.jpg", "-q", "90")
    assert done.code == 0
    assert done.out.startswith("photo.jpg -> photo.vaec: ")
    assert "%" in done.out
    done = run("decompress", "photo.vaec")
    assert done.code == 0
    assert done.out == "photo.vaec -> photo.png: 90 x 61, RGB\n"
    with Image.open("photo.png") as image:
        error = np.asarray(image).astype(int) - photo
        assert np.mean(error**2) < 200
        assert image.getexif()[0x0112] == 6
        assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert sorted(os.listdir()) == ["photo.jpg", "photo.png", "photo.vaec"]


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif", "a.avif", "a.png"])
def test_the_extension_chooses_the_format_and_metadata_goes_along(run: Command, jpeg: bytes, name: str) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    run("compress", "photo.jpg")
    assert run("decompress", "photo.vaec", "-o", name).code == 0
    with Image.open(name) as image:
        image.load()
        assert Image.registered_extensions()[Path(name).suffix] == image.format
        assert image.info["xmp"] == b"<x:xmpmeta/>"
        if image.format == "TIFF":  # Pillow turns a TIFF upright itself
            assert image.size == (61, 90)
        else:
            assert image.getexif()[0x0112] == 6


def test_a_format_without_metadata_is_named(run: Command, jpeg: bytes) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    run("compress", "photo.jpg")
    done = run("decompress", "photo.vaec", "-o", "a.bmp")
    assert done.code == 0
    assert "note: photo.vaec: BMP is written without the metadata: exif, xmp" in done.err


def test_a_format_without_alpha_is_refused(run: Command) -> None:
    Image.new("RGBA", (20, 20), (1, 2, 3, 4)).save("glass.png")
    assert run("compress", "glass.png").code == 0
    done = run("decompress", "glass.vaec", "-o", "glass.jpg")
    assert done.code == 4
    assert "cannot be written as JPEG" in done.err
    assert run("decompress", "glass.vaec", "--overwrite").code == 0
    with Image.open("glass.png") as image:
        assert image.getchannel("A").getextrema() == (4, 4)


def test_strip_leaves_metadata_out(run: Command, jpeg: bytes) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    run("compress", "photo.jpg", "--strip")
    image = vaecodec.decode(Path("photo.vaec").read_bytes())
    assert "exif" not in image.info
    assert "xmp" not in image.info


def test_quality_makes_files_larger(run: Command, jpeg: bytes) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    assert run("compress", "photo.jpg", "-q", "20", "-o", "a.vaec").code == 0
    assert run("compress", "photo.jpg", "-q", "80", "-o", "b.vaec").code == 0
    a, b = (vaecodec.inspect(Path(name).read_bytes()) for name in ("a.vaec", "b.vaec"))
    assert a.quality < b.quality
    assert a.level < b.level


def test_tune_chooses_the_variant(run: Command, jpeg: bytes) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    asked = {"a": (), "b": ("--tune", "psnr"), "c": ("--tune", "perceptual"), "d": ("--model", "base")}
    for name, options in asked.items():
        assert run("compress", "photo.jpg", "-o", f"{name}.vaec", *options).code == 0
        assert run("decompress", f"{name}.vaec").code == 0
    models = [vaecodec.inspect(Path(f"{name}.vaec").read_bytes()).model for name in asked]
    assert models == ["base-perceptual", "base", "base-perceptual", "base"]
    done = run("compress", "photo.jpg", "-o", "e.vaec", "--tune", "psnr", "--model", "mine.safetensors")
    assert (done.code, "mine.safetensors is a weights file" in done.err) == (2, True)
    assert not Path("e.vaec").exists()


def test_pipes(run: Command, jpeg: bytes) -> None:
    done = run("compress", "-", data=jpeg)
    assert done.code == 0
    assert vaecodec.inspect(done.raw).width == 90
    assert done.err.startswith("- -> -: ") or "<stdin>" in done.err
    back = run("decompress", "-", data=done.raw)
    assert back.code == 0
    with Image.open(io.BytesIO(back.raw)) as image:
        assert image.format == "PNG"
        assert image.size == (90, 61)
    assert os.listdir() == []
    assert run("compress", "-", "-o", "named.vaec", data=jpeg).code == 0
    assert os.listdir() == ["named.vaec"]


def test_folders_are_mirrored(run: Command, jpeg: bytes, vaec: bytes) -> None:
    for name in ("in/a.jpg", "in/deep/er/B.JPG", "in/.hidden.jpg", "in/.cache/c.jpg", "in/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(jpeg)
    done = run("compress", "-r", "in", "-o", "out")
    assert done.code == 0
    outputs = sorted(str(path) for path in Path("out").rglob("*.*"))
    assert outputs == ["out/a.vaec", "out/deep/er/B.vaec"]
    assert "2 files: " in done.out
    assert run("decompress", "-r", "out", "-o", "back/").code == 0
    assert sorted(str(path) for path in Path("back").rglob("*.*")) == ["back/a.png", "back/deep/er/B.png"]
    assert run("verify", "-r", "out").out == "out/a.vaec: ok\nout/deep/er/B.vaec: ok\n"


def test_a_bad_file_does_not_stop_the_rest(run: Command, jpeg: bytes) -> None:
    Path("a.jpg").write_bytes(jpeg[:300])
    Path("b.jpg").write_bytes(b"no image")
    Path("c.jpg").write_bytes(jpeg)
    done = run("compress", "a.jpg", "b.jpg", "c.jpg", "-o", "out")
    assert done.code == 4
    assert os.listdir("out") == ["c.vaec"]
    lines = done.err.splitlines()
    assert lines[0].startswith("vaecodec: a.jpg: the image cannot be read")
    assert lines[1] == "vaecodec: b.jpg: not an image that Pillow can read"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compress", "nope.jpg"], 5, "nope.jpg: No such file"),
        (["compress", "text.txt"], 4, "text.txt: not an image"),
        (["compress", "photo.jpg", "taken.jpg"], 6, "taken.vaec exists; --overwrite replaces it"),
        (["compress", "nope.jpg", "text.txt"], 1, "nope.jpg"),
        (["compress", "photo.jpg", "-o", "a.vaec", "--model", "none-such"], 7, "none-such"),
        (["compress", "photo.jpg", "-o", "a.vaec", "--device", "none-such"], 2, "none-such"),
        (["decompress", "text.txt"], 3, "text.txt: "),
        (["decompress", "cut.vaec"], 3, "cut.vaec: "),
        (["decompress", "good.vaec", "-o", "good.xyz"], 4, ".png"),
        (["decompress", "good.vaec"], 5, "good.png: Is a directory"),
        (["decompress", "good.vaec", "-o", "a.png", "--device", "none-such"], 2, "none-such"),
        (["info", "cut.vaec"], 3, "cut.vaec: "),
        (["verify", "flipped.vaec"], 3, "flipped.vaec: "),
        (["verify", "nope.vaec"], 5, "nope.vaec: No such file"),
        (["compress", "."], 2, "-r"),
        (["compress", "-r", "empty"], 2, "holds no file"),
        (["compress", "photo.jpg", "-q", "101"], 2, "it must be 1..100"),
        (["compress", "photo.jpg", "text.txt", "-o", "-"], 2, "folder"),
        (["compress", "photo.jpg", "text.txt", "-o", "text.txt"], 2, "folder"),
        (["compress", "-", "photo.jpg"], 2, "only source"),
        (["compress", "-", "-o", "empty"], 2, "no name"),
        (["compress", "photo.jpg", "-o", "-", "--json"], 2, "--json"),
        (["compress"], 2, "PHOTO"),
        (["squash"], 2, "squash"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_exit_codes(run: Command, jpeg: bytes, vaec: bytes, arguments: list[str], code: int, words: str) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    Path("taken.jpg").write_bytes(jpeg)
    Path("taken.vaec").write_bytes(b"precious")
    Path("text.txt").write_text("just text")
    Path("good.vaec").write_bytes(vaec)
    Path("cut.vaec").write_bytes(vaec[:-3])
    Path("flipped.vaec").write_bytes(vaec[:-1] + bytes([vaec[-1] ^ 1]))
    Path("good.png").mkdir()
    Path("empty").mkdir()
    before = set(os.listdir())
    done = run(*arguments)
    assert done.code == code
    assert words in done.err
    assert "Traceback" not in done.err
    if code != 2:
        assert all(line.startswith("vaecodec: ") for line in done.err.splitlines())
    assert Path("taken.vaec").read_bytes() == b"precious"
    assert set(os.listdir()) - before <= {"photo.vaec"}


def test_overwrite(run: Command, jpeg: bytes) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    Path("photo.vaec").write_bytes(b"old")
    assert run("compress", "photo.jpg").code == 6
    assert run("compress", "photo.jpg", "--overwrite").code == 0
    assert Path("photo.vaec").read_bytes() != b"old"


def test_two_photos_do_not_become_one_file(run: Command, jpeg: bytes) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    Path("photo.jpeg").write_bytes(jpeg)
    done = run("compress", "photo.jpg", "photo.jpeg", "--overwrite")
    assert done.code == 6
    assert "photo.vaec is already made from photo.jpg" in done.err


def test_json_of_compress(run: Command, jpeg: bytes) -> None:
    Path("photo.jpg").write_bytes(jpeg)
    done = run("compress", "photo.jpg", "nope.jpg", "-o", "out", "--json")
    assert done.code == 5
    document = json.loads(done.out)
    (record,) = document["files"]
    assert record["source"] == "photo.jpg"
    assert record["output"] == "out/photo.vaec"
    assert record["source_bytes"] == len(jpeg)
    assert record["bytes"] == Path("out/photo.vaec").stat().st_size
    assert (record["width"], record["height"]) == (90, 61)
    (failure,) = document["failed"]
    assert failure["source"] == "nope.jpg"
    assert failure["error"]["kind"] == "file_system"
    assert failure["error"]["exit_code"] == 5


def test_json_of_info_verify_and_decompress(run: Command, vaec: bytes) -> None:
    Path("a.vaec").write_bytes(vaec)
    (info,) = json.loads(run("info", "a.vaec", "--json").out)["files"]
    assert (info["width"], info["height"], info["mode"]) == (50, 40, "RGB")
    assert info["file_size"] == len(vaec)
    assert info["bpp"] == pytest.approx(8 * len(vaec) / 2000)
    (checked,) = json.loads(run("verify", "a.vaec", "--json").out)["files"]
    assert checked["ok"] is True
    (decoded,) = json.loads(run("decompress", "a.vaec", "--json").out)["files"]
    assert decoded["output"] == "a.png"


def test_info_for_people(run: Command, vaec: bytes) -> None:
    Path("a.vaec").write_bytes(vaec)
    done = run("info", "a.vaec")
    assert done.code == 0
    for words in ("50 x 40, RGB", "bits per pixel", "quality", "base", "format version  1"):
        assert words in done.out


def test_notes_reach_the_user(run: Command) -> None:
    Image.fromarray(np.full((9, 9), 30000, np.uint16)).save("deep.png")
    done = run("compress", "deep.png")
    assert done.code == 0
    assert "note: deep.png: mode I;16 is reduced to 8 bits" in done.err


def test_compare(run: Command, jpeg: bytes) -> None:
    Path("a.jpg").write_bytes(jpeg)
    Path("b.jpg").write_bytes(jpeg)
    done = run("compare", "a.jpg", "b.jpg")
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("photo")
    (record,) = json.loads(run("compare", "a.jpg", "--json").out)["files"]
    assert record["bytes"] > 0
    assert record["psnr"] is None or record["psnr"] > 20
    assert sorted(os.listdir()) == ["a.jpg", "b.jpg"]


def test_help_shows_examples_and_exit_codes(run: Command) -> None:
    done = run("--help")
    assert "vaecodec compress photo.jpg" in done.out
    assert "Exit codes:" in done.out
    assert "_VAECODEC_COMPLETE=bash_source" in done.out
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        text = run(name, "--help").out
        assert f"vaecodec {name}" in text
        assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_version(run: Command) -> None:
    assert vaecodec.__version__ in run("--version").out


# As processes: imports, signals and pipes are theirs.


def test_info_imports_neither_torch_nor_numpy(tmp_path: Path, vaec: bytes) -> None:
    (tmp_path / "a.vaec").write_bytes(vaec)
    code = (
        "import sys, runpy; sys.argv = ['vaecodec', 'info', sys.argv[1]]\n"
        "try: runpy.run_module('vaecodec', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'numba', 'safetensors', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.vaec")], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_errors_of_a_process_are_one_line(tmp_path: Path) -> None:
    done = process("info", "nope.vaec", cwd=tmp_path, env=_environment())
    assert done.returncode == 5
    assert done.stderr == b"vaecodec: nope.vaec: No such file or directory\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_goes_away(tmp_path: Path, vaec: bytes) -> None:
    for i in range(400):  # more output than a pipe holds
        (tmp_path / f"{i}.vaec").write_bytes(vaec)
    program = subprocess.Popen(
        [sys.executable, "-m", "vaecodec", "info", "-r", "."],
        cwd=tmp_path,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    program.stdout.readline()
    program.stdout.close()
    _, err = program.communicate(timeout=60)
    assert program.returncode == 141
    assert err == b""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "vaecodec", "compress", "-", "-o", "out.vaec"],
        cwd=tmp_path,
        env=_environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdin is not None
    program.stdin.write(bytes(1 << 20))  # more than a pipe holds: now the program reads, and waits for the rest
    program.stdin.flush()
    program.send_signal(number)
    _, err = program.communicate(timeout=60)
    assert program.returncode == code
    assert b"Traceback" not in err
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_a_terminal_gets_progress_and_no_binary(tmp_path: Path, vaec: bytes) -> None:
    for name in ("a.vaec", "b.vaec"):
        (tmp_path / name).write_bytes(vaec)
    environment = _environment() | {"TERM": "xterm", "COLUMNS": "120"}
    master, terminal = os.openpty()
    options = {"cwd": tmp_path, "env": environment, "timeout": 60}
    command = [sys.executable, "-m", "vaecodec"]
    done = subprocess.run([*command, "verify", "-r", "."], stdout=subprocess.PIPE, stderr=terminal, **options)
    assert done.returncode == 0
    assert done.stdout == b"a.vaec: ok\nb.vaec: ok\n"
    assert b"verifying" in os.read(master, 1 << 16)
    done = subprocess.run(
        [*command, "decompress", "a.vaec", "-o", "-"], stdout=terminal, stderr=subprocess.PIPE, **options
    )
    assert done.returncode == 2
    assert b"standard output is a terminal" in done.stderr
    os.close(terminal)
    os.close(master)


def test_a_pipe_gets_no_progress(tmp_path: Path, vaec: bytes) -> None:
    for name in ("a.vaec", "b.vaec"):
        (tmp_path / name).write_bytes(vaec)
    done = process("verify", "-r", ".", cwd=tmp_path, env=_environment())
    assert (done.returncode, done.stderr) == (0, b"")


def _environment() -> dict[str, str]:
    """The environment of a process that runs elsewhere but uses this checkout."""
    root = str(Path(vaecodec.__file__).parents[1])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_report_that_cannot_be_written_is_an_error_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.vaec"
    file.write_bytes(vaecodec.encode(np.zeros((8, 8, 3), np.uint8)))
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "vaecodec", "info", "--json", str(file)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=120)
    assert done.returncode == Exit.FILE_SYSTEM
    assert done.stderr.decode().count("\n") == 1
