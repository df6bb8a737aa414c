"""Partial files: what a right checksum covers can be had, everything else is an error or is said to be missing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vaecodec import container
from vaecodec.cli.program import cli
from vaecodec.codec import Codec, shared_codec
from vaecodec.conformance import MODEL, expectations
from vaecodec.container import Mode, Tag, salvage
from vaecodec.errors import ChecksumMismatch, FormatError, Truncated

DATA = {expected.name: expected.data for expected in expectations()}
ALL = DATA["section-all"]
FILE = container.parse(ALL)


def _flipped(tag: Tag) -> bytes:
    data = bytearray(ALL)
    data[FILE.sections[tag].offset] ^= 4
    return bytes(data)


def test_an_intact_file_is_not_touched() -> None:
    assert salvage(ALL).data == ALL
    assert salvage(ALL).lost == ()


@pytest.mark.parametrize("tag", [Tag.ICC, Tag.EXIF, Tag.XMP])
def test_damaged_metadata_is_left_out(tag: Tag) -> None:
    salvaged = salvage(_flipped(tag))
    assert set(container.parse(salvaged.data).sections) == set(FILE.sections) - {tag}
    assert salvaged.lost[0].startswith(f"section {tag.name} CRC is")
    assert salvaged.lost[0].endswith(f"{tag.name} is left out")


def test_damaged_alpha_gives_an_opaque_picture() -> None:
    salvaged = salvage(_flipped(Tag.ALPHA))
    assert container.parse(salvaged.data).header.mode is Mode.RGB
    assert salvaged.lost[0].endswith("the picture is opaque")
    codec = Codec(MODEL, device="cpu", dtype="float32")
    whole, part = codec.decode(ALL, as_array=True), codec.decode(salvaged.data, as_array=True)
    assert np.array_equal(whole[..., :3], part)


@pytest.mark.parametrize("tag", [Tag.LATENTS])
def test_without_the_latents_there_is_no_picture(tag: Tag) -> None:
    with pytest.raises(ChecksumMismatch, match="LATENTS"):
        salvage(_flipped(tag))
    with pytest.raises(Truncated, match="LATENTS"):
        salvage(ALL[: FILE.sections[Tag.ALPHA].offset - 1])
    outliers = DATA["outliers"]
    with pytest.raises(FormatError, match="OUTLIERS"):
        salvage(outliers[:-1])


def test_every_cut_is_told_and_gives_a_legal_file_or_an_error() -> None:
    needed = FILE.sections[Tag.ALPHA].offset
    for size in range(len(ALL)):
        if size < needed:
            with pytest.raises(FormatError):
                salvage(ALL[:size])
        else:
            rescued = salvage(ALL[:size])
            assert f"the file is cut: {size} of {len(ALL)} bytes are there" in rescued.lost
            file = container.parse(rescued.data)
            assert container.read_all(rescued.data, file)[Tag.LATENTS] == container.read_section(ALL, FILE, Tag.LATENTS)


def test_bytes_behind_the_file() -> None:
    salvaged = salvage(DATA["level-00"] + b"junk")
    assert salvaged.data == DATA["level-00"]
    assert salvaged.lost == ("4 bytes behind the end of the file are ignored",)


def test_command(tmp_path: Path) -> None:
    picture = Image.fromarray(np.full((20, 30, 4), 99, np.uint8))
    data = shared_codec("base", "cpu").encode(picture, 10, mode="neural")
    (tmp_path / "a.vaec").write_bytes(data[:-3])
    arguments = ["decompress", str(tmp_path / "a.vaec"), "--device", "cpu"]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 3
    assert not (tmp_path / "a.png").exists()
    done = CliRunner().invoke(cli, [*arguments, "--allow-partial"])
    assert done.exit_code == 0, done.output
    assert "note:" in done.stderr
    assert "the picture is opaque" in done.stderr
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        assert (image.mode, image.size) == ("RGB", (30, 20))
