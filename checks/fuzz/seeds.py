"""Where the fuzzer starts: the conformance set, the contents of its files, and every finding there ever was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vaecodec import container
from vaecodec.conformance import expectations
from vaecodec.container import Tag

CORPUS = Path(__file__).parents[2] / "tests" / "corpus"
LARGEST = 1500
"""Bytes of a seed: small ones find more in the same time."""


def write_seeds(target: str, folder: Path) -> int:
    """Fill `folder`; returns the number of seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    generated = {"rans": _streams, "pixels": _programs}.get(target, lambda: _files(target))()
    seeds = [*generated, *(path.read_bytes() for path in sorted((CORPUS / target).glob("*")))]
    for number, data in enumerate(seeds):
        (folder / f"seed-{number:03}").write_bytes(data)
    return len(seeds)


def _files(target: str) -> Iterator[bytes]:
    for expected in expectations():
        data = expected.data
        if len(data) <= LARGEST:
            yield data
        if target == "container" and expected.error is None:
            file = container.parse(data)
            contents = container.read_all(data, file)
            for tag in (Tag.ALPHA, Tag.OUTLIERS, Tag.LOSSLESS):
                if len(contents.get(tag, b"")) in range(1, LARGEST):
                    yield b"\x11" + contents[tag]


def _programs() -> Iterator[bytes]:
    """Drawings of one step of every kind, of random numbers, and of several."""
    from checks.fuzz.drawing import STEPS

    rng = np.random.default_rng(0)
    for step in range(len(STEPS)):
        yield rng.bytes(9) + bytes([step]) + rng.bytes(20)
    for length in (9, 30, 60, 120, 200):
        yield rng.bytes(length)


def _streams() -> Iterator[bytes]:
    """Tables and streams as `fuzz_rans` takes them apart: as many bytes of table as of stream."""
    from checks.fuzz.targets import MOST_ROWS
    from vaecodec.rans import coder
    from vaecodec.rans.tables import CdfTables

    rng = np.random.default_rng(0)
    for rows, log_lanes, size in ((1, 0, 2), (2, 1, 5), (3, 5, 9), (4, 6, 30), (1, 8, 3)):
        inner = [np.sort(rng.choice(np.arange(1, 65536), size - 1, replace=False)) for _ in range(rows)]
        tables = CdfTables.from_rows([np.concatenate([[0], row, [65536]]).astype(np.uint32) for row in inner])
        count = min(400, MOST_ROWS << log_lanes)
        index = (np.arange(count) % rows).astype(np.uint8)
        symbols = rng.integers(0, size, count).astype(np.uint16)
        stream = coder.encode([(symbols, index, tables)], 1 << log_lanes)
        table = np.concatenate(inner).astype("<u2").tobytes()
        yield bytes([rows - 1, log_lanes, count // 4, count % 4]) + table + stream[: len(table)]
        yield bytes([rows - 1, log_lanes, count // 4, count % 4]) + table.ljust(len(stream), b"\xff") + stream
