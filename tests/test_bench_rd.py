"""The rate-distortion run: real files, resumed, with failures that stay where they belong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("bjontegaard", reason="the benchmark needs the extra bench")
pytest.importorskip("matplotlib", reason="the benchmark needs the extra bench")

from bench import codecs, measure
from bench.__main__ import main
from bench.codecs import CodecError, make
from bench.codecs.pillow import Jpeg
from bench.rd import runs as rd
from bench.rd.plot import styles
from bench.rd.report import common_images, has_metric, trouble_lines
from bench.records import ROOT
from tests.conftest import running

Pixels = NDArray[np.uint8]


class Stubborn(Jpeg):
    """A codec that refuses high pictures, and at quality 7 decodes something else."""

    name = "stubborn"
    title = "A stubborn codec"
    qualities = (7, 50, 80)
    calls: ClassVar[list[float]] = []

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        if pixels.shape[0] > 60:
            message = "the picture is too high"
            raise CodecError(message)
        self.calls.append(setting)
        return super().encode(pixels, setting)

    def decode(self, data: bytes) -> Pixels:
        decoded = super().decode(data)
        return 255 - decoded if self.calls[-1] == 7 else decoded


class Deadly(Jpeg):
    name = "deadly"
    title = "A codec that kills its process"
    qualities = (50,)

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        if pixels.shape[0] > 60:
            os._exit(3)
        return super().encode(pixels, setting)


@pytest.fixture
def folder(tmp_path: Path, photo: Pixels) -> Path:
    """Two pictures of 50 and 61 rows."""
    where = tmp_path / "photos"
    where.mkdir()
    Image.fromarray(photo[:50]).save(where / "low.png")
    Image.fromarray(photo).save(where / "tall.png")
    return where


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codecs of this file are unknown to a spawned process."""
    monkeypatch.setitem(codecs.PLAIN, "stubborn", Stubborn)
    monkeypatch.setattr(rd, "run_tasks", lambda tasks, _jobs: ((task, measure.measure_image(task)) for task in tasks))
    measure.codec_of.cache_clear()


def test_rows_are_real_files(folder: Path, tmp_path: Path, photo: Pixels) -> None:
    dataset = rd.dataset_of(str(folder))
    record = rd.measure_codec(make("jpeg"), dataset, tmp_path / "out", ["psnr"], qualities=[30, 70])
    columns = record["rows"]["tall.png"]
    assert columns["quality"] == [30, 70]
    assert columns["bytes"] == [len(make("jpeg").encode(photo, q)) for q in (30, 70)]
    assert columns["psnr"][1] > columns["psnr"][0] > 20
    assert all(seconds >= 0 for seconds in columns["encode_s"] + columns["decode_s"])
    saved = json.loads((tmp_path / "out" / "photos" / "jpeg.json").read_text())
    assert saved["rows"] == record["rows"]
    assert saved["made"]["versions"]["pillow"]
    assert saved["images"]["tall.png"]["sha256"]


