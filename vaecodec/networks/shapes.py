"""The tensors of a model by name and shape, for programs without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import WeightsError
from vaecodec.levels import LEVELS
from vaecodec.networks.config import CONFIGS, PATCH, STEPS, ModelConfig
from vaecodec.weights.denoisers import BLOCKS_KEY
from vaecodec.weights.store import PREVIEW_PREFIX, SHIFT_PREFIX, StoredModel

ANCHORS = 8
"""Of a `layers.LevelTable`."""
NETWORK_PREFIX = "net."
PREVIEW_OUTPUTS = 12
MOST_BLOCKS = 64
"""Of g_a: more would be no network but a mistake."""

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def network_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of `network.CodecNetwork`'s float tensors, less what ships as integers and the preview head."""
    return dict(_all(config))


def _all(config: ModelConfig) -> Shapes:
    pixels, y, p = 3 * PATCH**2, config.M, config.P
    yield from _conv("g_a.stem", pixels, config.C)
    for number in range(config.blocks_a):
        yield from _block(f"g_a.blocks.{number}", config.C, config.ffn)
    yield from _conv("g_a.down.1", 4 * config.C, y)
    yield from _conv("g_s.up.0", y, 4 * config.C)
    for number in range(config.blocks_s):
        yield from _block(f"g_s.blocks.{number}", config.C, config.ffn)
    yield from _conv("g_s.head", config.C, pixels)
    yield from (*_conv("h_a.0", y, p), *_block("h_a.1", p, 1), *_conv("h_a.2.1", 4 * p, p))
    yield from (*_block("h_a.3", p, 1), *_conv("h_a.4.1", 4 * p, config.N))
    yield from (*_conv("h_mean.0.0", config.N, 4 * p), *_block("h_mean.1", p, 1))
    yield from (*_conv("h_mean.2.0", p, 4 * p), *_block("h_mean.3", p, 1))
    for step in range(STEPS - 1):
        yield from _conv(f"context.adaptors.{step}", p + y, p)
    for number in range(config.blocks_context):
        yield from _block(f"context.trunk.{number}", p, 1)
    for step in range(STEPS):
        yield from _conv(f"context.heads.{step}", p, y)
    tables = {"log_gain": y, "log_z_gain": config.N, "log_q_enc": config.C, "log_q_dec": config.C, "log_q_prior": p}
    tables |= {"shift_enc": config.C, "shift_dec": config.C, "shift_prior": p}
    for name, channels in tables.items():
        yield f"{name}.anchors", (ANCHORS, channels)


def _conv(name: str, inputs: int, outputs: int, side: int = 1) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, side, side)
    yield f"{name}.bias", (outputs,)


def _block(name: str, channels: int, ratio: int) -> Shapes:
    hidden = ratio * channels
    yield from _conv(f"{name}.conv_in", channels, channels)
    yield from _conv(f"{name}.depthwise", 1, channels, 3)
    yield from _conv(f"{name}.conv_out", channels, channels)
    yield from _conv(f"{name}.ffn_in", channels, 2 * hidden)
    yield from _conv(f"{name}.ffn_out", hidden, channels)


def preview_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the preview head's tensors, by their names in a weights file."""
    return dict(_conv(PREVIEW_PREFIX.removesuffix("."), config.M, PREVIEW_OUTPUTS, 3))


def config_of(stored: StoredModel, entropy: EntropyModel) -> ModelConfig:
    """The configuration of a weights file. Raises WeightsError unless its tensors and its integer part fit it."""
    config = CONFIGS.get(str(stored.card.get("config", "")))
    if config is None:
        message = f"weights file has config {stored.card.get('config')!r}; known: {', '.join(CONFIGS)}"
        raise WeightsError(message)
    blocks = stored.card.get(BLOCKS_KEY, config.blocks_a)
    if not isinstance(blocks, int) or not 1 <= blocks <= MOST_BLOCKS:
        message = f"{BLOCKS_KEY} of the model card is {blocks!r}; it must be 1..{MOST_BLOCKS}"
        raise WeightsError(message)
    config = replace(config, blocks_a=blocks)
    _check_tensors(config, stored.tensors)
    _check_integers(config, entropy)
    return config


def _check_tensors(config: ModelConfig, tensors: Mapping[str, NDArray[Any]]) -> None:
    expected = {f"{NETWORK_PREFIX}{name}": shape for name, shape in network_shapes(config).items()}
    if any(name.startswith(PREVIEW_PREFIX) for name in tensors):
        expected |= preview_shapes(config)
    actual = {name: t.shape for name, t in tensors.items() if name.startswith((NETWORK_PREFIX, PREVIEW_PREFIX))}
    differences = expected.items() ^ actual.items()
    differing = sorted({name.removeprefix(NETWORK_PREFIX) for name, _ in differences if not _may_lack(name, actual)})
    if differing:
        message = f"weights file and config {config.name} differ in {', '.join(differing[:4])}"
        raise WeightsError(message)


def _may_lack(name: str, actual: Mapping[str, tuple[int, ...]]) -> bool:
    return name.startswith(NETWORK_PREFIX + SHIFT_PREFIX) and name not in actual


def _check_integers(config: ModelConfig, entropy: EntropyModel) -> None:
    """The widths of the scale network, and all levels."""
    ins, outs = (config.N, config.H1, config.H2, config.H2), (config.H1, 4 * config.H2, config.H2, 4 * config.M)
    expected = [*((o, i) for o, i in zip(outs, ins, strict=True)), *((LEVELS, o) for o in outs), (LEVELS, config.N)]
    layers = [layer.weight.shape[:2] for layer in entropy.layers] + [layer.bias.shape for layer in entropy.layers]
    if [*layers, entropy.z_table.shape] != expected:
        message = (
            f"the integer part has shapes {[*layers, entropy.z_table.shape]}; config {config.name} needs {expected}"
        )
        raise WeightsError(message)
