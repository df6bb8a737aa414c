"""The determinism matrix: the conformance set gives the same integers under every setting that this machine can have.

| what varies | how |
|---|---|
| threads, precision flags, convolutions, half precision | in this process, `SETTINGS` |
| batches, threads that share a codec | in this process |
| processes, NUMBA_DISABLE_JIT, hash seeds | a fresh interpreter with another environment |
| Python 3.10 to 3.13 | installed interpreters: the container in each, the integers where NumPy and numba are |
| byte order | every array of the file format has an explicit one: checked in the source, and by swapped arrays |
| GPU | test_conformance.py |
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from vaecodec.codec import Codec
from vaecodec.conformance import FOLDER, MODEL, Expected, check, digest, errors_of, expectations
from vaecodec.container import pack_alpha, unpack_alpha
from vaecodec.entropy.model import from_tensors, to_tensors
from vaecodec.inspection import decode_integers
from vaecodec.weights.store import read_model, tensor_hash

ROOT = Path(__file__).parents[1]
GOOD = [expected for expected in expectations() if expected.error is None]
PICTURES = [expected for expected in GOOD if expected.peak is not None]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(MODEL, device="cpu", dtype="float32")


# Settings of this process


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _matmul_precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def _flag(switch: Callable[[bool], object], value: bool, back: bool) -> Iterator[None]:
    switch(value)
    try:
        yield
    finally:
        switch(back)


SETTINGS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "1 thread": partial(_threads, 1),
    "2 threads": partial(_threads, 2),
    "5 threads": partial(_threads, 5),
    "matmul precision high": partial(_matmul_precision, "high"),
    "deterministic algorithms": partial(_flag, torch.use_deterministic_algorithms, True, False),
    "native convolutions": partial(_flag, torch.backends.mkldnn.set_flags, False, True),
    "flushed denormals": partial(_flag, torch.set_flush_denormal, True, False),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings(codec: Codec, setting: str) -> None:
    """Integers equal, pixels within a level."""
    with SETTINGS[setting]():
        assert [check(expected, codec).fault for expected in expectations()] == [""] * len(expectations())


@pytest.mark.parametrize("precision", ["medium"])
def test_bfloat16_products_leave_the_integers(codec: Codec, precision: str) -> None:
    """Asked for products of lower precision, PyTorch gives other pixels, but not other integers."""
    with _matmul_precision(precision):
        assert [digest(codec.decode_latents(expected.data)) for expected in GOOD] == [e.latents for e in GOOD]


def test_batches(codec: Codec) -> None:
    """All files at once, twice: pictures that share a pass of the networks differ by a level at most."""
    decoded = codec.decode_batch([expected.data for expected in PICTURES] * 2, as_array=True)
    for expected, pixels in zip(PICTURES * 2, decoded, strict=True):
        assert isinstance(pixels, np.ndarray)
        assert errors_of(pixels, expected.pixels)[0] <= 1, expected.name


def test_threads_that_share_a_codec(codec: Codec) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert {outcome.fault for outcome in pool.map(lambda e: check(e, codec), expectations())} == {""}


# Other processes

_INTEGERS = """
import hashlib, json, pathlib, sys
from vaecodec.inspection import decode_integers
folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
found = {}
for name in names:
    latents = decode_integers((folder / f"{name}.vaec").read_bytes(), model=folder / "model.safetensors")
    sha = hashlib.sha256(f"level {latents.level} z_hat {latents.z_hat.shape} r {latents.r.shape}\\n".encode())
    sha.update(latents.z_hat.tobytes())
    sha.update(latents.r.astype("<i4").tobytes())
    found[name] = sha.hexdigest()
print(json.dumps(found))
"""
_CONTAINER = """
import hashlib, json, pathlib, sys
from vaecodec import container, errors
from vaecodec.inspection import inspect
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.vaec")):
    data = path.read_bytes()
    try:
        file = container.parse(data)
        contents = container.read_all(data, file)
        alpha = contents.get(3)
        pixels = container.unpack_alpha(alpha, file.header.width, file.header.height) if alpha else b""
        listed = container.parse_outliers(contents.get(2, b""), 1 << 30)
        told = [hashlib.sha256(pixels).hexdigest(), listed, vars(inspect(data))]
    except errors.FormatError as error:
        told = [type(error).__name__, str(error)]
    found[path.stem] = told
