"""Anomalies: what is learnt of normal images, thresholds, the file of a model, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load, save

from tests.conftest import Command
from vaecodec.codec import Codec
from vaecodec.errors import HashMismatch, InputError
from vaecodec.latents import anomalies
from vaecodec.latents.anomalies import (
    KEY,
    METHODS,
    AnomalyModel,
    Described,
    Fitting,
    Moments,
    fit,
    highest,
    read_model,
    threshold_of,
)

Pixels = NDArray[np.uint8]


def surface(seed: int, size: tuple[int, int] = (128, 128)) -> Pixels:
    """A grainy, striped surface, like that of another seed."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    stripes = 128 + 40 * np.sin((rows + rng.integers(99)) / 2.5) + 10 * np.sin((columns + rng.integers(99)) / 9)
    return np.clip(stripes[..., None] + rng.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8)


def damaged(seed: int) -> Pixels:
    """The same with a plain patch at rows 32 to 80, columns 48 to 96."""
    pixels = surface(seed).copy()
    pixels[32:80, 48:96] = (210, 40, 60)
    return pixels


@pytest.fixture(scope="module")
def module_codec() -> Codec:
    return Codec(Path(__file__).parent / "golden" / "tiny-v1.safetensors", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def model(module_codec: Codec) -> AnomalyModel:
    return fit([surface(seed) for seed in range(20)], module_codec)


@pytest.mark.parametrize("method", METHODS)
def test_a_patch_is_found_where_it_is(module_codec: Codec, method: str) -> None:
    fitted = fit([surface(seed) for seed in range(6)], module_codec, method=method)
    score = fitted.score(damaged(50), module_codec)
    assert score.map.shape == (8, 8)
    inside, outside = score.map[2:5, 3:6], np.delete(score.map, slice(2, 6), axis=0)
    if method != "error":  # a plain patch is easy to reconstruct
        assert inside.max() > outside.max()
        assert score.value > fitted.score(surface(50), module_codec).value


def test_normal_images_are_normal_and_others_are_not(model: AnomalyModel, module_codec: Codec) -> None:
    good = [model.score(surface(seed), module_codec) for seed in range(100, 110)]
    bad = [model.score(damaged(seed), module_codec) for seed in range(100, 104)]
    assert sum(score.is_anomalous for score in good) <= 2
    assert all(score.is_anomalous for score in bad)
    assert [score.chance for score in bad] == [pytest.approx(1 / 21)] * 4
    assert max(score.value for score in good) < min(score.value for score in bad)


def test_values_are_standardized_on_normal_positions(model: AnomalyModel, module_codec: Codec) -> None:
    values = np.concatenate([model.score(surface(seed), module_codec).map.ravel() for seed in range(200, 212)])
    assert abs(values.mean()) < 0.4
    assert 0.6 < values.std() < 1.6


def test_the_map_covers_the_pixels(model: AnomalyModel, module_codec: Codec) -> None:
    score = model.score(surface(3, (90, 61)), module_codec)
    assert score.map.shape == (6, 4)
    assert score.pixels().shape == (90, 61)
    assert score.size == (61, 90)


def test_a_file_scores_as_its_image(model: AnomalyModel, module_codec: Codec) -> None:
    data = module_codec.encode(damaged(7), 60, mode="neural")
    ours, theirs = model.score(data, module_codec), model.score(damaged(7), module_codec)
    assert ours.value == pytest.approx(theirs.value, rel=1e-3)
    lossless = module_codec.encode(damaged(7), lossless=True)
    assert model.score(lossless, module_codec).value == pytest.approx(theirs.value, rel=1e-3)


def test_what_was_made_otherwise_is_refused(model: AnomalyModel, module_codec: Codec) -> None:
    with pytest.raises(InputError, match=r"quality 90 .* quality 60"):
        model.score(module_codec.encode(surface(1), 90, mode="neural"), module_codec)
    with pytest.raises(HashMismatch, match="00000000"):
        replace(model, model_hash=bytes(4)).score(surface(1), module_codec)
    error = replace(model, method="error", gaussian=None)
    with pytest.raises(InputError, match="reconstruction"):
        error.score(module_codec.encode(surface(1), 60, mode="neural"), module_codec)
    files = [module_codec.encode(surface(1), quality, mode="neural") for quality in (30, 60)]
    with pytest.raises(InputError, match="quality 60"):
        fit(files, module_codec)


def test_latents_that_are_not_kept_are_read_again(module_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [surface(seed) for seed in range(4)]
    kept = fit(images, module_codec)
    monkeypatch.setattr(anomalies, "KEPT_BYTES", 0)
    assert fit(images, module_codec).threshold == pytest.approx(kept.threshold)


def test_distances_of_normal_rows_are_about_one() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(5000, 8)) @ rng.normal(size=(8, 8)) + 3).astype(np.float32)
    rows[:, 5] = 2  # a channel that never changes
    moments = Moments()
    for part in np.array_split(rows, 7):
        moments.add(part)
    gaussian = moments.gaussian()
    assert np.square(gaussian.distances(rows)).mean() == pytest.approx(7 / 8, abs=0.1)
    moved = rows[:1].copy()
    moved[0, 5] = 4
    assert 1 < gaussian.distances(moved)[0] < 1000


