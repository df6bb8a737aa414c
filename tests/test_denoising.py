"""Denoising: the estimate of noise, the encoder's tables and values, its training and export, and what comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.denoising import LEAST_NOISE, averaged, check_denoise, mirrored
from vaecodec.errors import CodingError, InputError, InputTypeError, WeightsError
from vaecodec.levels import MAX_LEVEL
from vaecodec.metrics import psnr
from vaecodec.networks.config import CONFIGS, NOISE_MAX, denoiser_config
from vaecodec.networks.denoising import TRAINED, DenoisingNetwork, noise_position
from vaecodec.networks.layers import LevelTable
from vaecodec.noise import estimate_noise
from vaecodec.runtime.choice import choose
from vaecodec.runtime.cpu.engine import CpuEngine
from vaecodec.training.data import Corpus, load_corpus
from vaecodec.training.denoising import noisy
from vaecodec.training.export_denoiser import export_denoiser, is_denoiser
from vaecodec.training.loop import Trainer
from vaecodec.training.settings import Settings
from vaecodec.training.snapshot import TrainedWeights, read_weights, write_snapshot
from vaecodec.weights.denoisers import MODEL_KEY, denoising_model, noise_vector
from vaecodec.weights.manifest import DENOISING_MODEL, denoiser_of, denoisers, entry_by_name
from vaecodec.weights.store import StoredModel, read_model

SAMPLES = Path(__file__).parents[1] / "samples"
TINY = Path(__file__).parent / "golden" / "tiny-v1.safetensors"

Pixels = NDArray[np.uint8]


def _with_noise(clean: Pixels, sigma: float, seed: int = 3) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return np.clip(np.round(clean + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clean() -> Pixels:
    with Image.open(SAMPLES / "mountain-lake.jpg") as photo:
        return np.array(photo.convert("RGB").crop((300, 200, 700, 500)))


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(DENOISING_MODEL, device="cpu")


# Estimation


@pytest.mark.parametrize("sigma", [3, 5, 10, 20, 40])
def test_white_noise_is_estimated_within_a_tenth(clean: Pixels, sigma: float) -> None:
    assert estimate_noise(_with_noise(clean // 2 + 64, sigma)) == pytest.approx(sigma, rel=0.1)


def test_clean_photographs_have_none(clean: Pixels) -> None:
    assert estimate_noise(clean) < LEAST_NOISE


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 500, 3), (500, 7, 3), (8, 8, 3), (20, 20, 3)])
def test_tiny_images_say_nothing(shape: tuple[int, ...]) -> None:
    assert estimate_noise(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)) == 0


def test_flat_images_have_no_noise() -> None:
    assert estimate_noise(np.full((100, 100, 3), 77, np.uint8)) == 0


# Arguments


@pytest.mark.parametrize("value", [0, -1, float("nan"), 64.5, float("inf")])
def test_strengths_are_checked(value: float, codec: Codec, clean: Pixels) -> None:
    with pytest.raises(InputError, match="denoise is"):
        codec.encode(clean, denoise=value)


@pytest.mark.parametrize("value", ["strong", True, b"auto", [25]])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(InputTypeError, match="denoise"):
        check_denoise(value, "auto", None)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"lossless": True}, "lossless"), ({"target_psnr": 30}, "target_psnr")],
)
def test_what_makes_no_sense_with_it_is_refused(clean: Pixels, options: dict[str, object], name: str) -> None:
    with pytest.raises(InputError, match=f"denoise and {name}"):
        vaecodec.encode(clean, model=DENOISING_MODEL, denoise=25, **options)  # type: ignore[arg-type]


def test_models_without_an_encoder_for_it_say_which_have_one(clean: Pixels) -> None:
    with pytest.raises(
        InputError, match=f"'fast-perceptual' has no denoising encoder; models with one: {DENOISING_MODEL}"
    ):
        vaecodec.encode(clean, model="fast-perceptual", denoise=25)
    with pytest.raises(InputError, match="no denoising encoder"):
        Codec(TINY).encode(clean, denoise=25)


# The encoder


def _tiny_denoiser() -> tuple[DenoisingNetwork, StoredModel, StoredModel]:
    """A network of random tables and blocks, and the two weights files it would be in."""
    model = read_model(TINY)
    torch.manual_seed(4)
    network = DenoisingNetwork(CONFIGS["tiny"]).eval()
    network.start_from_model(read_weights(TINY).weights)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith(("noise_", "g_a.blocks")):
                parameter.add_(0.05 * torch.randn_like(parameter))
    tensors = {f"net.{n}": p.detach().numpy() for n, p in network.named_parameters() if n.startswith(TRAINED)}
    blocks = denoiser_config(CONFIGS["tiny"]).blocks_a
    card = {"model_id": 1000, MODEL_KEY: model.sha256, "blocks_a": blocks, "noise_max": NOISE_MAX}
    return network, model, StoredModel(tensors, card, "")


@pytest.mark.parametrize("sigma", [0.5, 7, 25, 63.9, 64])
def test_tables_are_those_of_training(sigma: float) -> None:
    table = LevelTable(5)
    torch.nn.init.normal_(table.anchors)
    expected = table(noise_position(torch.tensor([float(sigma)])))[0, :, 0, 0].detach().numpy()
    assert np.allclose(noise_vector(table.anchors.detach().numpy(), sigma, NOISE_MAX), expected, atol=1e-6)


@pytest.mark.parametrize("sigma", [2.0, 25.0])
@pytest.mark.parametrize("level", [0, 40, MAX_LEVEL])
def test_values_are_those_of_training(clean: Pixels, sigma: float, level: int) -> None:
    network, model, denoiser = _tiny_denoiser()
    engine = CpuEngine(denoising_model(model, denoiser, sigma), choose("cpu", "float32"))
    pixels = np.ascontiguousarray(clean[:128, :192])
    latents = engine.pipeline(None).quantize([pixels], level).latents_of(0)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        _, z = network.analyse_noisy(x, torch.tensor([level / MAX_LEVEL]), noise_position(torch.tensor([sigma])))
    off = np.abs(latents.z_hat - np.clip(z[0].numpy(), -128, 127))
    assert off.max() <= 0.5 + 1e-3


def test_a_new_encoder_is_that_of_the_model() -> None:
    network = DenoisingNetwork(CONFIGS["tiny"]).eval()
    network.start_from_model(read_weights(TINY).weights)
    x, t = torch.rand(1, 3, 64, 64), torch.tensor([0.5])
    assert torch.equal(network.analyse(x, t)[0], network.analyse_noisy(x, t, torch.tensor([0.7]))[0])


def test_an_encoder_for_other_weights_is_refused() -> None:
    _, model, denoiser = _tiny_denoiser()
    with pytest.raises(InputError, match="denoising encoder is for weights"):
        denoising_model(replace(model, sha256="00" * 32), denoiser, 25)


def test_the_number_of_blocks_is_checked() -> None:
    _, model, denoiser = _tiny_denoiser()
    for blocks in (0, -1, 10**9, "4", None):
        bad = replace(denoiser, card={**denoiser.card, "blocks_a": blocks})
        with pytest.raises(WeightsError, match="blocks_a of the model card"):
            CpuEngine(denoising_model(model, bad, 25), choose("cpu"))


# Files


def test_noise_costs_no_bits_and_every_installation_decodes(codec: Codec, clean: Pixels) -> None:
    dirty = _with_noise(clean, 25)
    plain = codec.encode(dirty, 40, mode="neural")
    data = codec.encode(dirty, 40, denoise=25, verify=True)
    assert len(data) < 0.65 * len(plain)
    assert psnr(clean, Codec(DENOISING_MODEL).decode(data, as_array=True)) > psnr(clean, dirty) + 5
    header = container.parse(data).header
    assert header.model_hash == bytes.fromhex(entry_by_name(DENOISING_MODEL).sha256)[:4]


@pytest.mark.parametrize("options", [{"level": 38}, {"target_bytes": 30_000}])
def test_strong_noise_at_the_edges_stays_noise(codec: Codec, clean: Pixels, options: dict[str, int]) -> None:
    """The last row and column repeated were stripes, of which the encoder made values without bounds."""
    for seed in range(4):
        data = codec.encode(_with_noise(clean, 64, seed), denoise=64, **options)  # type: ignore[arg-type]
        assert psnr(clean, codec.decode(data, as_array=True)) > 21
        assert len(data) < 60_000


@pytest.mark.parametrize("shape", [(1, 1), (64, 100), (65, 64)])
def test_mirrored_images_fill_whole_squares(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(5).integers(0, 256, (*shape, 3), np.uint8)
    whole = mirrored(image)
    (height, width), (whole_height, whole_width) = shape, whole.shape[:2]
    assert (whole_height, whole_width) == (-(-height // 64) * 64, -(-width // 64) * 64)
    rows, columns = min(height, whole_height - height), min(width, whole_width - width)
    assert np.array_equal(whole[:height, :width], image)
    assert np.array_equal(whole[:height, width : width + columns], image[:, ::-1][:, :columns])
    assert np.array_equal(whole[height : height + rows, :width], image[::-1][:rows])


def test_the_estimate_does_about_as_well(codec: Codec, clean: Pixels) -> None:
    dirty = _with_noise(clean, 15)
    exact, estimated = (codec.decode(codec.encode(dirty, 40, denoise=how), as_array=True) for how in (15, "auto"))
    assert psnr(clean, estimated) > psnr(clean, exact) - 0.3


def test_clean_images_are_coded_as_ever(codec: Codec, clean: Pixels) -> None:
    assert codec.encode(clean, 40, denoise="auto") == codec.encode(clean, 40)


def test_sizes_can_be_aimed_at(codec: Codec, clean: Pixels) -> None:
    dirty = _with_noise(clean, 25)
    data = codec.encode(dirty, target_bytes=6000, denoise=25, verify=True)
    assert 5500 < len(data) <= 6000


def test_noise_left_in_is_no_damage_but_a_lost_block_is(
    codec: Codec, clean: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirty = _with_noise(clean, 50)
    codec.encode(dirty, 90, denoise=50, verify=True)
    decode = Codec.decode

    def damaged(self: Codec, *arguments: object, **options: object) -> object:
        pixels = np.array(decode(self, *arguments, **options))  # type: ignore[call-overload]
        pixels[32:48, 32:48] = 255 - pixels[32:48, 32:48]
        return pixels

    monkeypatch.setattr(Codec, "decode", damaged)
    dark = np.full((64, 64, 3), 10, np.uint8)
    with pytest.raises(CodingError, match="mean squared error"):
        codec.encode(dark, 90, denoise=25, verify=True)


def test_gray_and_transparent_images_keep_their_kind(codec: Codec, clean: Pixels) -> None:
    dirty = _with_noise(clean, 25)
    gray = codec.decode(codec.encode(np.ascontiguousarray(dirty[..., 0]), denoise=25), as_array=True)
    assert gray.ndim == 2
    glass = np.dstack([dirty, np.arange(clean.shape[0] * clean.shape[1]).reshape(clean.shape[:2]) % 256]).astype(
        np.uint8
    )
    assert np.array_equal(codec.decode(codec.encode(glass, denoise=25), as_array=True)[..., 3], glass[..., 3])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (65, 2)])
def test_any_size(codec: Codec, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for how in (25, "auto"):
        assert codec.decode(codec.encode(pixels, denoise=how), as_array=True).shape == (*shape, 3)  # type: ignore[arg-type]


# The command line


@pytest.fixture
def noisy_file(clean: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "night.png"
    Image.fromarray(_with_noise(clean, 25)).save(path)
    return path


def test_the_command_takes_noise_away(command: Command, noisy_file: Path, clean: Pixels) -> None:
    assert command("compress", noisy_file.name, "-o", "plain.vaec", "--model", DENOISING_MODEL, "-q", "40").code == 0
    for option in ("--denoise", "--denoise=25", "--denoise=auto"):
        done = command("compress", noisy_file.name, "-o", "out.vaec", option, "-q", "40", "--overwrite", "--verify")
        assert done.code == 0, done
        assert Path("out.vaec").stat().st_size < 0.65 * Path("plain.vaec").stat().st_size
        with Image.open(noisy_file) as dirty:
            assert psnr(clean, vaecodec.decode("out.vaec", as_array=True)) > psnr(clean, np.asarray(dirty)) + 5
    assert vaecodec.inspect("out.vaec").model == DENOISING_MODEL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--denoise=0"], "no standard deviation"),
        (["--denoise=99"], "at most 64"),
        (["--denoise=much"], "no standard deviation"),
        (["--denoise", "--tune", "perceptual"], "has no denoising encoder"),
        (["--denoise", "--model", "own.safetensors"], "has no denoising encoder"),
        (["--denoise", "-q", "lossless"], "cannot be combined"),
        (["--denoise", "--target-psnr", "40"], "cannot be combined"),
        (["--denoise", "--delete-original"], "cannot be combined"),
    ],
)
def test_the_command_refuses(command: Command, noisy_file: Path, options: list[str], message: str) -> None:
    done = command("compress", noisy_file.name, *options)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert not noisy_file.with_suffix(".vaec").exists()


def test_refinement_does_not_come_closer_to_the_noise(codec: Codec, clean: Pixels) -> None:
    """Its aim is the image without noise as the encoder sees it: nearer to the clean image, at equal bytes, too."""
    image, original = _with_noise(clean, 25)[:192, :192], clean[:192, :192]

    def quality(data: bytes) -> float:
        return psnr(original, codec.decode(data, as_array=True))

    plain = codec.encode(image, level=9, denoise=25)
    assert quality(codec.encode(image, level=9, denoise=25, effort=6, verify=True)) > quality(plain) + 0.1
    of_size = codec.encode(image, target_bytes=len(plain), denoise=25, effort=6)
    assert len(of_size) <= len(plain)
    assert quality(of_size) > quality(plain) + 0.1


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (33, 20)])
def test_views_come_back_to_their_place(shape: tuple[int, int]) -> None:
    rng, seen = np.random.default_rng(5), set()
    image = rng.integers(0, 256, (*shape, 3), np.uint8)

    def unchanged(view: Pixels) -> Pixels:
        seen.add((view.shape, view.tobytes()))
        return view

    assert np.array_equal(averaged(unchanged, image), image)
    assert len(seen) == 8


def test_the_mean_of_views_has_less_of_a_denoiser_s_own_error() -> None:
    rng, image = np.random.default_rng(5), np.full((40, 30, 3), 100, np.uint8)
    mean = averaged(lambda view: (view + rng.integers(-8, 9, view.shape)).astype(np.uint8), image)
    assert np.std(mean) == pytest.approx(4.9 / 8**0.5, rel=0.1)


# Training and export


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(SAMPLES / "osprey.jpg") as photo:
        photo.resize((320, 200), Image.Resampling.LANCZOS).save(folder / "a.png")
    return load_corpus(folder, 64)


def test_noise_is_of_the_strength_that_is_asked_for() -> None:
    x = torch.full((3, 3, 128, 128), 0.5)
    sigma, is_shot = torch.tensor([5.0, 20.0, 20.0]), torch.tensor([False, False, True])
    deviations = (255 * (noisy(x, sigma, is_shot, torch.randn_like(x)) - x)).std((1, 2, 3))
    assert torch.allclose(deviations, sigma, rtol=0.03)
    dark = noisy(torch.full((1, 3, 128, 128), 0.1), sigma[2:], is_shot[2:], torch.randn(1, 3, 128, 128))
    assert (255 * dark).std() < 14


def test_the_encoder_learns_and_the_decoder_stays(corpus: Corpus, tmp_path: Path) -> None:
    settings = Settings(config="tiny", steps=12, batch=2, crop=64, warmup=2, bf16=False, denoise=True)
    trainer = Trainer(settings, corpus, tmp_path)
    trainer.start_from(read_weights(TINY).weights)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    for _ in range(3):
        assert np.isfinite(trainer.step()["loss"])
    for name, value in trainer.network.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(TRAINED), name
    trainer.save()
    assert is_denoiser(tmp_path)
    loss = trainer.step()["loss"]
    resumed = Trainer(settings, corpus, tmp_path)
    resumed.resume()
    assert resumed.step()["loss"] == loss
    assert len(trainer.evaluate([(torch.rand(3, 64, 64) * 255).byte()])) == 8


def _run_of_base(path: Path, change: str | None = None) -> Path:
    network = DenoisingNetwork(CONFIGS["base"])
    network.start_from_model(read_weights(entry_by_name("base").path).weights)
    weights = dict(network.state_dict())
    if change is not None:
        weights[change] = weights[change] + 1
    write_snapshot(TrainedWeights("base", weights, 7, {"denoise": True}, "aa", []), path)
    return path


def test_an_export_holds_the_encoder_alone(tmp_path: Path) -> None:
    exported = tmp_path / "d.safetensors"
    sha256 = export_denoiser(_run_of_base(tmp_path / "run.safetensors"), exported)
    stored = read_model(exported, sha256)
    assert all(name.removeprefix("net.").startswith(TRAINED) for name in stored.tensors)
    assert stored.card[MODEL_KEY] == entry_by_name("base").sha256
    assert exported.stat().st_size < 2_000_000


def test_a_run_that_changed_the_decoder_is_not_exported(tmp_path: Path) -> None:
    run = _run_of_base(tmp_path / "run.safetensors", "g_s.head.bias")
    with pytest.raises(WeightsError, match=r"g_s\.head\.bias differs"):
        export_denoiser(run, tmp_path / "d.safetensors")
    assert not (tmp_path / "d.safetensors").exists()


def test_shipped_encoders_are_those_of_shipped_models() -> None:
    assert denoiser_of(DENOISING_MODEL) in denoisers()
    for entry in denoisers():
        stored = read_model(entry.path, entry.sha256)
        assert stored.card[MODEL_KEY] == entry_by_name(entry.name).sha256
