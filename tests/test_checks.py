"""The commands that show what files promise: damage, roundtrip, determinism; small, with the tiny model."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from checks import damage, determinism, roundtrip
from checks.mutations import KINDS, SEED, Raw, _edit_table, make_case
from vaecodec.codec import Codec

TINY = str(Path(__file__).parent / "golden" / "tiny-v1.safetensors")
CASES = 400


@pytest.fixture(scope="module")
def ready() -> damage.Target:
    return damage.target(TINY)


@pytest.fixture(scope="module")
def pictures() -> list[tuple[str, NDArray[np.uint8]]]:
    with Image.open(Path(__file__).parents[1] / "samples" / "osprey.jpg") as opened:
        photo = opened.convert("RGB").resize((350, 197), Image.Resampling.LANCZOS)
    return [("whole", np.asarray(photo)), ("part", np.asarray(photo.crop((0, 0, 100, 100))))]


# Damage


def test_damaged_files_end_well(ready: damage.Target) -> None:
    """Each in an image or an error of the right kind, within time and memory."""
    outcomes = damage.run_chunk(TINY, range(CASES), SEED)
    assert [outcome for outcome in outcomes if outcome.fault] == []
    assert {outcome.kind for outcome in outcomes} == set(KINDS)
    assert {"image", "CorruptStream", "ChecksumMismatch", "Truncated"} <= {outcome.result for outcome in outcomes}


def test_cases_are_reproducible(ready: damage.Target) -> None:
    for number in (0, 17, 399):
        assert make_case(number, ready.files) == make_case(number, ready.files)
    assert make_case(3, ready.files, seed=1).data != make_case(3, ready.files, seed=2).data


def test_an_edited_table_can_be_edited_again(ready: damage.Target) -> None:
    """Its rows may by then be more than the contents: no generator of cases may stop a long run."""
    raw = Raw.of(ready.files[0])
    more = replace(raw, rows=raw.rows * 3)
    for seed in range(50):
        edited = _edit_table(np.random.default_rng(seed), more)
        assert set(edited.contents) <= set(raw.contents)


def test_files_taken_apart_and_put_together_are_the_same(ready: damage.Target) -> None:
    for data in ready.files:
        raw = Raw.of(data)
        assert raw.pack() == data
        assert raw.with_content(0, raw.contents[0]).pack() == data


def test_findings_are_findings(ready: damage.Target) -> None:
    """What would be a fault is called one."""
    case = replace(make_case(0, ready.files), kind="flip", base=0, data=ready.files[0])
    broken = replace(ready, codec=_Odd())  # type: ignore[arg-type]
    assert damage.run_case(broken, case).fault == "RuntimeError: no"
    changed = replace(case, data=ready.files[0] + b"\0")
    assert damage._fault(ready, changed, "image", 0.0, 0) == "the damage went unnoticed"
    assert damage._fault(ready, case, "image", 3.0, 0) == "3.0 s more than the good file"
    assert damage._fault(ready, case, "image", 0.0, 600 << 20) == "600 MiB more than the good file"
    assert damage._fault(ready, case, "UnknownModel", 0.0, 0).startswith("UnknownModel though")


class _Odd:
    """A codec with a bug."""

    def decode(self, _data: bytes) -> None:
        message = "no"
        raise RuntimeError(message)


def _attack(data: bytes) -> tuple[str, float, int]:
    return damage.attack(Codec(TINY, device="cpu"), data)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the /proc of Linux")
def test_memory_is_measured(ready: damage.Target) -> None:
    # In a new process: here the image may lie in memory that other tests have freed, and then nothing rises.
    data = ready.codec.encode(np.zeros((3600, 3600, 3), np.uint8), mode="neural")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        result, seconds, memory = pool.submit(_attack, data).result(timeout=300)
    assert result == "image"
    assert seconds > 0
    assert memory > 36_000_000


# Round trips


def test_round_trip_of_every_quality(pictures: list[tuple[str, NDArray[np.uint8]]]) -> None:
    codec, model = Codec(TINY, device="cpu"), roundtrip.stored_model(TINY)
    rows = [roundtrip.measure(codec, model, name, img, quality) for name, img in pictures for quality in (1.0, 100.0)]
    for row in rows:
        assert row.size_right
        assert row.latents_equal
        assert abs(row.psnr - row.psnr_expected) <= 0.02
        assert row.overhead <= 32
        # The promise is for photographs: a last word weighs more here.
        assert 8 * row.rans <= row.information * 1.005 + 48
    assert len(roundtrip.table(rows)) == 4


def test_broken_promises_are_named(pictures: list[tuple[str, NDArray[np.uint8]]]) -> None:
    good = roundtrip.measure(Codec(TINY, device="cpu"), roundtrip.stored_model(TINY), "part", pictures[1][1], 50.0)
    bad = replace(good, size_right=False, latents_equal=False, psnr=good.psnr - 0.1, excess=0.006, overhead=33)
    assert bad.faults() == [
        "decoded size is wrong",
        "latents differ",
        f"PSNR {bad.psnr:.3f} dB, expected {bad.psnr_expected:.3f}",
        "payload +0.60% over the ideal",
        "overhead 33 bytes",
    ]
    record = roundtrip.as_record([bad], "tiny", "here")
    assert record["passed"] is False
    assert list(record["faults"]) == ["part at 50"]


def test_round_trip_command(tmp_path: Path, pictures: list[tuple[str, NDArray[np.uint8]]]) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(pictures[0][1]).save(folder / "a.png")
    options = [str(folder), "--model", TINY, "--quality", "90", "--out", str(tmp_path)]
    result = CliRunner().invoke(roundtrip.main, options)
    record = json.loads((tmp_path / "photos" / "roundtrip-tiny-v1.json").read_text(encoding="utf-8"))
    assert result.exit_code == (0 if record["passed"] else 1)
    assert record["rows"]["latents_equal"] == [True]
    assert "1 round trips" in result.output


# Determinism


def test_determinism(pictures: list[tuple[str, NDArray[np.uint8]]], tmp_path: Path) -> None:
    """Every variant, in this process; the fresh process is tested with the codec."""
    codec = Codec(TINY, device="cpu", dtype="float32")
    files = determinism.make_files(codec, pictures, (60.0,))
    results = [determinism.run_variant(variant, TINY, files) for variant in determinism.variants()]
    results.append(determinism.run_references(TINY, codec, pictures[1:], (60.0,)))
    assert [result.variant for result in results if not result.passed] == []
    assert all(result.files == len(files) for result in results[:-1])
    determinism.decode_folder(_saved(files, tmp_path), TINY)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npz", ".npz", ".vaec", ".vaec"]
    assert len(determinism.table(results)) == len(results) + 2


def _saved(files: list[determinism.File], folder: Path) -> Path:
    for number, file in enumerate(files):
        (folder / f"{number}.vaec").write_bytes(file.data)
    return folder


def test_differences_are_failures() -> None:
    result = determinism.Result("x", one_level=True, files=2, latents_equal=2, largest_difference=1)
    assert result.passed
    assert not replace(result, latents_equal=1).passed
    assert not replace(result, largest_difference=2).passed
    assert replace(result, one_level=False, largest_difference=2).passed
