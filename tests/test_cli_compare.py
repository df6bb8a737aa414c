"""`vaecodec compare --html`: the page of one's own photos, as a user at a shell makes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from vaecodec.cli.exits import Exit
from vaecodec.cli.program import cli
from vaecodec.compare import peers, photos, scene
from vaecodec.weights.manifest import DEFAULT_MODEL

Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, photo: Pixels, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with two photos, the second lying on its side; curves of two points, for time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(photos, "CURVE_SETTINGS", (0.3, 0.6))
    Image.fromarray(photo).save("a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save("b.jpg", quality=95, exif=exif)
    return tmp_path


def run(*arguments: str, data: bytes | None = None) -> Result:
    return CliRunner().invoke(cli, ["compare", *arguments], input=data)


def content(page: str) -> dict[str, Any]:
    match = re.search(r'<script id="data" type="application/json">(.*?)</script>', Path(page).read_text(), re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


def test_the_page_shows_every_photo(folder: Path) -> None:
    done = run("a.png", "b.jpg", "--html", "page.html", "-q", "80")
    assert done.exit_code == 0, done.output
    assert "page: page.html" in done.stdout
    first, second = content("page.html")["scenes"]
    assert (first["name"], second["name"]) == ("a.png", "b.jpg")
    assert (first["width"], first["height"]) == (90, 61)
    assert (second["width"], second["height"]) == (61, 90)  # upright, as a viewer shows it
    assert sorted(os.listdir()) == ["a.png", "b.jpg", "page.html"]  # no temporary file


def test_the_bytes_are_those_of_the_quality(folder: Path) -> None:
    assert run("a.png", "--html", "page.html", "-q", "30").exit_code == 0
    size = len(vaecodec.encode(Image.open("a.png"), quality=30))
    [shown] = content("page.html")["scenes"]
    assert shown["wanted"] == size
    own = next(version for version in shown["versions"] if version["name"] == f"vaecodec:{DEFAULT_MODEL}")
    assert own["bytes"] == size
    assert own["matched"]


def test_json_names_the_page() -> None:
    done = run("a.png", "--html", "page.html", "--json")
    document = json.loads(done.stdout)
    assert [record["source"] for record in document["files"]] == ["a.png"]
    assert document["page"]["output"] == "page.html"
    assert document["page"]["bytes"] == Path("page.html").stat().st_size
    assert document["page"]["photos"] == ["a.png"]
    assert "page" not in json.loads(run("a.png", "--json").stdout)


def test_an_existing_page_stays_unless_told_otherwise() -> None:
    Path("page.html").write_text("mine")
    done = run("a.png", "--html", "page.html")
    assert done.exit_code == Exit.EXISTS
    assert "page.html exists; --overwrite replaces it" in done.stderr
    assert done.stdout == ""  # refused before any work
    assert Path("page.html").read_text() == "mine"
    assert run("a.png", "--html", "page.html", "--overwrite").exit_code == 0
    assert content("page.html")["scenes"]


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_shown() -> None:
    Path("broken.jpg").write_bytes(b"no picture")
    done = run("broken.jpg", "a.png", "--html", "page.html", "--json")
    assert done.exit_code == Exit.BAD_IMAGE
    document = json.loads(done.stdout)
    assert [failure["source"] for failure in document["failed"]] == ["broken.jpg"]
    assert [shown["name"] for shown in content("page.html")["scenes"]] == ["a.png"]


def test_without_a_readable_photo_nothing_is_written() -> None:
    Path("broken.jpg").write_bytes(b"no picture")
    for name, code in (("broken.jpg", Exit.BAD_IMAGE), ("absent.jpg", Exit.FILE_SYSTEM)):
        done = run(name, "--html", "page.html")
        assert done.exit_code == code
        assert name in done.stderr
    assert not Path("page.html").exists()


def test_a_page_that_cannot_be_written_is_an_error() -> None:
    done = run("a.png", "--html", "a.png/page.html")
    assert done.exit_code == Exit.FILE_SYSTEM
    assert "a.png" in done.stderr
    Path("folder").mkdir()
    assert run("a.png", "--html", "folder").exit_code == Exit.FILE_SYSTEM
    assert run("a.png", "--html", "-").exit_code == Exit.USAGE
    assert run("a.png", "--html", "new/page.html").exit_code == 0  # folders are made, as for other outputs


def test_a_photo_from_standard_input(folder: Path) -> None:
    done = run("-", "--html", "page.html", data=Path("a.png").read_bytes())
    assert done.exit_code == 0, done.output
    assert content("page.html")["scenes"][0]["name"] == "<stdin>"


def test_a_photo_of_one_pixel() -> None:
    Image.new("RGB", (1, 1), "red").save("dot.png")
    assert run("dot.png", "--html", "page.html").exit_code == 0
    assert content("page.html")["scenes"][0]["width"] == 1


def test_absent_codecs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(peers.features, "check", lambda name: name != "avif")
    assert run("a.png", "--html", "page.html").exit_code == 0
    page = Path("page.html").read_text()
    assert "Not installed here: AVIF (not part of this build of Pillow), " in page
    assert "JPEG XL (pip install pillow-jxl-plugin)." in page
    names = {version["name"] for version in content("page.html")["scenes"][0]["versions"]}
    assert names == {"original", f"vaecodec:{DEFAULT_MODEL}", "jpeg", "webp"}


def test_a_codec_that_fails_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        message = "encoding error 5"
        raise ValueError(message)

    monkeypatch.setattr(peers.WebpPeer, "encode", fail)
    assert run("a.png", "--html", "page.html").exit_code == 0
    [shown] = content("page.html")["scenes"]
    assert shown["failures"] == ["WebP failed on this picture: encoding error 5"]
    assert "webp" not in {version["name"] for version in shown["versions"]}
    assert "jpeg" in {version["name"] for version in shown["versions"]}


def test_a_panorama_wider_than_webp() -> None:
    wide = np.random.default_rng(5).integers(0, 256, (2, 16_400, 3), np.uint8)
    with Image.fromarray(wide) as picture:
        wide_scene = scene.make_scene("wide", np.asarray(picture), [peers.JpegPeer(), peers.WebpPeer()], 9000)
    assert [version.name for version in wide_scene.versions] == ["jpeg"]
    [line] = wide_scene.failures
    assert line.startswith("WebP failed on this picture")


def test_steps_are_counted(photo: Pixels) -> None:
    steps: list[str] = []
    codec = vaecodec.Codec("base", device="cpu")
    photos.compare_photos([("a", photo), ("b", photo)], codec, 40, advance=steps.append)
    assert len(steps) == photos.steps(2)


def test_the_command_line_starts_without_the_page(folder: Path) -> None:
    code = (
        "import sys, vaecodec.cli.program; print([name for name in sys.modules if name.startswith('vaecodec.compare')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, cwd=Path(__file__).parents[1])
    assert done.stdout.decode().strip() == "[]", done.stderr


def luminance(colour: str) -> float:
    """Of #rrggbb, as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_lines_stand_out_from_their_card() -> None:
    assets = Path(photos.__file__).with_name("assets")
    cards = re.search(r"--card: light-dark\((#\w{6}), (#\w{6})\)", (assets / "page.css").read_text(encoding="utf-8"))
    lists = re.findall(r"^const (?:PALETTE|OWN) = \[(.*?)\];", (assets / "page.js").read_text(encoding="utf-8"), re.M)
    assert cards
    lines = re.findall(r"#\w{6}", " ".join(lists))
    assert len(lines) >= 10
    for line in lines:
        for card in cards.groups():
            low, high = sorted((luminance(line), luminance(card)))
            assert (high + 0.05) / (low + 0.05) >= 3, (line, card)
