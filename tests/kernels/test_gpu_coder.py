"""The GPU coder: the CPU coder's bytes from the same latents, and either side reads the other's."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import pytest
import torch

from vaecodec.container import parse_outliers
from vaecodec.entropy import coding
from vaecodec.entropy.coded import CodedImage
from vaecodec.entropy.coding import R_LIMIT, CodedLatents, Latents, StoredLatents, decode_latents, encode_latents
from vaecodec.entropy.fit import COUNT_BINS, fit_tables
from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import BackendError, CorruptStream, FormatError
from vaecodec.gpu import coder as gpu_coder
from vaecodec.gpu.coder import GpuCoder
from vaecodec.intnet.fixedpoint import SCALE_INDICES
from vaecodec.intnet.layers import make_layers, scale_index
from vaecodec.runtime import choice

N, M, LEVELS = 6, 8, 3
SHAPE = (1, 2)


@dataclasses.dataclass(frozen=True)
class Case:
    model: EntropyModel
    latents: list[Latents]

    @cached_property
    def coded(self) -> list[CodedLatents]:
        return [encode_latents(self.model, x, self.index(x)) for x in self.latents]

    def index(self, latents: Latents) -> np.ndarray:  # type: ignore[type-arg]
        return scale_index(latents.z_hat, latents.level, self.model.layers)

    @property
    def levels(self) -> list[int]:
        return [x.level for x in self.latents]

    def images(self) -> list[CodedImage]:
        """The CPU coder's streams."""
        most = N * SHAPE[0] * SHAPE[1] + 16 * M * SHAPE[0] * SHAPE[1]
        images = []
        for coded in self.coded:
            positions, values = map(list, parse_outliers(coded.outliers, most))
            images.append(CodedImage(1 << coded.payload[0], coded.payload[1:], positions, values))
        return images


