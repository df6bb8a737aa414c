"""The networks as they run on a GPU: equal to the plain layers up to rounding, and float32 never left to a setting.

Without a GPU the depthwise kernel runs in Triton's interpreter, the matrix products on the CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vaecodec.codec import Codec
from vaecodec.networks.exact import ExactConv, make_exact
from vaecodec.networks.layers import DepthConvBlock
from vaecodec.networks.network import CodecNetwork, level_position, round_z
from vaecodec.runtime.choice import choose
from vaecodec.runtime.cuda import GpuBlock, fit_to_gpu
from vaecodec.runtime.loading import load_model
from vaecodec.runtime.passes import Passes
from vaecodec.runtime.streaming import RowStream
from vaecodec.runtime.torch_engine import fit, set_block_type
from vaecodec.runtime.triton_steps import TritonSteps
from vaecodec.weights.store import read_model

TINY = Path(__file__).parents[1] / "golden" / "tiny-v1.safetensors"
CLOSE = {
    torch.float32: 3e-5,  # of results up to 18; two orders of summation differ by 2.5e-6 of that
    torch.float16: 0.02,
    torch.bfloat16: 0.15,
}
"""Of results around 1..5."""


def _block(channels: int, dtype: torch.dtype, device: torch.device) -> DepthConvBlock:
    torch.manual_seed(1)
    block = DepthConvBlock(channels)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    block = block.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return block.eval().requires_grad_(False)


@pytest.mark.parametrize("dtype", list(CLOSE), ids=str)
@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (2, 16, 9, 5)], ids=str)
@pytest.mark.usefixtures("plain_float32")
def test_a_block_equals_the_plain_one(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
    plain = _block(shape[1], dtype, device)
    block = GpuBlock(plain)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2)).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected, output = plain(x.clone()), block(x.clone())
        assert output.dtype == torch.float32
        assert (output - expected).abs().max() < CLOSE[dtype]
        assert (output - x).abs().max() > 0.1
        stream, parts = RowStream([block]), []
        for row in range(shape[2]):  # bands of one row each
            part = stream.push(x[:, :, row : row + 1].clone(), last=row + 1 == shape[2])
            parts += [] if part is None else [part]
        assert (torch.cat(parts, 2) - expected).abs().max() < CLOSE[dtype]


@pytest.fixture
def network(device: torch.device) -> CodecNetwork:
    return load_model(read_model(TINY)).network.to(device)


def _passes(network: CodecNetwork, band: int) -> Passes:
    """As a GPU runs them."""
    return Passes(network, band, TritonSteps(network))


def _run(passes: Passes, photo: NDArray[np.uint8], device: torch.device, reduction: int = 1) -> tuple[Tensor, Tensor]:
    """y_hat and pixels."""
    t = level_position(torch.tensor([40], device=device))
    with torch.inference_mode():
        y = passes.analyse([photo], t)
        z = round_z(passes.hyper_analyse(y, t))
        index = torch.ones(y.shape, dtype=torch.uint8, device=device).contiguous(memory_format=torch.channels_last)
        y_hat, _ = passes.quantize(passes.prior(z, t), y, t, index)
        return y_hat, torch.cat(list(passes.synthesize(y_hat, t, reduction)), 1).float()


@pytest.mark.parametrize("band", [1, 10**9], ids=["bands", "whole"])
@pytest.mark.usefixtures("plain_float32")
def test_all_passes_equal_the_plain_ones(
    network: CodecNetwork, photo: NDArray[np.uint8], device: torch.device, band: int
) -> None:
    fitted = copy.deepcopy(network)
    fit_to_gpu(fitted)
    assert any(isinstance(module, GpuBlock) for module in fitted.modules())
    expected, actual = (_run(_passes(each, band), photo, device) for each in (network, fitted))
    # A residual at a tie may be rounded the other way.
    assert ((expected[0] - actual[0]).abs() > 1e-3).float().mean() < 0.01
    assert (expected[1] - actual[1]).abs().mean() < 0.25


@pytest.mark.usefixtures("plain_float32")
def test_without_the_kernel_the_layers_are_exact_all_the_same(
    network: CodecNetwork, photo: NDArray[np.uint8], device: torch.device
) -> None:
    fitted = copy.deepcopy(network)
    fit(fitted, replace(choose(str(device), "float32", "cpu"), networks="exact"))
    assert not any(isinstance(module, GpuBlock) for module in fitted.modules())
    expected, actual = (_run(Passes(each, 10**9), photo, device) for each in (network, fitted))
    assert ((expected[0] - actual[0]).abs() > 1e-3).float().mean() < 0.01
    if device.type == "cpu":
        assert torch.equal(expected[1], actual[1])  # the very same convolutions


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_codec_with_them(photo: NDArray[np.uint8], device: torch.device, dtype: str) -> None:
    codec = Codec(TINY, plan=replace(choose(str(device), dtype, "cpu"), networks="triton", context_steps="torch"))
    plain = Codec(TINY, device="cpu", dtype="float32", coder="cpu")
    assert any(isinstance(module, GpuBlock) for module in codec.loaded_model().network.modules())
    encoded = codec.encode_with_latents(photo, level=40)
    assert np.array_equal(plain.decode_latents(encoded.data).r, encoded.latents.r)
    ours, theirs = (each.decode(encoded.data, as_array=True).astype(int) for each in (codec, plain))
    assert np.abs(ours - theirs).max() <= (1 if dtype == "float32" else 3)
    assert np.abs(ours - photo).mean() < 20


# TF32


class _Products(TorchDispatchMode):
    """Products of float32 that are left to PyTorch's settings."""

    FOLLOW_SETTINGS = ("convolution.", "conv2d.", "mm.", "addmm.", "bmm.", "baddbmm.", "linear.", "matmul.")

    def __init__(self) -> None:
        super().__init__()
        self.exact, self.others = 0, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).removeprefix("aten.")
        if isinstance(args[0] if args else None, Tensor) and args[0].dtype == torch.float32:
            if name.startswith("_convolution."):
                (self.others.append(name) if args[-1] else None)
                self.exact += not args[-1]
            elif name.startswith(self.FOLLOW_SETTINGS):
                self.others.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("band", "reduction"), [(1, 1), (10**9, 1), (10**9, 2), (10**9, 4), (10**9, 8)])
