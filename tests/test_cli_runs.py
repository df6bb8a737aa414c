"""Long runs: what is said when, what an interruption leaves, and how the command ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from checks.folders import make_photos
from tests.conftest import Command, running
from vaecodec.cli.console import Console, printable
from vaecodec.cli.exits import MEANINGS, SHORT, Exit
from vaecodec.cli.results import Outcome, Results

PROGRAM = [sys.executable, "-m", "vaecodec"]
POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and pipes")


@pytest.fixture
def folder(command: Command, photo: NDArray[np.uint8]) -> Path:
    """Two good photographs and two bad ones."""
    Path("in").mkdir()
    for name in "ac":
        Image.fromarray(photo[:30, :30]).save(f"in/{name}.png")
    Path("in/b.png").write_bytes(b"no image")
    Path("in/d.jpg").symlink_to("absent.jpg")
    return Path("in")


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_failures_are_said_and_counted(command: Command, folder: Path, jobs: str) -> None:
    done = command("compress", "-r", "in", "-o", "out", "-j", jobs)
    assert done.code == Exit.SEVERAL
    lines = done.err.splitlines()
    assert sorted(lines[:-1]) == [
        "vaecodec: in/b.png: not an image that Pillow can read",
        "vaecodec: in/d.jpg: No such file or directory",
    ]
    assert lines[-1] == "vaecodec: 2 of 4 files failed: 1 cannot be read or made as asked, 1 cannot be read or written"
    assert done.out.splitlines()[-1].startswith("2 files: ")


@POSIX
@pytest.mark.parametrize("where", ["pipe", "file"])
def test_lines_appear_as_files_are_finished(tmp_path: Path, environment: dict[str, str], where: str) -> None:
    """The second file is a pipe that nobody writes into yet: the line of the first must be there all the same."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    command = [*PROGRAM, "compress", "a.png", "b.png", "-o", "out/"]
    how = {"cwd": tmp_path, "env": environment, "stderr": subprocess.PIPE}
    with (
        (tmp_path / "log").open("wb") as log,
        running(command, stdout=subprocess.PIPE if where == "pipe" else log, **how) as program,
    ):
        if where == "pipe":
            assert program.stdout is not None
            assert program.stdout.readline().startswith(b"a.png -> out/a.vaec: ")
        else:
            until = time.monotonic() + 60
            while not (tmp_path / "log").read_bytes().endswith(b"\n"):
                assert time.monotonic() < until
                time.sleep(0.05)
        program.send_signal(signal.SIGTERM)
        # A signal that comes just before the pipe is opened is noticed when that call returns: now there is a writer.
        writer = os.open(tmp_path / "b.png", os.O_RDWR)
        try:
            _, err = program.communicate(timeout=60)
        finally:
            os.close(writer)
    assert program.returncode == Exit.TERMINATED
    assert err == b"vaecodec: terminated: 1 done, 0 failed, 1 left; the same command with --resume goes on\n"


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "word", "code"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
def test_an_interrupted_run_says_where_it_stands(
    tmp_path: Path, environment: dict[str, str], tiny_model: Path, number: signal.Signals, word: str, code: int
) -> None:
    make_photos(tmp_path / "in", 60, seed=6)
    (tmp_path / "in" / "0.jpg").write_bytes(b"no image")
    command = [*PROGRAM, "compress", "-r", "in", "-o", "out", "-j", "2", "--model", str(tiny_model)]
    with (tmp_path / "log").open("wb") as log:
        program = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.PIPE)
        while len(list((tmp_path / "out").rglob("*.vaec"))) < 3:
            assert program.poll() is None
            time.sleep(0.01)
        program.send_signal(number)
        _, err = program.communicate(timeout=60)
    assert program.returncode == code
    lines = (tmp_path / "log").read_text().splitlines()
    output_lines = [line for line in lines if " -> " in line and line.startswith("in/")]
    count = len(list((tmp_path / "out").rglob("*.vaec")))
    assert len(output_lines) == count
    last = err.decode().splitlines()[-1]
    assert (
        last == f"vaecodec: {word}: {count} done, 1 failed, {60 - count} left; the same command with --resume goes on"
    )


def test_json_of_a_stopped_run(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: bytes) -> Image.Image:
        raise KeyboardInterrupt

    monkeypatch.setattr("vaecodec.cli.image_files.open_photo", stop)
    done = command("compress", "-r", "in", "-o", "out", "--json")
    assert done.code == Exit.INTERRUPTED
    document = json.loads(done.out)
    assert document["stopped"] == {"exit_code": 130, "left": 4}
    assert document["files"] == []


def test_quiet_and_verbose(command: Command, folder: Path) -> None:
    Image.fromarray(np.full((9, 9), 30000, np.uint16)).save("in/deep.png")
    done = command("compress", "-r", "in", "-o", "out", "--quiet")
    assert done.out == ""
    assert "note" not in done.err
    assert done.err.count("\n") == 3  # two files, one count
    done = command("compress", "in/a.png", "-o", "b.vaec", "--verbose")
    assert "vaecodec: in/a.png: 0." in done.err or "vaecodec: in/a.png: " in done.err
    assert "vaecodec: in/a.png: made before" in command("compress", "in/a.png", "-o", "b.vaec", "-v", "--resume").err
    assert command("compress", "in/a.png", "-v", "--quiet").code == 2


