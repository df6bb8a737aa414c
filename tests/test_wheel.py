"""The wheel: what it installs, and that it works outside the checkout without it."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec

ROOT = Path(__file__).parents[1]


def _run(*command: str | Path, cwd: Path) -> str:
    # The checkout must not be found by accident.
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without git, so that neither stale nor new build output lies in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("vaecodec", "kernels", "bench", "checks", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
    return source


def _built(source: Path, out: Path) -> Path:
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of a new environment that holds the wheel and, from the outer one, only what the wheel depends on."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=False, symlinks=os.name != "nt")
    scripts = root / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=root)
    site = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=root).strip()
    Path(site, "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def test_it_installs_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (listing,) = (name for name in names if name.endswith("top_level.txt"))
        assert archive.read(listing).decode().split() == ["vaecodec", "vaecodec_kernels"]
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vaecodec", "vaecodec_kernels"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".nbi", ".nbc"))]


def test_it_holds_all_that_is_needed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        manifest = json.loads(archive.read("vaecodec/weights/MANIFEST.json"))
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "vaecodec").rglob("*.py")}
    assert sources <= names
    assert {"vaecodec/py.typed", "vaecodec/container/FORMAT.md"} <= names
    conformance = {str(path.relative_to(ROOT)) for path in (ROOT / "vaecodec" / "conformance_data").iterdir()}
    assert conformance <= names
    assets = {str(path.relative_to(ROOT)) for path in (ROOT / "vaecodec" / "web" / "assets").iterdir()}
    assert assets
    assert assets <= names
    weights = {f"vaecodec/weights/{model['file']}" for model in manifest["models"]}
    assert weights
    assert weights <= names


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


@pytest.mark.slow
def test_a_source_archive_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    """As package indexes and conda build it: of an archive, without git and without tests."""
    code = f"import setuptools.build_meta as build; build.build_sdist({str(tmp_path)!r})"
    _run(sys.executable, "-c", code, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    assert _names(_built(archive, tmp_path)) == _names(wheel)


def test_its_metadata_say_what_it_is_and_needs(wheel: Path) -> None:
    """No PyTorch, no Triton, and nothing that only bars of benchmarks need."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == vaecodec.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {re.split("[<>=!; ]", line)[0] for line in required}
    assert names == {"numpy", "pillow", "click", "safetensors", "numba"}


@pytest.mark.slow
def test_it_works_outside_the_checkout(installed: Path, tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    where = _run(installed / "python", "-c", "import vaecodec; print(vaecodec.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    _run(installed / "vaecodec", "compress", "photo.png", cwd=tmp_path)
    _run(installed / "vaecodec", "decompress", "photo.vaec", "-o", "back.png", cwd=tmp_path)
    with Image.open(tmp_path / "back.png") as image:
        assert image.size == (90, 61)
