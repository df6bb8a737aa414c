"""Export: a trained network -> integers, tables and float16 weights of one weights file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaecodec.entropy.fit import COUNT_BINS, fit_tables
from vaecodec.entropy.model import EntropyModel, to_tensors
from vaecodec.errors import WeightsError
from vaecodec.intnet.fixedpoint import ACCUMULATOR_LIMIT, SCALE_INDICES
from vaecodec.intnet.layers import make_layers, scale_index
from vaecodec.levels import LEVELS
from vaecodec.networks.layers import DepthConvBlock
from vaecodec.networks.network import CodecNetwork, level_position, round_z
from vaecodec.networks.preview import PreviewFit
from vaecodec.weights.store import INTEGER_PREFIXES, LEVEL_PREFIXES, PREVIEW_PREFIX


@torch.no_grad()
def export_layers(network: CodecNetwork) -> tuple[list[NDArray[np.int8]], list[NDArray[np.int32]]]:
    """Integer weights and biases (per level) of h_scale. Raises WeightsError for values that are no int32."""
    t = level_position(torch.arange(LEVELS))
    weights, biases = [], []
    for number, layer in enumerate(network.h_scale.typed_layers()):
        bias = layer.integer_bias(t.to(layer.weight.device))[:, :, 0, 0]
        for kind, values in (("weight", layer.integer_weight()), ("bias", bias)):
            # A cast of what doesn't fit would wrap, or differ from one processor to the next.
            if not bool((values.abs() < ACCUMULATOR_LIMIT).all()):
                message = f"h_scale layer {number}: a {kind} is not finite or reaches {ACCUMULATOR_LIMIT}"
                raise WeightsError(message)
        weights.append(layer.integer_weight().cpu().numpy().astype(np.int8))
        biases.append(bias.cpu().numpy().astype(np.int32))
    return weights, biases


@torch.no_grad()
def export_z_table(network: CodecNetwork) -> NDArray[np.uint8]:
    """Table index of every z channel and level, uint8 [LEVELS, N]; at least 1: z is always coded."""
    device = network.z_index.anchors.device
    index = network.z_index(level_position(torch.arange(LEVELS, device=device)))[:, :, 0, 0]
    table: NDArray[np.uint8] = index.round().clamp(1, SCALE_INDICES - 1).cpu().numpy().astype(np.uint8)
    return table


@torch.no_grad()
def round_decoder_blocks(network: CodecNetwork) -> None:
    """Round the matrices of the blocks of g_s and the context to bfloat16, in place.

    A CPU that multiplies in bfloat16 has them so in any case. When all have them so, only what goes through the blocks
    is rounded differently from float32.
    """
    for block in (*network.g_s.blocks, *network.context.trunk):
        if isinstance(block, DepthConvBlock):
            for conv in (block.conv_in, block.conv_out, block.ffn_in, block.ffn_out):
                conv.weight.copy_(conv.weight.bfloat16())


class ResidualCounts:
    """Counts of |r| and |z_hat| per table index, [64, COUNT_BINS], over training images at many levels."""

    def __init__(self) -> None:
        self.y = np.zeros((SCALE_INDICES, COUNT_BINS), np.int64)
        self.z = np.zeros((SCALE_INDICES, COUNT_BINS), np.int64)

    @staticmethod
    def _add(counts: NDArray[np.int64], index: NDArray[np.uint8], values: NDArray[np.int32]) -> None:
        magnitude = np.minimum(np.abs(values), COUNT_BINS - 1)
        flat = index.astype(np.int64).ravel() * COUNT_BINS + magnitude.ravel()
        counts += np.bincount(flat, minlength=SCALE_INDICES * COUNT_BINS).reshape(SCALE_INDICES, COUNT_BINS)

    def add(
        self, index: NDArray[np.uint8], r: NDArray[np.int32], z_index: NDArray[np.uint8], z: NDArray[np.int32]
    ) -> None:
        """Count one image's residuals and z, each with its table index."""
        self._add(self.y, index, r)
        self._add(self.z, z_index, z)


@torch.no_grad()
def count_residuals(
    network: CodecNetwork, batches: Iterable[tuple[Tensor, int]], preview: PreviewFit | None = None
) -> ResidualCounts:
    """Run the codec's own quantization over (uint8 image [3, H, W], level) pairs and count.

    preview: is given every y_hat, with what g_s makes of it.
    """
    layers = make_layers(*export_layers(network))
    z_table = export_z_table(network)
    counts = ResidualCounts()
    device = next(network.parameters()).device
    for image, level in batches:
        t = level_position(torch.tensor([level], device=device))
        y, z = network.analyse(image[None].to(device).float() / 255, t)
        z_hat = round_z(z)
        z_integers = z_hat[0].cpu().numpy().astype(np.int8)
        index = scale_index(z_integers, level, layers)
        coded = torch.from_numpy(index > 0).to(device)[None]
        gain = network.log_gain(t).exp()
        result = network.run_context(network.prior(z_hat, t), gain, _rounding(y, gain, coded))
        z_index = np.broadcast_to(z_table[level][:, None, None], z_integers.shape)
        counts.add(index, result.r[0].cpu().numpy().astype(np.int32), z_index, z_integers.astype(np.int32))
        if preview is not None:
            preview.add(result.y_hat, network.synthesize(result.y_hat, t))
    return counts


def _rounding(y: Tensor, gain: Tensor, coded: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda mu: (gain * (y - mu)).round() * coded


def export_tensors(
    network: CodecNetwork, counts: ResidualCounts, preview: PreviewFit | None = None
) -> dict[str, NDArray[Any]]:
    """All tensors of the weights file, with the preview head if there is a fit of it.

    Raises WeightsError when the integer path is out of bounds, or a weight is not finite as float16.
    """
    layers = make_layers(*export_layers(network))
    model = EntropyModel(layers, fit_tables(counts.y), fit_tables(counts.z), export_z_table(network))
    tensors = to_tensors(model)
    for name, tensor in network.state_dict().items():
        if not name.startswith(INTEGER_PREFIXES):
            tensors[f"net.{name}"] = _as_stored(name, tensor.cpu().float().numpy())
    if preview is not None:
        tensors |= {PREVIEW_PREFIX + name: _as_stored(name, values) for name, values in preview.solve().items()}
    return tensors


def _as_stored(name: str, values: NDArray[np.float32]) -> NDArray[Any]:
    largest = np.finfo(np.float32 if name.startswith(LEVEL_PREFIXES) else np.float16).max
    if not (np.abs(values) <= largest).all():
        message = f"{name}: a weight is not finite, or beyond {largest}"
        raise WeightsError(message)
    return values if name.startswith(LEVEL_PREFIXES) else values.astype(np.float16)
