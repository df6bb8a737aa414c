"""Function-preserving growth: a trained network with more channels of y, which begins as what it was.

The new channels say what the old ones leave out of g_a's features: the principal components of what no linear function
of the old channels gives. The decoder begins without them (zero columns), their gains are the old ones' mean, and their
standard deviation at the best level is half a step of quantization. Net2Net (Chen et al. 2016, arXiv 1511.05641) does
so for classifiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from vaecodec.networks.config import STEPS, ModelConfig
from vaecodec.networks.network import CodecNetwork
from vaecodec.training.initialize import index_bias, principal_components

_HEADS = tuple(f"context.heads.{step}.{part}" for step in range(STEPS) for part in ("weight", "bias"))
_INPUTS = ("g_s.up.0.weight", "h_a.0.weight")
_ADAPTORS = tuple(f"context.adaptors.{step}.weight" for step in range(STEPS - 1))
_SCALES = "h_scale.layers.3"


STRENGTH = 0.5
"""Standard deviation of a new channel at the best level, in steps of quantization: there it begins to cost bits."""


def is_wider(new: ModelConfig, old: ModelConfig) -> bool:
    """Whether `new` is `old` with more channels of y."""
    return new.M > old.M and replace(new, name=old.name, M=old.M) == old


@torch.no_grad()
def grown(weights: Mapping[str, Tensor], old: ModelConfig, new: ModelConfig, x: Tensor) -> dict[str, Tensor]:
    """The weights of `old` for `new`, see `is_wider`. x: sample images [B, 3, H, W] in 0..1, for the new channels."""
    network = CodecNetwork(old)
    network.load_state_dict(weights)
    best = network.log_q_enc(torch.ones(len(x))).exp()
    features = network.g_a.blocks(network.g_a.enter(x)) * best
    cells = network.g_a.down[0](features).permute(0, 2, 3, 1).flatten(0, 2)
    return widen(weights, old, new, cells)


@torch.no_grad()
def widen(weights: Mapping[str, Tensor], old: ModelConfig, new: ModelConfig, cells: Tensor) -> dict[str, Tensor]:
    """The weights of `old` for `new`, which has more channels of y and is otherwise equal.

    cells: what g_a's last convolution sees of sample images, float32 [n, 4 C].
    """
    count = new.M - old.M
    gains = weights["log_gain.anchors"].mean(1)  # [anchors]
    down = weights["g_a.down.1.weight"].flatten(1)
    added = _left_out(cells, down, count)
    added *= STRENGTH / ((cells @ added.T).std(0)[:, None] * gains[-1].exp())
    rows = {
        "g_a.down.1.weight": added[:, :, None, None],
        "g_a.down.1.bias": -(added @ cells.mean(0)),
        "log_gain.anchors": gains[:, None].expand(-1, count),
        f"{_SCALES}.bias.anchors": index_bias(STRENGTH * (gains - gains[-1]).exp())[:, None].expand(-1, 4 * count),
    }
    result = dict(weights) | {name: _append(weights[name], rows[name], _channels(name)) for name in rows}
    for name in (*_HEADS, *_INPUTS, f"{_SCALES}.weight"):
        dim, factor = _channels(name), 4 if name.startswith(_SCALES) else 1
        result[name] = _append_zeros(weights[name], factor * count, dim)
    for name in _ADAPTORS:
        prior, y_hat = weights[name].tensor_split([old.P], 1)
        result[name] = torch.cat((prior, _append_zeros(y_hat, count, 1)), 1)
    return {name: tensor.contiguous() for name, tensor in result.items()}


def _channels(name: str) -> int:
    """The dimension of a tensor that is the channels of y: tables and the inputs of convolutions have them second."""
    return int(name.endswith(".anchors") or name in _INPUTS)


def _left_out(cells: Tensor, down: Tensor, count: int) -> Tensor:
    """The principal components [count, 4 C] of what is left of the cells when y has told what it can.

    The strongest four go to one quarter of the channels each, and so on.
    """
    centred = (cells - cells.mean(0)).double()
    y = centred @ down.double().T
    rest = centred - y @ torch.linalg.lstsq(y, centred).solution
    components, _ = principal_components(rest.float(), count)
    return torch.cat([components[quarter::STEPS] for quarter in range(STEPS)])


def _append(tensor: Tensor, added: Tensor, dim: int) -> Tensor:
    """`added` behind `tensor`, quarter by quarter of the channels, which are dimension `dim`."""
    pairs = zip(tensor.chunk(STEPS, dim), added.chunk(STEPS, dim), strict=True)
    return torch.cat([part for pair in pairs for part in pair], dim)


def _append_zeros(tensor: Tensor, count: int, dim: int) -> Tensor:
    shape = [*tensor.shape]
    shape[dim] = count
    return _append(tensor, tensor.new_zeros(shape), dim)
