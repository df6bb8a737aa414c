"""Training: settings, corpus, Muon, the loss, runs that stop and resume, and what becomes of a run."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vaecodec.codec import Codec
from vaecodec.errors import DivergedError, InputError, WeightsError
from vaecodec.levels import LAMBDA_MIN
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.network import CodecNetwork
from vaecodec.networks.ssimulacra2 import SQUARED_ERROR_OF_ONE, ssimulacra2
from vaecodec.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from vaecodec.training.crops import Sampler
from vaecodec.training.data import Corpus, load_corpus
from vaecodec.training.evaluate import centre_crop, evaluate
from vaecodec.training.export_run import export_run
from vaecodec.training.loop import MAX_BAD_STEPS, Trainer
from vaecodec.training.loss import (
    MS_SSIM_WEIGHT,
    Mix,
    Terms,
    balanced_loss,
    distortion_of,
    forward_terms,
    lambda_of,
    tempered,
)
from vaecodec.training.muon import Muon, newton_schulz, split_parameters
from vaecodec.training.settings import MS_SSIM_CROP, Settings, learning_rate_factor
from vaecodec.weights.store import read_model

SAMPLES = Path(__file__).parents[1] / "samples"
SETTINGS = Settings(config="tiny", steps=8, batch=2, crop=64, warmup=2, bf16=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of 320 x 200 pixels, one too small, and a text."""
    path = tmp_path_factory.mktemp("photos")
    for name in ("mountain-lake.jpg", "osprey.jpg"):
        with Image.open(SAMPLES / name) as photo:
            photo.crop((300, 200, 940, 600)).resize((320, 200), Image.Resampling.LANCZOS).save(path / f"{name}.png")
    Image.new("RGB", (320, 40)).save(path / "small.png")
    (path / "notes.txt").write_text("no picture", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return load_corpus(folder, 64)


def _losses(trainer: Trainer, steps: int) -> list[float]:
    return [trainer.step()["loss"] for _ in range(steps)]


# Settings


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("config", "gigantic", "config is gigantic; it must be one of tiny"),
        ("steps", 0, "steps is 0; it must be at least 1"),
        ("batch", 0, "batch is 0"),
        ("crop", 100, "crop is 100; it must be a positive multiple of 64"),
        ("crop", 0, "crop is 0"),
        ("muon_lr", 0.0, "muon_lr is 0.0; it must be above 0"),
        ("muon_lr", float("nan"), "muon_lr is nan"),
        ("warmup", -1, "warmup is -1"),
        ("decay", 0.0, "decay is 0.0; it must be above 0, at most 1"),
        ("decay", 1.5, "decay is 1.5"),
        ("ema", 1.0, "ema is 1.0"),
        ("rescale_chance", 1.1, "rescale_chance is 1.1"),
    ],
)
def test_settings_name_what_is_wrong(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**{field: value})


def test_settings_come_back_from_a_checkpoint() -> None:
    assert Settings.from_dict(SETTINGS.as_dict()) == SETTINGS
    with pytest.raises(WeightsError, match="settings of a newer version: sparkle"):
        Settings.from_dict(SETTINGS.as_dict() | {"sparkle": 1})


