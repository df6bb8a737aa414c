"""Folders on the command line: mirrored trees, several files at a time, interruptions, reports."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import vaecodec
from checks.folders import make_photos, run_with_kills, states
from tests.conftest import Command
from vaecodec.cli.program import cli
from vaecodec.codec import Codec
from vaecodec.files import discard_leftovers

TINY = str(Path(__file__).parent / "golden" / "tiny-v1.safetensors")


@pytest.fixture
def run(command: Command) -> Command:
    """`vaecodec compress` with the tiny model, in this process, in a folder with a tree of nine photographs."""
    make_photos(Path("photos"), 9, seed=3)
    return partial(command, "compress", "--model", TINY)


def _outputs(folder: str = "out") -> list[str]:
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in Path(folder).rglob("*") if path.is_file())


def _photos() -> list[str]:
    return _outputs("photos")


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_tree_is_mirrored(run: Command, jobs: str) -> None:
    done = run("-r", "photos", "-o", "out", "-j", jobs)
    assert done.code == 0
    assert _outputs() == _photos()
    lines = done.out.splitlines()
    assert sorted(line.partition(" ")[0] for line in lines[:-1]) == [f"photos/{name}.jpg" for name in _photos()]
    assert lines[-1].startswith("9 files: ")
    assert "saved" in lines[-1]


def test_files_are_the_same_whatever_the_number_of_jobs(run: Command) -> None:
    run("-r", "photos", "-o", "one", "--mode", "neural")
    run("-r", "photos", "-o", "three", "-j", "3", "--mode", "neural")
    codec = Codec(TINY, device="cpu")
    for path in Path("one").rglob("*.vaec"):
        ours, theirs = (
            codec.decode_latents((Path(f) / path.relative_to("one")).read_bytes()) for f in ("one", "three")
        )
        assert np.array_equal(ours.z_hat, theirs.z_hat)
        assert (ours.r != theirs.r).sum() <= 1


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_a_bad_file_stops_nothing(run: Command, jobs: str) -> None:
    Path("photos/album1/bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    done = run("-r", "photos", "-o", "out", "-j", jobs)
    assert done.code == 4
    assert done.err.startswith("vaecodec: photos/album1/bad.jpg: ")
    assert len(_outputs()) == 9


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_resume_keeps_what_is_there(run: Command, jobs: str) -> None:
    assert run("-r", "photos/album0", "-o", "out/album0").code == 0
    Path("out/.gone.vaec.0a1b2c3d.tmp").write_bytes(b"of another file")
    leftover = Path("out/album2/.0002.vaec.0a1b2c3d.tmp")
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    before = states(Path("out"))
    assert run("-r", "photos/album0", "-o", "out/album0", "-j", jobs).code == 6  # without --resume
    done = run("-r", "photos", "-o", "out", "-j", jobs, "--resume")
    assert done.code == 0
    assert {path: state for path, state in states(Path("out")).items() if path in before} == before
    assert not leftover.exists()
    assert run("-r", "photos", "-o", "out", "--resume").out == "9 files skipped: made before\n"


def test_two_photos_of_one_name_are_told_when_resumed(run: Command) -> None:
    """The second one has no output of its own, even though there is a file of that name."""
    with Image.open("photos/album0/0000.jpg") as photo:
        photo.save("photos/album0/0000.png")
    for arguments in ((), ("--resume",), ("--resume", "-j", "4")):
        done = run("-r", "photos", "-o", "out", *arguments)
        assert done.code == 6
        assert "out/album0/0000.vaec is already made from photos/album0/0000.jpg" in done.err


def test_report(run: Command) -> None:
    run("-r", "photos/album0", "-o", "out/album0")
    Path("photos/bad.jpg").write_bytes(b"no picture")
    run("-r", "photos", "-o", "out", "-j", "2", "--resume", "--report", "table.csv")
    with Path("table.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    assert len(rows) == 10
    status = [rows[name]["status"] for name in ("photos/album0/0000.jpg", "photos/album1/0001.jpg", "photos/bad.jpg")]
    assert status == ["skipped", "made", "failed"]
    row = rows["photos/album1/0001.jpg"]
    info = vaecodec.inspect(Path(row["output"]).read_bytes())
    assert (int(row["bytes"]), int(row["width"]), int(row["height"])) == (info.file_size, info.width, info.height)
    assert int(row["source_bytes"]) == Path("photos/album1/0001.jpg").stat().st_size
    assert float(row["seconds"]) > 0
    assert rows["photos/bad.jpg"]["error"] == "not an image that Pillow can read"
    assert run("-r", "photos", "-o", "out", "--resume", "--report", "no/folder.csv").code == 5


def test_notes_name_their_file(run: Command) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((9, 9), 30000, np.uint16)).save(f"photos/deep-{name}.png")
    done = run("-r", "photos", "-o", "out", "-j", "4")
    for name in ("a", "b"):
        assert f"note: photos/deep-{name}.png: mode I;16 is reduced to 8 bits" in done.err


def test_targets_and_crops_on_the_command_line(run: Command) -> None:
    photo = max(Path("photos").rglob("*.jpg"), key=lambda path: path.stat().st_size)
    assert run(str(photo), "-o", "a.vaec", "--target-size", "2KB").code == 0
    assert Path("a.vaec").stat().st_size <= 2000
    assert run(str(photo), "-o", "b.vaec", "--target-psnr", "80", "--mode", "neural").code == 4
    assert run(str(photo), "-o", "b.vaec", "--target-bpp", "0.5", "-q", "30").code == 2
    assert run(str(photo), "-o", "b.vaec", "--target-size", "huge").code == 2
    assert run(str(photo), "-o", "b.vaec", "--max-memory", "1KB").code == 2
    Path("c.vaec").write_bytes(vaecodec.encode(np.full((70, 80, 3), 90, np.uint8), mode="neural"))
    for arguments, size in ((("--crop", "3,5,20,10"), (20, 10)), (("--scale", "8"), (10, 9))):
        assert (
            CliRunner().invoke(cli, ["decompress", "c.vaec", "-o", "c.png", "--overwrite", *arguments]).exit_code == 0
        )
        with Image.open("c.png") as picture:
            assert picture.size == size
    for wrong in ("3,5,20", "a,b,c,d", "70,0,20,20"):
        assert CliRunner().invoke(cli, ["decompress", "c.vaec", "-o", "d.png", "--crop", wrong]).exit_code in (2, 4)


def test_leftovers_of_one_file(tmp_path: Path) -> None:
    for name in (".a[1].vaec.0a1b2c3d.tmp", ".a1.vaec.0a1b2c3d.tmp", ".a[1].vaec.short.tmp", "a[1].vaec"):
        (tmp_path / name).touch()
    discard_leftovers(tmp_path / "a[1].vaec")
    assert sorted(os.listdir(tmp_path)) == [".a1.vaec.0a1b2c3d.tmp", ".a[1].vaec.short.tmp", "a[1].vaec"]


# As processes


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_killed_at_random_and_resumed(tmp_path: Path) -> None:
    """`python -m checks folders` does the same with 500 photographs and 10 kills."""
    make_photos(tmp_path / "photos", 40, seed=5)
    outcome = run_with_kills(tmp_path / "photos", tmp_path / "out", kills=2, jobs=2, model=TINY, seed=5)
    assert outcome.problems == []
    assert outcome.outputs == 40


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_finishes_what_is_under_way(tmp_path: Path, number: signal.Signals, code: int) -> None:
    make_photos(tmp_path / "photos", 60, seed=6)
    model = ["--model", TINY, "--mode", "neural"]
    command = ["compress", "-r", "photos", "-o", "out", "-j", "2", *model, "--report", "table.csv"]
    program = subprocess.Popen(
        [sys.executable, "-m", "vaecodec", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(vaecodec.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while len(states(tmp_path / "out")) < 3:
        assert program.poll() is None
        time.sleep(0.01)
    program.send_signal(number)
    _, err = program.communicate(timeout=60)
    assert program.returncode == code
    assert b"Traceback" not in err
    outputs = states(tmp_path / "out")
    assert 3 <= len(outputs) < 60
    assert not list((tmp_path / "out").rglob("*.tmp"))
    codec = Codec(TINY, device="cpu")
    for path in outputs:
        codec.decode_latents(path.read_bytes())
    assert (tmp_path / "table.csv").read_text(encoding="utf-8").count(",made,") == len(outputs)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_a_terminal_sees_what_is_saved(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 6, seed=7)
    master, terminal = os.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "vaecodec", "compress", "-r", "photos", "-o", "out", "-j", "2", "--model", TINY],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(vaecodec.__file__).parents[1]), "TERM": "xterm", "COLUMNS": "140"},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := os.read(master, 1 << 16):
            shown += part
    os.close(master)
    assert program.wait(timeout=60) == 0
    assert b"6/6" in shown
    assert b"saved" in shown


def test_nothing_heavy_is_imported_for_one_picture(tmp_path: Path) -> None:
    """PyTorch loads its compiler when it is touched in the wrong way: more than a second; numba: half a second."""
    Image.new("RGB", (40, 30), (9, 90, 200)).save(tmp_path / "a.png")
    code = (
        "import sys; from vaecodec.cli import program\n"
        "for arguments in (['compress', 'a.png'], ['decompress', 'a.vaec', '--overwrite']):\n"
        "    program.cli.main(arguments, standalone_mode=False)\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'sympy', 'numba', 'triton', 'rich', 'matplotlib'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(vaecodec.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
