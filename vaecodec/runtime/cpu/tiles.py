"""The innermost loop of a matrix product, written for the vector instructions of this machine.

numba makes good code of loops over arrays, but keeps no tile of a product in registers. So this one loop is given to
LLVM as it must run: a tile of ROWS x WIDTH sums stays in registers, while each step multiplies one column of the left
factor by one row of the right one. Products of bfloat16 (AVX512-BF16) add pairs in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vaecodec.runtime.cpu.tile_sizes import HAS_BFLOAT16, LANES, ROWS, STRIDE, VECTORS, WIDTH

_BYTE, _INT32, _INT64, _FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_POINTER = _BYTE.as_pointer()
_SUMS = ir.VectorType(_FLOAT, LANES)
_PAIRS = ir.VectorType(_INT32, LANES)


class _BFloat16(ir.types.Type):
    """LLVM's type, which llvmlite lacks."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash("bfloat")


_NARROW = ir.VectorType(_BFloat16(), 2 * LANES)


def _function(module: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """A function of LLVM's own."""
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), name)


def _at(builder: Any, pointer: Any, offset: int, kind: Any) -> Any:
    """`pointer` moved on by so many bytes, as a pointer to `kind`."""
    return builder.bitcast(builder.gep(pointer, [ir.Constant(_INT64, offset)]), kind.as_pointer())


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    """A vector of one number."""
    alone = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(_INT32, 0))
    zeros = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(alone, ir.Constant(kind, ir.Undefined), zeros)


def _load(builder: Any, pointer: Any) -> Any:
    loaded = builder.load(pointer)
    loaded.align = 4
    return loaded


def _emit(builder: Any, left: Any, right: Any, out: Any, steps: Any, *, narrow: bool) -> None:
    """The loop. left, right, out: pointers; a step is a column of four bytes: one float32 or two bfloat16."""
    kind, number = (_PAIRS, _INT32) if narrow else (_SUMS, _FLOAT)
    if narrow:
        multiply = _function(builder.module, "llvm.x86.avx512bf16.dpbf16ps.512", _SUMS, [_SUMS, _NARROW, _NARROW])
    else:
        multiply = _function(builder.module, f"llvm.fmuladd.v{LANES}f32", _SUMS, [_SUMS, _SUMS, _SUMS])
    stride = STRIDE * (2 if narrow else 4)
    before, loop, after = builder.block, builder.append_basic_block("steps"), builder.append_basic_block("sums")
    builder.branch(loop)
    builder.position_at_end(loop)
    count, a, b = builder.phi(_INT64), builder.phi(_POINTER), builder.phi(_POINTER)
    sums = [builder.phi(_SUMS) for _ in range(ROWS * VECTORS)]
    vectors = [_load(builder, _at(builder, b, 4 * LANES * vector, kind)) for vector in range(VECTORS)]
    if narrow:
        vectors = [builder.bitcast(vector, _NARROW) for vector in vectors]
    grown = []
    for row in range(ROWS):
        factor = _spread(builder, _load(builder, _at(builder, a, stride * row, number)), kind)
        for place, vector in enumerate(vectors, row * VECTORS):
            if narrow:
                grown.append(builder.call(multiply, [sums[place], builder.bitcast(factor, _NARROW), vector]))
            else:
                grown.append(builder.call(multiply, [factor, vector, sums[place]]))
    following = builder.add(count, ir.Constant(_INT64, 1))
    next_a, next_b = (_at(builder, pointer, size, _BYTE) for pointer, size in ((a, 4), (b, 4 * WIDTH)))
    starts = [ir.Constant(_INT64, 0), left, right, *[ir.Constant(_SUMS, [0.0] * LANES)] * len(sums)]
    phis = [count, a, b, *sums]
    for phi, first, later in zip(phis, starts, [following, next_a, next_b, *grown], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, steps), loop, after)
    builder.position_at_end(after)
    for place, total in enumerate(grown):
        builder.store(total, _at(builder, out, 4 * LANES * place, _SUMS)).align = 4


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Address of an array's first number."""
    return builder.bitcast(context.make_array(kind)(context, builder, array).data, _POINTER)


