"""Sizes of the networks and the constants that the trained weights depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace

PATCH = 8
"""Factor of the first pixel unshuffle: every convolution works at 1/8 of the resolution or below."""

ALIGNMENT = 64
"""Images are padded to a multiple of this (the stride of z)."""

REDUCTIONS = (1, 2, 4, 8)
"""Factors by which an image can be reduced while it is decoded."""

STREAM_MAX = 64.0
PRODUCT_MAX = 256.0
LATENT_MAX = 128.0
PRIOR_MAX = 64.0
"""Bounds of the networks' values, by magnitude: of the residual path and of the gated product of every block, of y and
the means, and of the prior features. Without them the gated products, two linear functions of x multiplied, grow
quadratically from block to block on images unlike photographs. Photographs stay below a quarter of each
(`python -m bench ranges`), so no file and no pixel of theirs depends on the bounds."""

SHIFT_UNIT = 4.0
"""What a parameter of 1 stands for in the tables of shifts; the features that they shift are of about this size."""

STEPS = 4
"""Of the context."""
# Position (row, column) in a 2x2 cell that channel group g codes in step k: every step covers all four positions
# (a quarter of the channels each), and every group all positions in four steps.
POSITIONS = ((0, 0), (1, 1), (0, 1), (1, 0))


def step_positions(step: int) -> list[tuple[int, int]]:
    """The position (row, column) in each 2x2 cell that step `step` codes, for each quarter of the channels."""
    return [POSITIONS[(step + group) % STEPS] for group in range(STEPS)]


@dataclass(frozen=True)
class ModelConfig:
    """Widths and depths of one codec network.

    C: channels of the blocks at 1/8. M: channels of y (1/16). N: channels of z (1/64).
    P: width of the prior features and of the context trunk. H1, H2: hidden widths of the integer scale network.
    ffn: hidden width of the feed-forward in the blocks of g_a and g_s, as a multiple of C.
    blocks_context: blocks in the trunk of the context.
    """

    name: str
    C: int
    blocks_a: int
    blocks_s: int
    M: int
    N: int
    P: int
    H1: int = 128
    H2: int = 96
    ffn: int = 2
    blocks_context: int = 2


CONFIGS = {
    config.name: config
    for config in (
        ModelConfig("tiny", C=16, blocks_a=1, blocks_s=1, M=16, N=8, P=16, H1=16, H2=8),
        ModelConfig("fast", C=128, blocks_a=2, blocks_s=3, M=192, N=64, P=96, ffn=1, blocks_context=1),
        ModelConfig("base", C=128, blocks_a=4, blocks_s=6, M=256, N=64, P=128),
        ModelConfig("large", C=192, blocks_a=5, blocks_s=9, M=320, N=96, P=256),
    )
}

DENOISER_BLOCKS = 2
"""Blocks that g_a of a denoising encoder has beyond those of its model."""
NOISE_MAX = 64.0
"""Standard deviation of the strongest noise that a denoising encoder knows, in shades 0..255."""


def denoiser_config(config: ModelConfig) -> ModelConfig:
    """The configuration of a model whose g_a is that of a denoising encoder."""
    return replace(config, blocks_a=config.blocks_a + DENOISER_BLOCKS)
