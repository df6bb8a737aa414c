"""When the host waits for the device: never between the start of a picture's way and what must be known of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vaecodec.codec import Codec
from vaecodec.entropy import coding
from vaecodec.gpu import coder as gpu
from vaecodec.runtime.choice import choose

TINY = Path(__file__).parents[1] / "golden" / "tiny-v1.safetensors"
WAITING = ("cpu", "tolist", "item", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__")
"""What of a tensor on a GPU makes the host wait. (`numpy` fails there; behind `cpu` it is no wait of its own.)"""


@contextmanager
def _noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Calls of these methods by the package, in order."""
    calls: list[str] = []

    def note(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            caller = str(sys._getframe(1).f_globals.get("__name__"))
            if caller.startswith("vaecodec"):
                calls.append(name)
            return run(*args, **options)

        return noted

    with monkeypatch.context() as patch:
        for name in WAITING:
            patch.setattr(torch.Tensor, name, note(name, getattr(torch.Tensor, name)))
        yield calls


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> Codec:
    """As on a GPU, wherever it is."""
    for module in (gpu, coding):
        monkeypatch.setattr(module, "choose_lanes", lambda _: 64)
    plan = choose(str(device), "float32", "gpu")
    return Codec(TINY, plan=replace(plan, networks="triton", context_steps="triton"))


def test_decoding_waits_when_all_is_on_its_way(
    codec: Codec, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the pixels; then it reads whether the streams were sound."""
    files = codec.encode_batch([photo, photo[::-1]], 60, mode="neural")
    with _noted(monkeypatch) as calls:
        codec.decode_batch(files, as_array=True)
    assert calls == ["cpu", "numpy", "tolist"]


def test_encoding_waits_for_sizes_and_bytes(
    codec: Codec, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what there is to code, for the lengths of the streams, for the streams, and for outliers where there are any:
    once for those of z in all pictures, once for those of y. Then it reads whether the latents were finite."""
    with _noted(monkeypatch) as calls:
        codec.encode_batch([photo, photo[::-1]], 60, mode="neural")
    assert calls[:4] == ["tolist", "tolist", "cpu", "numpy"]
    assert calls[4:-1] in ([], ["cpu", "numpy"], ["cpu", "numpy"] * 2)
    assert calls[-1] == "tolist"


@pytest.mark.gpu
def test_pytorch_finds_no_other_wait(codec: Codec, photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own debug mode, from the first byte of a file on until the pixels are fetched."""
    files = codec.encode_batch([photo, photo[::-1]], 60, mode="neural")
    codec.decode_batch(files)
    fetch = torch.Tensor.cpu

    def fetched(tensor: torch.Tensor) -> torch.Tensor:
        torch.cuda.set_sync_debug_mode("default")
        return fetch(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", fetched)
    torch.cuda.set_sync_debug_mode("error")
    try:
        codec.decode_batch(files)
    finally:
        torch.cuda.set_sync_debug_mode("default")