def test_no_float32_product_is_left_to_a_setting(
    network: CodecNetwork, photo: NDArray[np.uint8], device: torch.device, dtype: torch.dtype, band: int, reduction: int
) -> None:
    set_block_type(network, dtype)
    fit_to_gpu(network)
    with _Products() as products:
        _run(_passes(network, band), photo, device, reduction)
    assert products.others == []
    assert products.exact > 10


def test_that_would_be_noticed(network: CodecNetwork, photo: NDArray[np.uint8], device: torch.device) -> None:
    with _Products() as products:
        _run(_passes(network, 10**9), photo, device)
    assert products.others


@pytest.mark.usefixtures("plain_float32")
def test_exact_convolutions_share_their_weights() -> None:
    for conv in (nn.Conv2d(4, 6, 3), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 6, 1, bias=False)):
        holder = nn.Sequential(conv)
        make_exact(holder)
        assert isinstance(holder[0], ExactConv)
        assert holder[0].weight is conv.weight
        x = torch.randn(2, 4, 5, 7)
        assert torch.equal(holder(x), conv(x))


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """A caller's setting for convolutions."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@pytest.mark.gpu
def test_a_callers_tf32_changes_nothing(photo: NDArray[np.uint8]) -> None:
    codec = Codec("base", device="cuda", dtype="float32")
    picture = np.tile(photo, (4, 4, 1))
    with _tf32(allowed=False):
        encoded = codec.encode_with_latents(picture)
        pixels = codec.decode(encoded.data, as_array=True)
    with _tf32(allowed=True):
        again = codec.encode_with_latents(picture)
        assert np.abs(codec.decode(encoded.data, as_array=True).astype(int) - pixels).max() <= 1
        assert torch.backends.cudnn.allow_tf32
    # Sums in another order may round a residual the other way; inputs of 10 bits would do so at every hundredth.
    assert (encoded.latents.r != again.latents.r).mean() < 1e-4
