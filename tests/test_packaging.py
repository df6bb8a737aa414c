"""The recipes in packaging/ and the metadata say what pyproject.toml and the package say."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

import vaecodec

tomllib = pytest.importorskip("tomllib", reason="reads pyproject.toml with the standard library of Python 3.11")

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
METADATA = PROJECT["project"]
DOCKERFILE = (ROOT / "packaging" / "Dockerfile").read_text(encoding="utf-8")
LEAST_PYTHON = METADATA["requires-python"].removeprefix(">=")


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="reads the recipe with PyYAML")
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text(encoding="utf-8"))
    return loaded


def _without_spaces(requirements: list[str]) -> list[str]:
    return sorted(requirement.replace(" ", "") for requirement in requirements)


def test_the_least_triton_is_the_one_that_the_kernels_ask_for() -> None:
    source = (ROOT / "kernels" / "vaecodec_kernels" / "launch.py").read_text(encoding="utf-8")
    numbers = re.findall(r"^LEAST_TRITON = \((\d+), (\d+)\)$", source, re.MULTILINE)
    [requirement] = [each for each in METADATA["optional-dependencies"]["torch"] if each.startswith("triton")]
    assert [requirement.partition(";")[0]] == [f"triton>={'.'.join(pair)}" for pair in numbers]


def test_the_recipe_requires_what_the_package_requires(recipe: dict[str, Any]) -> None:
    run = [each for each in recipe["requirements"]["run"] if not each.startswith("python ")]
    assert _without_spaces(run) == _without_spaces(METADATA["dependencies"])
    host = [each for each in recipe["requirements"]["host"] if not each.startswith(("python ", "pip"))]
    assert _without_spaces(host) == _without_spaces(PROJECT["build-system"]["requires"])


def test_the_recipe_is_of_this_version(recipe: dict[str, Any]) -> None:
    context = recipe["context"]
    assert (context["name"], context["version"]) == (METADATA["name"], vaecodec.__version__)
    assert context["python_min"] == LEAST_PYTHON
    assert recipe["about"]["license"] == METADATA["license"]
    assert [recipe["about"]["license_file"]] == METADATA["license-files"]
    entries = [f"{name} = {target}" for name, target in METADATA["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == entries


def test_the_image_is_built_of_files_that_exist() -> None:
    """Those that pyproject.toml names among them: what is missing is missed only by the installation."""
    copied: list[str] = []
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied += line.split()[1:-1]
    assert all((ROOT / name).exists() for name in copied), copied
    packages = {Path(folder).parts[0] for folder in PROJECT["tool"]["setuptools"]["package-dir"].values()}
    needed = {"pyproject.toml", METADATA["readme"], *METADATA["license-files"], METADATA["name"], *packages}
    assert set(copied) == needed


def test_the_image_runs_the_command_without_pytorch() -> None:
    assert "torch" not in DOCKERFILE.replace("PyTorch", "")
    installs = re.findall(r"pip install ([^\\&\n]*)", DOCKERFILE)
    assert {tuple(word for word in shlex.split(line) if not word.startswith("-")) for line in installs} == {(".",)}
    entry = re.search(r'^ENTRYPOINT \["([\w-]+)"\]$', DOCKERFILE, re.MULTILINE)
    assert entry is not None
    assert entry[1] in METADATA["scripts"]
    assert f"/bin/{entry[1]} doctor" in DOCKERFILE


def test_the_pythons_of_image_and_metadata_are_supported() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = sorted(int(each.removeprefix(prefix)) for each in METADATA["classifiers"] if each.startswith(prefix))
    assert named[0] == int(LEAST_PYTHON.partition(".")[2])
    images = set(re.findall(r"^FROM python:3\.(\d+)-slim", DOCKERFILE, re.MULTILINE))
    assert len(images) == 1
    assert int(images.pop()) in named


def test_a_release_is_tagged_with_its_version() -> None:
    try:
        line = ["git", "tag", "--points-at", "HEAD"]
        tags = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout")
    assert {tag for tag in tags if re.fullmatch(r"v\d.*", tag)} <= {f"v{vaecodec.__version__}"}