@POSIX
@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path: Path, environment: dict[str, str], streams: str) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    python = f'"{sys.executable}" -m vaecodec'

    def shell(line: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["/bin/sh", "-c", f"{python} {line} {streams}"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=60,
        )

    lost = Exit.OK if streams == "2>&-" else Exit.FILE_SYSTEM
    for line in ("compress a.png", "info a.vaec", "info --json a.vaec", "--help", "decompress a.vaec -o b.png"):
        done = shell(line)
        assert b"Traceback" not in done.stderr + done.stdout, line
        if line != "--help":
            assert done.returncode == lost, (line, done)
    vaecodec.verify(tmp_path / "a.vaec")  # nothing was printed into it
    with Image.open(tmp_path / "b.png") as image:
        image.load()
    if streams == ">&-":
        assert shell("info a.vaec").stderr == b"vaecodec: standard output is closed: 6 lines were not printed\n"
        assert shell("compress a.png -o -").stderr == b"vaecodec: a.png: standard output is closed\n"


@POSIX
def test_a_closed_standard_input_is_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    line = f'"{sys.executable}" -m vaecodec compress - -o a.vaec <&-'
    done = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (5, b"vaecodec: <stdin>: standard input is closed\n")


def test_wrong_numbers_are_wrong_usage(command: Command, folder: Path) -> None:
    for arguments in (
        ["compress", "in/a.png", "--target-psnr", "nan"],
        ["compress", "in/a.png", "--target-psnr", "100"],
        ["compress", "in/a.png", "--target-bpp", "-1"],
        ["compress", "in/a.png", "--target-bpp", "nan"],
        ["compress", "in/a.png", "--target-bpp", "inf"],
        ["compress", "in/a.png", "--target-size", "0"],
        ["compress", "in/a.png", "--max-memory", "1KB"],
        ["compress", "in/a.png", "-q", "nan"],
        ["compress", "in/a.png", "-q", "0.5"],
        ["compress", "in/a.png", "-q", "high"],
        ["compress", "in/a.png", "--device", "foo"],
        ["compress", "in/a.png", "--device", "cudaa"],
        ["compress", "in/a.png", "-q", "50", "--target-size", "2KB"],
        ["decompress", "in/a.png", "--crop", "0,0,0,4"],
        ["decompress", "in/a.png", "--crop=-1,0,4,4"],
        ["decompress", "in/a.png", "--crop", "1,2,3"],
        ["decompress", "in/a.png", "--crop", "0,0,4,4", "--scale", "2"],
        ["decompress", "in/a.png", "--output-quality", "101"],
        ["verify", "--conformance", "--device", "foo"],
        ["compare", "in/a.png", "--device", "foo"],
    ):
        done = command(*arguments)
        assert done.code == Exit.USAGE, (arguments, done)
        assert "Usage: " in done.err
    assert "--target-size" in command("compress", "in/a.png", "--target-size", "x").err
    assert not list(Path("in").glob("*.vaec"))


def test_quality_may_have_decimals(command: Command, folder: Path) -> None:
    assert command("compress", "in/a.png", "-q", "60.7").code == 0
    assert vaecodec.inspect("in/a.vaec").level == round(59.7 * 63 / 99)
    assert "quality 60 or 61 (level 38)" in command("info", "in/a.vaec").out
    assert command("compress", "in/a.png", "-q", "30", "-o", "b.vaec").code == 0
    assert "quality 29 or 30 (level 18)" in command("info", "b.vaec").out


def test_threads(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", numbers.append)
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        monkeypatch.setenv(f"{name}_NUM_THREADS", "1")
    assert command("compress", "in/a.png", "in/c.png", "-o", "out", "--threads", "3").code == 0
    assert (numbers[-1], os.environ["OMP_NUM_THREADS"]) == (3, "3")
    assert command("compress", "in/a.png", "in/c.png", "-o", "two", "--threads", "4", "-j", "2").code == 0
    assert numbers[-1] == 2


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)
    assert set(SHORT) <= set(Exit)


def test_text_of_any_name_is_one_printable_line() -> None:
    assert printable("ä\n\x1b[31m\udcff", "utf-8") == "ä\\n\\x1b[31m\\udcff"
    assert printable("ä→", "latin-1") == "ä\\u2192"
    console = Console()
    assert console.close() is Exit.OK


def test_counts_of_failures() -> None:
    results = Results(total=3)
    assert (results.failure_line, results.stop_line) == (None, None)
    from vaecodec.cli.jobs import Job

    results.outcomes[0] = Outcome(Job("a"), failure=(Exit.EXISTS, "exists"))
    results.outcomes[1] = Outcome(Job("b"), failure=(Exit.EXISTS, "exists"))
    assert results.failure_line == "2 of 3 files failed: 2 exist already"
    results.stop = Exit.INTERRUPTED
    assert results.stop_line == "interrupted: 0 done, 2 failed, 1 left"
    assert results.exit_code is Exit.INTERRUPTED
