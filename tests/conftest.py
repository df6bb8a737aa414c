"""What every test shares: the kernel interpreter where there is no GPU, versions in the report, small pictures."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

# triton decides between compiling and interpreting when it is imported, so this comes before anything else;
# asking the driver is enough, and unlike torch.cuda it leaves torch out of tests that must not import it.
if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vaecodec.codec import Codec

# Every form is compared with PyTorch's layers. Where it is not installed, the modules that know it are left out.
collect_ignore = []
if importlib.util.find_spec("torch") is None:
    knowing = ("torch", "from bench", "import bench", "bench.", "from checks", "vaecodec.training", "compare")
    collect_ignore = [str(Path(__file__).parent / "kernels")]
    collect_ignore += [
        str(path)
        for path in Path(__file__).parent.rglob("test_*.py")
        if path.name != "test_without_torch.py" and any(name in path.read_text(encoding="utf-8") for name in knowing)
    ]

_REPORTED = ("torch", "numpy", "numba", "pillow", "triton", "safetensors", "click", "hypothesis")


def pytest_report_header(config: pytest.Config) -> str:
    """One line of versions: the first thing one asks about a report from another machine."""
    versions = []
    for name in _REPORTED:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    interpreted = os.environ.get("TRITON_INTERPRET", "0")
    return f"versions: {', '.join(versions)}; TRITON_INTERPRET={interpreted}"


@contextlib.contextmanager
def running(*command: Any, **how: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that ends with the test, also with one that fails: `Popen` alone would wait for it."""
    with subprocess.Popen(*command, **how) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` are skipped where there is no CUDA device, ``reference`` where there is no PyTorch."""
    if importlib.util.find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("reference"):
                item.add_marker(pytest.mark.skip(reason="needs PyTorch"))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    from vaecodec.runtime.devices import choose_device

    if choose_device("auto") == "cpu":
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _threads_of_the_environment() -> Iterator[None]:
    """--threads of one command line test is not for the tests after it: it holds for the process."""
    from vaecodec.runtime.cpu.threads import set_thread_count

    yield
    set_thread_count(None)


@pytest.fixture(scope="module")
def codec() -> Codec:
    """A tiny model of its own, in float32: independent of shipped weights. Some modules have another in its place."""
    from vaecodec.codec import Codec

    return Codec(Path(__file__).parent / "golden" / "tiny-v1.safetensors", device="cpu", dtype="float32")


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """A small picture with the features of a photograph: gradients, an edge and grain; uint8 [61, 90, 3]."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0:61, 0:90]
    base = np.stack([rows * 3, columns * 2, 255 - rows - columns], axis=2).astype(np.float64)
    base[20:40, 30:60] *= 0.4
    return np.clip(base + rng.normal(0, 4, base.shape), 0, 255).astype(np.uint8)


class Done(NamedTuple):
    """What a command of the command line left: exit code, and text on standard output and standard error."""

    code: int
    out: str
    err: str
    raw: bytes
    """Standard output as it is."""


Command = Callable[..., Done]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in an empty folder, in this process: torch and the weights are loaded once for all tests."""
    from click.testing import CliRunner

    from vaecodec.cli.program import cli

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, data: bytes | None = None) -> Done:
        result = CliRunner().invoke(cli, list(arguments), input=data)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr, result.stdout_bytes)

    return call


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser of `chromium` puts files that a page offers."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    """A driver of headless Chromium with a profile of its own."""
    from bench.chromium import start_chromium
    from tests.browser import PATIENCE

    driver = start_chromium(tmp_path_factory.mktemp("profile"), downloads)
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a process that runs elsewhere but uses this checkout."""
    root = Path(__file__).parents[1]
    paths = [str(root), str(root / "kernels"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """The weights file of a model that is not shipped: one's own."""
    return Path(__file__).parent / "golden" / "tiny-v1.safetensors"


def with_other_words(data: bytes, place: int) -> bytes:
    """A file with a changed byte in its latents, and a checksum that fits: only the entropy decoder can tell."""
    from vaecodec import container

    file = container.parse(data)
    contents = container.read_all(data, file)
    latents = bytearray(contents[container.Tag.LATENTS])
    latents[place] ^= 0x55
    return container.pack(file.header, [*(contents | {container.Tag.LATENTS: bytes(latents)}).items()])
