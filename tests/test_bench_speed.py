"""The speed run, on a small picture and two quick codecs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("matplotlib", reason="the benchmark needs the extra bench")

from bench import records, speed
from bench.__main__ import main
from bench.codecs import make

Pixels = NDArray[np.uint8]


@pytest.fixture
def large(photo: Pixels) -> Pixels:
    return np.ascontiguousarray(np.tile(photo, (3, 3, 1)))


def test_the_quality_is_the_one_nearest_to_the_rate(large: Pixels) -> None:
    codec = make("jpeg")
    timing = speed.prepare(codec, large, 1.5)
    wanted = 1.5 * large.shape[0] * large.shape[1] / 8
    errors = {quality: abs(len(codec.encode(large, quality)) - wanted) for quality in codec.qualities}
    assert errors[timing.quality] == min(errors.values())
    assert timing.size == len(codec.encode(large, timing.quality))


def test_every_codec_takes_part_in_every_round(large: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    true_once = speed.once

    def noted(codec: speed.Codec, img: Pixels, quality: float) -> tuple[bytes, float, float]:
        order.append(codec.name)
        return true_once(codec, img, quality)

    monkeypatch.setattr(speed, "once", noted)
    monkeypatch.setattr(speed, "peak_memory", lambda *_: 1.0)
    monkeypatch.setattr(speed, "ProcessPoolExecutor", _Here)
    entries, failed = speed.measure([make("jpeg"), make("webp")], large, 3, 1.0, 1)
    assert order[-6:] == ["jpeg", "webp"] * 3  # interleaved
    assert failed == {}
    for entry in entries.values():
        times = entry["encode_s_per_mp"]
        assert 0 < times["min"] <= times["median"] <= times["max"]


class _Here:
    """Stands for a pool of processes: runs the work at once."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: object, *arguments: object) -> _Here:
        assert callable(work)
        self.value = work(*arguments)
        return self

    def result(self) -> object:
        return self.value


def test_peak_memory_is_what_the_picture_costs() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1500, 2000, 3), np.uint8)
    found = speed.peak_memory("jpeg", 1, noise, 50)
    assert 3000 * 2000 / 2**20 < found < 300  # at least the decoded picture


def test_the_command(large: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "process_times", lambda *_: {"a process": {"median": 0.5, "min": 0.4, "max": 0.6}})
    monkeypatch.setenv("COMPRESSAI_ENV", str(tmp_path / "none"))
    Image.fromarray(large).save(tmp_path / "photo.png")
    records.save(
        tmp_path / "kodak" / "summary.json", {"bd_rate": {"psnr": {"webp": {"title": "WebP", "bd_rate": -30.0}}}}
    )
    arguments = ["speed", str(tmp_path / "photo.png"), "--codecs", "jpeg,webp,compressai:mbt2018-mean", "--rounds", "1"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "absent: compressai:mbt2018-mean" in result.output
    assert "1 thread(s), median of 1 interleaved rounds" in result.output
    record = json.loads((tmp_path / "speed.json").read_text())
    assert record["codecs"].keys() == {"jpeg", "webp"}
    assert record["codecs"]["webp"]["peak_memory_mib"] >= 0
    assert record["made"]["machine"]["cores"]
    assert (tmp_path / "rd-time.png").stat().st_size > 1000
    assert (tmp_path / "rd-time.svg").exists()
