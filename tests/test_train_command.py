"""`vaecodec train`, `pack` and `export`: runs that stop, resume, start from others, and end in a model that codes."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import vaecodec
from vaecodec.cli.exits import Exit
from vaecodec.cli.program import cli
from vaecodec.errors import InputError, WeightsError
from vaecodec.levels import LEVELS, MAX_LEVEL
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.network import CodecNetwork
from vaecodec.training import curves, distributed, evaluate, log, runner, shards
from vaecodec.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from vaecodec.training.crops import Sampler, gather_crops, slice_crops
from vaecodec.training.data import find_images, load_corpus, mix
from vaecodec.training.evaluate import Point, bd_rate, jpeg_points
from vaecodec.training.export import INTEGER_PREFIXES, export_layers
from vaecodec.training.export_run import MODEL_IDS, model_name, ship
from vaecodec.training.loop import Trainer
from vaecodec.training.runner import Clock
from vaecodec.training.snapshot import TrainedWeights, read_weights, write_snapshot
from vaecodec.weights.store import read_model, tensor_hash

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
SMALL = ("--config", "tiny", "--crop", "64", "--batch", "2", "--device", "cpu")
STEPS = 6


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def train(out: Path, photos: Path, *options: object) -> Result:
    return run("train", photos, "--out", out, *options)


def losses(out: Path) -> list[tuple[int, float]]:
    return [(entry["step"], entry["loss"]) for entry in log.read(out) if "loss" in entry]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small photographs, in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for name, source in (("a.png", "osprey.jpg"), ("more/b.png", "spices.jpg"), ("c.png", "city-sunset.jpg")):
        with Image.open(SAMPLES / source) as image:
            image.convert("RGB").resize((288, 272)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of STEPS steps that nothing interrupted."""
    out = tmp_path_factory.mktemp("run")
    result = train(out, photos, *SMALL, "--steps", STEPS, "--checkpoint-every", 100)
    assert result.exit_code == 0, result.output
    return out


def test_train_on_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "HELDOUT_SIDE", 128)
    result = train(
        tmp_path / "run", SAMPLES, *SMALL, "--steps", 20, "--heldout", SAMPLES, "--eval-every", 10, "--seed", 3
    )
    assert result.exit_code == 0, result.output
    assert [step for step, _ in losses(tmp_path / "run")] == list(range(1, 21))
    first, *evaluations = [entry for entry in log.read(tmp_path / "run") if "loss" not in entry]
    assert first["settings"]["seed"] == 3
    assert [entry["step"] for entry in evaluations] == [10, 20]
    assert [point["level"] for point in evaluations[0]["heldout"]] == list(evaluate.EVAL_LEVELS)
    assert "step 20: " in result.stderr
    state = load_checkpoint(tmp_path / "run")
    assert state["step"] == state["history"][-1]["last_step"] == 20
    if importlib.util.find_spec("matplotlib") is not None:
        with Image.open(tmp_path / "run" / curves.CURVES) as picture:
            assert picture.format == "PNG"


def test_without_matplotlib_it_says_so(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "can_draw", lambda: False)
    result = train(tmp_path / "run", photos, *SMALL, "--steps", 1)
    assert result.exit_code == 0
    assert 'pip install "vaecodec[train]"' in result.stderr
    assert not (tmp_path / "run" / curves.CURVES).exists()