@pytest.fixture(autouse=True)
def _lanes_for_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images this small get one lane; with 64 (two groups) they run through an interpreter in reasonable time."""
    monkeypatch.setattr(gpu_coder, "choose_lanes", lambda _: 64)
    monkeypatch.setattr(coding, "choose_lanes", lambda _: 64)


@pytest.fixture(scope="module")
def case() -> Case:
    """Three images: ordinary, with outliers in z and y, and one whose y is skipped nearly everywhere."""
    rng = np.random.default_rng(3)
    widths = [(N, 8, 3), (8, 16, 1), (4, 4, 3), (4, 4 * M, 1)]
    weights = [rng.integers(-127, 128, (o, i, k, k)).astype(np.int8) for i, o, k in widths]
    biases = [rng.integers(0, 900, (LEVELS, o)).astype(np.int32) for _, o, _ in widths]
    biases[3][:] = rng.integers(0, 60_000, biases[3].shape)
    biases[3][2] = -(10**7)
    tables = fit_tables(np.zeros((SCALE_INDICES, COUNT_BINS), np.int64))
    z_table = rng.integers(0, SCALE_INDICES, (LEVELS, N)).astype(np.uint8)
    z_table[1] = 3  # narrow
    model = EntropyModel(make_layers(weights, biases), tables, tables, z_table)
    latents = []
    for level in range(LEVELS):
        z_hat = rng.integers(-128, 128, (N, *SHAPE)).astype(np.int8)
        index = scale_index(z_hat, level, model.layers)
        r = np.rint(rng.standard_cauchy(index.shape) * (1 + index / 8)) * (index > 0)
        latents.append(Latents(level, z_hat, r.clip(-90_000, 90_000).astype(np.int32)))
    return Case(model, latents)


@pytest.fixture(scope="module")
def gpu(case: Case, device: torch.device) -> GpuCoder:
    model = case.model
    return GpuCoder(model.layers, model.y_tables, model.z_tables, model.z_table, device)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels_last"])
def test_bytes_equal_the_cpu_coder(
    layout: torch.memory_format, case: Case, gpu: GpuCoder, device: torch.device
) -> None:
    z_hat = torch.from_numpy(np.stack([x.z_hat for x in case.latents])).to(device)
    r = torch.from_numpy(np.stack([x.r for x in case.latents])).to(device).contiguous(memory_format=layout)
    index = gpu.scale_index(z_hat, case.levels)
    assert np.array_equal(index.cpu().numpy(), np.stack([case.index(x) for x in case.latents]))
    for image, expected, reference in zip(
        gpu.encode(z_hat, r, index, case.levels), case.images(), case.coded, strict=True
    ):
        assert dataclasses.replace(image, information=0.0) == expected
        assert image.information == pytest.approx(reference.information, abs=1e-3)
    assert case.images()[1].outlier_positions[0] < N * SHAPE[0] * SHAPE[1]
    assert case.images()[1].outlier_positions[-1] >= N * SHAPE[0] * SHAPE[1]


def test_the_cpu_coders_files_decode(case: Case, gpu: GpuCoder) -> None:
    result = gpu.decode(case.images(), case.levels, SHAPE, R_LIMIT)
    assert result.errors == [None] * LEVELS
    for b, latents in enumerate(case.latents):
        assert np.array_equal(result.z_hat[b].cpu().numpy(), latents.z_hat)
        assert np.array_equal(result.r[b].cpu().numpy(), latents.r)
        assert np.array_equal(result.index[b].cpu().numpy(), case.index(latents))


def _cpu_error(case: Case, b: int, payload: bytes, outliers: bytes) -> type[FormatError] | None:
    try:
        decode_latents(case.model, StoredLatents(case.levels[b], SHAPE, payload, outliers))
    except FormatError as error:
        return type(error)
    return None


def test_damaged_files_fail_alone_and_alike(case: Case, gpu: GpuCoder) -> None:
    good, coded = case.images()[1], case.coded[1]
    rng = np.random.default_rng(8)
    payloads = [coded.payload[:3], coded.payload[:-4], coded.payload[:-1], coded.payload + b"\0\0"]
    for _ in range(3):
        broken = bytearray(coded.payload)
        broken[1 + int(rng.integers(len(broken) - 1))] ^= 1 << int(rng.integers(8))
        payloads.append(bytes(broken))
    batch = [good, *(dataclasses.replace(good, payload=payload[1:]) for payload in payloads), good]
    result = gpu.decode(batch, [1] * len(batch), SHAPE, R_LIMIT)
    assert (result.errors[0], result.errors[-1]) == (None, None)
    for b in (0, -1):
        assert np.array_equal(result.r[b].cpu().numpy(), case.latents[1].r)
    expected = [_cpu_error(case, 1, payload, coded.outliers) for payload in payloads]
    assert None not in expected
    # A flipped bit may show in several ways at once; which one is named first may differ.
    assert [type(error) for error in result.errors[1:5]] == expected[:4]
    assert all(isinstance(error, FormatError) for error in result.errors[1:-1])


def test_bad_outliers_are_refused(case: Case, gpu: GpuCoder) -> None:
    good = case.images()[0]
    bad = [(10**6, 1), (0, R_LIMIT), (3, 500), (-1, 3)]
    batch = [good, *(dataclasses.replace(good, outlier_positions=[at], outlier_values=[v]) for at, v in bad)]
    result = gpu.decode(batch, [0] * len(batch), SHAPE, R_LIMIT)
    assert result.errors[0] is None
    assert [type(error) for error in result.errors[1:]] == [CorruptStream] * len(bad)


def test_the_choice_of_a_coder(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    assert choice.choose_coder("cpu") == "cpu"
    assert choice.choose_coder(str(device), "gpu") == "gpu"
    other = "cuda" if device.type == "cpu" else "cpu"
    with pytest.raises(BackendError, match="cannot run on"):
        choice.choose_coder(other, "gpu")
    monkeypatch.setattr(choice, "_kernels_missing", lambda _: "no triton here")
    with pytest.warns(RuntimeWarning, match="coded on the CPU: no triton here"):
        assert choice.choose_coder(torch.device("cuda"), "auto") == "cpu"
    assert choice.choose_coder(torch.device("cuda"), "auto") == "cpu"  # says so once: another warning would raise
    with pytest.raises(BackendError, match="no triton here"):
        choice.choose_coder(torch.device("cuda"), "gpu")