def test_the_gaussian_is_that_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
    whole = Moments()
    whole.add(rows)
    monkeypatch.setattr(anomalies, "CHUNK", 7)
    parts = Moments()
    parts.add(rows)
    assert parts.gaussian().distances(rows) == pytest.approx(whole.gaussian().distances(rows), rel=1e-5)


@pytest.mark.parametrize(("count", "rate", "rank"), [(19, 0.05, 19), (39, 0.05, 38), (24, 0.05, 24), (9, 0.5, 5)])
def test_the_threshold_is_the_rank_that_conformal_prediction_says(count: int, rate: float, rank: int) -> None:
    assert threshold_of(np.arange(1, count + 1, dtype=np.float32), rate) == rank


def test_of_normal_scores_no_more_than_the_rate_exceed_the_threshold() -> None:
    rng = np.random.default_rng(3)
    draws = np.sort(rng.exponential(size=(4000, 24)).astype(np.float32), axis=1)
    new = rng.exponential(size=4000)
    exceeding = np.mean([value > threshold_of(row, 0.08) for row, value in zip(draws, new, strict=True)])
    assert 0.06 < exceeding < 0.095


@pytest.mark.parametrize("count", [9, 39])
def test_whole_fits_keep_the_rate_that_they_state(count: int) -> None:
    """Few positions for many channels: a Gaussian knows its own images far better than others."""
    rng, rate, exceeding = np.random.default_rng(count), 0.1, []
    for _ in range(60):
        mixing = rng.standard_normal((24, 24))
        fitting = Fitting("distance", 40, rate)
        for number in range(count):
            image = _drawn(rng, mixing)
            fitting.add(number, lambda image=image: image)  # type: ignore[misc]
        for number in range(count):
            fitting.hold_back(number)
        model = fitting.model()
        exceeding += [model.score_of(_drawn(rng, mixing)).is_anomalous for _ in range(20)]
    assert 0.2 * rate < np.mean(exceeding) < 1.3 * rate


def _drawn(rng: np.random.Generator, mixing: NDArray[np.float64]) -> Described:
    """An image of 9 positions, brighter or darker than others."""
    rows = (rng.uniform(0.5, 2) * rng.standard_normal((9, 24)) @ mixing).astype(np.float32)
    return Described((48, 48), b"abcd", 40, rows, np.zeros((3, 3), np.float32))


def test_an_image_scores_as_its_highest_positions() -> None:
    assert highest(np.arange(100.0).reshape(10, 10)) == pytest.approx(98)
    assert highest(np.array([[4.0]])) == 4


def test_rates_that_so_few_images_cannot_state_are_refused(module_codec: Codec) -> None:
    images = [surface(seed) for seed in range(3)]
    assert fit(images, module_codec).false_alarms == pytest.approx(0.25)
    assert fit(images, module_codec, false_alarms=0.3).false_alarms == 0.3
    with pytest.raises(InputError, match=r"with 3 normal images it must be at least 0.25"):
        fit(images, module_codec, false_alarms=0.05)
    with pytest.raises(InputError, match="at least 2 are needed"):
        fit(images[:1], module_codec)
    for rate in (0, 0.6, float("nan")):
        with pytest.raises(InputError, match="false_alarms is"):
            fit(images, module_codec, false_alarms=rate)
    with pytest.raises(InputError, match="method is 'best'"):
        fit(images, module_codec, method="best")