def after(step: int, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do `act` when `step` steps are launched."""
    launch = Trainer.launch

    def launch_and_act(self: Trainer) -> None:
        launch(self)
        if self.steps_done == step:
            act()

    monkeypatch.setattr(Trainer, "launch", launch_and_act)


def test_a_killed_run_goes_on_as_if_nothing_had_been(
    photos: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        after(5, die, patch)
        with pytest.raises(Killed):
            CliRunner().invoke(
                cli,
                ["train", str(photos), "--out", str(out), *SMALL, "--steps", str(STEPS), "--checkpoint-every", "3"],
                catch_exceptions=False,
            )
    assert load_checkpoint(out)["step"] == 3
    assert len(losses(out)) == 4
    with (out / log.LOG).open("a") as file:
        file.write('{"step": 5, "lo')  # a line cut off in the middle
    result = train(out, photos, "--resume")
    assert result.exit_code == 0, result.output
    assert losses(out) == losses(finished)
    assert equal(load_checkpoint(out)["ema"], load_checkpoint(finished)["ema"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGINT, Exit.INTERRUPTED)])
def test_signals_end_a_run_with_a_checkpoint(
    number: signal.Signals, code: Exit, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(number)
    after(2, lambda: os.kill(os.getpid(), number), monkeypatch)
    result = train(tmp_path, photos, *SMALL, "--steps", 1000)
    assert result.exit_code == code
    assert "2 steps done; --resume goes on" in result.stderr
    assert load_checkpoint(tmp_path)["step"] == 2
    assert signal.getsignal(number) is before


def test_a_diverging_run_ends_with_a_reason(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Trainer) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((2, 3, 64, 64), torch.nan), torch.zeros(2)

    monkeypatch.setattr(Trainer, "_sample", broken)
    result = train(tmp_path, photos, *SMALL, "--steps", 100, "--fp32")
    assert result.exit_code == Exit.SEVERAL
    assert "lower the learning rates" in result.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--config", "huge"), "one of tiny, fast, base, large"),
        (("--crop", "100"), "a positive multiple of 64"),
        (("--muon-lr", "0"), "above 0"),
        (("--resume", "--init", str(SAMPLES)), "cannot be combined"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], complaint: str, photos: Path, tmp_path: Path) -> None:
    result = train(tmp_path, photos, *options)
    assert result.exit_code == Exit.USAGE
    assert complaint in result.stderr


def test_a_finished_run_is_not_overwritten(photos: Path, finished: Path) -> None:
    before = (finished / CHECKPOINT).read_bytes()
    result = train(finished, photos, *SMALL)
    assert result.exit_code == Exit.USAGE
    assert "--resume goes on with it" in result.stderr
    assert (finished / CHECKPOINT).read_bytes() == before


def test_resuming_needs_a_run_of_this_version(photos: Path, finished: Path, tmp_path: Path) -> None:
    assert train(tmp_path / "none", photos, "--resume").exit_code == Exit.WEIGHTS
    state = load_checkpoint(finished)
    state["settings"]["flux"] = 3
    save_checkpoint(tmp_path, state)
    result = train(tmp_path, photos, "--resume")
    assert result.exit_code == Exit.WEIGHTS
    assert "flux" in result.stderr


@pytest.fixture(scope="module")
def exported(photos: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("model") / "mine.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "HELDOUT_IMAGES", 2)
        patch.setattr(evaluate, "EVAL_LEVELS", (0, 63))
        result = run("export", finished, photos, "-o", model, "--crops", 8, "--heldout", photos)
    assert result.exit_code == 0, result.output
    assert "level 63" in result.stderr
    assert "previews against exact ones (3 crops of photographs, held out): level 0 " in result.stderr
    return model


def test_the_exported_model_codes_pictures(exported: Path, photos: Path, tmp_path: Path) -> None:
    codec = vaecodec.Codec(model=exported, device="cpu")
    with Image.open(photos / "a.png") as image:
        data = codec.encode(image, quality=50, mode="neural")
        decoded = codec.decode(data)
        assert decoded.size == image.size
    assert run("compress", photos / "a.png", "-o", tmp_path / "a.vaec", "--model", exported).exit_code == 0


def test_the_model_card_says_how_it_was_made(exported: Path, finished: Path) -> None:
    card = read_model(exported).card
    state = load_checkpoint(finished)
    assert card["steps"] == STEPS
    assert state["corpus"] in card["data"]
    assert card["settings"] == state["settings"]
    assert card["history"][0]["last_step"] == STEPS
    assert [point["level"] for point in card["heldout"]["points"]] == [0, 63]
    assert card["heldout"]["points"][0]["bpp"] < card["heldout"]["points"][1]["bpp"]


def test_the_exported_model_has_a_preview_head(exported: Path, finished: Path, photos: Path, tmp_path: Path) -> None:
    """The same one every time; the tables are those of an export without it, and so is the hash."""
    stored = read_model(exported)
    assert stored.tensors["preview.weight"].shape == (12, CONFIGS["tiny"].M, 3, 3)
    assert [point["level"] for point in stored.card["preview"]["points"]] == [0, 20, 40, 63]
    assert min(point["psnr"] for point in stored.card["preview"]["points"]) > 30
    assert "held out" in stored.card["preview"]["images"]
    again = run("export", finished, photos, "-o", tmp_path / "again.safetensors", "--crops", 8)
    assert again.exit_code == 0, again.output
    assert "previews against exact ones (8 crops of photographs, of the training)" in again.stderr
    second = read_model(tmp_path / "again.safetensors")
    assert second.sha256 == stored.sha256
    np.testing.assert_array_equal(second.tensors["preview.weight"], stored.tensors["preview.weight"])
    without = {name: array for name, array in stored.tensors.items() if not name.startswith("preview.")}
    assert tensor_hash(without) == stored.sha256


def test_export_replaces_nothing_unasked(exported: Path, finished: Path, photos: Path) -> None:
    assert run("export", finished, photos, "-o", exported).exit_code == Exit.EXISTS
    assert run("export", finished, photos, "-o", exported.with_suffix(".bin")).exit_code == Exit.USAGE


def test_export_refuses_an_integer_path_out_of_bounds(finished: Path, photos: Path, tmp_path: Path) -> None:
    state = load_checkpoint(finished)
    state["ema"]["h_scale.layers.1.bias.anchors"].fill_(2.0**19 - 0.5)
    save_checkpoint(tmp_path, state)
    result = run("export", tmp_path, photos, "-o", tmp_path / "bad.safetensors", "--crops", 1)
    assert result.exit_code == Exit.WEIGHTS
    assert "it must stay under 2147483648" in result.stderr
    assert not (tmp_path / "bad.safetensors").exists()


def test_weights_come_back_from_every_form(finished: Path, exported: Path, tmp_path: Path) -> None:
    original = read_weights(finished)
    write_snapshot(original, tmp_path / "ema.safetensors")
    snapshot, model = read_weights(tmp_path / "ema.safetensors"), read_weights(exported)
    assert dataclasses.replace(snapshot, weights={}) == dataclasses.replace(original, weights={})
    assert model.corpus == original.corpus
    assert model.step == original.step
    for name, tensor in original.weights.items():
        torch.testing.assert_close(snapshot.weights[name], tensor, rtol=2**-10, atol=1e-7)
        if not name.startswith(INTEGER_PREFIXES):
            # Matrices of the decoder's blocks have bfloat16's precision.
            torch.testing.assert_close(model.weights[name], tensor, rtol=2**-8, atol=1e-7)


def test_integers_survive_the_way_back(finished: Path, exported: Path, tmp_path: Path) -> None:
    write_snapshot(read_weights(finished), tmp_path / "ema.safetensors")
    tensors = read_model(exported).tensors
    for source in (exported, tmp_path / "ema.safetensors"):
        trained = read_weights(source)
        network = CodecNetwork(CONFIGS[trained.config])
        network.load_state_dict(trained.weights)
        for number, weight in enumerate(export_layers(network)[0]):
            np.testing.assert_array_equal(weight, tensors[f"int.h_scale.{number}.weight"])
        indices = network.z_index(torch.arange(LEVELS) / MAX_LEVEL).flatten(1)
        # Between two anchors the way back interpolates whole numbers: it may differ by a rounding.
        differences = (indices - torch.from_numpy(tensors["int.z_table"]).float()).abs()
        assert differences.max() <= 1, source
        assert differences[::9].max() <= 0.5, source


def test_graphics_give_their_share_of_the_crops(tmp_path: Path) -> None:
    """Black stands for photographs and white for graphics, of other sizes and numbers."""
    for folder, shade, sides in (("black", 0, (64, 128, 320)), ("white", 255, (64,))):
        (tmp_path / folder).mkdir()
        for number, side in enumerate(sides):
            Image.new("RGB", (side, side), (shade,) * 3).save(tmp_path / folder / f"{number}.png")
    black, white = load_corpus(tmp_path / "black", 64), load_corpus(tmp_path / "white", 64)
    corpus = mix(black, white, 0.2)
    assert len(corpus) == 4
    assert corpus.digest not in (black.digest, white.digest)
    for number, shade in enumerate((0, 0, 0, 255)):
        assert (corpus.image(number) == shade).all()
    crops = Sampler(corpus, 64, torch.Generator().manual_seed(1)).batch(2000)
    assert (crops[:, 0, 0, 0] > 0).float().mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("form", ["run", "model"])
def test_a_run_starts_from_other_weights(
    form: str, finished: Path, exported: Path, photos: Path, tmp_path: Path
) -> None:
    source = finished if form == "run" else exported
    options = ("--init", source, "--device", "cpu", "--steps", 1, "--batch", 2, "--crop", 128, "--rounded-rate")
    result = train(tmp_path / "fine", photos, *options)
    assert result.exit_code == 0, result.output
    state = load_checkpoint(tmp_path / "fine")
    assert state["settings"]["config"] == "tiny"
    assert state["settings"]["rounded_rate"]
    assert len(state["history"]) == 2
    # One step of the warm-up moves hardly anything.
    expected = read_weights(source).weights["g_s.head.weight"]
    torch.testing.assert_close(state["ema"]["g_s.head.weight"], expected, rtol=0, atol=1e-3)


def test_init_names_what_is_no_weights_file(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no")
    result = train(tmp_path / "run", photos, "--init", tmp_path / "x.safetensors")
    assert result.exit_code == Exit.WEIGHTS
    assert "not a readable weights file" in result.stderr


# Packed corpora


def test_shards_are_the_very_same_corpus(photos: Path, tmp_path: Path) -> None:
    result = run("pack", photos, "-o", tmp_path / "shards", "--shard-size", "150kB")
    assert result.exit_code == 0, result.output
    files = sorted((tmp_path / "shards").iterdir())
    assert len(files) > 1
    assert all(path.stat().st_size < 400_000 for path in files)
    assert load_corpus(tmp_path / "shards", 64).digest == load_corpus(photos, 64).digest
    assert run("pack", photos, "-o", tmp_path / "shards").exit_code == Exit.EXISTS


@pytest.mark.parametrize(("encoding", "worst"), [("jpeg", 12), ("webp", 0)])
def test_shards_in_a_format_that_every_pillow_reads(encoding: str, worst: int, photos: Path, tmp_path: Path) -> None:
    list(shards.write_shards(photos, find_images(photos), tmp_path, 10**9, encoding, overwrite=False))
    packed, plain = load_corpus(tmp_path, 64), load_corpus(photos, 64)
    difference = (packed.flat.int() - plain.flat.int()).abs()
    assert difference.float().quantile(0.99, interpolation="higher") <= worst


@pytest.mark.parametrize("size", ["MB", "-1MB", "many"])
def test_shard_sizes_are_checked(size: str, photos: Path, tmp_path: Path) -> None:
    result = run("pack", photos, "-o", tmp_path, f"--shard-size={size}")
    assert result.exit_code == Exit.USAGE
    assert "is not a size; write" in result.stderr


def test_damaged_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"bad\.png"):
        load_corpus(tmp_path, 64)
    (tmp_path / "bad.png").unlink()
    (tmp_path / "bad.safetensors").write_bytes(b"not a shard")
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        load_corpus(tmp_path, 64)
    (tmp_path / "bad.safetensors").unlink()
    buffer = io.BytesIO()
    Image.effect_noise((80, 80), 40).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:-500])
    with pytest.raises(InputError, match=r"cut\.png"):
        load_corpus(tmp_path, 64)


# Crops


def test_one_gather_cuts_what_slices_cut(photos: Path) -> None:
    corpus = load_corpus(photos, 64)
    for chance in (0.0, 0.5, 1.0):
        places = Sampler(corpus, 64, torch.Generator().manual_seed(5), chance).draw(24)
        sliced, gathered = slice_crops(corpus, places, 64), gather_crops(corpus, places, 64)
        assert gathered.shape == sliced.shape == (24, 3, 64, 64)
        assert gathered.dtype == torch.uint8
        difference = (sliced.int() - gathered.int()).abs()
        assert difference.max() <= (1 if chance else 0)
        assert difference.float().mean() < 1e-3


@pytest.mark.gpu
def test_crops_on_a_gpu_are_those_of_the_cpu(photos: Path) -> None:
    corpus = load_corpus(photos, 64)
    on_cpu, on_gpu = (
        Sampler(bank, 64, torch.Generator().manual_seed(5), 0.5).batch(64)
        for bank in (corpus, corpus.to(torch.device("cuda")))
    )
    assert (on_cpu.int() - on_gpu.cpu().int()).abs().max() <= 1


@pytest.mark.gpu
def test_training_on_a_gpu(photos: Path, tmp_path: Path) -> None:
    options = ("--config", "tiny", "--crop", 64, "--batch", 4, "--device", "cuda", "--no-compile", "--log-every", 1)
    result = train(tmp_path, photos, *options, "--steps", 20, "--heldout", photos)
    assert result.exit_code == 0, result.output
    assert [step for step, _ in losses(tmp_path)] == list(range(1, 21))
    assert load_checkpoint(tmp_path)["step"] == 20


# Evaluation


def test_bd_rate_of_known_curves() -> None:
    pytest.importorskip("bjontegaard")
    anchor = [Point(level, 0.1 * 2**level, 28.0 + 2 * level) for level in range(6)]
    half = [Point(point.level, point.bpp / 2, point.psnr) for point in anchor]
    assert bd_rate(anchor, anchor) == pytest.approx(0, abs=1e-6)
    assert bd_rate(anchor, half) == pytest.approx(-50, abs=1e-6)
    assert bd_rate(anchor, anchor[:3]) is None
    assert bd_rate(anchor, [Point(p.level, p.bpp, p.psnr - 20) for p in anchor]) is None


def test_jpeg_points_rise(photos: Path) -> None:
    points = jpeg_points(runner.load_heldout(photos, 2))
    assert [point.level for point in points] == list(evaluate.JPEG_QUALITIES)
    assert all(a.bpp < b.bpp and a.psnr < b.psnr for a, b in itertools.pairwise(points))


def test_the_clock_ends_a_run_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(runner.time, "monotonic", lambda: now)
    clock, done, steps = Clock(minutes=10, began=now), 0, 10
    while done < steps:
        now += 2.0
        done += 1
        steps = clock.adjust(steps, done)
        if done > Clock.WARM_STEPS + 1:
            assert steps == pytest.approx(300, abs=2)
    assert done == pytest.approx(300, abs=2)


# Processes


@pytest.mark.slow
def test_two_processes_train_one_model(photos: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "vaecodec", "train"]
    options = [str(photos), "--out", str(tmp_path), *SMALL, "--steps", "3", "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [step for step, _ in losses(tmp_path)] == [1, 2, 3]
    assert load_checkpoint(tmp_path)["history"][0]["processes"] == 2


def test_a_batch_is_shared_evenly() -> None:
    assert distributed.Peers(rank=1, world=4).share_of(12) == 3
    with pytest.raises(InputError, match="multiple of the 5 processes"):
        distributed.Peers(rank=1, world=5).share_of(12)


@pytest.mark.slow
def test_background_training_is_carried_away(photos: Path, tmp_path: Path) -> None:
    def command(*arguments: object) -> str:
        line = [sys.executable, ROOT / "tools" / "gpu_train.py", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
        return subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

    home, out = tmp_path / "home", tmp_path / "out"
    command("start", photos, "--home", home, "--", *SMALL, "--steps", 20)
    report = command("collect", "--home", home, "--out", out, "--seconds", 120)
    assert "ended, step 20" in report, report
    assert read_weights(out / "ema.safetensors").step == 20
    assert {"ema.safetensors", "log.jsonl", "train.txt"} <= set(os.listdir(out))


# Shipping


def test_shipping_writes_the_weights_and_the_manifest(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaecodec.training import export_run as module

    with pytest.raises(InputError, match="for tests"):
        ship(exported)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "MANIFEST", tmp_path / "MANIFEST.json")
    model = tmp_path / "new.safetensors"
    model.write_bytes(exported.read_bytes())
    module.add_to_card(model, {"config": "base", "name": "base", "model_id": 1})
    assert ship(model) == tmp_path / "base.safetensors"
    entry = json.loads((tmp_path / "MANIFEST.json").read_text())["models"][0]
    assert entry == {
        "id": 1, "name": "base", "file": "base.safetensors", "sha256": read_model(model).sha256
    }  # fmt: skip
    module.add_to_card(model, {"name": "base-perceptual", "model_id": 4})
    assert ship(model) == tmp_path / "base-perceptual.safetensors"
    listed = json.loads((tmp_path / "MANIFEST.json").read_text())["models"]
    assert [(entry["id"], entry["name"]) for entry in listed] == [(1, "base"), (4, "base-perceptual")]
    module.add_to_card(model, {"model_id": 7})
    with pytest.raises(WeightsError, match="id 7"):
        ship(model)


def test_a_run_knows_the_model_that_it_makes() -> None:
    def name(config: str, **settings: str) -> str:
        return model_name(TrainedWeights(config, {}, 1, dict(settings), ""))

    assert name("base") == name("base", tune="psnr") == "base"
    assert name("base", tune="perceptual") == "base-perceptual"
    assert name("tiny", tune="perceptual") == "tiny"
    assert len(set(MODEL_IDS.values())) == len(MODEL_IDS)


def test_a_damaged_checkpoint_is_one_line(finished: Path, photos: Path, tmp_path: Path) -> None:
    whole = (finished / "checkpoint.pt").read_bytes()
    for data in (whole[:1000], whole[:-1000], b"", b"text", bytes(2000), whole[:99_000] + b"!" + whole[99_001:]):
        (tmp_path / "checkpoint.pt").write_bytes(data)
        result = run("export", tmp_path, photos, "-o", tmp_path / "bad.safetensors", "--crops", 1)
        assert result.exit_code == Exit.WEIGHTS, result.stderr
        assert "the checkpoint is damaged" in result.stderr