@intrinsic
def multiply_tile(typing_context: Any, left: Any, right: Any, panel: Any, out: Any, steps: Any) -> Any:
    """out [ROWS, WIDTH] = left @ right: rows of `left` [ROWS, STRIDE], panel number `panel` of `right`.

    right [panels, steps * WIDTH (* 2)]: see `matrices`. Both float32, or both bfloat16 as uint16.
    """
    signature = types.void(left, right, types.uintp, out, types.uintp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        narrow = signature.args[0].dtype == types.uint16
        if narrow and not HAS_BFLOAT16:
            message = "this processor has no products of bfloat16"
            raise NotImplementedError(message)
        a, b, c = (_data(context, builder, signature.args[at], arguments[at]) for at in (0, 1, 3))
        step_count = arguments[4]
        size = builder.mul(builder.mul(arguments[2], step_count), ir.Constant(_INT64, 4 * WIDTH))
        _emit(builder, a, builder.gep(b, [size]), c, step_count, narrow=narrow)
        return context.get_dummy_value()

    return signature, generate


_LOG2_E = 1.4426950408889634
_LARGEST = 126.0
_TO_WHOLE = 1.5 * 2.0**23
"""Added to a float32, it leaves the nearest whole number in its low bits."""
_ONE_BITS = 0x3F800000
_EXP2 = (0.693147182, 0.240226492, 0.0555040216, 0.00961812911, 0.00133335581, 0.000154035303)
"""2^x = 1 + x (a + x (b + ...)) for x in -0.5..0.5, to 2e-7 (Taylor's, which is as good as any for float32)."""


def _vector(value: float) -> Any:
    return ir.Constant(_SUMS, [value] * LANES)


def _bounded(builder: Any, x: Any, bound: Any) -> Any:
    """x clamped to -bound..bound."""
    return _extreme(builder, "min", _extreme(builder, "max", x, builder.fneg(bound)), bound)


def _extreme(builder: Any, which: str, first: Any, second: Any) -> Any:
    """The larger ("max") or the smaller ("min") of two; where one is no number, the other."""
    return builder.call(
        _function(builder.module, f"llvm.{which}num.v{LANES}f32", _SUMS, [_SUMS, _SUMS]), [first, second]
    )


def _silu(builder: Any, x: Any) -> Any:
    """x / (1 + exp(-x))."""
    add = _function(builder.module, f"llvm.fmuladd.v{LANES}f32", _SUMS, [_SUMS, _SUMS, _SUMS])
    scaled = _bounded(builder, builder.fmul(x, _vector(-_LOG2_E)), _vector(_LARGEST))
    moved = builder.fadd(scaled, _vector(_TO_WHOLE))
    rest = builder.fsub(scaled, builder.fsub(moved, _vector(_TO_WHOLE)))
    power = _vector(_EXP2[-1])
    for factor in (*reversed(_EXP2[:-1]), 1.0):
        power = builder.call(add, [power, rest, _vector(factor)])
    exponent = builder.shl(builder.bitcast(moved, _PAIRS), ir.Constant(_PAIRS, [23] * LANES))
    scale = builder.bitcast(builder.add(exponent, ir.Constant(_PAIRS, [_ONE_BITS] * LANES)), _SUMS)
    return builder.fdiv(x, builder.call(add, [power, scale, _vector(1.0)]))


def _row_loop(builder: Any) -> Any:
    return cgutils.for_range(builder, ir.Constant(_INT64, ROWS))


def _vector_at(builder: Any, base: Any, index: Any) -> Any:
    """Address of the vector that begins at float number `index`."""
    return builder.bitcast(builder.gep(base, [builder.mul(index, ir.Constant(_INT64, 4))]), _SUMS.as_pointer())


def _bias_vectors(builder: Any, bias: Any, panel: Any) -> list[Any]:
    first = builder.mul(panel, ir.Constant(_INT64, WIDTH))
    places = [builder.add(first, ir.Constant(_INT64, LANES * vector)) for vector in range(VECTORS)]
    return [_load(builder, _vector_at(builder, bias, place)) for place in places]


def _tile_places(builder: Any, row: Any, panel: Any, *, out_width: int) -> Iterator[tuple[int, Any, Any]]:
    """For each vector of a tile's row: its number, its place in the tile, and in rows of `out_width` numbers."""
    column = builder.mul(panel, ir.Constant(_INT64, WIDTH))
    for vector in range(VECTORS):
        offset = ir.Constant(_INT64, LANES * vector)
        inside = builder.add(builder.mul(row, ir.Constant(_INT64, WIDTH)), offset)
        beyond = builder.add(builder.mul(row, ir.Constant(_INT64, out_width)), builder.add(column, offset))
        yield vector, inside, beyond


@intrinsic
def finish_tile(typing_context: Any, sums: Any, bias: Any, panel: Any, silu: Any, bound: Any, out: Any) -> Any:
    """Columns of `out` [ROWS, STRIDE]: sums + bias of the panel, through SiLU if `silu`, else bounded."""
    signature = types.void(sums, bias, types.uintp, types.boolean, types.float32, out)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, all_bias, target = (_data(context, builder, signature.args[at], arguments[at]) for at in (0, 1, 5))
        added, limit = _bias_vectors(builder, all_bias, arguments[2]), _spread(builder, arguments[4], _SUMS)
        activate = builder.trunc(arguments[3], ir.IntType(1))
        with builder.if_else(activate) as (then, otherwise):
            for branch, active in ((then, True), (otherwise, False)):
                with branch, _row_loop(builder) as loop:
                    for vector, inside, beyond in _tile_places(builder, loop.index, arguments[2], out_width=STRIDE):
                        x = builder.fadd(_load(builder, _vector_at(builder, tile, inside)), added[vector])
                        x = _silu(builder, x) if active else _bounded(builder, x, limit)
                        builder.store(x, _vector_at(builder, target, beyond)).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_tile(typing_context: Any, sums: Any, bias: Any, panel: Any, bound: Any, out: Any) -> Any:
    """Columns of `out` [ROWS, STRIDE] += sums + bias of the panel, and bounded."""
    signature = types.void(sums, bias, types.uintp, types.float32, out)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, all_bias, target = (_data(context, builder, signature.args[at], arguments[at]) for at in (0, 1, 4))
        added, limit = _bias_vectors(builder, all_bias, arguments[2]), _spread(builder, arguments[3], _SUMS)
        with _row_loop(builder) as loop:
            for vector, inside, beyond in _tile_places(builder, loop.index, arguments[2], out_width=STRIDE):
                x = builder.fadd(_load(builder, _vector_at(builder, tile, inside)), added[vector])
                place = _vector_at(builder, target, beyond)
                x = _bounded(builder, builder.fadd(_load(builder, place), x), limit)
                builder.store(x, place).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def mix_neighbours(
    typing_context: Any,
    above: Any,
    here: Any,
    below: Any,
    start: Any,
    weights: Any,
    bias: Any,
    out: Any,
    row: Any,
    channels: Any,
) -> Any:
    """Row `row` of `out` [ROWS, STRIDE]: a depthwise 3x3 convolution at one position.

    above, here, below: three rows of its inputs, read from number `start` on. weights [9, channels], bias [channels];
    channels: a multiple of LANES.
    """
    signature = types.void(above, here, below, types.uintp, weights, bias, out, types.uintp, types.uintp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *sources, factors, first, target = (
            _data(context, builder, signature.args[at], arguments[at]) for at in (0, 1, 2, 4, 5, 6)
        )
        start, row, channels = (arguments[at] for at in (3, 7, 8))
        add = _function(builder.module, f"llvm.fmuladd.v{LANES}f32", _SUMS, [_SUMS, _SUMS, _SUMS])
        multiples = [builder.mul(channels, ir.Constant(_INT64, tap)) for tap in range(9)]
        columns = [builder.add(start, multiple) for multiple in multiples[:3]]
        at = builder.mul(row, ir.Constant(_INT64, STRIDE))
        with cgutils.for_range(builder, builder.udiv(channels, ir.Constant(_INT64, LANES))) as loop:
            offset = builder.mul(loop.index, ir.Constant(_INT64, LANES))
            total = _load(builder, _vector_at(builder, first, offset))
            for tap, multiple in enumerate(multiples):
                x = _load(builder, _vector_at(builder, sources[tap // 3], builder.add(columns[tap % 3], offset)))
                weight = _load(builder, _vector_at(builder, factors, builder.add(multiple, offset)))
                total = builder.call(add, [x, weight, total])
            builder.store(total, _vector_at(builder, target, builder.add(at, offset))).align = 4
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def gate_tile(typing_context: Any, sums: Any, bias: Any, panel: Any, bound: Any, out: Any, peak: Any) -> Any:
    """Columns of `out` [ROWS, STRIDE] from the sums of a panel of a gated matrix: silu(gates) * values, bounded.

    peak [LANES]: raised to the largest magnitudes before the bound.
    """
    signature = types.void(sums, bias, types.uintp, types.float32, out, peak)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile, all_bias, target, reached = (
            _data(context, builder, signature.args[at], arguments[at]) for at in (0, 1, 4, 5)
        )
        added = _bias_vectors(builder, all_bias, arguments[2])
        magnitude = _function(builder.module, f"llvm.fabs.v{LANES}f32", _SUMS, [_SUMS])
        highest = builder.bitcast(reached, _SUMS.as_pointer())
        limit = _spread(builder, arguments[3], _SUMS)
        column = builder.mul(arguments[2], ir.Constant(_INT64, WIDTH // 2))
        half = VECTORS // 2
        with _row_loop(builder) as loop:
            row = builder.mul(loop.index, ir.Constant(_INT64, WIDTH))
            at = builder.add(builder.mul(loop.index, ir.Constant(_INT64, STRIDE)), column)
            for vector in range(half):
                gate, value = (
                    builder.fadd(
                        _load(builder, _vector_at(builder, tile, builder.add(row, ir.Constant(_INT64, LANES * place)))),
                        added[place],
                    )
                    for place in (vector, vector + half)
                )
                product = builder.fmul(_silu(builder, gate), value)
                above = _extreme(builder, "max", builder.call(magnitude, [product]), _load(builder, highest))
                builder.store(above, highest).align = 4
                index = builder.add(at, ir.Constant(_INT64, LANES * vector))
                _put(builder, _bounded(builder, product, limit), target, index, signature.args[4].dtype)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def hand_over_peak(typing_context: Any, peak: Any, peaks: Any, place: Any) -> Any:
    """Raise vector number `place` of `peaks` [..., LANES] to `peak` [LANES], which is zero then."""
    signature = types.void(peak, peaks, types.uintp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one, many = (_data(context, builder, signature.args[at], arguments[at]) for at in (0, 1))
        source = builder.bitcast(one, _SUMS.as_pointer())
        target = _vector_at(builder, many, builder.mul(arguments[2], ir.Constant(_INT64, LANES)))
        builder.store(_extreme(builder, "max", _load(builder, source), _load(builder, target)), target).align = 4
        builder.store(_vector(0.0), source).align = 4
        return context.get_dummy_value()

    return signature, generate


def _put(builder: Any, vector: Any, target: Any, index: Any, dtype: Any) -> None:
    """A vector of float32 to a place of float32 or bfloat16."""
    if dtype == types.float32:
        builder.store(vector, _vector_at(builder, target, index)).align = 4
        return
    kind = ir.VectorType(_BFloat16(), LANES)
    place = builder.bitcast(builder.gep(target, [builder.mul(index, ir.Constant(_INT64, 2))]), kind.as_pointer())
    builder.store(builder.fptrunc(vector, kind), place).align = 2


@intrinsic
def copy_numbers(typing_context: Any, source: Any, start: Any, target: Any, place: Any, count: Any) -> Any:
    """`count` numbers of float32, from number `start` of `source` on, to number `place` of `target` and on."""
    signature = types.void(source, types.uintp, target, types.uintp, types.uintp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second = (_data(context, builder, signature.args[at], arguments[at]) for at in (0, 2))
        four = ir.Constant(_INT64, 4)
        origin, goal = (
            builder.gep(pointer, [builder.mul(arguments[at], four)]) for pointer, at in ((first, 1), (second, 3))
        )
        cgutils.raw_memcpy(builder, goal, origin, arguments[4], 4, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def narrow_rows(typing_context: Any, rows: Any, out: Any, depth: Any) -> Any:
    """The first `depth` columns (and up to LANES - 1 more) of float32 [ROWS, STRIDE] as bfloat16 in `out`, its like."""
    signature = types.void(rows, out, types.uintp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_data(context, builder, signature.args[at], arguments[at]) for at in (0, 1))
        lanes = ir.Constant(_INT64, LANES)
        count = builder.udiv(builder.add(arguments[2], ir.Constant(_INT64, LANES - 1)), lanes)
        with _row_loop(builder) as loop:
            start = builder.mul(loop.index, ir.Constant(_INT64, STRIDE))
            with cgutils.for_range(builder, count) as inner:
                index = builder.add(start, builder.mul(inner.index, lanes))
                _put(
                    builder, _load(builder, _vector_at(builder, source, index)), target, index, signature.args[1].dtype
                )
        return context.get_dummy_value()

    return signature, generate