def test_images_of_one_colour_have_scores_that_are_numbers(module_codec: Codec) -> None:
    plain = fit([np.full((64, 64, 3), 128, np.uint8)] * 3, module_codec)
    assert np.isfinite(plain.score(damaged(1), module_codec).map).all()


def test_a_normal_image_that_another_fold_holds_alone() -> None:
    fitting = Fitting("bits", 38, None)
    for number in (0, 10):  # of 0..10 the others could not be read
        described = Described((16, 16), b"abcd", 38, np.empty((1, 0), np.float32), np.full((1, 1), number, np.float32))
        fitting.add(number, lambda described=described: described)  # type: ignore[misc]
        fitting.hold_back(number) if number else None
    fitting.hold_back(0)
    assert len(fitting.model().normal) == 2


# The file


def test_a_model_comes_back_from_its_file(model: AnomalyModel, module_codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "part.anomaly"
    path.write_bytes(model.to_bytes())
    read = read_model(path)
    ours, theirs = model.score(damaged(1), module_codec), read.score(damaged(1), module_codec)
    assert np.array_equal(ours.map, theirs.map)
    assert (ours.value, ours.threshold, ours.chance) == (theirs.value, theirs.threshold, theirs.chance)


CHANGES = {
    "format": 2,
    "method": "error",
    "model_hash": "zz",
    "level": 64,
    "slope": None,
    "centre": 1e300,
    "scale": 0,
    "false_alarms": 1e-6,
}


@pytest.mark.parametrize("name", CHANGES)
def test_impossible_facts_are_refused(model: AnomalyModel, tmp_path: Path, name: str) -> None:
    data = model.to_bytes()
    facts = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][KEY])
    path = tmp_path / "part.anomaly"
    path.write_bytes(save(load(data), metadata={KEY: json.dumps(facts | {name: CHANGES[name]})}))
    with pytest.raises(InputError, match=r"part.anomaly is no anomaly model of version 1"):
        read_model(path)


def test_impossible_tensors_are_refused(model: AnomalyModel, tmp_path: Path) -> None:
    data = model.to_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    good, path = load(data), tmp_path / "part.anomaly"
    changes: dict[str, dict[str, NDArray[np.generic]]] = {
        "not a number": {"mean": np.full_like(good["mean"], np.nan)},
        "shape": {"whitening": good["whitening"][:-1]},
        "type": {"normal": good["normal"].astype(np.float64)},
        "scalar": {"mean": np.ones((), np.float32)},
        "empty": {"normal": good["normal"][:0]},
        "order": {"normal": good["normal"][::-1].copy()},
        "more": {"other": good["mean"]},
    }
    for change in changes.values():
        path.write_bytes(save({**good, **change}, metadata=metadata))  # type: ignore[arg-type]
        with pytest.raises(InputError, match="is no anomaly model"):
            read_model(path)


def test_damaged_files_are_refused(model: AnomalyModel, tmp_path: Path) -> None:
    data, path, rng = model.to_bytes(), tmp_path / "part.anomaly", np.random.default_rng(0)
    contents = [b"", b"text", data[:100], data[:-1], b"\xff" * 8 + data[8:], data + b"x", bytes(10**6)]
    contents += [b"\x02\0\0\0\0\0\0\0[]", save({"normal": np.zeros(2, np.float32)}), b"[" * 100_000]
    for _ in range(150):
        changed = bytearray(data)
        changed[int(rng.integers(600))] = int(rng.integers(256))
        contents.append(bytes(changed))
    refused = 0
    for content in contents:
        path.write_bytes(content)
        try:
            read_model(path)
        except InputError:
            refused += 1
    assert refused > 100
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "absent")


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalies, "MOST_BYTES", 1000)
    (tmp_path / "large").write_bytes(bytes(1002))
    with pytest.raises(InputError, match="more than 1000 bytes"):
        read_model(tmp_path / "large")