print(json.dumps(found, sort_keys=True))
"""


def _run(python: str, code: str, *arguments: str, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "NUMBA"))}
    clean |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [python, "-c", code, str(FOLDER), *arguments]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"}, [expected.name for expected in GOOD]),
        ({"PYTHONHASHSEED": "2", "PYTHONOPTIMIZE": "2"}, [expected.name for expected in GOOD]),
        ({"NUMBA_DISABLE_JIT": "1"}, ["size-1x1", "level-31", "lanes-0064", "outliers"]),
    ],
    ids=["hash seed", "python -OO", "NUMBA_DISABLE_JIT"],
)
def test_processes(environment: dict[str, str], names: list[str]) -> None:
    """A fresh process, without torch."""
    code = "import sys; sys.modules['torch'] = None\n" + _INTEGERS
    found = json.loads(_run(sys.executable, code, *names, **environment))
    assert found == {expected.name: expected.latents for expected in GOOD if expected.name in names}


def _interpreter(version: str) -> str | None:
    """A Python of that version: in the folders of VAECODEC_PYTHONS, one of pyenv's, or on the path."""
    named = shutil.which(f"python{version}", path=os.environ.get("VAECODEC_PYTHONS", ""))
    if named:
        return named
    patches = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    return str(patches[-1]) if patches else shutil.which(f"python{version}")


@pytest.mark.parametrize("version", VERSIONS)
def test_interpreters(version: str) -> None:
    """What needs no NumPy gives the same in every Python; the integers do where it has what they need."""
    python = _interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} is installed")
    assert _run(python, _CONTAINER) == _run(sys.executable, _CONTAINER)
    needed = "import numpy, numba, safetensors"
    if subprocess.run([python, "-c", needed], capture_output=True, check=False).returncode == 0:
        found = json.loads(_run(python, _INTEGERS, *(expected.name for expected in GOOD)))
        assert found == {expected.name: expected.latents for expected in GOOD}


# Byte order


@pytest.mark.parametrize("path", sorted((ROOT / "vaecodec").rglob("*.py")), ids=lambda path: path.stem)
def test_bytes_have_an_explicit_order(path: Path) -> None:
    """np.frombuffer and struct get a byte order, or bytes: a big-endian machine reads the same numbers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        where = f"{path}:{node.lineno}: {ast.unparse(node)}"
        if name.endswith("frombuffer"):
            dtype = ast.unparse(node.args[1]).strip("'\"")
            assert dtype.startswith("<") or dtype in ("np.uint8", "np.int8", "torch.uint8"), where
        if name.startswith("struct.") and node.args and isinstance(node.args[0], ast.Constant):
            assert str(node.args[0].value)[0] in "<>!=", where


def test_swapped_arrays_hash_alike() -> None:
    """Model hash and integers do not depend on how this machine stores numbers."""
    tensors = read_model(MODEL).tensors
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in tensors.items()}
    assert tensor_hash(swapped) == tensor_hash(tensors)
    integers = to_tensors(from_tensors(tensors))
    again = from_tensors({name: array.astype(array.dtype.newbyteorder("=")) for name, array in swapped.items()})
    assert all(np.array_equal(integers[name], array) for name, array in to_tensors(again).items())


def test_alpha_is_bytes() -> None:
    """The filters work on big integers with an explicit order of bytes."""
    alpha = bytes(range(256)) * 3
    assert unpack_alpha(pack_alpha(alpha, 96, 8), 96, 8) == alpha


def _expected(name: str) -> Expected:
    return next(expected for expected in GOOD if expected.name == name)


@pytest.mark.parametrize("name", ["outliers", "lanes-0064", "random-all"])
def test_the_references_find_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The normative forms, rANS in NumPy and the scale network in int64."""
    from vaecodec import backend
    from vaecodec.entropy import coding
    from vaecodec.intnet.layers import scale_index
    from vaecodec.rans import coder

    monkeypatch.setattr(backend, "rans_decoder", coder.Decoder)
    monkeypatch.setattr(coding, "scale_index", lambda *args: scale_index(*args, dtype=np.int64))
    expected = _expected(name)
    assert digest(decode_integers(expected.data, model=MODEL)) == expected.latents
