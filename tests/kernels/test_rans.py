"""rANS kernels: the bytes of the NumPy coder, its symbols back, and a status for every damaged stream."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaecodec.errors import FormatError, Truncated
from vaecodec.rans import coder
from vaecodec.rans.lanes import GROUP_LANES, group_bounds
from vaecodec.rans.tables import CdfTables
from vaecodec_kernels.errors import KernelInputError
from vaecodec_kernels.rans import Groups, RansDecoder, Segment, Status, rans_encode
from vaecodec_kernels.tables import DeviceTables

Part = tuple[NDArray[np.uint16], NDArray[np.uint8]]
# (lanes, symbols of the first segment, symbols of the second)
IMAGES = [
    *((4, n, m) for n, m in ((1, 3), (4, 5), (63, 0), (0, 63))),
    *((32, n, m) for n, m in ((1, 31), (32, 33), (63, 1000))),
    *((128, n, m) for n, m in ((1, 127), (128, 129), (1000, 63))),
    (1, 1, 63),
    (1, 0, 0),
    (2, 2, 1),
    (64, 65, 200),
]


def _symbols(count: int, tables: CdfTables, seed: int) -> Part:
    """Symbols that mostly follow the tables, with some from the far end."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(tables.sizes), count).astype(np.uint8)
    slots = rng.integers(0, 1 << 16, count)
    symbols = (tables.quantized_cdf[index, 1:] <= slots[:, None]).sum(1)
    rare = rng.random(count) < 0.1
    symbols[rare] = tables.sizes[index[rare]] - 1
    return symbols.astype(np.uint16), index


def _segment(parts: Sequence[Part], tables: DeviceTables, device: torch.device) -> Segment:
    counts = [len(symbols) for symbols, _ in parts]
    offsets = np.cumsum([0, *counts])[:-1]
    return Segment(
        torch.from_numpy(np.concatenate([s for s, _ in parts]).astype(np.int16)).to(device),
        torch.from_numpy(np.concatenate([i for _, i in parts])).to(device),
        torch.tensor(offsets, dtype=torch.int64, device=device),
        torch.tensor(counts, dtype=torch.int64, device=device),
        tables,
        counts,
    )


@dataclasses.dataclass(frozen=True)
class Batch:
    lanes: list[int]
    segments: list[Segment]
    payloads: list[bytes]


@pytest.fixture(scope="module")
def batch(tables: CdfTables, device_tables: DeviceTables, device: torch.device) -> Batch:
    """All images, and their payloads by the reference."""
    lanes = [count for count, _, _ in IMAGES]
    parts = [
        [_symbols(n, tables, 100 * number + which) for which, n in enumerate(sizes)]
        for number, (_, *sizes) in enumerate(IMAGES)
    ]
    payloads = [
        coder.encode([(s, i, tables) for s, i in image], count) for image, count in zip(parts, lanes, strict=True)
    ]
    segments = [_segment([image[which] for image in parts], device_tables, device) for which in range(2)]
    return Batch(lanes, segments, payloads)


def _decoder(payloads: Sequence[bytes], lanes: Sequence[int], device: torch.device) -> RansDecoder:
    starts: list[int] = []
    ends: list[int] = []
    for number, (payload, count) in enumerate(zip(payloads, lanes, strict=True)):
        at = sum(map(len, payloads[:number])) // 2
        for whole, part in zip((starts, ends), group_bounds(payload, count), strict=True):
            whole += [at + place for place in part]
    words = torch.from_numpy(np.frombuffer(b"".join(payloads), "<i2").copy()).to(device)
    return RansDecoder(words, starts, ends, lanes, GROUP_LANES)


def _decode(decoder: RansDecoder, segments: Sequence[Segment]) -> list[torch.Tensor]:
    outputs = [torch.full_like(segment.symbols, -77) for segment in segments]
    for number, (segment, out) in enumerate(zip(segments, outputs, strict=True)):
        decoder.decode(dataclasses.replace(segment, symbols=out), last=number + 1 == len(segments))
    return outputs


def test_bytes_equal_the_reference(batch: Batch) -> None:
    coded = rans_encode(batch.segments, batch.lanes, group_lanes=GROUP_LANES)
    assert not coded.status.any()
    begins = coded.begins.tolist()
    data = coded.payload.cpu().numpy().tobytes()
    assert [data[2 * start : 2 * end] for start, end in itertools.pairwise(begins)] == batch.payloads


def test_the_references_bytes_decode(batch: Batch, device: torch.device) -> None:
    decoder = _decoder(batch.payloads, batch.lanes, device)
    outputs = _decode(decoder, batch.segments)
    assert not decoder.status.any()
    for output, segment in zip(outputs, batch.segments, strict=True):
        assert torch.equal(output, segment.symbols)


def _one(
    lanes: int, count: int, tables: CdfTables, device_tables: DeviceTables, device: torch.device
) -> tuple[list[Segment], bytes, Part]:
    part = _symbols(count, tables, 5)
    payload = coder.encode([(*part, tables)], lanes)
    return [_segment([part], device_tables, device)], payload, part


def _reference_status(payload: bytes, lanes: int, index: NDArray[np.uint8], tables: CdfTables) -> str:
    """What the reference says of a stream: its error's class, or "OK"."""
    try:
        decoder = coder.Decoder(payload, lanes)
        decoder.decode(index, tables)
        decoder.finish()
    except FormatError as error:
        return type(error).__name__
    return "OK"


