"""The codecs and metrics of the benchmark, each by itself."""

from __future__ import annotations

import io
import subprocess
import sys
import urllib.error
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click import ClickException
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from bench import kodak, measure, metrics
from bench.__main__ import main
from bench.codecs import PLAIN, CodecError, make
from bench.codecs.compressai import CompressAi, environment_python, worker_command
from bench.rd import runs as rd
from bench.rd.bdrate import scale
from bench.records import compact, load, save
from vaecodec.metrics import psnr

Pixels = NDArray[np.uint8]


@pytest.mark.parametrize("name", [*PLAIN, "vaecodec:base"])
def test_a_codec_keeps_the_picture(name: str, photo: Pixels) -> None:
    codec = make(name)
    if not codec.available():
        pytest.skip(f"{name} is not installed ({codec.requires})")
    assert codec.version()
    sizes, quality = [], []
    for setting in (codec.qualities[0], codec.qualities[-1]):
        data = codec.encode(photo, setting)
        decoded = codec.decode(data)
        measure.check_decoded(photo, decoded)
        sizes.append(len(data))
        quality.append(psnr(photo, decoded))
    assert sizes[0] < sizes[1]
    assert quality[0] < quality[1]
    assert list(codec.qualities) == sorted(codec.qualities)


def test_a_codec_that_refines_says_so_and_has_files_of_its_own(photo: Pixels, tmp_path: Path) -> None:
    once, refined = make("vaecodec:fast-perceptual"), make("vaecodec:fast-perceptual@5")
    assert refined.encode(photo, 30) != once.encode(photo, 30)
    assert refined.version() == f"{once.version()}, effort 5 (12 passes)"
    assert refined.title == "vaecodec fast-perceptual, effort 5"
    paths = [
        rd.record_path(tmp_path, "kodak", spec).name for spec in (once.name, refined.name, "vaecodec:a/b.safetensors@9")
    ]
    assert paths == [
        "vaecodec-fast-perceptual.json",
        "vaecodec-fast-perceptual-effort5.json",
        "vaecodec-b-effort9.json",
    ]


def test_a_tuned_codec_is_told_apart_from_the_untuned_one(photo: Pixels) -> None:
    codecs = [make(name) for name in ("avif", "avif-psnr", "avif-ssimulacra2")]
    if not codecs[0].available():
        pytest.skip("this build of Pillow has no AVIF")
    assert len({codec.encode(photo, 60) for codec in codecs}) == 3
    assert len({codec.version() for codec in codecs}) == 3


def test_a_wrong_picture_is_no_result(photo: Pixels) -> None:
    with pytest.raises(CodecError, match="is not the encoded one"):
        measure.check_decoded(photo, 255 - photo)
    with pytest.raises(CodecError, match=r"decoded uint8 \(60, 90, 3\), encoded uint8 \(61, 90, 3\)"):
        measure.check_decoded(photo, photo[1:])


def test_absent_codecs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMPRESSAI_ENV", str(tmp_path))
    present, missing = rd.absent(["jpeg", "vaecodec:no-such-model", "compressai:mbt2018-mean"])
    assert [codec.name for codec in present] == ["jpeg"]
    assert missing.keys() == {"vaecodec:no-such-model", "compressai:mbt2018-mean"}
    assert "setup-compressai" in missing["compressai:mbt2018-mean"]
    with pytest.raises(ValueError, match="'vaecodec:' is not one of"):
        make("vaecodec:")


def test_the_process_of_compressai_sees_no_module_of_this_project() -> None:
    """`bench/codecs` has a `compressai.py`, too. Tried with the Python of the tests, which has no CompressAI."""
    if find_spec("compressai") is not None:
        pytest.skip("this environment has CompressAI")
    command = [*worker_command(Path(sys.executable)), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert done.stderr.strip().endswith("ModuleNotFoundError: No module named 'compressai'")


def test_compressai_through_its_process(photo: Pixels) -> None:
    codec = make("compressai:bmshj2018-factorized")
    assert isinstance(codec, CompressAi)
    if not codec.installed():
        pytest.skip(f"no CompressAI in {environment_python().parent.parent} (python -m bench setup-compressai)")
    try:
        data = codec.encode(photo, 1)
        assert codec.decode(data).shape == photo.shape
        assert codec.last["seconds"] > 0
        assert codec.weights() == ""
        with pytest.raises(CodecError, match="KeyError"):
            codec.ask(
                {"do": "encode", "model": "no-such-model", "quality": 1, "weights": "", "picture": "", "stream": ""}
            )
        with pytest.raises(CodecError, match="error"):
            codec.decode(data[:9])
        assert codec.decode(data).shape == photo.shape  # the process has survived both
    finally:
        codec.close()


def test_psnr_is_over_all_samples() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    gray = np.full((4, 4, 3), 51, np.uint8)
    assert psnr(black, gray) == pytest.approx(20 * np.log10(5))
    assert psnr(black, black) == float("inf")
    assert measure.rounded(psnr(black, black)) is None


def test_ms_ssim_needs_a_side_of_161(photo: Pixels) -> None:
    assert metrics.measure("ms-ssim", photo, photo) is None


@pytest.mark.parametrize("metric", ["ms-ssim", "ssimulacra2", "butteraugli"])
def test_better_pictures_score_higher(metric: str, photo: Pixels) -> None:
    if not metrics.available(metric):
        pytest.skip(metrics.REQUIRES[metric])
    large = np.tile(photo, (3, 2, 1))
    scores = [metrics.measure(metric, large, make("jpeg").decode(make("jpeg").encode(large, q))) for q in (20, 90)]
    low, high = (scale(metric, score) for score in scores if score is not None)
    assert low < high


def test_unknown_metric(photo: Pixels) -> None:
    with pytest.raises(ValueError, match="'vmaf' is not one of psnr"):
        metrics.measure("vmaf", photo, photo)


def test_records_are_written_whole_and_in_lines(tmp_path: Path) -> None:
    record = {"rows": {"a": {"bytes": [1, 2, 3], "psnr": [30.5, None]}}, "curves": [[0.1, 2], [0.2, 3]], "none": {}}
    path = tmp_path / "deep" / "record.json"
    save(path, record)
    assert load(path) == record
    assert '"bytes": [1, 2, 3]' in path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]
    assert load(tmp_path / "nothing.json") == {}
    with pytest.raises(ValueError, match="Out of range float"):
        compact({"psnr": float("inf")})


def test_kodak_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(url: str, timeout: float) -> None:
        reason = "no route to host"
        raise urllib.error.URLError(reason)

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    result = CliRunner().invoke(main, ["kodak", "--download", "--to", str(tmp_path)])
    assert result.exit_code == 1
    assert "kodim01.png cannot be reached (<urlopen error no route to host>). Without a network, copy" in result.output
    assert list(tmp_path.iterdir()) == []


def test_kodak_takes_only_the_real_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photo: Pixels) -> None:
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "PNG")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(out.getvalue()))
    with pytest.raises(ClickException, match="pixels have SHA-256"):
        kodak.download(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ClickException, match="not an image"):
        kodak.check("kodim01.png", b"<html>", "")


def test_kodak_here_is_the_pinned_one() -> None:
    if kodak.locate() is None:
        pytest.skip("the Kodak images are not here")
    result = CliRunner().invoke(main, ["kodak"], catch_exceptions=False)
    assert "24 images, pixels as pinned" in result.output


def test_kodak_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kodak, "PLACES", (tmp_path,))
    result = CliRunner().invoke(main, ["rd", "kodak", "--metrics", "psnr"])
    assert result.exit_code == 1
    assert "python -m bench kodak --download" in result.output