def test_learning_rate_warms_up_stays_and_decays() -> None:
    settings = Settings(steps=1000, warmup=100, decay=0.4)
    factors = [learning_rate_factor(settings, step) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert factors[100:600] == [1.0] * 500
    assert np.all(np.diff(factors[:100]) > 0)
    assert np.all(np.diff(factors[601:990]) < 0)
    assert min(factors[600:]) == 0.01


# Corpus and crops


def test_corpus_takes_images_that_are_large_enough(corpus: Corpus, folder: Path) -> None:
    assert len(corpus) == 2
    with Image.open(folder / "osprey.jpg.png") as photo:
        assert np.array_equal(corpus.image(1).numpy(), np.asarray(photo))
    assert load_corpus(folder, 64, limit=1).digest != corpus.digest == load_corpus(folder, 64).digest


def test_corpus_without_images(folder: Path) -> None:
    with pytest.raises(InputError, match="no image with both sides of at least 512 pixels"):
        load_corpus(folder, 512)


def test_crops_are_parts_of_the_images(corpus: Corpus) -> None:
    """Without rescaling every crop lies in an image, up to flips and transposition; the same seed, the same crops."""
    batch = Sampler(corpus, 64, torch.Generator().manual_seed(3), rescale_chance=0.0).batch(6)
    assert batch.shape == (6, 3, 64, 64)
    assert batch.dtype == torch.uint8
    again = Sampler(corpus, 64, torch.Generator().manual_seed(3), rescale_chance=0.0).batch(6)
    assert torch.equal(batch, again)
    windows = [corpus.image(n).permute(2, 0, 1).unfold(1, 64, 1).unfold(2, 64, 1) for n in range(2)]
    for crop in batch:
        assert any(_is_in(turned, window) for turned in _turns(crop) for window in windows)


def _turns(crop: Tensor) -> list[Tensor]:
    turned = [crop, crop.transpose(-1, -2)]
    turned += [c.flip(-1) for c in turned]
    return turned + [c.flip(-2) for c in turned]


def _is_in(crop: Tensor, windows: Tensor) -> bool:
    corners = (windows[..., 0, 0] == crop[:, None, None, 0, 0]).all(0)
    return any(torch.equal(windows[:, row, column], crop) for row, column in corners.nonzero().tolist())


def test_rescaled_crops_are_ordinary_pictures(corpus: Corpus) -> None:
    batch = Sampler(corpus, 64, torch.Generator().manual_seed(4), rescale_chance=1.0).batch(8).float()
    plain = Sampler(corpus, 64, torch.Generator().manual_seed(4), rescale_chance=0.0).batch(8).float()
    assert abs(batch.mean() - plain.mean()) < 30
    assert batch.std() > 10


# Muon


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 40), (2, 40, 8), (1, 1, 5)])
def test_newton_schulz_orthogonalizes(shape: tuple[int, ...]) -> None:
    """All singular values come near 1, and the singular vectors stay."""
    torch.manual_seed(1)
    matrices = torch.randn(shape) * 7
    result = newton_schulz(matrices)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.5
    assert values.max() < 1.3
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    assert (u.mT @ result @ vh.mT).diagonal(dim1=-2, dim2=-1).min() > 0.5


def test_newton_schulz_of_zero_is_zero() -> None:
    assert torch.equal(newton_schulz(torch.zeros(1, 4, 4)), torch.zeros(1, 4, 4))


def test_muon_descends() -> None:
    """Two shapes at once; one parameter without a gradient stays."""
    torch.manual_seed(1)
    target = torch.randn(6, 4, 1, 1)
    convs = [
        nn.Parameter(torch.zeros(6, 4, 1, 1)),
        nn.Parameter(torch.zeros(3, 2, 3, 3)),
        nn.Parameter(torch.ones(2, 2)),
    ]
    optimizer = Muon(convs, lr=0.05)
    start = target.square().sum().item()
    for step in range(60):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 60)
        optimizer.zero_grad()
        loss = (convs[0] - target).square().sum() + (convs[1] - 1).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert (convs[0] - target).square().sum().item() < 0.3 * start
    assert torch.equal(convs[2], torch.ones(2, 2))


def test_parameters_are_split_by_kind() -> None:
    network = CodecNetwork(CONFIGS["tiny"])
    matrices, others = split_parameters(network)
    assert len(matrices) + len(others) == len(list(network.parameters()))
    assert all(p.ndim == 4 for p in matrices)
    names = {name for name, p in network.named_parameters() if any(p is other for other in others)}
    assert "log_gain.anchors" in names
    assert "g_a.stem.bias" in names
    assert "g_a.blocks.0.depthwise.weight" in names


# Loss


def test_balanced_loss_is_the_formula() -> None:
    t = torch.tensor([0.0, 1.0])
    terms = Terms(torch.tensor([0.15, 2.0]), torch.tensor([0.05, 0.2]), torch.ones(2), torch.tensor([1e-3, 1e-4]))
    lambdas = lambda_of(t)
    expected = [
        (rate + lmbda * 65025 * mse) * math.sqrt(LAMBDA_MIN / lmbda)
        for rate, lmbda, mse in zip([0.2, 2.2], lambdas.tolist(), [1e-3, 1e-4], strict=True)
    ]
    assert balanced_loss(terms, t).item() == pytest.approx(10 * sum(expected) / 2, rel=1e-5)