KINDS = {
    Status.OK: "OK",
    Status.WORDS_MISSING: "Truncated",
    Status.WORDS_LEFT: "CorruptStream",
    Status.STATE_LEFT: "CorruptStream",
}


def test_damaged_streams_end_in_a_status(tables: CdfTables, device_tables: DeviceTables, device: torch.device) -> None:
    segments, payload, (symbols, index) = _one(32, 200, tables, device_tables, device)
    rng = np.random.default_rng(2)
    damaged = [payload, payload[:-2], payload[:-20], payload + b"\1\0", payload[:128]]
    for _ in range(11):
        broken = bytearray(payload)
        broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(broken))
    count = len(damaged)
    decoder = _decoder(damaged, [32] * count, device)
    outputs = _decode(decoder, [_segment([(symbols, index)] * count, device_tables, device)])[0]
    kinds = [KINDS[Status(status)] for status in decoder.status.tolist()]
    assert kinds == [_reference_status(data, 32, index, tables) for data in damaged]
    assert kinds[:5] == ["OK", "Truncated", "Truncated", "CorruptStream", "Truncated"]
    assert torch.equal(outputs[:200], segments[0].symbols)
    assert int(outputs.min()) >= 0  # everything was written, and is a symbol
    assert int(outputs.max()) < int(tables.sizes.max())


def test_a_wrong_end_state_is_reported(tables: CdfTables, device_tables: DeviceTables, device: torch.device) -> None:
    payload = b"\0\0\1\0" + b"\1\0\1\0"  # two lanes, nothing coded, the second lane one off
    decoder = _decoder([payload], [2], device)
    empty = (np.empty(0, np.uint16), np.empty(0, np.uint8))
    _decode(decoder, [_segment([empty], device_tables, device)])
    assert decoder.status.tolist() == [Status.STATE_LEFT]
    assert _reference_status(payload, 2, empty[1], tables) == "CorruptStream"


def test_bad_symbols_and_indices_end_in_a_status(
    tables: CdfTables, device_tables: DeviceTables, device: torch.device
) -> None:
    good, index = _symbols(40, tables, 9)
    bad, worse = good.copy(), index.copy()
    bad[39] = tables.sizes[index[39]]
    worse[0] = len(tables.sizes)
    segment = _segment([(good, index), (bad, index), (good, worse)], device_tables, device)
    coded = rans_encode([segment], [4, 4, 4], group_lanes=GROUP_LANES)
    assert coded.status.tolist() == [Status.OK, Status.BAD_SYMBOL, Status.BAD_INDEX]
    payload = coder.encode([(good, index, tables)], 4)
    decoder = _decoder([payload] * 3, [4, 4, 4], device)
    outputs = _decode(decoder, [segment])[0]
    assert decoder.status.tolist() == [Status.OK, Status.OK, Status.BAD_INDEX]
    assert torch.equal(outputs[:40], segment.symbols[:40])


def test_too_little_room_ends_in_a_status(tables: CdfTables, device_tables: DeviceTables, device: torch.device) -> None:
    part = _symbols(64, tables, 3)
    segment = _segment([part, part], device_tables, device)
    coded = rans_encode([dataclasses.replace(segment, most=[64, 4])], [4, 4], group_lanes=GROUP_LANES)
    assert coded.status.tolist() == [Status.OK, Status.NO_ROOM]
    data = coded.payload.cpu().numpy().tobytes()
    assert data[: 2 * int(coded.begins[1])] == coder.encode([(*part, tables)], 4)


def test_group_bounds_reject_what_does_not_fit(tables: CdfTables) -> None:
    payload = coder.encode([(*_symbols(300, tables, 1), tables)], 64)
    starts, ends = group_bounds(payload, 64)
    assert (starts[0], ends[-1]) == (2, len(payload) // 2)
    for data in (payload[:-1], payload[:100], b"\xff\xff\xff\xff" + payload[4:]):
        with pytest.raises(Truncated):
            group_bounds(data, 64)


def test_arguments_are_checked(device_tables: DeviceTables, device: torch.device) -> None:
    words = torch.zeros(64, dtype=torch.int16, device=device)
    with pytest.raises(KernelInputError, match="power of two"):
        Groups.of([3], GROUP_LANES, words)
    with pytest.raises(KernelInputError, match="the payload has 64 words"):
        RansDecoder(words, [0], [65], [1], GROUP_LANES)
    with pytest.raises(KernelInputError, match="lies at 0"):
        RansDecoder(words, [0], [1], [1], GROUP_LANES)
    with pytest.raises(KernelInputError, match="2 starts"):
        RansDecoder(words, [0, 2], [2, 4], [1], GROUP_LANES)
    part: Any = (np.zeros(5, np.uint16), np.zeros(5, np.uint8))
    segment = _segment([part], device_tables, device)
    with pytest.raises(KernelInputError, match="offsets has shape"):
        rans_encode([segment], [1, 1], group_lanes=GROUP_LANES)
    with pytest.raises(KernelInputError, match="symbols is"):
        rans_encode([dataclasses.replace(segment, symbols=segment.symbols.int())], [1], group_lanes=GROUP_LANES)
