"""-q lossless, --mode and --verify on the command line; what is no number is an error there, not a note."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from vaecodec.cli.program import cli
from vaecodec.codec import Codec
from vaecodec.errors import CodingError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8]) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo).save("photo.png")
    Image.fromarray(np.kron(np.indices((8, 9)).sum(0) % 2 * 255, np.ones((9, 9))).astype(np.uint8)).save("board.png")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compress", "--model", "fast-perceptual", *arguments])


def _info(name: str) -> vaecodec.Info:
    return vaecodec.inspect(Path(name).read_bytes())


@pytest.mark.parametrize(
    "options", [("-q", "lossless"), ("--mode", "lossless"), ("-q", "lossless", "--mode", "lossless")]
)
def test_lossless_on_demand(options: tuple[str, ...], photo: NDArray[np.uint8]) -> None:
    assert _run("photo.png", *options, "--verify").exit_code == 0
    assert _info("photo.vaec").lossless
    assert np.array_equal(vaecodec.decode("photo.vaec", as_array=True), photo)
    done = CliRunner().invoke(cli, ["info", "photo.vaec"])
    assert "lossless (WebP), needs no model" in done.output
    assert CliRunner().invoke(cli, ["verify", "photo.vaec"]).exit_code == 0
    for more in ((), ("--scale", "8"), ("--crop", "3,4,10,9")):
        assert (
            CliRunner().invoke(cli, ["decompress", "photo.vaec", "-o", "back.png", "--overwrite", *more]).exit_code == 0
        )


def test_auto_is_the_default() -> None:
    done = _run("photo.png", "board.png", "-o", "out", "--json")
    assert done.exit_code == 0, done.output
    records = {record["source"]: record["lossless"] for record in json.loads(done.stdout)["files"]}
    assert records == {"photo.png": False, "board.png": True}
    assert _run("board.png", "--mode", "neural").exit_code == 0
    assert not _info("board.vaec").lossless


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-q", "lossless", "--mode", "neural"), "--quality lossless and --mode neural cannot be combined"),
        (("-q", "lossless", "--target-size", "2KB"), "--quality and --target-size cannot be combined"),
        (("--mode", "lossless", "--target-psnr", "30"), "--target-psnr and --mode lossless cannot be combined"),
        (("--mode", "lossless", "-q", "30"), "--quality and --mode lossless cannot be combined"),
        (("-q", "lossles"), "'lossles' is not a number"),
    ],
)
def test_options_that_contradict(options: tuple[str, ...], words: str) -> None:
    done = _run("photo.png", *options)
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert not Path("photo.vaec").exists()


def test_a_file_that_does_not_pass_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        message = "the finished file does not hold the image: the block at x 0, y 0"
        raise CodingError(message)

    monkeypatch.setattr("vaecodec.codec.check_file", fail)
    done = _run("photo.png", "--verify")
    assert done.exit_code == 9
    assert "photo.png: the finished file does not hold the image" in done.output
    assert not Path("photo.vaec").exists()
    assert _run("photo.png").exit_code == 0


def test_what_is_no_number_is_an_error_and_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever gives NumPy's warning. Other warnings are still notes."""

    def overflow(*_: object, **__: object) -> bytes:
        np.float32(3e38) * np.float32(10)
        return b""

    monkeypatch.setattr(Codec, "encode", overflow)
    done = _run("photo.png")
    assert done.exit_code == 9
    assert "overflow encountered in" in done.output
    assert "note" not in done.output
    assert not Path("photo.vaec").exists()
    data = vaecodec.encode(np.zeros((9, 9, 3), np.uint8), lossless=True)

    def warn(*_: object, **__: object) -> bytes:
        warnings.warn("the coder is slow today", RuntimeWarning, stacklevel=2)
        return data

    monkeypatch.setattr(Codec, "encode", warn)
    done = _run("photo.png")
    assert done.exit_code == 0
    assert "note: photo.png: the coder is slow today" in done.output