def test_terms_are_per_image(corpus: Corpus) -> None:
    """An image's terms do not depend on the others of its batch."""
    torch.manual_seed(1)
    network = CodecNetwork(CONFIGS["tiny"])
    x = Sampler(corpus, 64, torch.Generator().manual_seed(1)).batch(3).float() / 255
    t = torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        together = forward_terms(network, x, t, rounded_rate=True)
        alone = forward_terms(network, x[1:2], t[1:2], rounded_rate=True)
    for name in ("bpp_y", "bpp_z", "mse"):
        assert getattr(together, name).shape == (3,)
        assert getattr(together, name)[1].item() == pytest.approx(getattr(alone, name).item(), rel=1e-3)


def test_every_parameter_learns(corpus: Corpus) -> None:
    torch.manual_seed(1)
    network = CodecNetwork(CONFIGS["tiny"])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        network.log_z_gain.anchors.add_(3.0)  # else z_hat is 0, and what it is multiplied with learns nothing
    t = torch.tensor([0.05, 0.35, 0.65, 0.95])
    x = Sampler(corpus, 64, torch.Generator().manual_seed(1)).batch(4).float() / 255
    balanced_loss(forward_terms(network, x, t), t).backward()  # type: ignore[no-untyped-call]
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


# Runs


def test_training_lowers_the_loss(corpus: Corpus, tmp_path: Path) -> None:
    """On the same crops and levels before and after, rounded as a codec rounds. (It starts as a good linear codec.)"""
    trainer = Trainer(Settings(config="tiny", steps=40, batch=4, crop=64, warmup=2, bf16=False), corpus, tmp_path)
    x = Sampler(corpus, 64, torch.Generator().manual_seed(9)).batch(16).float() / 255
    t = torch.linspace(0, 1, 16)

    def loss() -> float:
        with torch.no_grad():
            return balanced_loss(forward_terms(trainer.network, x, t, rounded_rate=True), t).item()

    before = loss()
    _losses(trainer, 40)
    assert loss() < before


def test_same_seed_same_curve(corpus: Corpus, tmp_path: Path) -> None:
    first = _losses(Trainer(SETTINGS, corpus, tmp_path), 3)
    assert first == _losses(Trainer(SETTINGS, corpus, tmp_path), 3)
    other = Trainer(Settings(**SETTINGS.as_dict() | {"seed": 2}), corpus, tmp_path)
    assert first != _losses(other, 3)


def test_resuming_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    """Eight steps in one go, or in two processes with a checkpoint between them: the same losses and weights."""
    whole = Trainer(SETTINGS, corpus, tmp_path)
    expected = _losses(whole, 8)
    begun = Trainer(SETTINGS, corpus, tmp_path)
    losses = _losses(begun, 3)
    begun.save()
    torch.rand(17)  # what happens between two processes
    resumed = Trainer(SETTINGS, corpus, tmp_path)
    resumed.resume()
    assert resumed.steps_done == 3
    assert losses + _losses(resumed, 5) == expected
    for kind in ("network", "ema"):
        ours, theirs = getattr(whole, kind).state_dict(), getattr(resumed, kind).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_resuming_refuses_another_run(corpus: Corpus, folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(SETTINGS, corpus, tmp_path)
    with pytest.raises(WeightsError, match=f"no {CHECKPOINT}"):
        trainer.resume()
    trainer.save()
    with pytest.raises(WeightsError, match="made with corpus"):
        Trainer(SETTINGS, load_corpus(folder, 64, limit=1), tmp_path).resume()


def test_checkpoints_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, {"step": 1})

    def dies(state: object, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, {"step": 2})
    assert load_checkpoint(tmp_path)["step"] == 1


