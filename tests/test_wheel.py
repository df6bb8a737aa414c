"""The wheel: what it installs, and that it works outside the checkout without it."""

from __future__ import annotations

import json
import os
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

ROOT = Path(__file__).parents[1]


def _run(*command: str | Path, cwd: Path) -> str:
    # The checkout must not be found by accident.
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that neither stale nor new build output lies in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("vaecodec", "kernels", "bench", "checks", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


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


@pytest.mark.slow
def test_it_works_outside_the_checkout(installed: Path, tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    where = _run(installed / "python", "-c", "import vaecodec; print(vaecodec.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    _run(installed / "vaecodec", "compress", "photo.png", cwd=tmp_path)
    _run(installed / "vaecodec", "decompress", "photo.vaec", "-o", "back.png", cwd=tmp_path)
    with Image.open(tmp_path / "back.png") as image:
        assert image.size == (90, 61)
