"""The speed run, on a small picture and two quick codecs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("matplotlib", reason="the benchmark needs the extra bench")

from bench import openmp, records
from bench.__main__ import main
from bench.codecs import Codec, CodecError, make
from bench.measure import check_decoded
from bench.speed import command as speed
from bench.speed import workers
from bench.training.untrained import main as untrained
from bench.training.untrained import sample_crops
from vaecodec.codec import Codec as Model

Pixels = NDArray[np.uint8]


@pytest.fixture
def large(photo: Pixels) -> Pixels:
    return np.ascontiguousarray(np.tile(photo, (3, 3, 1)))


def test_the_quality_is_the_one_nearest_to_the_rate(large: Pixels) -> None:
    codec = make("jpeg")
    timing = speed.prepare(codec, large, 1.5)
    target = 1.5 * large.shape[0] * large.shape[1] / 8
    errors = {quality: abs(len(codec.encode(large, quality)) - target) for quality in codec.qualities}
    assert errors[timing.quality] == min(errors.values())
    assert timing.size == len(codec.encode(large, timing.quality))


def test_every_codec_takes_part_in_every_round(large: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, str]] = []
    true_run = workers.Worker.run

    def noted(worker: workers.Worker, work: Callable[..., object], *arguments: object) -> object:
        order.append((worker.codec.name, work.__name__))
        return true_run(worker, work, *arguments)

    monkeypatch.setattr(workers.Worker, "run", noted)
    entries, failed = speed.measure([make("jpeg"), make("webp")], large, 3, 1.0)
    rounds = [name for name, work in order if work == "once"]
    assert rounds == ["jpeg", "webp"] * 3  # interleaved
    assert failed == {}
    for entry in entries.values():
        times = entry["encode_s_per_mp"]
        assert 0 < times["min"] <= times["median"] <= times["max"]


def test_a_codec_that_fails_drops_out_by_name(large: Pixels) -> None:
    entries, failed = speed.measure([make("jpeg"), make("vaecodec:no-such-model")], large, 1, 1.0)
    assert entries.keys() == {"jpeg"}
    assert failed.keys() == {"vaecodec:no-such-model"}
    assert "no-such-model" in failed["vaecodec:no-such-model"]


def test_peak_memory_is_what_the_picture_costs() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1500, 2000, 3), np.uint8)
    with closing(workers.Worker(make("jpeg"))) as fresh:
        peak = fresh.run(speed.peak_memory, noise, 50)
    assert 3000 * 2000 / 2**20 < peak < 300  # at least the decoded picture


def thread_places(codec: Codec) -> tuple[int, list[set[int]]]:
    """Torch's number of threads, and where each thread of this process may run after work for all of them."""
    import torch

    assert codec.threads == 2
    (torch.ones(2000, 2000) @ torch.ones(2000, 2000)).add(1).sum()
    return torch.get_num_threads(), [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")]


def environment_of(_codec: Codec) -> dict[str, str]:
    return dict(os.environ)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not bind threads")
@pytest.mark.skipif(openmp.cores() < 2, reason="needs two cores")
def test_two_threads_have_two_cores() -> None:
    with closing(workers.Worker(make("vaecodec:base", 2))) as worker:
        count, places = worker.run(thread_places)
    assert count == 2
    bound = [place for place in places if len(place) == 1]
    assert len(set.union(*bound)) == 2  # the two stay apart


def test_only_openmp_codecs_are_bound() -> None:
    before = dict(os.environ)
    with closing(workers.Worker(make("avif", 2))) as worker:
        assert "OMP_PROC_BIND" not in worker.run(environment_of)
    with closing(workers.Worker(make("vaecodec:base", 1))) as worker:
        variables = worker.run(environment_of)
        assert variables["OMP_NUM_THREADS"] == "1"
        assert "OMP_PROC_BIND" not in variables  # one thread is free to leave a busy core
    assert openmp.variables(2)["OMP_PROC_BIND"] == "true"
    assert dict(os.environ) == before


def test_bound_processes_are_not_crowded_onto_one_core() -> None:
    """What a parent that was bound itself, or started with taskset, would do to its children."""
    with (
        closing(workers.Worker(make("vaecodec:base", openmp.cores() + 1))) as worker,
        pytest.raises(CodecError, match=rf"{openmp.cores() + 1} threads on {openmp.cores()} core"),
    ):
        worker.run(environment_of)
    result = CliRunner().invoke(main, ["speed", __file__, "--threads", str(openmp.cores() + 1)])
    assert result.exit_code == 2
    assert "this process may use no more" in result.output


def test_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    result = CliRunner().invoke(main, ["speed", str(tmp_path / "broken.png")])
    assert result.exit_code == 1
    assert "broken.png" in result.output
    assert isinstance(result.exception, SystemExit)  # words, no traceback


def test_compressai_is_started_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = make("compressai:bmshj2018-factorized", 2)
    if not codec.installed():  # type: ignore[attr-defined]
        pytest.skip("CompressAI is not installed (python -m bench setup-compressai)")
    seen: list[dict[str, str]] = []
    true_popen = subprocess.Popen

    def noted(*arguments: object, env: dict[str, str], **named: object) -> object:
        seen.append(env)
        return true_popen(*arguments, env=env, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", noted)
    with closing(codec):
        if openmp.cores() < 2:
            with pytest.raises(CodecError, match=r"2 threads on 1 core"):
                codec.version()
        else:
            codec.version()
    assert openmp.variables(2).items() <= seen[0].items()


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
    assert record["openmp"] == openmp.variables(1)
    assert "Every codec in a process of its own" in result.output
    assert (tmp_path / "rd-time.png").stat().st_size > 1000
    assert (tmp_path / "rd-time.svg").exists()


def test_an_untrained_model_codes(tmp_path: Path) -> None:
    """Large files and few decibels, but whole pictures: enough to measure the time of its networks."""
    path = tmp_path / "tiny.safetensors"
    result = CliRunner().invoke(untrained, ["tiny", str(path)])
    assert result.exit_code == 0, result.output
    picture = next(sample_crops()).permute(1, 2, 0).numpy()
    model = Model(path, device="cpu")
    check_decoded(picture, model.decode(model.encode(picture, mode="neural"), as_array=True))
