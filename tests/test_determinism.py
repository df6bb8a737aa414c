"""The determinism matrix: the conformance set gives the same integers under every setting that this machine can have.

| what varies | how |
|---|---|
| threads, precision flags, convolutions | in this process, `SETTINGS` |
| rANS in plain Python, by numba, in NumPy; the scale network in int64 | in this process, `SETTINGS` |
| layers by numba, in NumPy, of PyTorch, two dtypes | in this process; other dtypes in test_conformance.py |
| autocast and default types of the caller | in this process, `CALLERS` |
| batches, threads that share a codec | in this process |
| processes, both rANS coders, NUMBA_DISABLE_JIT, hash seeds | a fresh interpreter with another environment |
| Python 3.10 to 3.13 | installed interpreters: the container in each, the integers where NumPy or numba are, too |
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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from checks.determinism import matmul_precision, threads
from vaecodec.codec import Codec
from vaecodec.conformance import FOLDER, MODEL, check, digest, errors_of, expectations
from vaecodec.container import pack_alpha, unpack_alpha
from vaecodec.entropy.model import from_tensors, to_tensors
from vaecodec.runtime.choice import choose, choose_reference
from vaecodec.weights.store import read_model, tensor_hash

ROOT = Path(__file__).parents[1]
GOOD = [expected for expected in expectations() if expected.error is None and expected.latents is not None]
PICTURES = [expected for expected in GOOD if expected.peak is not None]
Value = TypeVar("Value")
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(MODEL, device="cpu", dtype="float32")


# Settings of this process


@contextlib.contextmanager
def _flag(switch: Callable[[Value], object], value: Value, back: Value) -> Iterator[None]:
    switch(value)
    try:
        yield
    finally:
        switch(back)


SETTINGS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "1 thread": partial(threads, 1),
    "2 threads": partial(threads, 2),
    "5 threads": partial(threads, 5),
    "matmul precision high": partial(matmul_precision, "high"),
    "deterministic algorithms": partial(_flag, torch.use_deterministic_algorithms, True, False),
    "native convolutions": partial(_flag, torch.backends.mkldnn.set_flags, False, True),
    "flushed denormals": partial(_flag, torch.set_flush_denormal, True, False),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings(codec: Codec, setting: str) -> None:
    """Integers equal, pixels within a level."""
    with SETTINGS[setting]():
        assert [check(expected, codec).fault for expected in expectations()] == [""] * len(expectations())


PLANS: dict[str, dict[str, Any]] = {
    "rANS in plain Python": {"loops": "plain"},
    "rANS by numba": {"loops": "numba"},
    "rANS in NumPy": {"loops": "numpy"},
    "scale network in int64": {"integer_product": "reference"},
    "scale network in NumPy": {"integer_product": "plain"},
    "layers in NumPy": {"networks": "plain"},
    "layers of PyTorch": {"networks": "torch", "context_steps": "torch"},
    "layers without TF32": {"networks": "exact", "context_steps": "torch"},
}


@pytest.mark.parametrize("part", PLANS)
def test_plans(part: str) -> None:
    """What this machine would not choose gives the same integers, and pixels within a level."""
    codec = Codec(MODEL, plan=replace(choose("cpu", "float32"), **PLANS[part]))
    assert [check(expected, codec).fault for expected in expectations()] == [""] * len(expectations())


def _default_dtype(dtype: torch.dtype) -> AbstractContextManager[None]:
    return _flag(torch.set_default_dtype, dtype, torch.float32)


CALLERS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": partial(torch.autocast, "cpu", torch.bfloat16),
    "default dtype float64": partial(_default_dtype, torch.float64),
    "default dtype bfloat16": partial(_default_dtype, torch.bfloat16),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_types_of_the_caller(codec: Codec, caller: str) -> None:
    """Inside of a program that has set other types: integers equal, pixels as in half precision; encoding works."""
    with CALLERS[caller]():
        for expected in PICTURES:
            assert digest(codec.decode_latents(expected.data)) == expected.latents, expected.name
            pixels = np.asarray(codec.decode(expected.data, as_array=True))
            assert expected.half_peak is not None
            assert errors_of(pixels, expected.pixels)[0] <= expected.half_peak, expected.name
        encoded = codec.encode_with_latents(PICTURES[-1].pixels[..., :3])
    assert digest(codec.decode_latents(encoded.data)) == digest(encoded.latents)


@pytest.mark.parametrize("precision", ["medium"])
def test_bfloat16_products_leave_the_integers(codec: Codec, precision: str) -> None:
    """Asked for products of lower precision, PyTorch gives other pixels, but not other integers."""
    with matmul_precision(precision):
        assert [digest(codec.decode_latents(expected.data)) for expected in GOOD] == [e.latents for e in GOOD]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_reference(dtype: str) -> None:
    """PyTorch's layers as they are trained; compiled ones are what all other tests run."""
    assert Codec(MODEL, device="cpu", dtype=dtype).plan.networks == "compiled"
    reference = Codec(MODEL, plan=choose_reference(dtype))
    for expected in PICTURES:
        assert digest(reference.decode_latents(expected.data)) == expected.latents, expected.name
        most = 1 if dtype == "float32" else expected.half_peak
        assert errors_of(np.asarray(reference.decode(expected.data, as_array=True)), expected.pixels)[0] <= most


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
folder, coder, names = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
from vaecodec.inspection import decode_integers
found = {}
for name in names:
    latents = decode_integers((folder / f"{name}.vaec").read_bytes(), model=folder / "model.safetensors", loops=coder)
    sha = hashlib.sha256(f"level {latents.level} z_hat {latents.z_hat.shape} r {latents.r.shape}\\n".encode())
    sha.update(latents.z_hat.tobytes())
    sha.update(latents.r.astype("<i4").tobytes())
    found[name] = sha.hexdigest()
assert coder == "numba" or not {"numba", "llvmlite"} & set(sys.modules)
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
        listed = [list(each) for each in container.parse_outliers(contents.get(2, b""), 1 << 30)]
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
    ("coder", "environment", "names"),
    [
        ("plain", {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"}, [expected.name for expected in GOOD]),
        ("numba", {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"}, [expected.name for expected in GOOD]),
        ("plain", {"PYTHONHASHSEED": "2", "PYTHONOPTIMIZE": "2"}, [expected.name for expected in GOOD]),
        ("numba", {"NUMBA_DISABLE_JIT": "1"}, ["size-1x1", "level-31", "lanes-0064", "outliers"]),
    ],
    ids=["plain Python", "numba", "python -OO", "NUMBA_DISABLE_JIT"],
)
def test_processes(coder: str, environment: dict[str, str], names: list[str]) -> None:
    """A fresh process, without torch. It would code its first symbols, all of these files, in plain Python."""
    code = "import sys; sys.modules['torch'] = None\n" + _INTEGERS
    digests = json.loads(_run(sys.executable, code, coder, *names, **environment))
    assert digests == {expected.name: expected.latents for expected in GOOD if expected.name in names}


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
    for rans, needed in (("plain", "import numpy, safetensors"), ("numba", "import numpy, numba, safetensors")):
        if subprocess.run([python, "-c", needed], capture_output=True, check=False).returncode == 0:
            digests = json.loads(_run(python, _INTEGERS, rans, *(expected.name for expected in GOOD)))
            assert digests == {expected.name: expected.latents for expected in GOOD}, rans


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
