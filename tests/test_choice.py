"""What runs: one plan for each codec, chosen by device and type, shown by repr, kept or made anew by pickling."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vaecodec.codec import Codec
from vaecodec.conformance import MODEL
from vaecodec.errors import BackendError, InputError
from vaecodec.native import processor
from vaecodec.runtime import choice
from vaecodec.runtime.choice import Plan, choose, choose_brief, choose_reference


def test_a_cpu_runs_its_own_forms() -> None:
    plan = choose("cpu", "float32")
    assert (plan.networks, plan.context_steps, plan.coder) == ("compiled", "networks", "cpu")
    assert (plan.integer_product, plan.loops, plan.needs_torch) == ("compiled", "auto", False)


def test_other_forms_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("cpu", "float16").networks == "torch"
    assert choose("cpu", "bfloat16").networks == "compiled"
    assert choose_brief().networks == "plain"
    assert choose_reference().needs_torch
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert (choose("cpu").networks, choose("cpu").integer_product) == ("plain", "plain")


def test_the_type_is_that_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, expected in (("+avx512f,+avx512bf16", "bfloat16"), ("+avx2,-avx512bf16", "float32"), ("", "float32")):
        monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
        processor.features.cache_clear()
        assert choose("cpu").dtype == expected
    processor.features.cache_clear()


def test_without_pytorch_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert choose().device == "cpu"
    for arguments in (("cuda",), ("cpu", "float16"), ("cpu", "auto", "gpu")):
        with pytest.raises(
            BackendError, match=r"needs PyTorch, which is not installed: pip install 'vaecodec\[torch\]'"
        ):
            choose(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "problem"), [("3.1.0", "triton is 3.1.0; it must be 3.2 or newer"), ("3.2.0", None)]
)
def test_an_old_triton_counts_as_none(monkeypatch: pytest.MonkeyPatch, version: str, problem: str | None) -> None:
    pytest.importorskip("triton")
    torch = pytest.importorskip("torch")
    from vaecodec.gpu import kernels_missing

    monkeypatch.setattr("triton.__version__", version)
    device = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
    assert kernels_missing(torch.device(device)) == problem


@pytest.mark.parametrize("missing", [None, "triton is not installed"])
def test_a_gpu_runs_the_kernels_where_they_are(monkeypatch: pytest.MonkeyPatch, missing: str | None) -> None:
    monkeypatch.setattr(choice, "_kernels_missing", lambda _: missing)
    monkeypatch.setattr(choice, "choose_device", str)
    monkeypatch.setattr(choice, "_say_once", lambda _: None)
    plans = [choose("cuda", "float32", coder) for coder in ("auto", "cpu")]
    assert {plan.networks for plan in plans} == {"exact" if missing else "triton"}
    assert [plan.coder for plan in plans] == ["cpu" if missing else "gpu", "cpu"]


@pytest.mark.parametrize("missing", [None, "triton is not installed"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_coder_never_decides_how_floats_are_computed(
    monkeypatch: pytest.MonkeyPatch, device: str, missing: str | None
) -> None:
    monkeypatch.setattr(choice, "_kernels_missing", lambda _: missing)
    monkeypatch.setattr(choice, "choose_device", str)
    monkeypatch.setattr(choice, "_say_once", lambda _: None)
    of_the_coder = {"coder", "least_gpu_lanes"}
    coders = ("auto", "cpu") if missing else ("auto", "cpu", "gpu")
    others = [
        {
            name: value
            for name, value in dataclasses.asdict(choose(device, "auto", coder)).items()
            if name not in of_the_coder
        }
        for coder in coders
    ]
    assert all(other == others[0] for other in others)


def test_repr_shows_all_that_is_chosen() -> None:
    codec = Codec(MODEL, device="cpu", dtype="float32")
    for field in dataclasses.fields(Plan):
        assert field.name in repr(codec)
    assert "dtype float32" in repr(codec)
    assert repr(codec).startswith(f"Codec('{MODEL}': device cpu, ")


def test_a_plan_is_not_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        choose("cpu").coder = "gpu"  # type: ignore[misc]


def test_pickling_keeps_a_plan_that_was_given_and_chooses_again_otherwise(photo: NDArray[np.uint8]) -> None:
    plan = dataclasses.replace(choose("cpu", "float32"), networks="plain", loops="plain")
    planned, chosen = Codec(MODEL, plan=plan), Codec(MODEL, device="cpu", dtype="float32")
    again = pickle.loads(pickle.dumps(planned))  # noqa: S301  (our own)
    assert again.plan == plan
    assert again.encode(photo) == planned.encode(photo)
    assert pickle.loads(pickle.dumps(chosen))._given_plan is None  # noqa: S301


def test_unknown_names_are_told() -> None:
    with pytest.raises(InputError, match="dtype is 'int8'; it must be one of auto, float32, bfloat16, float16"):
        choose("cpu", "int8")
    with pytest.raises(InputError, match="coder is 'numba'; it must be one of auto, cpu, gpu"):
        choose("cpu", "auto", "numba")  # type: ignore[arg-type]


def test_a_codec_on_a_cpu_loads_neither_pytorch_nor_numba() -> None:
    code = (
        f"import sys, vaecodec; codec = vaecodec.Codec({str(MODEL)!r}, device='cpu'); "
        "print([name for name in ('torch', 'triton', 'numba', 'vaecodec_kernels') if name in sys.modules])"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pickled_codec_chooses_its_device_where_it_is_read() -> None:
    assert Codec(MODEL).__getstate__()["device"] == "auto"
    assert Codec(MODEL, device="cpu").__getstate__()["device"] == "cpu"


@pytest.mark.parametrize("device", ["meta", "xpu", "mps", "vulkan", "cuda:99"])
def test_a_device_that_cannot_be_used_is_said(device: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(BackendError, match=f"device '{device}"):
        choose(device)
