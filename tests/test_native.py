"""Loops as machine code: compiled once, then called without numba; what does not fit is refused before it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaecodec.errors import BackendError, InputError
from vaecodec.native import cache, processor
from vaecodec.native.build import compile_loop
from vaecodec.native.calling import function_of
from vaecodec.native.loops import Loops, loop

ROOT = Path(__file__).parents[1]


@loop("uint64(float32[:, ::1], uint8[:, :, ::1], int64, uint64, float32)")
def _fill(values, bytes_, start, step, factor):  # type: ignore[no-untyped-def]
    """Touches every kind of argument."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[i, j] = np.float32(start + i) * factor + np.float32(bytes_[i, j, 1])
    return np.uint64(values.size) * step


@loop("void(int64)")
def _fail(number):  # type: ignore[no-untyped-def]
    if number > 3:
        raise ValueError


@loop("void(int64)")
def _allocate(number):  # type: ignore[no-untyped-def]
    np.zeros(number)


def test_arguments_arrive_as_they_are_given() -> None:
    fill = function_of(compile_loop(_fill))
    values, bytes_ = np.zeros((3, 5), np.float32), np.arange(30, dtype=np.uint8).reshape(3, 5, 2)
    assert fill(values, bytes_, -2, 7, 0.5) == 105
    assert np.array_equal(values, (np.arange(-2, 1) * 0.5)[:, None] + bytes_[..., 1])


def test_what_does_not_fit_is_refused_before_it_runs() -> None:
    fill = function_of(compile_loop(_fill))
    values, bytes_ = np.zeros((3, 5), np.float32), np.zeros((3, 5, 2), np.uint8)
    for wrong in (values.astype(np.float64), values.T, values[0], values[:, ::2]):
        with pytest.raises(InputError, match=r"it must be float32\[2\] in one piece"):
            fill(wrong, bytes_, 0, 1, 1.0)
    with pytest.raises(ValueError, match="zip"):
        fill(values, bytes_, 0, 1)


def test_a_loop_does_without_pythons_help() -> None:
    with pytest.raises(BackendError, match="ended with status"):
        function_of(compile_loop(_fail))(4)
    assert function_of(compile_loop(_fail))(3) is None
    with pytest.raises(Exception, match="zeros"):  # numba's own error, of a class that differs between its releases
        compile_loop(_allocate)


CODE = cache.Code("name", ("int64", "uint8[2]"), "none", b"\x7fELF\n\x00")


def test_code_comes_back_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert cache.read("a.loop") is None
    cache.keep("a.loop", CODE)
    assert cache.read("a.loop") == CODE
    path = cache.find("a.loop")
    assert path is not None
    data = path.read_bytes()
    for damaged in (b"", data[:-1], data[:40] + bytes([data[40] ^ 1]) + data[41:], data + b"\0"):
        path.write_bytes(damaged)
        assert cache.read("a.loop") is None
    assert list(path.parent.iterdir()) == [path]  # no temporary file is left


def test_code_is_kept_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is in the way of the first folder, then of both."""
    (tmp_path / "a").write_text("")
    monkeypatch.setattr(cache, "folders", lambda: [tmp_path / "a", tmp_path / "b"])
    cache.keep("x.loop", CODE)
    assert cache.find("x.loop") == tmp_path / "b" / "x.loop"
    monkeypatch.setattr(cache, "folders", lambda: [tmp_path / "a"])
    cache.keep("x.loop", CODE)
    assert cache.find("x.loop") is None


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folders()[0] == ROOT / "vaecodec" / "native" / "__pycache__"
    if sys.platform == "linux":
        assert cache.folders()[1] == tmp_path / "vaecodec"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "c"))
    assert cache.folders() == [tmp_path / "c" / "vaecodec"]


def test_code_belongs_to_its_source_and_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [Loops("vaecodec.rans.loops")._file("a"), Loops("vaecodec.rans.loops", "vaecodec.errors")._file("a")]
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2")
    names.append(Loops("vaecodec.rans.loops")._file("a"))
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    names.append(Loops("vaecodec.rans.loops")._file("a"))
    assert len(set(names)) == 4
    assert Loops("vaecodec.rans.loops")._file("a") == names[-1]


def test_what_the_processor_can_do_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    processor.features.cache_clear()
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert processor.features() == frozenset()
    assert processor.vectors() == "128 bits"
    processor.features.cache_clear()
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2,-avx512f")
    assert processor.vectors() == "AVX2"
    processor.features.cache_clear()


OLD = """
import sys
import numpy as np
from vaecodec.codec import Codec
pixels = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
codec = Codec(sys.argv[1], device="cpu", dtype=sys.argv[2])
data = codec.encode(pixels, 60, mode="neural")
from vaecodec.runtime.choice import choose_brief
plain = Codec(sys.argv[1], plan=choose_brief())
shown, expected = (each.decode(data, as_array=True).astype(int) for each in (codec, plain))
print(codec.plan.networks, np.abs(shown - expected).max())
"""
OLDER: dict[str, dict[str, str]] = {
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+popcnt,+bmi2"},
    "AVX-512": {
        "NUMBA_CPU_NAME": "skylake-avx512",
        "NUMBA_CPU_FEATURES": "+avx512f,+avx512bw,+avx512vl,+avx512dq,+fma",
    },
    "SSE2": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
}


@pytest.mark.slow
@pytest.mark.skipif(not processor.has_bfloat16(), reason="no AVX512-BF16: older processors are this one's part")
@pytest.mark.parametrize("older", OLDER)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_older_processors_decode_alike(older: str, dtype: str, tmp_path: Path) -> None:
    environment: dict[str, Any] = {**os.environ, **OLDER[older], "NUMBA_CACHE_DIR": str(tmp_path)}
    line = [sys.executable, "-c", OLD, str(ROOT / "tests" / "golden" / "tiny-v1.safetensors"), dtype]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    networks, most = done.stdout.split()
    assert networks == "compiled"
    assert int(most) <= (1 if dtype == "float32" else 3)


@pytest.mark.skipif(os.name == "nt", reason="POSIX rights")
def test_code_that_others_may_write_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that several users share."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    cache.keep("a.loop", CODE)
    path = tmp_path / "vaecodec" / "a.loop"
    for mode, expected in ((0o644, CODE), (0o664, None), (0o646, None), (0o600, CODE)):
        path.chmod(mode)
        assert cache.read("a.loop") == expected
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if path.stat().st_uid != 0:
        assert cache.read("a.loop") is None


def test_a_user_without_a_home_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache.folders() == [ROOT / "vaecodec" / "native" / "__pycache__"]
