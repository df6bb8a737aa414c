"""The networks on x86 processors: oneDNN's matrix products with weights in its own order and fused activations.

A 1x1 convolution of a channels-last tensor is a matrix product. PyTorch hands it to MKL when it has one thread, which
takes 2.4 times as long as oneDNN on processors that are not Intel's, and rearranges the weights at every call when it
has several. Here they are rearranged once, and SiLU and the product of the gated feed-forward cost no pass of their
own. Results equal those of the plain layers up to rounding. `python -m bench speed` shows what it is worth.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn

from vaecodec.networks.config import LATENT_MAX, PATCH, PRODUCT_MAX, STEPS, STREAM_MAX
from vaecodec.networks.layers import DepthConvBlock, Downsample, RowBlock, SideBySide, Unshuffle, Upsample
from vaecodec.networks.network import Analysis, CodecNetwork, Context, Synthesis, bounded

PACKED_DTYPES = (torch.float32, torch.bfloat16)
LARGEST_FREED = 31 << 20
"""Just under what glibc takes as the largest value of its own threshold."""


def keep_freed_memory() -> None:
    """Make glibc keep freed memory of up to 62 MiB instead of giving it back to the system after every layer.

    It decides by the largest block that it has ever seen freed. Without this, every layer gets fresh pages, and
    the system fills them with zeros: half of all time. Elsewhere than with glibc it does nothing.
    """
    torch.empty(LARGEST_FREED, dtype=torch.uint8)


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this machine's PyTorch has the operators for weights of this type."""
    operators = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    return x86 and dtype in PACKED_DTYPES and operators is not None and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class PackedConv(nn.Module):
    """A 1x1 convolution, with an activation: "none" or "swish" (SiLU). [B, C_in, H, W] -> [B, C_out, H, W].

    Fast where the input is in channels-last memory; so is the result.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        activation: str = "none",
        *,
        matrix: Tensor | None = None,
        bias: Tensor | None = None,
        narrow: torch.dtype | None = None,
    ) -> None:
        """matrix [C_out, C_in], bias: what it works with, where not with the convolution's own. narrow: a type in which
        it works (and gives its result) when x comes in it; any other x is taken in the weight's type."""
        super().__init__()
        self._activation = activation
        self.weight, self.bias = conv.weight, cast(nn.Parameter, conv.bias)
        own = _affine(conv)
        matrix, bias = own[0] if matrix is None else matrix, own[1] if bias is None else bias
        # Not registered with the module: a packed tensor can't be copied or converted, and is made from the weight.
        self._packed = {dtype: _packed(matrix, bias, dtype) for dtype in (matrix.dtype, narrow) if dtype is not None}

    def forward(self, x: Tensor) -> Tensor:
        # Under a caller's autocast or other default type, the layers before this one may give another type.
        dtype = x.dtype if x.dtype in self._packed else self.weight.dtype
        rows = x.permute(0, 2, 3, 1).to(dtype).contiguous()
        product = torch.ops.mkldnn._linear_pointwise
        y: Tensor = product(rows, *self._packed[dtype], self._activation, [], "")
        return y.permute(0, 3, 1, 2)

    def combined(self, x: Tensor, operation: Literal["mul", "add"], other: Tensor) -> Tensor:
        """The result (without its activation) times or plus `other`, which has its shape: rounded once."""
        dtype = self.weight.dtype
        rows, operand = (tensor.to(dtype).permute(0, 2, 3, 1) for tensor in (x, other))
        y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, operand, *self._packed[dtype], operation)
        return y.permute(0, 3, 1, 2)


