"""The conformance set: complete, unchanged, and passed by this machine, through `vaecodec verify --conformance` too."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vaecodec import conformance, container
from vaecodec.cli.program import cli
from vaecodec.codec import Codec
from vaecodec.conformance import FOLDER, MANIFEST, MODEL, Expected, check, expectations
from vaecodec.container import Mode, Tag

GOOD = [expected for expected in expectations() if expected.error is None]
LARGEST = 420_000
"""Bytes of the set: it is in every wheel."""


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(MODEL, device="cpu", dtype="float32")


@pytest.mark.parametrize("expected", expectations(), ids=lambda expected: expected.name)
def test_file(codec: Codec, expected: Expected) -> None:
    assert check(expected, codec).fault == ""


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.reference)])
def test_half_precision(dtype: str) -> None:
    """The integers are the same, pixels within the wider limits."""
    report = conformance.run("cpu", dtype)
    assert not report.faults
    assert f"decodes exactly (cpu, {dtype}): {len(expectations())} of" in report.line


@pytest.mark.gpu
def test_gpu() -> None:
    assert not [fault for report in conformance.run_all("cuda") for fault in report.faults]


def test_the_set_covers_the_format() -> None:
    """Every mode, alpha filter, section, several lane groups, the levels' extremes, odd sizes."""
    assert len(GOOD) >= 24
    files = [(expected.data, container.parse(expected.data)) for expected in GOOD]
    assert {file.header.mode for _, file in files} == set(Mode)
    assert {tag for _, file in files for tag in file.sections} == set(Tag)
    contents = [container.read_all(data, file) for data, file in files]
    assert {content[Tag.ALPHA][0] for content in contents if Tag.ALPHA in content} == {0, 1, 2}
    assert {1 << content[Tag.LATENTS][0] for content in contents if Tag.LATENTS in content} >= {1, 32, 64, 256, 8192}
    lossless = [(file, content) for (_, file), content in zip(files, contents, strict=True) if Tag.LOSSLESS in content]
    assert {file.header.mode for file, _ in lossless} == set(Mode)
    assert max(len(container.parse_tiles(content[Tag.LOSSLESS], file.header)) for file, content in lossless) > 4
    assert {0, 63} <= {file.header.level for _, file in files}
    assert {(1, 1), (63, 65), (64, 64)} <= {(file.header.width, file.header.height) for _, file in files}
    refused = {expected.error for expected in expectations() if expected.error}
    assert refused >= {"BadMagic", "UnsupportedVersion", "Truncated", "ChecksumMismatch", "CorruptStream"}


def test_the_set_is_whole_and_small() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    listed = {f"{expected.name}.vaec" for expected in expectations()}
    listed |= {f"{expected.name}.png" for expected in GOOD if expected.peak is not None}
    assert names == listed | {MANIFEST.name, MODEL.name}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < LARGEST
    model = json.loads(MANIFEST.read_text(encoding="utf-8"))["model"]
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == model


def test_faults_are_told(codec: Codec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever differs is found: integers, pixels, a shape, a file that should or should not be refused."""
    by_name = {expected.name: expected for expected in expectations()}
    good, bad = by_name["level-31"], by_name["refuse-cut"]
    lossless = by_name["lossless-rgb"]
    assert "is refused" in check(dataclasses.replace(bad, error=None, peak=0), codec).fault
    assert "integers hash to" in check(dataclasses.replace(good, latents="0" * 64), codec).fault
    assert "is accepted" in check(dataclasses.replace(good, error="Truncated"), codec).fault
    assert "must raise BadMagic" in check(dataclasses.replace(bad, error="BadMagic"), codec).fault
    assert "is refused" in check(dataclasses.replace(bad, error=None), codec).fault
    monkeypatch.setattr(Expected, "pixels", property(lambda _: np.zeros((48, 72, 3), np.uint8)))
    assert "pixels differ by" in check(good, codec).fault
    monkeypatch.setattr(Expected, "pixels", property(lambda _: np.zeros((30, 41, 3), np.uint8)))
    assert "pixels differ by" in check(lossless, codec).fault
    monkeypatch.setattr(Expected, "pixels", property(lambda _: np.zeros((48, 72), np.uint8)))
    assert "has shape" in check(good, codec).fault


def test_command() -> None:
    done = CliRunner().invoke(cli, ["verify", "--conformance", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("this machine decodes exactly (cpu, float32)")


def test_command_of_a_machine_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(expectations()[0], latents="0" * 64)
    monkeypatch.setattr(conformance, "expectations", lambda: (wrong,))
    done = CliRunner().invoke(cli, ["verify", "--conformance", "--device", "cpu"])
    assert done.exit_code == 8
    assert "does NOT decode exactly (cpu, float32): 1 of 1 files differ" in done.output
    assert "size-1x1: integers hash to" in done.output
    document = json.loads(CliRunner().invoke(cli, ["verify", "--conformance", "--device", "cpu", "--json"]).stdout)
    assert document["conformance"][0]["ok"] is False


@pytest.mark.parametrize("arguments", [[], ["--conformance", "a.vaec"]])
def test_files_or_the_machine(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, ["verify", *arguments])
    assert done.exit_code == 2
    assert "--conformance alone" in done.output
