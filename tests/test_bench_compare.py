"""The parts of the comparison page, without a browser."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vaecodec
from bench.codecs import PLAIN, make
from vaecodec.compare import photos
from vaecodec.compare.maps import bits_map, error_map
from vaecodec.compare.matching import TOLERANCE, common_size, match_size
from vaecodec.compare.ms_ssim import SHORTEST_SIDE, ms_ssim
from vaecodec.compare.page import Chart, Curve, build_page, map_data, picture_uri
from vaecodec.compare.peers import PEERS, JpegPeer, Peer, VaecodecPeer, installed_peers
from vaecodec.compare.photos import compare_photos
from vaecodec.compare.scene import centre_crop, make_scene, make_version
from vaecodec.metrics import psnr

Pixels = NDArray[np.uint8]


class Stepped(Peer):
    """Files of 100, 110, 121, ... bytes."""

    name = title = "stepped"
    low, high = 0, 40
    whole = True

    def __init__(self, start: float = 100) -> None:
        self.start = start

    def encode(self, pixels: Pixels, setting: float) -> bytes:  # noqa: ARG002
        return bytes(round(self.start * 1.1**setting))

    def decode(self, data: bytes) -> Pixels:
        raise NotImplementedError


@pytest.fixture(scope="module")
def codec() -> vaecodec.Codec:
    return vaecodec.Codec("base", device="cpu")


@pytest.fixture
def large(photo: Pixels) -> Pixels:
    """uint8 [183, 180, 3]: large enough for MS-SSIM and for files of more than headers."""
    return np.ascontiguousarray(np.tile(photo, (3, 2, 1)))


def page_data(page: str) -> dict[str, list[dict[str, object]]]:
    match = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert match
    data: dict[str, list[dict[str, object]]] = json.loads(match[1])
    return data


def test_ms_ssim_is_the_usual_one(large: Pixels) -> None:
    reference = pytest.importorskip("pytorch_msssim", reason="compared with pytorch-msssim (extra bench)")
    import torch

    for quality in (10, 60):
        decoded = JpegPeer().decode(JpegPeer().encode(large, quality))
        planes = [torch.from_numpy(p.transpose(2, 0, 1)[None].astype(np.float32)) for p in (large, decoded)]
        assert ms_ssim(large, decoded) == pytest.approx(float(reference.ms_ssim(*planes, data_range=255)), abs=1e-5)
    assert ms_ssim(large, large) == pytest.approx(1)
    assert ms_ssim(large[: SHORTEST_SIDE - 1], large[: SHORTEST_SIDE - 1]) is None


@pytest.mark.parametrize("peer", installed_peers(), ids=lambda peer: str(peer.name))
@pytest.mark.parametrize("size", [4000, 9000])
def test_files_are_brought_to_equal_bytes(peer: Peer, size: int, large: Pixels) -> None:
    match = match_size(peer, large, size)
    assert match.matched
    assert abs(len(match.data) / size - 1) <= TOLERANCE
    assert match.deviation == len(match.data) / size - 1
    assert psnr(large, peer.decode(match.data)) > 20
    assert peer.describe(match.setting).startswith("quality ")


def test_this_codec_comes_between_its_levels(large: Pixels, codec: vaecodec.Codec) -> None:
    peer = VaecodecPeer(codec)
    sizes = [len(peer.encode(large, level)) for level in range(20, 40)]
    low, high = max(pairwise(sizes), key=lambda pair: pair[1] / pair[0])
    target = round((low * high) ** 0.5)
    assert high / target > 1 + TOLERANCE
    match = match_size(peer, large, target)
    assert match.matched
    assert low < len(match.data) <= target
    assert peer.describe(match.setting).startswith("quality ")
    assert match_size(peer, large, low).data == peer.encode(large, match_size(peer, large, low).setting)
    assert not match_size(peer, large, 10**7).matched
    version = make_version(peer, large, target)
    assert version.data == match.data
    assert version.psnr == psnr(large, peer.decode(match.data))
    assert common_size([peer, Stepped()], large, 140) == 146  # it goes where the others are


@pytest.mark.parametrize(("size", "setting"), [(1, 0), (100, 0), (104, 0), (106, 1), (146, 4), (10**9, 40)])
def test_the_nearest_step_is_found(size: int, setting: int) -> None:
    match = match_size(Stepped(), np.zeros((1, 1, 3), np.uint8), size)
    assert match.setting == setting
    assert match.matched == (abs(match.deviation) <= TOLERANCE)


def test_codecs_of_coarse_steps_meet_where_they_can() -> None:
    pixels = np.zeros((1, 1, 3), np.uint8)
    assert common_size([JpegPeer()], pixels, 140) == 140
    assert common_size([Stepped()], pixels, 140) == 146
    other = Stepped(100)
    other.encode = lambda _, setting: bytes(round(100 * 1.07**setting))  # type: ignore[method-assign]
    size = common_size([Stepped(), other], pixels, 180)
    assert all(match_size(peer, pixels, size).matched for peer in (Stepped(), other))


def test_the_error_map_is_where_the_error_is(photo: Pixels) -> None:
    decoded = photo.copy()
    decoded[8:16, 16:24] ^= 1  # one gray level
    errors = error_map(photo, decoded)
    assert errors.shape == (8, 12)  # 61 x 90 in blocks of 8
    assert errors[1, 2] == pytest.approx(1)
    assert np.count_nonzero(errors) == 1


def test_the_bits_map_adds_up_to_the_file(large: Pixels, codec: vaecodec.Codec) -> None:
    padded = np.ascontiguousarray(np.pad(large, ((0, 9), (0, 12), (0, 0)), mode="edge"))  # 192 x 192
    data = codec.encode(padded, 70, mode="neural")
    bits = bits_map(data, codec)
    assert bits is not None
    assert bits.shape == (12, 12)
    coded = 8 * vaecodec.inspect(data).sections["latents"]
    assert bits.sum() * 16**2 == pytest.approx(coded, rel=0.03)  # the lanes' states are not in the map
    whole = bits_map(codec.encode(large, 70, mode="neural"), codec)
    assert whole is not None
    assert whole.shape == (12, 12)
    assert bits_map(codec.encode(large, lossless=True), codec) is None


def test_a_drawing_is_shown_lossless(codec: vaecodec.Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = np.repeat((np.indices((96, 80)).sum(0) // 16 % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    monkeypatch.setattr(photos, "CURVE_SETTINGS", (0.3, 0.6))
    scene: Any = page_data(compare_photos([("x", drawing)], codec))["scenes"][0]
    own = scene["versions"][1]
    assert (own["setting"], own["psnr"], own["bits"]) == ("lossless", None, None)
    assert not [line for line in scene["failures"] if line.startswith("vaecodec")]


def test_the_published_page_is_small_and_at_equal_bytes() -> None:
    path = Path(__file__).parents[1] / "bench" / "results" / "kodak" / "report.html"
    assert path.stat().st_size < 4_000_000  # eleven codecs, lossless copies of what each makes of three crops
    scenes = page_data(path.read_text(encoding="utf-8"))["scenes"]
    assert len(scenes) == 3
    for shown in scenes:
        coded: list[dict[str, Any]] = [v for v in shown["versions"] if v["name"] != "original"]  # type: ignore[attr-defined]
        assert {"vaecodec:base", "vaecodec:base-perceptual", "jpeg", "webp", "avif", "jxl"} <= {
            version["name"] for version in coded
        }
        apart = {version["name"]: version["bytes"] / shown["wanted"] - 1 for version in coded}
        assert all(abs(share) <= TOLERANCE for share in apart.values()), (shown["name"], apart)


def test_maps_keep_their_scale() -> None:
    data = map_data(np.array([[0, 2], [4, 1]], np.float32), 8)
    assert (data["rows"], data["columns"], data["max"]) == (2, 2, 4.0)
    assert map_data(np.zeros((1, 1), np.float32), 8)["max"] == 0


def test_copies_say_how_true_they_are(photo: Pixels) -> None:
    uri, words = picture_uri(photo)
    assert uri.startswith("data:image/")
    assert words == "lossless copy of the decoded pixels"


def test_a_large_picture_gives_its_centre() -> None:
    picture = np.arange(40 * 90 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 90, 3)
    assert centre_crop(picture, 3600) is picture
    cut = centre_crop(picture, 900)
    assert cut.shape == (20, 45, 3)
    assert np.array_equal(cut, picture[10:30, 22:67])


def test_the_page_stands_alone_and_survives_hostile_names(photo: Pixels) -> None:
    name = "</script><script>alert(1)</script> @@DATA@@"
    scene = make_scene(name, photo, [JpegPeer()], 1500)
    chart = Chart(name, (Curve("jpeg", "<b>JPEG", {"PSNR": [(1.0, 30.0), (0.5, float("inf"))]}),))
    page = build_page(f"Title {name}", "a < b", [scene], [chart])
    data = page_data(page)
    assert data["scenes"][0]["name"] == name
    assert data["charts"][0]["curves"] == [
        {"name": "jpeg", "title": "<b>JPEG", "published": False, "points": {"PSNR": [[1.0, 30.0]]}}
    ]
    assert "<script>alert" not in page
    assert "a &lt; b" in page
    assert re.search(r"https?://", page.replace("http://www.w3.org/2000/svg", "")) is None
    assert "default-src 'none'" in page


def test_photos_through_every_installed_codec(
    large: Pixels, codec: vaecodec.Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "CURVE_SETTINGS", (0.3, 0.6))
    lines: list[str] = []
    page = compare_photos([("cat", large)], codec, 40, max_pixels=180 * 170, advance=lines.append)
    data = page_data(page)
    (scene,) = data["scenes"]
    assert scene["name"] == "cat (centre)"
    versions = scene["versions"]
    assert isinstance(versions, list)
    names = [version["name"] for version in versions]
    assert names == ["original", "vaecodec:base", *(peer.name for peer in installed_peers())]
    assert versions[1]["deviation"] == 0
    assert versions[1]["bits"]["block"] == 16
    assert len(lines) == 2 * (len(names) - 1)
    assert [curve["name"] for curve in data["charts"][0]["curves"]] == names[1:]  # type: ignore[attr-defined]


def test_vaecodec_as_a_peer(photo: Pixels, codec: vaecodec.Codec) -> None:
    peer = VaecodecPeer(codec)
    assert peer.title == "vaecodec base"
    assert vaecodec.inspect(peer.encode(photo, 12)).quality == 12
    assert peer.describe(12) == "quality 12"
    assert vaecodec.inspect(make("vaecodec:base").encode(photo, 12)).quality == 12


@pytest.mark.parametrize("name", [*PLAIN, "vaecodec:base"])
def test_the_codecs_of_the_benchmark_are_peers(name: str, photo: Pixels) -> None:
    """What a page shows at a whole setting is the file that the benchmark has measured."""
    codec = make(name)
    assert isinstance(codec, Peer)
    kind = next((kind for kind in (*PEERS, VaecodecPeer) if isinstance(codec, kind)), None)
    if kind is None:
        assert name == "jpegli"
        assert codec.whole
    elif name in ("jpeg", "webp", "avif", "jxl") and codec.available():
        assert kind().encode(photo, 50) == codec.encode(photo, 50)  # type: ignore[call-arg]
    assert codec.low <= codec.qualities[0] < codec.qualities[-1] <= codec.high
