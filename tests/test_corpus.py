"""Every file that once broke something, and every seed, through the fuzz targets; no fuzzer is needed."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from checks.fuzz.seal import seal
from checks.fuzz.seeds import write_seeds
from checks.fuzz.targets import TARGETS, Finding, require
from vaecodec.conformance import expectations

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_file(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str, tmp_path: Path) -> None:
    assert write_seeds(target, tmp_path) >= 10
    for path in sorted(tmp_path.iterdir()):
        TARGETS[target](path.read_bytes())


def test_every_target_has_a_corpus() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)


def test_targets_find_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that lets a foreign error out, or that reads something else, is a finding."""
    good = next(expected.data for expected in expectations())
    with pytest.raises(Finding, match="why"):
        require(False, "why")
    monkeypatch.setattr("vaecodec.container.parse", lambda *_, **__: struct.unpack("<I", b""))
    with pytest.raises(struct.error):
        TARGETS["container"](good)
    with pytest.raises(struct.error):
        TARGETS["decode"](good)


def test_seal_makes_checksums_right() -> None:
    data = bytearray(next(expected.data for expected in expectations() if expected.name == "section-all"))
    assert seal(bytes(data)) == data
    original = bytes(data)
    data[-1] ^= 1
    data[12] ^= 1  # the level
    sealed = seal(bytes(data))
    assert sealed != bytes(data)
    assert zlib.crc32(sealed[-300:]) == struct.unpack_from("<I", sealed, _header_end(original) - 8)[0]
    assert seal(b"") == b""
    assert seal(bytes(data[:20])) == bytes(data[:20])


def _header_end(data: bytes) -> int:
    from vaecodec import container

    file = container.parse(data)
    return min(section.offset for section in file.sections.values())
