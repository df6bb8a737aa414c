"""What `python -m bench kernels` times: inputs like a real picture's latents, the kernels, and their rivals.

Sixty percent of y are "surely zero", the others have scale indices as ordinary pictures do, and residuals follow their
scales, so lanes, look-ups and words behave as they do in files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vaecodec.entropy.coding import R_LIMIT, Latents, StoredLatents, decode_latents, encode_latents
from vaecodec.entropy.fit import COUNT_BINS, fit_tables
from vaecodec.entropy.model import EntropyModel
from vaecodec.entropy.quantize import to_symbols
from vaecodec.entropy.scales import scale_table
from vaecodec.gpu.coder import GpuCoder
from vaecodec.intnet.fixedpoint import SCALE_INDICES, Z_MAX, Z_MIN
from vaecodec.intnet.layers import SHUFFLED_LAYERS, make_layers, scale_index
from vaecodec.networks.config import POSITIONS
from vaecodec.networks.network import step_mask
from vaecodec.rans import choose_lanes, numba_coder, total_cost
from vaecodec.rans.lanes import GROUP_LANES, group_bounds
from vaecodec.rans.tables import PROB_BITS
from vaecodec_kernels import compaction, estimate, quantize, rans, tables
from vaecodec_kernels.planes import Planes

Run = Callable[[], object]
STEP = 1
LEVEL = 0
ZERO_SHARE = 0.6
COMMON_SCALES = 40


@dataclass(frozen=True)
class Sizes:
    """A batch of pictures, and widths of the networks: M, N and the hidden widths of h_scale."""

    batch: int
    height: int
    width: int
    m: int
    n: int
    hidden: tuple[int, int]

    @property
    def y(self) -> tuple[int, int, int, int]:
        return self.batch, self.m, self.height // 16, self.width // 16

    @property
    def z(self) -> tuple[int, int, int, int]:
        return self.batch, self.n, self.height // 64, self.width // 64


@dataclass(frozen=True)
class Case:
    """One line of the benchmark. `equal` shows that the kernel's results are the reference's.

    moved_bytes: what must move through device memory. chain: the same dependent rows with a single lane group, which no
    number of groups can undercut. symbols: elements per run, for rates.
    """

    name: str
    kernel: Run
    equal: Callable[[], bool]
    symbols: int
    eager: Run | None = None
    cpu: Run | None = None
    moved_bytes: int = 0
    chain: Run | None = None
    notes: dict[str, float | int | str] = field(default_factory=dict)


class Inputs:
    """Everything the cases share, drawn with a fixed seed."""

    def __init__(self, sizes: Sizes, device: torch.device) -> None:
        self.sizes, self.device = sizes, device
        generator = torch.Generator(device).manual_seed(1)
        last = torch.channels_last
        uniform = torch.rand(sizes.y, device=device, generator=generator)
        scale = torch.randint(1, COMMON_SCALES, sizes.y, device=device, generator=generator)
        index = torch.where(uniform < ZERO_SHARE, 0, scale)
        self.index = index.to(torch.uint8).contiguous(memory_format=last)
        self.mu = torch.randn(sizes.y, device=device, generator=generator).contiguous(memory_format=last)
        sigma = torch.tensor(scale_table(), device=device)[index]
        noise = torch.randn(sizes.y, device=device, generator=generator) * sigma
        self.gain = torch.rand(sizes.y[:2], device=device, generator=generator) + 0.5
        self.y = (self.mu + noise / self.gain[:, :, None, None]).contiguous(memory_format=last)
        self.r = (noise.round() * (index > 0)).int().contiguous(memory_format=last)
        self.tables = fit_tables(np.zeros((SCALE_INDICES, COUNT_BINS), np.int64))
        cdf = torch.from_numpy(self.tables.quantized_cdf.astype(np.int32))
        numbers, costs = (torch.from_numpy(part.copy()) for part in (self.tables.sizes, self.tables.costs))
        self.device_tables = tables.make_tables(cdf, numbers, costs, PROB_BITS, device)

    @property
    def elements(self) -> int:
        return self.index.numel()

    @cached_property
    def coded(self) -> list[tuple[np.ndarray, np.ndarray]]:  # type: ignore[type-arg]
        """Symbols and table indices of each image in coding order, by NumPy."""
        images = []
        for r, index in zip(self.r.cpu().numpy(), self.index.cpu().numpy(), strict=True):
            kept = index[index > 0]
            largest = ((self.tables.sizes - 1) // 2)[kept]
            images.append((to_symbols(np.clip(r[index > 0], -largest, largest)).astype(np.uint16), kept))
        return images

    @property
    def coded_count(self) -> int:
        return sum(len(symbols) for symbols, _ in self.coded)


def quantize_cases(inputs: Inputs) -> Iterator[Case]:
    y, mu, gain, index = inputs.y, inputs.mu, inputs.gain, inputs.index
    r, y_hat = torch.zeros_like(inputs.r), torch.zeros_like(y)
    options = {"step": STEP, "positions": POSITIONS}

    def eager(y: Tensor, mu: Tensor, gain: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """What the network does: full tensors and a mask."""
        wide = gain[:, :, None, None]
        mask = step_mask(STEP, *y.shape[1:], y.device)
        residual = (wide * (y - mu)).round() * (index > 0)
        return mask * residual, mask * (mu + residual / wide)

    def equal() -> bool:
        r.zero_(), y_hat.zero_()
        quantize.quantize_step(y, mu, gain, index, r, y_hat, **options)  # type: ignore[arg-type]
        expected = eager(y, mu, gain, index)
        return torch.equal(r.float(), expected[0]) and torch.equal(y_hat, expected[1])

    def equal_inverse() -> bool:
        expected = y_hat.clone()
        y_hat.zero_()
        quantize.dequantize_step(r, mu, gain, y_hat, **options)  # type: ignore[arg-type]
        return torch.equal(y_hat, expected)

    on_cpu = [t.cpu() for t in (y, mu, gain, index)]
    quarter = inputs.elements // 4
    yield Case(
        "quantize a step",
        lambda: quantize.quantize_step(y, mu, gain, index, r, y_hat, **options),  # type: ignore[arg-type]
        equal,
        quarter,
        eager=lambda: eager(y, mu, gain, index),
        cpu=lambda: eager(*on_cpu),
        moved_bytes=17 * quarter,
    )
    mask = step_mask(STEP, *y.shape[1:], y.device)
    yield Case(
        "dequantize a step",
        lambda: quantize.dequantize_step(r, mu, gain, y_hat, **options),  # type: ignore[arg-type]
        equal_inverse,
        quarter,
        eager=lambda: y_hat + mask * (mu + r / gain[:, :, None, None]),
        moved_bytes=12 * quarter,
    )


def compaction_cases(inputs: Inputs) -> Iterator[Case]:
    index, r, table = inputs.index, inputs.r, inputs.device_tables
    planes = Planes.of(index)
    coded_count, out = inputs.coded_count, torch.empty_like(r)
    order = compaction.coding_order(index, planes)
    coded = compaction.gather(order, r, table)

    def eager() -> tuple[Tensor, Tensor]:
        mask = index.contiguous() > 0
        kept = index.contiguous()[mask]
        values = r.contiguous()[mask]
        largest = ((table.sizes - 1) // 2)[kept.long()]
        clamped = torch.maximum(torch.minimum(values, largest), -largest)
        return torch.where(clamped > 0, 2 * clamped - 1, -2 * clamped).short(), kept

    def equal() -> bool:
        offsets, counts = coded.offsets.tolist(), coded.counts.tolist()
        symbols, kept = coded.symbols.cpu().numpy(), coded.index.cpu().numpy()
        return all(
            np.array_equal(symbols[at : at + n], s) and np.array_equal(kept[at : at + n], i)
            for at, n, (s, i) in zip(offsets, counts, inputs.coded, strict=True)
        )

    def equal_inverse() -> bool:
        compaction.scatter(order, coded.symbols, out)
        clamped = (out != r) & (out.abs() <= r.abs())
        return bool(((out == r) | clamped).all()) and int(clamped.sum()) == int(coded.outlier_counts.sum())

    r_cpu, index_cpu = r.cpu().contiguous().numpy(), index.cpu().contiguous().numpy()
    yield Case(
        "gather coded symbols",
        lambda: compaction.gather(compaction.coding_order(index, planes), r, table),
        equal,
        inputs.elements,
        eager=eager,
        cpu=lambda: to_symbols(r_cpu[index_cpu > 0]),
        moved_bytes=2 * inputs.elements + 7 * coded_count,
    )
    yield Case(
        "scatter coded symbols",
        lambda: compaction.scatter(order, coded.symbols, out),
        equal_inverse,
        inputs.elements,
        moved_bytes=5 * inputs.elements + 2 * coded_count,
    )
    flat, flat_index = (t.as_strided((t.numel(),), (1,)) for t in (r, index))

    def bits() -> Tensor:
        return estimate.estimate_bits(flat, flat_index, planes.bounds, table, most=max(planes.sizes))

    def equal_bits() -> bool:
        return bits().tolist() == [total_cost(s, i, inputs.tables) for s, i in inputs.coded]

    yield Case(
        "estimate bits",
        bits,
        equal_bits,
        inputs.elements,
        cpu=lambda: [total_cost(s, i, inputs.tables) for s, i in inputs.coded],
        moved_bytes=inputs.elements + 4 * coded_count,
    )


def _segment(inputs: Inputs, images: list[tuple[np.ndarray, np.ndarray]]) -> rans.Segment:  # type: ignore[type-arg]
    counts = [len(symbols) for symbols, _ in images]
    return rans.Segment(
        torch.from_numpy(np.concatenate([s for s, _ in images]).astype(np.int16)).to(inputs.device),
        torch.from_numpy(np.concatenate([i for _, i in images])).to(inputs.device),
        torch.tensor(np.cumsum([0, *counts])[:-1], dtype=torch.int64, device=inputs.device),
        torch.tensor(counts, dtype=torch.int64, device=inputs.device),
        inputs.device_tables,
        counts,
    )


def _decoder(payloads: list[bytes], lanes: list[int], device: torch.device) -> rans.RansDecoder:
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for payload, count in zip(payloads, lanes, strict=True):
        for whole, part in zip((starts, ends), group_bounds(payload, count), strict=True):
            whole += [at + place for place in part]
        at += len(payload) // 2
    words = torch.from_numpy(np.frombuffer(b"".join(payloads), "<i2").copy())
    return rans.RansDecoder(words.to(device), starts, ends, lanes, GROUP_LANES)


def _decode(decoder: rans.RansDecoder, segment: rans.Segment) -> None:
    """Decode from the start, however often."""
    decoder.restart()
    decoder.decode(segment, last=True)


def rans_cases(inputs: Inputs) -> Iterator[Case]:
    """One segment an image; the chain is a single group with as many rows as the longest image has."""
    images = inputs.coded
    lanes = [max(GROUP_LANES, choose_lanes(total_cost(s, i, inputs.tables))) for s, i in images]
    segment = _segment(inputs, images)
    streams = [[(s, i, inputs.tables)] for s, i in images]
    payloads = [numba_coder.encode(stream, count) for stream, count in zip(streams, lanes, strict=True)]
    rows = max(-(-len(s) // count) for (s, _), count in zip(images, lanes, strict=True))
    alone = [(s[: rows * GROUP_LANES], i[: rows * GROUP_LANES]) for s, i in images[:1]]
    lone = _segment(inputs, alone)
    lone_payload = numba_coder.encode([(*alone[0], inputs.tables)], GROUP_LANES)
    decoder = _decoder(payloads, lanes, inputs.device)
    lone_decoder = _decoder([lone_payload], [GROUP_LANES], inputs.device)
    notes: dict[str, float | int | str] = {"groups": sum(lanes) // GROUP_LANES, "rows": rows}

    def equal_encoded() -> bool:
        coded = rans.rans_encode([segment], lanes, group_lanes=GROUP_LANES)
        size = int(coded.begins[-1])
        return not coded.status.any() and coded.payload[:size].cpu().numpy().tobytes() == b"".join(payloads)

    def equal_decoded() -> bool:
        expected = segment.symbols.clone()
        segment.symbols.fill_(-1)
        _decode(decoder, segment)
        return not decoder.status.any() and torch.equal(segment.symbols, expected)

    def cpu_decode() -> None:
        for payload, count, (_, index) in zip(payloads, lanes, images, strict=True):
            numba_coder.Decoder(payload, count).decode(index, inputs.tables)

    yield Case(
        "rANS encode",
        lambda: rans.rans_encode([segment], lanes, group_lanes=GROUP_LANES),
        equal_encoded,
        inputs.coded_count,
        cpu=lambda: [numba_coder.encode(stream, count) for stream, count in zip(streams, lanes, strict=True)],
        chain=lambda: rans.rans_encode([lone], [GROUP_LANES], group_lanes=GROUP_LANES),
        moved_bytes=3 * inputs.coded_count + 3 * sum(map(len, payloads)),
        notes=notes,
    )
    yield Case(
        "rANS decode",
        lambda: _decode(decoder, segment),
        equal_decoded,
        inputs.coded_count,
        cpu=cpu_decode,
        chain=lambda: _decode(lone_decoder, lone),
        moved_bytes=3 * inputs.coded_count + sum(map(len, payloads)),
        notes=notes,
    )


def _model(sizes: Sizes, inputs: Inputs) -> EntropyModel:
    """Random integers in place of a trained scale network, with indices all over the range."""
    rng = np.random.default_rng(5)
    h1, h2 = sizes.hidden
    widths = [(sizes.n, h1, 3), (h1, 4 * h2, 1), (h2, h2, 3), (h2, 4 * sizes.m, 1)]
    weights = [rng.integers(-20, 21, (o, i, k, k)).astype(np.int8) for i, o, k in widths]
    biases = [rng.integers(0, 2000, (1, o)).astype(np.int32) for _, o, _ in widths]
    biases[3] = rng.integers(-40_000, 40_000, biases[3].shape).astype(np.int32)
    z_table = rng.integers(20, 40, (1, sizes.n)).astype(np.uint8)
    return EntropyModel(make_layers(weights, biases), inputs.tables, inputs.tables, z_table)


def coder_cases(inputs: Inputs) -> Iterator[Case]:
    """The scale network, and the whole coder from latents on the device to bytes on the host and back."""
    sizes, device = inputs.sizes, inputs.device
    model = _model(sizes, inputs)
    gpu = GpuCoder(model.layers, model.y_tables, model.z_tables, model.z_table, device)
    levels = [LEVEL] * sizes.batch
    z_hat = (torch.randn(sizes.z, device=device) * 3).round().clamp(Z_MIN, Z_MAX).to(torch.int8)
    z_numpy = z_hat.cpu().numpy()
    index = gpu.scale_index(z_hat, levels)
    weights = [torch.from_numpy(layer.weight.astype(np.float64)).to(device) for layer in model.layers]
    biases = [torch.from_numpy(layer.bias[LEVEL].astype(np.float64)).to(device) for layer in model.layers]

    def eager() -> Tensor:
        x = z_hat.double()
        for number, (layer, weight, bias) in enumerate(zip(model.layers, weights, biases, strict=True)):
            form = layer.form
            x = F.conv2d(x, weight, bias, padding=form.kernel // 2)
            x = ((x + (1 << (form.shift - 1))) / (1 << form.shift)).floor_().clamp_(0, form.output_max)
            x = F.pixel_shuffle(x, 2) if number in SHUFFLED_LAYERS else x
        return x.to(torch.uint8)

    def indices() -> list[np.ndarray]:  # type: ignore[type-arg]
        return [scale_index(z, LEVEL, model.layers) for z in z_numpy]

    products = sum(layer.weight.size * (1 if n < 2 else 4) for n, layer in enumerate(model.layers))
    yield Case(
        "integer scale network",
        lambda: gpu.scale_index(z_hat, levels),
        lambda: np.array_equal(index.cpu().numpy(), np.stack(indices())),
        index.numel(),
        eager=eager,
        cpu=indices,
        moved_bytes=z_hat.numel() + index.numel(),
        notes={"multiply_adds": products * z_hat[:, 0].numel()},
    )
    sigma = torch.tensor(scale_table(), device=device)[index.long()]
    r = ((torch.randn(sizes.y, device=device) * sigma).round() * (index > 0)).int()
    r = r.contiguous(memory_format=torch.channels_last)
    r_numpy, index_numpy = r.cpu().numpy(), index.cpu().numpy()
    latents = [Latents(LEVEL, z, x) for z, x in zip(z_numpy, r_numpy, strict=True)]
    files = [encode_latents(model, x, i) for x, i in zip(latents, index_numpy, strict=True)]
    coded = gpu.encode(z_hat, r, index, levels)

    def equal_decoded() -> bool:
        result = gpu.decode(coded, levels, sizes.z[2:], R_LIMIT)
        return result.errors == [None] * sizes.batch and torch.equal(result.r, r) and torch.equal(result.z_hat, z_hat)

    def cpu_decode() -> None:
        for file in files:
            decode_latents(model, StoredLatents(LEVEL, sizes.z[2:], file.payload, file.outliers))

    symbols = int((index > 0).sum()) + z_hat.numel()
    payload = sum(len(image.payload) for image in coded)
    yield Case(
        "latents to bytes",
        lambda: gpu.encode(z_hat, r, index, levels),
        lambda: [image.payload for image in coded] == [file.payload[1:] for file in files],
        symbols,
        cpu=lambda: [encode_latents(model, x, i) for x, i in zip(latents, index_numpy, strict=True)],
        notes={"payload_bytes": payload},
    )
    yield Case(
        "bytes to latents",
        lambda: gpu.decode(coded, levels, sizes.z[2:], R_LIMIT),
        equal_decoded,
        symbols,
        cpu=cpu_decode,
        notes={"payload_bytes": payload},
    )


def make_cases(sizes: Sizes, device: torch.device) -> Iterator[Case]:
    """All cases of one size, one after the other."""
    inputs = Inputs(sizes, device)
    for make in (quantize_cases, compaction_cases, rans_cases, coder_cases):
        yield from make(inputs)
