"""What stays on the disk when things go wrong: a killed process, a full disk, a read-only folder, a vanished input."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import running
from vaecodec.cli.exits import Exit
from vaecodec.cli.jobs import Job
from vaecodec.cli.program import cli
from vaecodec.conformance import expectations
from vaecodec.files import write_atomic

ROOT = Path(__file__).parents[1]
OLD, NEW = b"old" * 1000, b"new" * 100_000

# Where a process is stopped: the call of `vaecodec.files` that never returns.
STOPS = ("os.fsync", "os.link", "Path.replace", "Path.unlink")
_STOPPED = """
import os, sys, time
from pathlib import Path
import vaecodec.files

def stop(*arguments, **options):
    print("stopped", flush=True)
    time.sleep(60)

owner, name = sys.argv[2].split(".")
setattr({"os": os, "Path": Path}[owner], name, stop)
vaecodec.files.write_atomic(sys.argv[1], b"new" * 100_000, overwrite=sys.argv[3] == "overwrite")
"""


def _kill(target: Path, stop: str, how: str) -> None:
    """Start a process that writes `target`, and kill it at `stop`."""
    command = [sys.executable, "-c", _STOPPED, str(target), stop, how]
    with running(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stopped\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("how", ["overwrite", "new"])
def test_a_killed_process(tmp_path: Path, stop: str, how: str) -> None:
    """Under the final name there is the old file, the whole new one, or none: never a part."""
    if (stop, how) in (("os.link", "overwrite"), ("Path.replace", "new")):
        pytest.skip("this call is not made then")
    target = tmp_path / "a.vaec"
    if how == "overwrite":
        target.write_bytes(OLD)
    _kill(target, stop, how)
    before = OLD if how == "overwrite" else None
    after = NEW if stop == "Path.unlink" else before
    assert (target.read_bytes() if target.exists() else None) == after
    # What the killed process could not remove is hidden, and in nobody's way.
    assert all(path.name.startswith(".") for path in tmp_path.iterdir() if path != target)
    write_atomic(target, b"again", overwrite=True)
    assert target.read_bytes() == b"again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "vaecodec-test", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def test_a_full_disk(small_disk: Path) -> None:
    target = small_disk / "a.vaec"
    write_atomic(target, OLD)
    for overwrite, path in ((True, target), (False, small_disk / "b.vaec")):
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, NEW, overwrite=overwrite)
    assert target.read_bytes() == OLD
    assert [path.name for path in small_disk.iterdir()] == ["a.vaec"]


def test_a_read_only_disk(small_disk: Path) -> None:
    target = small_disk / "a.vaec"
    write_atomic(target, OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)  # noqa: S607
    with pytest.raises(OSError, match="Read-only file system"):
        write_atomic(target, b"new", overwrite=True)
    assert target.read_bytes() == OLD
    assert [path.name for path in small_disk.iterdir()] == ["a.vaec"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_quota(tmp_path: Path) -> None:
    """A limit on the size of files acts like a full disk, and needs no rights."""
    code = (
        "import resource, signal, sys\n"
        "from vaecodec.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    write_atomic(sys.argv[1], bytes(100_000), overwrite=True)\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
    )
    target = tmp_path / "a.vaec"
    target.write_bytes(OLD)
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == errno.EFBIG
    assert target.read_bytes() == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["a.vaec"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root ignores permissions: see the read-only disk")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            write_atomic(tmp_path / "a.vaec", b"new")
    finally:
        tmp_path.chmod(0o755)
    assert list(tmp_path.iterdir()) == []


def test_a_vanished_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone between the listing of the folder and its turn: the others are done, its output is not there."""
    good = next(expected.data for expected in expectations())
    for name in ("a.vaec", "b.vaec"):
        (tmp_path / name).write_bytes(good)
    read = Job.read

    def vanish(job: Job) -> bytes:
        if job.name.endswith("a.vaec"):
            Path(job.name).unlink()
        return read(job)

    monkeypatch.setattr(Job, "read", vanish)
    done = CliRunner().invoke(cli, ["info", "-r", str(tmp_path)])
    assert done.exit_code == Exit.FILE_SYSTEM
    assert "a.vaec: No such file" in done.stderr
    assert "b.vaec" in done.stdout
    (tmp_path / "a.vaec").write_bytes(good)
    done = CliRunner().invoke(cli, ["decompress", str(tmp_path / "a.vaec"), "-o", str(tmp_path / "a.png")])
    assert done.exit_code == Exit.FILE_SYSTEM
    assert not (tmp_path / "a.png").exists()
