"""The README is true: its Python and its ``vaecodec`` commands run as printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from vaecodec.cli.exits import MEANINGS, Exit
from vaecodec.cli.program import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))


def _blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


COMMANDS = [block for page in (README, CLI) for block in _blocks("sh", page) if "vaecodec " in block]


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples speak of: a photograph and two small samples."""
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=95)
    (tmp_path / "samples").mkdir()
    Image.fromarray(photo).save(tmp_path / "samples" / "one.jpg", quality=95)
    Image.fromarray(photo[::-1]).save(tmp_path / "samples" / "two.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _shell(folder: Path, script: str) -> None:
    """Run shell lines with ``vaecodec`` as the command of this checkout."""
    commands = folder / "commands"
    commands.mkdir(exist_ok=True)
    command = commands / "vaecodec"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vaecodec "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()


def _run_python(page: str) -> int:
    """Run the Python blocks of a page one after the other; returns how many there are."""
    namespace: dict[str, object] = {}
    for number, block in enumerate(_blocks("python", page)):
        exec(compile(block, f"block {number}", "exec"), namespace)  # noqa: S102
    return number + 1


def test_the_python_examples_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run_python(README) >= 3
    output = capsys.readouterr().out
    assert "90 x 61" in output
    assert "BadMagic" in output
    assert "VAEC (90, 61) RGB" in output
    assert (folder / "thumbnail.png").exists()


def test_the_page_for_python_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run_python(PYTHON) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["True True", "(40, 30) (12, 8) base-perceptual"]
    assert lines[2].startswith("Codec('base-perceptual': device cpu, ")
    assert lines[3:] == ["['ndarray', 'ndarray', 'BadMagic']", "int8 int32", "Truncated"]


def test_the_page_for_python_has_every_extra_that_users_take() -> None:
    extras = set(re.findall(r"vaecodec\[(\w+)\]", PYTHON))
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    names = set(re.findall(r"^([\w-]+) = \[", declared.partition("\n[")[0], re.MULTILINE))
    assert extras == names - {"bench", "bench-peers", "browser", "dev", "fuzz"}


@pytest.mark.skipif(os.name == "nt", reason="the examples are written for a POSIX shell")
@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.split("\n")[0][:40])
def test_the_shell_examples_run(folder: Path, block: str) -> None:
    for line in block.splitlines():
        if any(sign in line for sign in "|<>"):
            _shell(folder, line)
            continue
        for command in line.split(" && "):
            name, *arguments = shlex.split(command, comments=True)
            if name == "pip":
                continue  # what installs is the business of test_wheel.py and .ci/run
            assert name == "vaecodec"
            # In this process: torch and the weights are loaded once.
            result = CliRunner().invoke(cli, arguments)
            assert result.exit_code == 0, result.output


def test_the_exit_codes_are_those_of_the_program() -> None:
    table = CLI.partition("| exit code | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    listed = re.findall(r"^ +(\d+)  ", str(cli.epilog), flags=re.MULTILINE)
    assert {int(number) for number in listed} == {int(code) for code in Exit} == set(map(int, MEANINGS))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    assert "../shared" not in text, "a path that no reader of the repository has"


def test_the_test_command_is_marked_for_the_checks() -> None:
    command = README.partition("<!-- tests -->\n```sh\n")[2].partition("\n```\n<!-- end of tests -->")[0]
    assert command.startswith("pip install ")
    assert "pytest" in command
