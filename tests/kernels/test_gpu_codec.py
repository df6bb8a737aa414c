"""The whole codec with the kernels: the numba path's bytes from the same latents, each reading the other's files.

Without a GPU the kernels run in Triton's interpreter, the networks on the CPU.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.kodak import MISSING, locate
from vaecodec import container
from vaecodec.codec import Codec, Encoded
from vaecodec.container import Header, Mode, Tag
from vaecodec.entropy import coding
from vaecodec.entropy.coding import R_LIMIT, CodedLatents, Latents, StoredLatents, encode_latents
from vaecodec.entropy.model import EntropyModel, from_tensors
from vaecodec.errors import BackendError, CorruptStream, FormatError, InputError, TargetError, VaecodecError
from vaecodec.gpu import coder as gpu_coder
from vaecodec.intnet.layers import scale_index
from vaecodec.networks.network import level_position, round_z
from vaecodec.runtime import choice
from vaecodec.runtime.choice import Plan
from vaecodec.runtime.gpu_latents import GpuLatents
from vaecodec.runtime.latent_coders import CpuLatents, LatentBatch, LatentCoder
from vaecodec.runtime.loading import TorchModel, load_model
from vaecodec.runtime.passes import Passes
from vaecodec.runtime.torch_engine import make_coder
from vaecodec.runtime.triton_steps import TritonSteps
from vaecodec.weights.store import read_model

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = GOLDEN / "tiny-v1.safetensors"
LEVEL = 45


@pytest.fixture(autouse=True)
def _lanes_for_an_interpreter(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    """Pictures this small get one lane; with 64 (two groups) they run through an interpreter in reasonable time."""
    if device.type == "cpu":
        monkeypatch.setattr(gpu_coder, "choose_lanes", lambda _: 64)
        monkeypatch.setattr(coding, "choose_lanes", lambda _: 64)


@pytest.fixture(scope="module")
def numba() -> Codec:
    return Codec(TINY, device="cpu", dtype="float32", coder="cpu")


@pytest.fixture(scope="module")
def triton(device: torch.device) -> Codec:
    return Codec(TINY, device=str(device), dtype="float32", coder="gpu")


@pytest.fixture(scope="module")
def loaded(device: torch.device) -> TorchModel:
    model = load_model(read_model(TINY))
    model.network.to(device)
    return model


@pytest.fixture(scope="module")
def coders(loaded: TorchModel, device: torch.device) -> tuple[LatentCoder, LatentCoder]:
    """The numba and the Triton version, beside networks on the same device."""
    cpu, gpu = (make_coder(loaded.entropy, _plan(device, kind)) for kind in ("cpu", "gpu"))
    return cpu, gpu


def _plan(device: torch.device, coder: choice.Coder) -> Plan:
    return choice.choose(str(device), "float32", coder)


def _entropy_model() -> EntropyModel:
    return from_tensors(read_model(TINY).tensors)


def _coded_on_the_cpu(model: EntropyModel, latents: Latents) -> CodedLatents:
    return encode_latents(model, latents, scale_index(latents.z_hat, latents.level, model.layers))


def _assert_equal_latents(actual: Latents, expected: Latents) -> None:
    assert actual.level == expected.level
    for name in ("z_hat", "r"):
        ours, theirs = getattr(actual, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


def _assert_same_file(model: EntropyModel, encoded: Encoded) -> None:
    """Its sections are what numba writes from the same latents."""
    expected = _coded_on_the_cpu(model, encoded.latents)
    contents = container.read_all(encoded.data, container.parse(encoded.data))
    assert contents[Tag.LATENTS] == expected.payload
    assert contents.get(Tag.OUTLIERS, b"") == expected.outliers


def _assert_near(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> None:
    """Within one level."""
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1


# Both ways


@pytest.mark.parametrize("level", [0, LEVEL, 63])
def test_files_of_equal_images_are_the_same_for_every_coder(
    triton: Codec, photo: NDArray[np.uint8], device: torch.device, level: int
) -> None:
    """Networks on one device: the coder decides nothing of how floats are computed."""
    on_the_cpu = Codec(TINY, device=str(device), dtype="float32", coder="cpu")
    assert triton.plan.context_steps == on_the_cpu.plan.context_steps
    assert triton.encode(photo, level=level) == on_the_cpu.encode(photo, level=level)


def test_bytes_are_those_of_the_cpu(triton: Codec, numba: Codec, photo: NDArray[np.uint8]) -> None:
    encoded = triton.encode_with_latents(photo, level=LEVEL)
    assert np.abs(encoded.latents.r).max() > 3
    _assert_same_file(_entropy_model(), encoded)
    _assert_equal_latents(numba.decode_latents(encoded.data), encoded.latents)
    _assert_equal_latents(triton.decode_latents(encoded.data), encoded.latents)
    assert triton.encode(photo, level=LEVEL, mode="neural") == encoded.data
    ours, theirs = triton.decode(encoded.data, as_array=True), numba.decode(encoded.data, as_array=True)
    _assert_near(ours, theirs)
    assert np.abs(ours.astype(int) - photo).mean() < 20


def test_the_cpus_file_decodes(triton: Codec, numba: Codec, photo: NDArray[np.uint8]) -> None:
    encoded = numba.encode_with_latents(photo, level=20)
    _assert_equal_latents(triton.decode_latents(encoded.data), encoded.latents)
    _assert_near(triton.decode(encoded.data, as_array=True), numba.decode(encoded.data, as_array=True))
    crop = (3, 5, 40, 30)
    _assert_near(
        triton.decode(encoded.data, as_array=True, crop=crop), numba.decode(encoded.data, as_array=True, crop=crop)
    )
    _assert_near(
        triton.decode(encoded.data, as_array=True, reduction=4), numba.decode(encoded.data, as_array=True, reduction=4)
    )


@pytest.mark.parametrize("name", ["rgba", "dot"])
def test_golden_files(triton: Codec, name: str) -> None:
    expected = json.loads((GOLDEN / "golden.json").read_text())["files"][name]
    latents = triton.decode_latents((GOLDEN / f"{name}-v1.vaec").read_bytes())
    for part in ("z_hat", "r"):
        array: NDArray[np.generic] = getattr(latents, part)
        assert sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest() == expected[part]["sha256"]


def test_targets(triton: Codec, numba: Codec, photo: NDArray[np.uint8]) -> None:
    """The dead zone, and files made from the same features at several levels."""
    small = photo[:60, :60]
    most = len(numba.encode(small, level=40))
    data = triton.encode(small, target_bytes=most)
    assert 0.9 * most < len(data) <= most
    _assert_near(triton.decode(data, as_array=True), numba.decode(data, as_array=True))
    with pytest.raises(TargetError):
        triton.encode(small, target_bytes=20)


# Batches


def test_a_batch_of_mixed_sizes(triton: Codec, numba: Codec, photo: NDArray[np.uint8]) -> None:
    pictures = [photo, photo[:61, :64], photo[::-1], photo[:1, :1], photo[:40, :30]]
    files = triton.encode_batch(pictures, 60)
    assert files == [triton.encode(picture, 60) for picture in pictures]
    for whole, alone in zip(triton.decode_batch(files, as_array=True), files, strict=True):
        assert isinstance(whole, np.ndarray)
        _assert_near(whole, numba.decode(alone, as_array=True))


def _resealed(data: bytes, **contents: bytes) -> bytes:
    """The file with other contents and right checksums."""
    file = container.parse(data)
    changed = container.read_all(data, file) | {Tag[name]: content for name, content in contents.items()}
    return container.pack(file.header, list(changed.items()))


def test_a_damaged_stream_is_the_only_loss(triton: Codec, numba: Codec, photo: NDArray[np.uint8]) -> None:
    data = numba.encode(photo, level=LEVEL, mode="neural")
    payload = container.read_all(data, container.parse(data))[Tag.LATENTS]
    flipped = bytearray(payload)
    flipped[len(payload) // 2] ^= 0x10
    bad = [
        _resealed(data, LATENTS=bytes(flipped)),  # found when everything has been decoded
        _resealed(data, LATENTS=payload[:-2]),
        _resealed(data, LATENTS=b"\x7f" + payload[1:]),  # found before
        _resealed(data, OUTLIERS=container.pack_outliers([1], [R_LIMIT])),
        data[:-1],
    ]
    decoded = triton.decode_batch([data, *bad, data], as_array=True, on_error="collect")
    expected = numba.decode_batch([data, *bad, data], as_array=True, on_error="collect")
    for ours, theirs in zip(decoded, expected, strict=True):
        assert isinstance(ours, FormatError) == isinstance(theirs, VaecodecError)
        if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
            _assert_near(ours, theirs)
    assert isinstance(decoded[3], CorruptStream)
    assert isinstance(decoded[0], np.ndarray)
    assert isinstance(decoded[-1], np.ndarray)
    with pytest.raises(FormatError, match="rANS"):
        triton.decode_batch([data, bad[0]])
    with pytest.raises(FormatError, match="rANS"):
        triton.decode(bad[0])
    only_bad = triton.decode_batch(bad[2:3], on_error="collect")
    assert isinstance(only_bad[0], CorruptStream)


# Latents that pictures seldom have


def _batch(model: EntropyModel, level: int, z: int, r: int, count: int, device: torch.device) -> LatentBatch:
    """Every z and every coded r the same."""
    z_hat = np.full((count, model.N, 1, 2), z, np.int8)
    index = scale_index(z_hat[0], level, model.layers)
    one = np.where(index > 0, r, 0).astype(np.int32)
    r_on_device = torch.from_numpy(np.stack([one] * count)).to(device).contiguous(memory_format=torch.channels_last)
    return LatentBatch([level] * count, torch.from_numpy(z_hat).to(device), r_on_device)


@pytest.mark.parametrize(("level", "z", "r"), [(63, 127, R_LIMIT - 1), (0, -128, 1 - R_LIMIT), (31, 3, -700)])
def test_outliers_everywhere(
    coders: tuple[LatentCoder, LatentCoder], device: torch.device, level: int, z: int, r: int
) -> None:
    model = _entropy_model()
    batch = _batch(model, level, z, r, 2, device)
    index = coders[1].scale_index(batch.z_hat, batch.levels)
    assert torch.equal(index, coders[0].scale_index(batch.z_hat, batch.levels))
    coded = [coder.encode(batch, index) for coder in coders]
    assert [replace(part, information=0.0) for part in coded[0]] == [replace(p, information=0.0) for p in coded[1]]
    assert bool((index > 0).any()) == bool(coded[0][0].outliers)
    stored = [StoredLatents(level, (1, 2), part.payload, part.outliers) for part in coded[0]]
    for coder in coders:
        decoded = coder.decode(stored).checked()
        assert torch.equal(decoded.r, batch.r)
        assert torch.equal(decoded.z_hat, batch.z_hat)


def test_nothing_but_zeros_is_coded(coders: tuple[LatentCoder, LatentCoder], device: torch.device) -> None:
    model = _entropy_model()
    batch = _batch(model, 10, 0, 0, 1, device)
    index = torch.zeros_like(coders[1].scale_index(batch.z_hat, batch.levels))
    coded = [coder.encode(batch, index)[0] for coder in coders]
    assert (coded[0].payload, coded[0].outliers) == (coded[1].payload, coded[1].outliers)
    assert coded[0].information == pytest.approx(2 * model.z_tables.bits[model.z_table[10], 0].sum())


def test_a_file_of_extreme_latents_gives_a_picture(triton: Codec, loaded: TorchModel, device: torch.device) -> None:
    batch = _batch(loaded.entropy, 63, 127, R_LIMIT - 1, 1, device)
    coded = _coded_on_the_cpu(loaded.entropy, batch.on_host(0))
    header = Header(model_id=1000, model_hash=loaded.wire_hash, level=63, mode=Mode.RGB, width=100, height=60)
    sections = [(Tag.LATENTS, coded.payload), (Tag.OUTLIERS, coded.outliers)]
    assert triton.decode(container.pack(header, sections), as_array=True).shape == (60, 100, 3)


# The parts


@pytest.mark.parametrize("band", [1, 5_000, 10**9])
@pytest.mark.parametrize("strength", [0.0, 0.7])
@pytest.mark.usefixtures("plain_float32")
def test_fused_steps_equal_the_plain_ones(
    loaded: TorchModel, photo: NDArray[np.uint8], device: torch.device, band: int, strength: float
) -> None:
    """Bands begin at odd rows, too. Means of all places at once differ in their rounding, by next to nothing."""
    network, t = loaded.network, level_position(torch.tensor([LEVEL, LEVEL], device=device))
    pictures = [np.ascontiguousarray(np.tile(photo, (3, 1, 1))[:180, :60])] * 2
    zone = torch.full((64,), strength / 2, device=device) if strength else None
    with torch.inference_mode():
        plain, fused = Passes(network, band), Passes(network, band, TritonSteps(network))
        y = plain.analyse(pictures, t)
        p = list(plain.prior(round_z(plain.hyper_analyse(y, t)), t))
        index = (torch.rand(y.shape, device=device) > 0.3).to(torch.uint8).contiguous(memory_format=torch.channels_last)
        y_hat, r = plain.quantize(p, y.clone(), t, index, zone)
        fused_hat, fused_r = fused.quantize(p, y.clone(), t, index, zone)
        assert fused_r.dtype == torch.int32
        assert (r != fused_r).sum() <= 1 + r.numel() // 1000
        assert torch.equal(fused.reconstruct(p, fused_r, t), fused_hat)
        assert (plain.reconstruct(p, fused_r, t) - fused_hat).abs().max() < 1e-3
        assert r.abs().max() > 3
    assert y_hat.shape == fused_hat.shape


def test_which_coder(numba: Codec, triton: Codec, device: torch.device) -> None:
    model = _entropy_model()
    assert isinstance(make_coder(model, _plan(torch.device("cpu"), "auto")), CpuLatents)
    assert isinstance(make_coder(model, _plan(device, "gpu")), GpuLatents)
    assert pickle.loads(pickle.dumps(triton)).coder == "gpu"  # noqa: S301  (our own)
    with pytest.raises(InputError, match="coder is 'triton'"):
        Codec(TINY, device="cpu", coder="triton")  # type: ignore[arg-type]
    assert numba.coder == "cpu"


def test_few_lanes_are_coded_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, loaded: TorchModel, device: torch.device
) -> None:
    """Which side codes a batch is nobody's business but the clock's: files and latents are the same."""
    used: list[str] = []

    def note(kind: type, name: str) -> None:
        run = getattr(kind, name)

        def noted(*args: Any) -> Any:
            used.append(kind.__name__)
            return run(*args)

        monkeypatch.setattr(kind, name, noted)

    for module in (gpu_coder, coding):
        monkeypatch.setattr(module, "choose_lanes", lambda _: 64)
    note(CpuLatents, "encode"), note(CpuLatents, "decode")
    note(gpu_coder.GpuCoder, "write"), note(gpu_coder.GpuCoder, "decode")
    batch = _batch(loaded.entropy, 31, 3, -2, 2, device)
    streams = []
    for least in (0, 128, 129):
        coder = GpuLatents(loaded.entropy, replace(_plan(device, "gpu"), least_gpu_lanes=least))
        index = coder.scale_index(batch.z_hat, batch.levels)
        coded = coder.encode(batch, index)
        decoded = coder.decode([StoredLatents(31, (1, 2), part.payload, part.outliers) for part in coded]).checked()
        assert torch.equal(decoded.r, batch.r)
        assert torch.equal(decoded.z_hat, batch.z_hat)
        streams.append([(part.payload, part.outliers) for part in coded])
    assert streams[0] == streams[1] == streams[2]
    assert used == ["GpuCoder"] * 4 + ["CpuLatents"] * 2


def test_an_explicit_coder_works_or_raises(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    monkeypatch.setattr(choice, "_kernels_missing", lambda _: "no triton here")
    with pytest.raises(BackendError, match="no triton here"):
        Codec(TINY, device=str(device), coder="gpu")


# With a GPU only


@pytest.mark.gpu
def test_auto_takes_the_gpu(photo: NDArray[np.uint8]) -> None:
    codec = Codec(TINY, device="cuda")
    assert isinstance(make_coder(_entropy_model(), codec.plan), GpuLatents)
    assert (codec.plan.networks, codec.plan.context_steps, codec.plan.coder) == ("triton", "triton", "gpu")
    data = codec.encode(photo, mode="neural")
    assert codec.decode(data).size == (90, 61)


@pytest.mark.gpu
def test_kodak_agrees_with_the_cpu() -> None:
    """24 images at 6 levels, `base` in float32: latents equal both ways, pixels within one level."""
    folder = locate()
    if folder is None:
        pytest.skip(MISSING)
    gpu = Codec("base", device="cuda", dtype="float32", coder="gpu")  # also where the CPU would be faster
    cpu = Codec("base", device="cpu", dtype="float32")
    levels = [0, 12, 25, 38, 51, 63]
    for path in sorted(folder.glob("kodim*.png")):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        for level in levels:
            for writer, reader in ((gpu, cpu), (cpu, gpu)):
                encoded = writer.encode_with_latents(picture, level=level)
                _assert_equal_latents(reader.decode_latents(encoded.data), encoded.latents)
                ours, theirs = (codec.decode(encoded.data, as_array=True) for codec in (writer, reader))
                _assert_near(ours, theirs)