def _packed(matrix: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return torch.ops.mkldnn._reorder_linear_weight(matrix.to(dtype).contiguous()), bias.to(dtype)


class RunUnshuffle(Unshuffle):
    """An unshuffle to another order of the channels, in which those of a pixel stay together: row, column, channel.

    Then it moves runs of numbers, not single ones.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.of_rows(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def of_rows(self, rows: Tensor) -> Tensor:
        """This unshuffle of an image with channels last: [B, H, W, C] -> [B, H/f, W/f, C f^2]."""
        return self.squares(rows).flatten(3)


LONG = 8
"""Bytes of an int64."""


class RunShuffle(nn.PixelShuffle):
    """The shuffle back from the order of `RunUnshuffle`."""

    def forward(self, x: Tensor) -> Tensor:
        factor = self.upscale_factor
        batch, _, height, width = x.shape
        rows = x.permute(0, 2, 3, 1)
        if x.dtype == torch.uint8 and rows.is_contiguous() and rows.shape[3] // factor % LONG == 0:
            rows = rows.view(torch.int64)  # bytes are not moved one by one either
        lines = rows.reshape(batch, height, width, factor, -1).transpose(2, 3)
        pixels = lines.reshape(batch, height * factor, width, -1).view(x.dtype)
        return pixels.reshape(batch, height * factor, width * factor, -1).permute(0, 3, 1, 2)


def run_order(channels: int, factor: int) -> Tensor:
    """Where each channel of a `RunUnshuffle` is in that of PyTorch; channels: of a pixel."""
    return torch.arange(channels * factor**2).reshape(channels, -1).t().flatten()


class PackedSideBySide(nn.Module):
    """A 1x1 convolution of two tensors side by side, as the sum of two: they need not be copied into one."""

    def __init__(self, conv: SideBySide) -> None:
        super().__init__()
        first, second = _cut(conv, conv.widths, 1)
        self.first, self.second = PackedConv(first), PackedConv(second)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return self.second.combined(other, "add", self.first(x))


class PackedBlock(RowBlock):
    """A DepthConvBlock whose activations are part of its matrix products."""

    def __init__(self, block: DepthConvBlock) -> None:
        super().__init__()
        hidden = block.ffn_out.in_channels
        gate, value = _cut(block.ffn_in, (hidden, hidden), 0)
        self.conv_in = PackedConv(block.conv_in, "swish")
        self.depthwise = block.depthwise
        self.conv_out = PackedConv(block.conv_out)
        self.gate, self.value = PackedConv(gate, "swish"), PackedConv(value)
        self.ffn_out = PackedConv(block.ffn_out)

    def enter(self, x: Tensor) -> Tensor:
        entered: Tensor = self.conv_in(x.to(self.conv_in.weight.dtype))
        return entered

    def leave(self, x: Tensor, mixed: Tensor) -> Tensor:
        if x.dtype == self.gate.weight.dtype:
            x = self.conv_out.combined(mixed, "add", x)
            return self.ffn_out.combined(self._gated(x), "add", x).clamp_(-STREAM_MAX, STREAM_MAX)
        # Both branches are added to the wide x at once: adding a narrow tensor to it first makes a wide copy of that.
        branch = self.conv_out(mixed)
        x += self.ffn_out.combined(self._gated(x.to(branch.dtype).add_(branch)), "add", branch)
        return x.clamp_(-STREAM_MAX, STREAM_MAX)

    def _gated(self, x: Tensor) -> Tensor:
        return self.value.combined(x, "mul", self.gate(x)).clamp_(-PRODUCT_MAX, PRODUCT_MAX)


class PackedAnalysis(Analysis):
    """An Analysis whose first convolution takes the pixels as they are, but for their sign."""

    def __init__(self, plain: Analysis, narrow: torch.dtype | None) -> None:
        """narrow: the type for low levels, if there is one."""
        nn.Module.__init__(self)
        self.narrow = narrow or plain.narrow
        self.unshuffle, self.blocks, self.down = RunUnshuffle(PATCH), plain.blocks, plain.down
        matrix, bias = _affine(plain.stem)
        matrix = matrix[:, run_order(3, PATCH)]
        self.stem = PackedConv(plain.stem, matrix=matrix, narrow=narrow)  # type: ignore[assignment]
        # pixels / 255 - 0.5 = (pixels - 128) / 255 + 0.5 / 255: whole numbers of 8 bits, exact in bfloat16.
        bias = bias + matrix.sum(1) * (0.5 / 255)
        # Not a second module: its weights are those of the stem.
        self._pixel_stem = (PackedConv(plain.stem, matrix=matrix / 255, bias=bias, narrow=narrow),)

    def enter_pixels(self, pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        signed = (self.unshuffle.of_rows(pixels) ^ 128).view(torch.int8)
        features: Tensor = self._pixel_stem[0](signed.to(dtype).permute(0, 3, 1, 2))
        return features


class PackedSynthesis(Synthesis):
    """A Synthesis whose last convolution gives shades."""

    def __init__(self, plain: Synthesis) -> None:
        nn.Module.__init__(self)
        self.up, self.blocks, self.shuffle = plain.up, plain.blocks, RunShuffle(PATCH)
        order = run_order(3, PATCH)
        matrix, bias = (tensor[order] for tensor in _affine(plain.head))
        self.head = PackedConv(plain.head, matrix=matrix, bias=bias)  # type: ignore[assignment]
        self._shades = (PackedConv(plain.head, matrix=255 * matrix, bias=255 * bias + 127.5),)

    def shades(self, features: Tensor) -> Tensor:
        shades: Tensor = self._shades[0](features)
        return shades.float()


class PackedContext(Context):
    """A Context with a product for each quarter of the channels of each step."""

    def __init__(self, plain: Context) -> None:
        nn.Module.__init__(self)
        self.adaptors, self.trunk, self.heads = plain.adaptors, plain.trunk, plain.heads
        # Not modules: their weights are those of the heads.
        self._quarters = [[PackedConv(part) for part in _quarters(head)] for head in plain.heads]

    def quarter(self, step: int, number: int, features: Tensor) -> Tensor:
        mu: Tensor = self._quarters[step][number](features)
        return bounded(mu.float(), LATENT_MAX)


def _quarters(head: nn.Module) -> list[nn.Conv2d]:
    conv = cast(nn.Conv2d, head)
    return _cut(conv, [conv.out_channels // STEPS] * STEPS, 0)


def _cut(conv: nn.Conv2d, widths: Sequence[int], dim: Literal[0, 1]) -> list[nn.Conv2d]:
    """A 1x1 convolution as several: of some of its outputs each (dim 0) or of some of its inputs (1), which then add up
    to its result."""
    bias = cast(Tensor, conv.bias)
    biases = torch.split(bias, list(widths)) if dim == 0 else [bias, *(torch.zeros_like(bias) for _ in widths[1:])]
    convolutions = []
    for weight, part in zip(torch.split(conv.weight, list(widths), dim), biases, strict=True):
        cut = nn.Conv2d(weight.shape[1], weight.shape[0], 1, device="meta")
        cut.weight, cut.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(part, requires_grad=False)
        convolutions.append(cut)
    return convolutions


def pack(network: CodecNetwork) -> None:
    """Replace the layers of a network in inference mode by packed ones, wherever this machine can."""
    _narrow_sums(network)
    _pack_shuffles(network)
    _pack_children(network)
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        keep_freed_memory()


def _narrow_sums(network: CodecNetwork) -> None:
    """In hyperprior and context, give the layers before the blocks the blocks' type, and so the sums between these.

    It costs nothing there. In g_a and g_s the high qualities need more than 8 bits of mantissa (`Passes.analyse`), and
    so do the layers that give pixels, y, z and the means.
    """
    before = [*network.context.adaptors]
    for chain in (network.h_a, network.h_mean):
        before += [layer for layer, following in pairwise(chain) if isinstance(following, DepthConvBlock)]
    dtype = next(network.context.trunk.parameters()).dtype
    if can_pack(dtype):
        for layer in before:
            layer.to(dtype)


def _pack_shuffles(network: CodecNetwork) -> None:
    """The shuffles and the convolutions next to them, which take their channels in the shuffles' order."""
    dtype = next(network.g_a.blocks.parameters()).dtype
    narrow = dtype if can_pack(dtype) else None
    for module in network.modules():
        if isinstance(module, Downsample) and can_pack(module.conv.weight.dtype):
            # That of h_a which gives z stays wide whatever comes.
            also, (matrix, _) = narrow if module is network.g_a.down else None, _affine(module.conv)
            matrix = matrix[:, run_order(matrix.shape[1] // 4, 2)]
            module[0], module[1] = RunUnshuffle(2), PackedConv(module.conv, matrix=matrix, narrow=also)
        elif isinstance(module, Upsample) and can_pack(module.conv.weight.dtype):
            order = run_order(module.conv.out_channels // 4, 2)
            matrix, bias = (tensor[order] for tensor in _affine(module.conv))
            module[0], module[1] = PackedConv(module.conv, matrix=matrix, bias=bias), RunShuffle(2)
    if can_pack(network.g_a.stem.weight.dtype):
        network.g_a = PackedAnalysis(network.g_a, narrow)
        network.g_s = PackedSynthesis(network.g_s)
        network.context = PackedContext(network.context)


def _affine(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """A 1x1 convolution as a matrix [C_out, C_in] and a bias."""
    return conv.weight.detach().flatten(1), cast(Tensor, conv.bias).detach()


def _pack_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, DepthConvBlock):
            if can_pack(child.conv_in.weight.dtype):
                setattr(module, name, PackedBlock(child))
        elif isinstance(child, nn.Conv2d) and child.kernel_size == (1, 1):
            if can_pack(child.weight.dtype):
                setattr(module, name, PackedSideBySide(child) if isinstance(child, SideBySide) else PackedConv(child))
        else:
            _pack_children(child)
