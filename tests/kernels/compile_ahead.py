"""Compile every kernel for a GPU that need not be here: `python tests/kernels/compile_ahead.py 90`, one JSON line each.

Runs in its own process, because triton decides between compiling and interpreting when it is imported.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile  # noqa: A004

from vaecodec_kernels import compaction, depthwise, estimate, intnet, quantize, rans_kernels
from vaecodec_kernels.launch import EXACT

I16, I32, I64, U8, I8, F32 = "*i16", "*i32", "*i64", "*u8", "*i8", "*fp32"
STRIDES = {f"{name}_{axis}": "i32" for name in ("y", "mu", "index", "r", "hat") for axis in "bchw"}
CELLS = {"CELL_00": 0, "CELL_11": 1, "CELL_01": 2, "CELL_10": 3}
STEP = {"STEP": 1, "STEPS": 4, **CELLS, "BLOCK_W": 16, "BLOCK_C": 64}
RANS = {"GROUP_FIELDS": 4, "GROUP_LANES": 32, "STATE_BITS": 16}
SEGMENT = {"p_symbols": I16, "p_index": U8, "p_offsets": I64, "p_counts": I64}
LAYER = {"OFFSET": 128, "SHIFT": 8, "BLOCK_P": 64, "BLOCK_N": 64}
FIRST = {"C_IN": 96, "C_OUT": 128, "KERNEL": 3, "OUTPUT_MAX": 255, "OUT_OFFSET": 128, "SHUFFLE": 1, "BLOCK_K": 128}
LAST = {"C_IN": 96, "C_OUT": 1280, "KERNEL": 1, "OUTPUT_MAX": 63, "OUT_OFFSET": 0, "SHUFFLE": 2, "BLOCK_K": 128}
BLOCKS = {"FIRST_CODED": 1, "FIELDS": 6, "BLOCK": 1024}
STEP_TYPES = {"p_gain": F32, "p_index": U8, "p_zone": F32, "p_r": I32, "p_y_hat": F32, **STRIDES}
ORDER = {"p_index": U8, "p_planes": I64, "p_ends": I64, "p_counts": I32}
OUTLIERS = {"p_outlier_position": I32, "p_outlier_value": I32, "p_outlier_count": I32}
FLAT = {"p_index": U8, "p_offsets": I64}

# kernel, types of its pointers (and of integers that aren't int32), constants, warps
VARIANTS: list[tuple[Any, dict[str, str], dict[str, Any], int]] = [
    *(
        (quantize.context_step_kernel, {"p_y": kind, "p_mu": kind, **STEP_TYPES}, {**STEP, **more}, 4)
        for kind in (F32, "*bf16")
        for more in (
            {"INVERSE": False, "DEAD_ZONE": False, "GROUP_CHANNELS": 64},
            {"INVERSE": False, "DEAD_ZONE": True, "GROUP_CHANNELS": 80},
            {"INVERSE": True, "DEAD_ZONE": False, "GROUP_CHANNELS": 80},
        )
    ),
    (compaction.count_coded_kernel, {"p_index": U8, "p_planes": I64, "p_counts": I32}, BLOCKS, 4),
    *(
        (
            compaction.gather_kernel,
            {**ORDER, **OUTLIERS, "p_values": I32, "p_sizes": I32, "p_symbols": I16, "p_coded_index": U8},
            {**BLOCKS, "WITH_VALUES": with_values},
            4,
        )
        for with_values in (False, True)
    ),
    *(
        (
            compaction.scatter_kernel,
            {**ORDER, "p_coded": kind, "p_values": I32},
            {**BLOCKS, "SYMBOLS": kind == I16},
            4,
        )
        for kind in (I16, I32)
    ),
    (
        rans_kernels.rans_encode_kernel,
        {
            **SEGMENT,
            "p_cdf": I32,
            "p_sizes": I32,
            "p_groups": I64,
            "p_states": I32,
            "p_scratch": I16,
            "p_bounds": I64,
            "p_free": I64,
            "p_status": I32,
        },
        RANS,
        1,
    ),
    (
        rans_kernels.rans_pack_kernel,
        {
            "p_groups": I64,
            "p_states": I32,
            "p_scratch": I16,
            "p_bounds": I64,
            "p_free": I64,
            "p_group_at": I64,
            "p_count_at": I64,
            "p_payload": I16,
        },
        {"GROUP_FIELDS": 4, "GROUP_LANES": 32, "BLOCK": 1024},
        4,
    ),
    *(
        (
            rans_kernels.rans_decode_kernel,
            {
                **SEGMENT,
                "p_payload": I16,
                "p_group_at": I64,
                "p_group_end": I64,
                "p_cdf": I32,
                "p_lookup": I16,
                "p_groups": I64,
                "p_states": I32,
                "p_next": I64,
                "p_status": I32,
            },
            {**RANS, "LOOKUP_BITS": 8, "FIRST": first, "LAST": not first},
            1,
        )
        for first in (True, False)
    ),
    *(
        (
            intnet.integer_layer_kernel,
            {"p_x": I8, "p_weight": I8, "p_bias": I32, "p_level": I32, "p_out": out},
            {**LAYER, **more},
            4,
        )
        for out, more in ((I8, FIRST), (U8, LAST))
    ),
    (
        estimate.estimate_bits_kernel,
        {**FLAT, "p_values": I32, "p_sizes": I32, "p_cost": I32, "p_total": I64, "outlier_cost": "i64"},
        {"FIRST_CODED": 0, "BLOCK": 1024},
        4,
    ),
    *(
        (
            depthwise.depthwise_kernel,
            {"p_x": kind, "p_weight": F32, "p_before": F32, "p_after": F32, "p_out": kind},
            {"CHANNELS": channels, "SILU": True, "STRIP": 8, "BLOCK_W": 16, "BLOCK_C": 64},
            4,
        )
        for kind, channels in ((F32, 128), ("*fp16", 192), ("*bf16", 192))
    ),
]


def main(capability: int) -> None:
    target = GPUTarget("cuda", capability, 32)
    for kernel, types, constants, warps in VARIANTS:
        names = kernel.arg_names
        signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in names}
        source = ASTSource(kernel, signature, constants)
        start = time.perf_counter()
        compiled = compile(source, target=target, options={"num_warps": warps, **EXACT})
        ptx = compiled.asm["ptx"]
        report = {
            "kernel": kernel.__name__,
            "target": next(line for line in ptx.splitlines() if line.startswith(".target")),
            "cubin": len(compiled.asm["cubin"]),
            "integer_mma": ".s32.s8.s8" in ptx,
            "seconds": round(time.perf_counter() - start, 2),
        }
        sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
