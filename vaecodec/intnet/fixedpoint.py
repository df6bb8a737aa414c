"""The fixed-point formats of the integer scale network: every shift has its home here.

A number in format Qk stands for integer / 2^k.

    z_hat   int8   Q0   -128..127
    layer 1 weights int8 Q7 -> accumulator Q7  -> activations uint8 Q4   (shift 3)
    layer 2 weights int8 Q8 -> accumulator Q12 -> activations uint8 Q4   (shift 8)
    layer 3 weights int8 Q8 -> accumulator Q12 -> activations uint8 Q4   (shift 8)
    layer 4 weights int8 Q8 -> accumulator Q12 -> scale index 0..63, Q2 (shift 10: four indices per unit)

The right shift rounds half up: (accumulator + 2^(shift-1)) >> shift (an arithmetic shift, floor for negative
numbers), then clamps: uint8 activations to 0..255 (the clamp at 0 is the ReLU), the index to 0..63.
"""

from __future__ import annotations

from dataclasses import dataclass

SCALE_INDICES = 64
"""Scale indices are 0..63; index 0 means "surely zero": the symbol isn't coded and r = 0 on both sides."""

Z_MIN, Z_MAX = -128, 127
WEIGHT_MAX = 127
ACTIVATION_MAX = 255
ACCUMULATOR_LIMIT = 2**31
"""No accumulator may reach this magnitude; `layers.check_bounds` proves it from the weights."""


@dataclass(frozen=True)
class LayerFormat:
    """Formats of one layer: weights Q`weight_bits`, accumulators Q`accumulator_bits`, output after `shift`."""

    kernel: int
    weight_bits: int
    accumulator_bits: int
    shift: int
    output_max: int


LAYER_FORMATS = (
    LayerFormat(kernel=3, weight_bits=7, accumulator_bits=7, shift=3, output_max=ACTIVATION_MAX),
    LayerFormat(kernel=1, weight_bits=8, accumulator_bits=12, shift=8, output_max=ACTIVATION_MAX),
    LayerFormat(kernel=3, weight_bits=8, accumulator_bits=12, shift=8, output_max=ACTIVATION_MAX),
    LayerFormat(kernel=1, weight_bits=8, accumulator_bits=12, shift=10, output_max=SCALE_INDICES - 1),
)
"""A pixel shuffle by 2 follows layer 2 (1/64 -> 1/32) and layer 4 (1/32 -> 1/16)."""