def test_a_run_from_weights_sees_other_crops_than_theirs(corpus: Corpus, tmp_path: Path) -> None:
    """Or a chain of runs of one seed would go over the same crops again and again."""

    def first_crops(history: list[dict[str, Any]]) -> Tensor:
        trainer = Trainer(SETTINGS, corpus, tmp_path)
        trainer.start_from(trainer.network.state_dict(), history)
        return trainer.sampler.batch(4)

    first, second = {"first_step": 1, "last_step": 30}, {"first_step": 31, "last_step": 40}
    begun = Trainer(SETTINGS, corpus, tmp_path).sampler.batch(4)
    assert torch.equal(first_crops([]), first_crops([]))
    assert torch.equal(first_crops([first]), first_crops([first]))
    crops = [begun, first_crops([first]), first_crops([first, second])]
    assert not any(torch.equal(one, other) for one, other in combinations(crops, 2))


def test_one_bad_step_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    """A loss that is not finite is left out; what follows is trained on as if it had not been."""
    trainer = Trainer(SETTINGS, corpus, tmp_path)
    trainer.step()
    before = {name: p.clone() for name, p in trainer.network.state_dict().items()}
    good = trainer.objective
    trainer.objective = _Poisoned(good)
    assert math.isnan(trainer.step()["loss"])
    assert all(torch.equal(p, before[name]) for name, p in trainer.network.state_dict().items())
    assert trainer.bad_steps == 1
    trainer.objective = good
    assert math.isfinite(trainer.step()["loss"])
    assert trainer.bad_steps == 0
    assert all(torch.isfinite(p).all() for p in trainer.network.parameters())


class _Poisoned(nn.Module):
    """An objective whose loss is NaN."""

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        loss, means = self.objective(x, t)
        return loss * float("nan"), means


def test_a_run_that_stays_bad_ends(corpus: Corpus, tmp_path: Path) -> None:
    trainer = Trainer(SETTINGS, corpus, tmp_path)
    with torch.no_grad():
        trainer.network.g_a.stem.weight[0, 0] = float("nan")
    for _ in range(MAX_BAD_STEPS - 1):
        trainer.step()
    with pytest.raises(DivergedError, match="not finite for 10 steps up to step 10; lower the learning rates"):
        trainer.step()


# What becomes of a run


def test_evaluation_has_rising_points(corpus: Corpus, tmp_path: Path) -> None:
    trainer = Trainer(SETTINGS, corpus, tmp_path)
    points = trainer.evaluate([centre_crop(corpus.image(0), 128)])
    assert [point.level for point in points] == [0, 9, 18, 27, 36, 45, 54, 63]
    assert np.all(np.diff([point.bpp for point in points]) > 0)
    assert np.all(np.diff([point.psnr for point in points]) > -0.05)
    assert evaluate(trainer.ema, [centre_crop(corpus.image(0), 128)], (9,)) == points[1:2]