# The command


@pytest.fixture
def folders(tmp_path: Path, tiny_model: Path) -> list[str]:
    """Normal images and others, a damaged file in each; the option that names the codec's weights."""
    for name in ("good", "new"):
        (tmp_path / name).mkdir()
    for seed in range(5):
        Image.fromarray(surface(seed)).save(tmp_path / "good" / f"{seed}.png")
    (tmp_path / "good" / "broken.png").write_bytes(b"no image")
    Image.fromarray(surface(30)).save(tmp_path / "new" / "fine.png")
    Image.fromarray(damaged(31)).save(tmp_path / "new" / "<b>bad.png")
    (tmp_path / "new" / "broken.vaec").write_bytes(b"\x8fVAC")
    return ["--weights", str(tiny_model)]


def test_fit_and_score(command: Command, folders: list[str], tmp_path: Path) -> None:
    done = command("anomaly", "fit", "good", "-o", "part.anomaly", *folders)
    assert done.code == 4
    assert "broken.png: not an image" in done.err
    assert "5 normal images" in done.out
    assert "16.7 % at most" in done.out
    scored = command("anomaly", "score", "new", "--model", "part.anomaly", "--html", "page.html", *folders)
    assert scored.code == 3
    assert "1 of 2 images anomalous" in scored.out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("&lt;b&gt;bad.png") < page.index("fine.png")
    assert page.count("<li>") == 2
    assert "<b>bad" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_scores_as_json(command: Command, folders: list[str], tmp_path: Path) -> None:
    fitted = command("anomaly", "fit", "good", "-o", "part.anomaly", "--exclude", "broken*", "--json", *folders)
    assert fitted.code == 0
    assert json.loads(fitted.out)["page"]["images"] == 5
    done = command("anomaly", "score", "new", "--model", "part.anomaly", "--json", *folders)
    document = json.loads(done.out)
    by_name = {Path(record["source"]).name: record for record in document["files"]}
    assert by_name["<b>bad.png"]["anomalous"]
    assert by_name["<b>bad.png"]["score"] > by_name["<b>bad.png"]["threshold"]
    assert not by_name["fine.png"]["anomalous"]
    assert [failed["error"]["exit_code"] for failed in document["failed"]] == [3]


def test_nothing_is_replaced_and_nothing_is_left_half(command: Command, folders: list[str], tmp_path: Path) -> None:
    (tmp_path / "part.anomaly").write_bytes(b"mine")
    assert command("anomaly", "fit", "good", "-o", "part.anomaly", *folders).code == 6
    assert (tmp_path / "part.anomaly").read_bytes() == b"mine"
    done = command("anomaly", "fit", "good/1.png", "-o", "one.anomaly", *folders)
    assert done.code == 4
    assert "at least 2 are needed" in done.err
    assert not (tmp_path / "one.anomaly").exists()
    assert command("anomaly", "score", "new", "--model", "part.anomaly", *folders).code == 4
    assert command("anomaly", "score", "new", "--model", "absent", *folders).code == 5


def test_options_of_the_other_action_are_refused(command: Command, folders: list[str]) -> None:
    assert command("anomaly", "fit", "good").code == 2
    assert command("anomaly", "score", "good").code == 2
    assert "--html is not for fit" in command("anomaly", "fit", "good", "-o", "x", "--html", "y").err
    assert "-o is not for score" in command("anomaly", "score", "good", "--model", "x", "-o", "y").err
    assert command("anomaly", "guess", "good").code == 2


def test_one_image_is_counted_as_one_and_may_be_named_twice(command: Command, folders: list[str]) -> None:
    done = command("anomaly", "fit", "good/0.png", "-o", "one.anomaly", *folders)
    assert (done.code, "1 normal images; at least 2 are needed" in done.err) == (4, True)
    assert command("anomaly", "fit", "good", "-o", "a.anomaly", *folders).code == 4  # a damaged one is among them
    done = command("anomaly", "score", "new", "new/fine.png", "--model", "a.anomaly", "--html", "a.html", *folders)
    assert Path("a.html").exists(), done
