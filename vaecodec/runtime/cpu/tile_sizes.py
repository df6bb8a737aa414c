"""Sizes of the tiles that matrix products are made of on this processor, see `tiles`. Imports no numba."""

from __future__ import annotations

from vaecodec.native.processor import features, has_bfloat16

FEATURES = features()
HAS_BFLOAT16 = has_bfloat16()
LANES = 16 if "avx512f" in FEATURES else 8 if "avx" in FEATURES else 4
"""Floats in a vector."""
VECTORS = 2
"""In a row of a tile."""
WIDTH = VECTORS * LANES
PEAK_WIDTH = 8
"""Positions side by side that share the largest of their gated products."""
ROWS = 8 if FEATURES & {"avx512f", "neon"} else 4
"""Of a tile: its sums and what a step multiplies stay in registers (32, or 16 before AVX-512). A row of blocks has a
multiple of 8 positions, as images are padded to 64 pixels."""
DEPTH = 1280
"""The longest row of a left factor, and the most columns of a right one: those of the largest configuration."""
STRIDE = DEPTH + 32
"""Of the rows of a left factor, in numbers; a constant, so that all rows are found from one address. Not a power of
two: they would share the same few places in the cache."""