def test_exported_run_is_a_codec(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model card says where it comes from; files coded with it come back."""
    monkeypatch.setattr("vaecodec.training.export_run.COUNT_CROP", 64)
    trainer = Trainer(SETTINGS, corpus, tmp_path)
    _losses(trainer, 2)
    trainer.save()
    output = tmp_path / "model.safetensors"
    sha256 = export_run(tmp_path, corpus, output, crops=4)
    card = read_model(output, sha256).card
    assert (card["config"], card["model_id"], card["steps"]) == ("tiny", 1000, 2)
    assert card["settings"] == SETTINGS.as_dict()
    assert corpus.digest in card["data"]
    codec = Codec(output, device="cpu")
    encoded = codec.encode_with_latents(corpus.image(0).numpy(), 60)
    latents = codec.decode_latents(encoded.data)
    assert np.array_equal(latents.r, encoded.latents.r)
    assert np.array_equal(latents.z_hat, encoded.latents.z_hat)
    assert codec.decode(encoded.data).size == (320, 200)


def test_an_exported_decoder_is_exact_in_bfloat16(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float32 and bfloat16 then have the same matrices in the blocks of g_s and the context."""
    monkeypatch.setattr("vaecodec.training.export_run.COUNT_CROP", 64)
    trainer = Trainer(SETTINGS, corpus, tmp_path)
    _losses(trainer, 2)
    trainer.save()
    output = tmp_path / "model.safetensors"
    tensors = read_model(output, export_run(tmp_path, corpus, output, crops=4)).tensors
    matrices = re.compile(r"net\.(g_s\.blocks|context\.trunk|g_a\.blocks)\.\d+\.(conv|ffn)_(in|out)\.weight")
    exact = {name: _is_exact_in_bfloat16(tensors[name]) for name in tensors if matrices.fullmatch(name)}
    assert exact == {name: "g_a" not in name for name in exact}
    assert {name.split(".")[1] for name in exact} == {"g_s", "context", "g_a"}


def _is_exact_in_bfloat16(values: NDArray[np.float16]) -> bool:
    wide = torch.from_numpy(values.astype(np.float32))
    return torch.equal(wide, wide.bfloat16().float())


def test_the_mixed_distortion_is_the_sum_of_its_shares() -> None:
    ms_ssim = pytest.importorskip("pytorch_msssim").ms_ssim
    torch.manual_seed(0)
    x = torch.rand(2, 3, MS_SSIM_CROP, MS_SSIM_CROP)
    x_hat = (x + 0.1 * torch.randn_like(x)).requires_grad_()
    mse = (x_hat - x).square().mean((1, 2, 3))
    mixed = distortion_of(x_hat, x, mse, Mix(0.25, 0.5))
    similarity = ms_ssim(x_hat, x, data_range=1.0, size_average=False)
    parts = 0.25 * mse + 0.25 * MS_SSIM_WEIGHT * (1 - similarity)
    assert torch.allclose(mixed, parts + 0.5 * SQUARED_ERROR_OF_ONE * ssimulacra2(x, x_hat).dissimilarity)
    assert torch.equal(distortion_of(x_hat, x, mse, Mix()), mse)
    mixed.sum().backward()
    assert x_hat.grad is not None
    assert bool(torch.isfinite(x_hat.grad).all())


@pytest.mark.parametrize("share", ["ms_ssim", "ssimulacra2"])
def test_whatever_the_mix_is_the_distortion_weighs_like_the_squared_error_of_photographs(share: str) -> None:
    pytest.importorskip("pytorch_msssim")
    coarse = F.interpolate(
        torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), size=256, mode="bicubic"
    )
    x = coarse.clamp(0, 1)
    for deviation in (0.01, 0.04):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        x_hat = (x + deviation * F.avg_pool2d(noise, 5, 1, 2) * 5).clamp(0, 1)
        mse = (x_hat - x).square().mean((1, 2, 3))
        ratio = distortion_of(x_hat, x, mse, Mix(**{share: 1.0})) / mse
        assert 0.3 < ratio.mean().item() < 3


@pytest.mark.parametrize(("tune", "crop"), [("perceptual", 128), ("sharp", 256)])
def test_a_tune_that_cannot_be_trained_is_refused(tune: str, crop: int) -> None:
    with pytest.raises(InputError, match=r"tune is sharp|crop is 128; it must be at least 192 for MS-SSIM"):
        Settings(tune=tune, crop=crop)


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"ms_ssim_share \+ ssimulacra2_share is 1\.2; it must be at most 1"):
        Settings(ms_ssim_share=0.7, ssimulacra2_share=0.5)


def test_small_crops_are_enough_without_ms_ssim() -> None:
    assert Settings(tune="perceptual", crop=128, ms_ssim_share=0).mix == Mix(0, 0.5)


def test_a_perceptual_run_of_before_the_shares_is_not_resumed() -> None:
    old = Settings(tune="perceptual").as_dict()
    del old["ms_ssim_share"], old["ssimulacra2_share"]
    with pytest.raises(WeightsError, match="--init"):
        Settings.from_dict(old)


def test_an_extraordinary_loss_does_not_drown_the_others() -> None:
    losses = torch.tensor([0.5, 4.0, 5.0, 50.0, 1e6], requires_grad=True)
    kept = tempered(losses)
    torch.testing.assert_close(kept[:3], losses[:3])
    assert kept[3:].tolist() == pytest.approx([5 + 5 * math.log(10), 5 + 5 * math.log(2e5)])
    kept.sum().backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([1, 1, 1, 0.1, 5e-6])