def test_what_is_measured_is_not_measured_again(
    folder: Path, tmp_path: Path, in_this_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(qualities: list[float]) -> None:
        rd.measure_codec(make("stubborn"), rd.dataset_of(str(folder)), tmp_path, ["psnr"], qualities=qualities)

    Stubborn.calls.clear()
    (folder / "tall.png").unlink()
    run([50])
    run([50, 80])
    assert Stubborn.calls == [50, 80]
    monkeypatch.setattr(Stubborn, "version", lambda _: "another version")
    run([50, 80])
    assert Stubborn.calls == [50, 80, 50, 80]
    pixels = np.zeros((20, 20, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "low.png")
    run([50])
    assert Stubborn.calls == [50, 80, 50, 80, 50]


def test_a_codec_tuned_for_a_metric_is_in_the_table_of_that_metric_only() -> None:
    columns = {"quality": [1], "bytes": [9], "psnr": [30.0], "ssimulacra2": [50.0]}
    record: dict[str, object] = {"rows": {"a.png": columns}, "tuned_for": "psnr"}
    assert has_metric(record, "psnr")
    assert not has_metric(record, "ssimulacra2")
    assert has_metric(record | {"tuned_for": None}, "ssimulacra2")
    assert has_metric({"rows": {"a.png": columns}}, "ssimulacra2")  # of before there were tuned ones


def test_a_codec_fails_on_one_picture_by_name(folder: Path, tmp_path: Path, in_this_process: None) -> None:
    record = rd.measure_codec(make("stubborn"), rd.dataset_of(str(folder)), tmp_path, ["psnr"])
    assert record["rows"]["low.png"]["quality"] == [50, 80]
    assert "the decoded picture is not the encoded one" in record["failures"]["low.png"]["7"]
    assert set(record["failures"]["tall.png"]) == {"7", "50", "80"}
    assert record["failures"]["tall.png"]["50"] == "CodecError: the picture is too high"
    assert common_images([record]) == []
    lines = trouble_lines({"absent": {"nix": "install it"}, "failures": {"stubborn": record["failures"]}})
    assert lines[0] == "absent: nix (install it)"
    assert any("failed: stubborn on tall.png" in line for line in lines)


def test_a_codec_that_dies_fails_its_own_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # fork, so that the processes know the codec of this file
    monkeypatch.setattr(rd, "get_context", lambda _: __import__("multiprocessing").get_context("fork"))
    monkeypatch.setattr(rd, "start_worker", _nothing)
    monkeypatch.setitem(codecs.PLAIN, "deadly", Deadly)
    measure.codec_of.cache_clear()
    paths = rd.dataset_of(str(folder)).paths
    tasks = [measure.Task("deadly", str(path), (50,), ("psnr",)) for path in paths]
    done = {Path(task.path).name: outcome for task, outcome in rd.run_tasks(tasks, 1)}
    assert len(done["low.png"].rows) == 1
    assert done["tall.png"].failures == {"50": "the codec's process died"}


def test_a_picture_that_cannot_be_read_fails_alone(folder: Path, tmp_path: Path, in_this_process: None) -> None:
    (folder / "aaa.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    arguments = ["rd", str(folder), "--codecs", "jpeg,webp", "--metrics", "psnr", "--page-images", "2"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "failed: webp on aaa.png: cannot be read: UnidentifiedImageError" in result.output
    summary = json.loads((out / "photos" / "summary.json").read_text())
    assert summary["images"] == 2
    assert summary["bd_rate"]["psnr"]["webp"]["bd_rate"] < 0
    page = (out / "photos" / "report.html").read_text()
    assert '"name":"low"' in page
    assert '"name":"tall"' in page
    # Mended, it is measured; the others are not measured again.
    Image.new("RGB", (90, 61), "gray").save(folder / "aaa.png")
    assert CliRunner().invoke(main, [*arguments, "--out", str(out)], catch_exceptions=False).exit_code == 0
    record = json.loads((out / "photos" / "webp.json").read_text())
    assert record["failures"] == {}
    assert len(record["rows"]["aaa.png"]["quality"]) == len(make("webp").qualities)


def test_a_folder_of_broken_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"no picture")
    result = CliRunner().invoke(main, ["rd", str(tmp_path / "photos"), "--codecs", "jpeg", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "a.png: cannot be read" in result.output
    assert not (tmp_path / "photos" / "summary.json").exists()


def test_a_metric_once_measured_is_kept_up(
    folder: Path, tmp_path: Path, in_this_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the plain command renews a codec whose weights have changed with all that is known of the others."""
    monkeypatch.setitem(measure.metrics.TITLES, "size", "The height of the picture")
    monkeypatch.setitem(measure.metrics.MODULES, "size", "numpy")
    true_measure = measure.metrics.measure
    monkeypatch.setattr(
        measure.metrics, "measure", lambda m, a, b: float(a.shape[0]) if m == "size" else true_measure(m, a, b)
    )
    dataset = rd.dataset_of(str(folder))
    rd.measure_codec(make("jpeg"), dataset, tmp_path, ["psnr", "size"], qualities=[50])
    monkeypatch.setattr(Jpeg, "version", lambda _: "another version")
    record = rd.measure_codec(make("jpeg"), dataset, tmp_path, ["psnr"], qualities=[50])
    assert record["version"] == "another version"
    assert record["rows"]["low.png"]["size"] == [50.0]


def test_two_jobs_give_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    dataset = rd.dataset_of(str(folder))
    rows = [
        rd.measure_codec(make("jpeg"), dataset, tmp_path / str(jobs), ["psnr"], jobs, qualities=[40])["rows"]
        for jobs in (1, 2)
    ]
    for name in ("low.png", "tall.png"):
        assert rows[0][name]["bytes"] == rows[1][name]["bytes"]
        assert rows[0][name]["psnr"] == rows[1][name]["psnr"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    """As at a keyboard: the signal reaches the command and its processes."""
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    for number in range(14):
        Image.fromarray(np.roll(noise, number, axis=0)).save(photos / f"{number:02}.png")
    arguments = [sys.executable, "-m", "bench", "rd", str(photos), "--codecs", "webp", "--metrics", "psnr"]
    options = ["--out", str(tmp_path / "out"), "--page-images", "0", "--jobs", "2"]
    path = tmp_path / "out" / "photos" / "webp.json"
    with running(
        [*arguments, *options], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as run:
        deadline = time.monotonic() + 120
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGINT)
        _, messages = run.communicate(timeout=60)
    assert run.returncode == 1
    assert b"the same command goes on" in messages
    assert b"Traceback" not in messages
    rows = json.loads(path.read_text())["rows"]
    done = {name: columns for name, columns in rows.items() if columns}
    assert 0 < len(done) < 14
    record = rd.measure_codec(make("webp"), rd.dataset_of(str(photos)), tmp_path / "out", ["psnr"])
    assert all(len(columns["quality"]) == len(make("webp").qualities) for columns in record["rows"].values())
    assert all(record["rows"][name] == columns for name, columns in done.items())  # times too: not measured again


def _nothing(_threads: int) -> None: ...


def test_the_command(folder: Path, tmp_path: Path, in_this_process: None) -> None:
    out = tmp_path / "out"
    arguments = ["rd", str(folder), "--codecs", "jpeg,webp,compressai:none-such", "--metrics", "psnr"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(out), "--page-images", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "absent: compressai:none-such" in result.output
    assert "| WebP (method 6) |" in result.output
    assert "mean of images" in result.output
    files = {path.name for path in (out / "photos").iterdir()}
    written = {"jpeg.json", "webp.json", "summary.json", "summary.md", "rd-psnr.png", "rd-psnr.svg", "report.html"}
    assert files == written
    summary = json.loads((out / "photos" / "summary.json").read_text())
    assert summary["images"] == 2
    assert summary["bd_rate"]["psnr"]["webp"]["method"] == "pchip"
    assert summary["absent"].keys() == {"compressai:none-such"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rd", "nowhere"], "nowhere: not a folder"),
        (["rd", "."], "no pictures in it"),
        (["rd", "PHOTOS", "--codecs", "gif"], "'gif' is not one of jpeg,"),
        (["rd", "PHOTOS", "--metrics", "vmaf"], "'vmaf' is not one of psnr,"),
    ],
)
def test_wrong_use(folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str) -> None:
    empty = folder.parent / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    result = CliRunner().invoke(main, [str(folder) if a == "PHOTOS" else a for a in arguments])
    assert result.exit_code != 0
    assert words in result.output


def test_every_command_explains_itself() -> None:
    for name in ("rd", "speed", "setup-compressai", "kodak"):
        result = CliRunner().invoke(main, [name, "--help"], catch_exceptions=False)
        assert result.exit_code == 0, result.output


def test_no_two_codecs_are_drawn_alike() -> None:
    """And the efforts of a model have its colour."""
    own = [f"vaecodec:{model}{effort}" for model in ("base", "base-perceptual", "fast") for effort in ("", "@6", "@9")]
    drawn = styles([*own, *(f"other-{number}" for number in range(15))])
    assert len({str(style) for style in drawn.values()}) == len(drawn) == 24
    assert drawn["vaecodec:base"]["color"] == drawn["vaecodec:base@9"]["color"] != drawn["vaecodec:fast"]["color"]
    assert drawn["vaecodec:base"]["linestyle"] == "-"
