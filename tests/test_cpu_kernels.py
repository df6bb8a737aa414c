"""The layers on a CPU: compiled by numba and in NumPy they are those of PyTorch, for all shapes."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vaecodec.errors import InputError
from vaecodec.networks.config import PRODUCT_MAX, STREAM_MAX
from vaecodec.networks.layers import DepthConvBlock
from vaecodec.runtime.cpu import tiles
from vaecodec.runtime.cpu.kernels import Block, CompiledKernels, Kernels
from vaecodec.runtime.cpu.matrices import Matrix, to_bfloat16
from vaecodec.runtime.cpu.plain import PlainKernels
from vaecodec.runtime.cpu.streaming import BlockRows, Peaks, RowStream, RowWindow, SingleRows
from vaecodec.runtime.cpu.threads import share, thread_count
from vaecodec.runtime.cpu.tile_sizes import PEAK_WIDTH

PLAIN, COMPILED = PlainKernels(), CompiledKernels(1)
BOTH = pytest.mark.parametrize("kernels", [PLAIN, COMPILED], ids=["plain", "compiled"])
needs_bfloat16 = pytest.mark.skipif(not tiles.HAS_BFLOAT16, reason="no AVX512-BF16")
RNG = np.random.default_rng(3)


def _random(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * RNG.standard_normal(shape)).astype(np.float32)


def _matrix(depth: int, outputs: int, *, gated: bool = False) -> Matrix:
    return Matrix(_random(depth, outputs, scale=depth**-0.5), _random(outputs), gated)


def _block(channels: int, ratio: int) -> tuple[DepthConvBlock, Block]:
    """The same in PyTorch and as matrices."""
    layer = DepthConvBlock(channels, ratio).requires_grad_(False)
    for parameter in layer.parameters():
        parameter.copy_(torch.from_numpy(_random(*parameter.shape, scale=0.8 * channels**-0.5)))

    def matrix(conv: torch.nn.Conv2d, *, gated: bool = False) -> Matrix:
        assert conv.bias is not None
        return Matrix(conv.weight[:, :, 0, 0].numpy().T, conv.bias.numpy(), gated)

    assert layer.depthwise.bias is not None
    taps = np.ascontiguousarray(layer.depthwise.weight.numpy().reshape(-1, 9).T)
    matrices = (matrix(layer.conv_out), matrix(layer.ffn_in, gated=True), matrix(layer.ffn_out))
    return layer, Block(matrix(layer.conv_in), taps, layer.depthwise.bias.numpy(), *matrices)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 19), st.sampled_from([2, 8, 16, 34]), st.integers(1, 70), st.booleans())
def test_products_are_those_of_numpy(height: int, width: int, depth: int, outputs: int, bounded: bool) -> None:
    x, matrix = _random(height, width, depth), _matrix(depth, outputs)
    expected = x @ matrix.weight + matrix.bias
    if bounded:
        expected = expected.clip(-0.7, 0.7)
    bound = 0.7 if bounded else float("inf")
    for kernels in (PLAIN, COMPILED):
        assert np.allclose(kernels.product(x, matrix, bound=bound), expected, atol=1e-5)


@BOTH
@pytest.mark.parametrize(("fold", "spread"), [(2, 1), (1, 2), (2, 2)])
def test_squares_of_positions(kernels: Kernels, fold: int, spread: int) -> None:
    x, matrix = _random(4, 6, 8), _matrix(fold**2 * 8, spread**2 * 5)
    cells = x.reshape(4 // fold, fold, 6 // fold, fold, 8).swapaxes(1, 2).reshape(4 // fold, 6 // fold, -1)
    result = cells @ matrix.weight + matrix.bias
    shape = (4 // fold, 6 // fold, spread, spread, 5)
    expected = result.reshape(shape).swapaxes(1, 2).reshape(spread * shape[0], spread * shape[1], 5)
    assert np.allclose(kernels.product(x, matrix, fold=fold, spread=spread), expected, atol=1e-5)


@BOTH
@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("size", [(2, 2), (5, 7), (1, 1)])
def test_every_second_position(kernels: Kernels, corner: tuple[int, int], size: tuple[int, int]) -> None:
    x, matrix = _random(*size, 8), _matrix(8, 5)
    expected = x[corner[0] :: 2, corner[1] :: 2] @ matrix.weight + matrix.bias
    assert kernels.product(x, matrix, corner=corner).shape == expected.shape
    assert np.allclose(kernels.product(x, matrix, corner=corner), expected, atol=1e-5)


@BOTH
def test_two_inputs_side_by_side(kernels: Kernels) -> None:
    x, other, matrix = _random(3, 9, 8), _random(3, 9, 6), _matrix(14, 33)
    expected = np.concatenate([x, other], 2) @ matrix.weight + matrix.bias
    assert np.allclose(kernels.product(x, matrix, other=other), expected, atol=1e-5)


@BOTH
@pytest.mark.parametrize(("channels", "ratio"), [(16, 1), (16, 2), (48, 2)])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (7, 8), (5, 23)])
def test_blocks_are_those_of_pytorch(kernels: Kernels, channels: int, ratio: int, size: tuple[int, int]) -> None:
    layer, weights = _block(channels, ratio)
    x = _random(*size, channels, scale=3)
    with torch.inference_mode():
        expected = layer(torch.from_numpy(x.transpose(2, 0, 1)[None].copy()))[0].permute(1, 2, 0).numpy()
    before = x.copy()
    output = kernels.block(x, weights, 0, size[0], narrow=False)
    assert np.array_equal(x, before)
    assert np.allclose(output, expected, atol=2e-4 * float(np.abs(expected).max()))
    for start, stop in ((0, 1), (size[0] - 1, size[0]), (1, size[0] - 1)):
        if start < stop:
            assert np.array_equal(kernels.block(x, weights, start, stop, narrow=False), output[start:stop])


@BOTH
def test_blocks_are_bounded_whatever_comes(kernels: Kernels) -> None:
    _, weights = _block(16, 2)
    x = _random(6, 8, 16, scale=1e12)
    output = kernels.block(x, weights, 0, 6, narrow=False)
    assert np.abs(output).max() == np.float32(STREAM_MAX)
    assert PRODUCT_MAX < 1e12
    assert np.isfinite(output).all()


@BOTH
@pytest.mark.parametrize("width", [1, 8, 21])
def test_blocks_tell_their_largest_products(kernels: Kernels, width: int) -> None:
    """Before the bound, of every eight positions side by side; nothing else than the rows asked for counts."""
    layer, weights = _block(16, 2)
    x, products = _random(9, width, 16, scale=4), []
    layer.ffn_in.register_forward_hook(lambda _m, _i, out: products.append(out))
    with torch.inference_mode():
        layer(torch.from_numpy(x.transpose(2, 0, 1)[None].copy()))
    gates, values = products[0][0].chunk(2)
    largest = (torch.nn.functional.silu(gates) * values).abs().amax(0).numpy()
    expected = np.maximum.reduceat(largest, range(0, width, PEAK_WIDTH), 1)
    for start, stop in ((0, 9), (3, 5)):
        peaks = np.zeros((stop - start, -(-width // PEAK_WIDTH)), np.float32)
        kernels.block(x, weights, start, stop, narrow=False, peaks=peaks)
        assert np.allclose(peaks, expected[start:stop], rtol=1e-4)
    assert expected.max() > 1


@needs_bfloat16
def test_narrow_products_round_what_they_multiply_and_add_in_float32() -> None:
    x, matrix = _random(3, 17, 64), _matrix(64, 40)

    def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return (to_bfloat16(values).astype(np.uint32) << 16).view(np.float32)

    expected = rounded(x) @ rounded(matrix.weight) + matrix.bias
    assert np.allclose(COMPILED.product(x, matrix, narrow=True), expected, atol=1e-5)
    _, weights = _block(48, 2)
    x = _random(5, 9, 48)
    exact, narrow_output = (COMPILED.block(x, weights, 0, 5, narrow=narrow) for narrow in (False, True))
    assert 0 < np.abs(narrow_output - exact).max() < 0.02 * np.abs(exact).max()


def test_bfloat16_is_rounded_to_even() -> None:
    values = torch.tensor([0.0, -1.0, 3.14159, 1.00390625, 1.01171875, -2.5e-30, 6e37])
    expected = values.bfloat16().view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(to_bfloat16(values.numpy()), expected)


@BOTH
@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_pixels_are_rounded_and_put_in_their_places(kernels: Kernels, side: int) -> None:
    shades = _random(3, 5, 3 * side**2, scale=300)
    shades[0, 0, :3] = (-1e30, 127.5, 1e30)
    expected = np.rint(shades.clip(0, 255)).reshape(3, 5, side, side, 3).swapaxes(1, 2).reshape(3 * side, -1, 3)
    assert np.array_equal(kernels.to_bytes(shades, side), expected)


@BOTH
def test_pixels_are_taken_in_squares(kernels: Kernels) -> None:
    pixels = RNG.integers(0, 256, (24, 16, 3), dtype=np.uint8)
    squares = kernels.unfold(pixels)
    assert squares.dtype == np.float32
    assert np.array_equal(kernels.to_bytes(squares, 8), pixels)


def _step_inputs() -> tuple[Any, ...]:
    y, mu, gain = _random(5, 6, 16, scale=4), _random(3, 3, 4), np.exp(_random(16, scale=0.3))
    index = RNG.integers(0, 4, (5, 6, 16), dtype=np.uint8)
    widths = np.zeros(256, np.float32)
    widths[2:4] = (0.1, 0.4)
    return y, mu, gain, index, widths


def test_context_steps_are_equal_in_both_forms() -> None:
    y, mu, gain, index, widths = _step_inputs()
    results = []
    for kernels in (PLAIN, COMPILED):
        r, y_hat, again = y.copy(), np.zeros_like(y), np.zeros_like(y)
        kernels.quantize(r, mu, gain, index, widths, y_hat, (0, 1, 8))
        kernels.dequantize(r.astype(np.int32), mu, gain, again, (0, 1, 8))
        results.append((r, y_hat, again))
        at = np.s_[0::2, 1::2, 8:12]
        assert np.array_equal(r[at], np.rint(r[at]))
        assert np.array_equal(r[at] == 0, (r[at] == 0) | (index[at] == 0))
        assert np.abs(r[at]).max() > 0
        rest = np.ones_like(y, dtype=bool)
        rest[at] = False
        assert np.array_equal(r[rest], y[rest])
        assert np.allclose(y_hat, again, atol=1e-6)
    assert np.array_equal(results[0][0], results[1][0])
    assert np.allclose(results[0][1], results[1][1], atol=1e-6)


def test_what_does_not_fit_is_refused_before_numba_reads_it() -> None:
    y, mu, gain, index, widths = _step_inputs()
    good = (y, mu, gain, index, widths, np.zeros_like(y))
    wrong_parts = {
        0: y.astype(np.float64),
        1: mu.transpose(1, 0, 2)[:, :, ::2],
        2: gain[:3],
        3: index[:4],
        4: widths[:64],
        5: np.zeros((4, 6, 16), np.float32),
    }
    for number, wrong in wrong_parts.items():
        parts: list[Any] = [*good]
        parts[number] = wrong
        with pytest.raises(InputError, match="a layer got"):
            COMPILED.quantize(*parts, (0, 1, 8))
    for place in ((1, 1, 8), (0, 2, 8), (0, 1, 13), (-1, 0, 0)):
        with pytest.raises(InputError, match="lead out of"):
            COMPILED.quantize(*good, place)
        with pytest.raises(InputError, match="lead out of"):
            COMPILED.dequantize(y.astype(np.int32), mu, gain, np.zeros_like(y), place)
    with pytest.raises(InputError, match="do not fit"):
        COMPILED.product(_random(2, 2, 8), _matrix(9, 4))
    with pytest.raises(InputError, match="do not fit"):
        COMPILED.product(_random(3, 2, 8), _matrix(32, 4), fold=2)
    with pytest.raises(InputError, match="a layer got"):
        COMPILED.product(_random(2, 4, 8)[:, ::2], _matrix(8, 4))
    with pytest.raises(InputError, match="a matrix of 2 x 1300; the most is 1280"):
        COMPILED.product(_random(1, 1, 2), _matrix(2, 1300))
    with pytest.raises(InputError, match="a layer got"):
        COMPILED.block(_random(2, 4, 8), _block(16, 1)[1], 0, 2, narrow=False)


@pytest.mark.parametrize("kernels", [PLAIN, COMPILED, CompiledKernels(3)], ids=["plain", "compiled", "three threads"])
@pytest.mark.parametrize("bands", [[1, 1, 1, 1, 1, 1, 1], [3, 4], [7], [1, 5, 1], [2, 2, 3]])
def test_bands_give_what_the_whole_gives(kernels: Kernels, bands: list[int]) -> None:
    blocks = [_block(16, 1)[1] for _ in range(3)]
    double = _matrix(64, 16)
    x = _random(14, 6, 16)
    whole, whole_peaks = x, [Peaks(14, 6) for _ in blocks]
    for block, largest in zip(blocks, whole_peaks, strict=True):
        peaks = np.zeros((14, 1), np.float32)
        whole = kernels.block(whole, block, 0, len(whole), narrow=False, peaks=peaks)
        largest.note(0, peaks)
    whole = kernels.product(whole, double, fold=2)
    band_peaks = [Peaks(14, 6) for _ in blocks]
    stages = [BlockRows(kernels, block, narrow=False, peaks=p) for block, p in zip(blocks, band_peaks, strict=True)]
    stream = RowStream([*stages, SingleRows(lambda rows: kernels.product(rows, double, fold=2), 2)])
    edges = np.cumsum([0, *(2 * band for band in bands)])
    parts = [stream.push(x[a:b], last=b == 14) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate([part for part in parts if part is not None]), whole)
    for largest, expected in zip(band_peaks, whole_peaks, strict=True):
        assert np.array_equal(largest.squares, expected.squares)


@BOTH
def test_rows_may_come_one_by_one(kernels: Kernels) -> None:
    """As the largest images do, whose bands are a few rows."""
    _, weights = _block(16, 2)
    x = _random(9, 5, 16)
    block = BlockRows(kernels, weights, narrow=False)
    parts = [block.push(x[row : row + 1], last=row == 8) for row in range(9)]
    assert parts[0] is None
    result = np.concatenate([part for part in parts if part is not None])
    assert np.array_equal(result, kernels.block(x, weights, 0, 9, narrow=False))
    late = BlockRows(kernels, weights, narrow=False)
    parts = [late.push(x, last=False), late.push(None, last=False), late.push(None, last=True)]
    assert np.array_equal(np.concatenate([part for part in parts if part is not None]), result)


@BOTH
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("width", [1, 4, 9])
def test_images_side_by_side_do_not_see_each_other(kernels: Kernels, width: int, narrow: bool) -> None:
    _, block = _block(16, 2)
    images = [_random(5, width, 16) for _ in range(3)]
    alone = [kernels.block(image, block, 0, 5, narrow=narrow) for image in images]
    stream = BlockRows(kernels, block, narrow=narrow, images=3)
    rows = np.concatenate(images, 1)
    parts = [stream.push(rows[start:stop].copy(), last=stop == 5) for start, stop in ((0, 2), (2, 5))]
    together = np.concatenate([part for part in parts if part is not None])
    for part, expected in zip(np.split(together, 3, 1), alone, strict=True):
        assert np.array_equal(part, expected) or (kernels is PLAIN and np.allclose(part, expected, atol=1e-5))


def test_images_of_other_widths_are_refused() -> None:
    with pytest.raises(InputError, match="2 images in 9 columns"):
        COMPILED.block(_random(5, 9, 16), _block(16, 2)[1], 0, 5, narrow=False, images=2)


def test_rows_above_that_are_missing_are_refused() -> None:
    with pytest.raises(InputError, match="a layer got"):
        COMPILED.block(_random(2, 4, 16), _block(16, 1)[1], -1, 1, narrow=False)


def test_a_window_of_rows_knows_what_it_has() -> None:
    window = RowWindow()
    assert window.push(_random(3, 2, 4)) == slice(0, 3)
    assert window.push(_random(2, 2, 4)) == slice(3, 5)
    window.drop(2)
    assert len(window.rows(slice(2, 5))) == 3
    with pytest.raises(IndexError, match=r"rows 1\.\.3 of a window of rows 2\.\.5"):
        window.rows(slice(1, 3))


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_results_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    _, weights = _block(16, 2)
    x, matrix = _random(5, 19, 16), _matrix(16, 20)
    several = CompiledKernels(threads)
    assert np.array_equal(several.product(x, matrix), COMPILED.product(x, matrix))
    expected = COMPILED.block(x, weights, 1, 5, narrow=False)
    assert np.array_equal(several.block(x, weights, 1, 5, narrow=False), expected)
    with ThreadPoolExecutor(4) as pool:
        for output in pool.map(lambda _: several.block(x, weights, 1, 5, narrow=False), range(20)):
            assert np.array_equal(output, expected)


def test_errors_of_threads_are_raised() -> None:
    def fail(start: int, stop: int) -> None:
        if start:
            message = f"rows {start}..{stop}"
            raise ValueError(message)

    with pytest.raises(ValueError, match=r"rows 2\.\.4"):
        share(4, 2, fail)
    share(0, 2, fail)
    share(1, 2, fail)


def test_what_a_part_shares_out_its_own_thread_does() -> None:
    seen: list[tuple[int, int, bool]] = []

    def part(start: int, stop: int) -> None:
        thread = threading.get_ident()
        share(4, 2, lambda first, last: seen.append((10 * start + first, last, threading.get_ident() == thread)))
        assert stop - start == 2

    share(4, 2, part)
    assert sorted(seen) == [(0, 4, True), (20, 4, True)]
    seen.clear()
    share(4, 2, lambda start, stop: seen.append((start, stop, True)))  # afterwards, all threads work again
    assert sorted(seen) == [(0, 2, True), (2, 4, True)]


def test_the_number_of_threads_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting, expected in (("3", 3), ("2,1", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
        assert thread_count() == expected
    for setting in ("0", "many", ""):
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
        assert thread_count() >= 1


def _product_in_a_child(queue: Any) -> None:
    queue.put(
        CompiledKernels(2)
        .product(np.ones((4, 8, 2), np.float32), Matrix(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)))
        .sum()
    )


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    CompiledKernels(2).product(_random(4, 8, 2), _matrix(2, 2))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_product_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == 64
    child.join()
