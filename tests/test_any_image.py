"""Whatever goes in comes out: any uint8 array, through every shipped model."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from checks.hostile.watch import watched
from vaecodec import numpy_codec
from vaecodec.codec import Codec
from vaecodec.weights.manifest import manifest

MODELS = [entry.name for entry in manifest()]
DTYPES = ("float32", "bfloat16")
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIDE = 70
"""More than one position of z."""

shapes = st.tuples(st.integers(1, SIDE), st.integers(1, SIDE))
channels = st.sampled_from([(), (1,), (2,), (3,), (4,)])
any_arrays = st.builds(tuple.__add__, shapes, channels).flatmap(lambda shape: arrays.arrays(np.uint8, shape))
dtypes = st.sampled_from(DTYPES)


@st.composite
def bilevel_arrays(draw: st.DrawFn) -> NDArray[np.uint8]:
    """0 and 255 only, all of them drawn: as dense as scans and codes are. In squares of 1 to 8 pixels."""
    shape = (*draw(shapes), *draw(st.sampled_from([(), (3,)])))
    side = draw(st.sampled_from([1, 1, 2, 3, 4, 8]))
    cells = (-(-shape[0] // side), -(-shape[1] // side), *shape[2:])
    count = int(np.prod(cells))
    bits = np.unpackbits(np.frombuffer(draw(st.binary(min_size=-(-count // 8), max_size=-(-count // 8))), np.uint8))
    image = 255 * bits[:count].reshape(cells).repeat(side, 0).repeat(side, 1)
    return np.ascontiguousarray(image[: shape[0], : shape[1]])


def checkerboard(side: int, period: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:side, :side]
    return ((rows // period + columns // period) % 2 * 255).astype(np.uint8)


def stripes(side: int, period: int) -> NDArray[np.uint8]:
    return np.repeat(((np.arange(side) // period) % 2 * 255).astype(np.uint8)[:, None], side, 1)


@cache
def _codec(model: str, dtype: str) -> Codec:
    return Codec(model, device="cpu", dtype=dtype)


def _comes_out(model: str, pixels: NDArray[np.uint8], quality: int, of: str, by: str) -> None:
    """Encoded in one type and decoded in another: the same integers, the same size, the same alpha, finite numbers."""
    encoder, decoder = _codec(model, of), _codec(model, by)
    with watched() as watch:
        encoded = encoder.encode_with_latents(pixels, quality)
        decoded = decoder.decode(encoded.data, as_array=True)
    assert watch.finite
    latents = decoder.decode_latents(encoded.data)
    assert np.array_equal(latents.z_hat, encoded.latents.z_hat)
    assert np.array_equal(latents.r, encoded.latents.r)
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    assert decoded.shape == (pixels.shape if count > 1 else pixels.shape[:2])
    if count in (2, 4):
        assert np.array_equal(decoded[..., -1], pixels[..., -1])


@pytest.mark.parametrize("model", MODELS)
@FEW
@given(pixels=any_arrays, quality=st.integers(1, 100), of=dtypes, by=dtypes)
def test_any_array_comes_out(model: str, pixels: NDArray[np.uint8], quality: int, of: str, by: str) -> None:
    _comes_out(model, pixels, quality, of, by)


@pytest.mark.parametrize("model", MODELS)
@FEW
@given(pixels=bilevel_arrays(), quality=st.integers(1, 100), of=dtypes, by=dtypes)
@example(checkerboard(128, 1), 95, "float32", "bfloat16")
@example(checkerboard(64, 5), 60, "bfloat16", "float32")
@example(stripes(64, 2), 60, "float32", "float32")
@example(stripes(100, 7), 30, "bfloat16", "bfloat16")
def test_any_array_of_extremes_comes_out(model: str, pixels: NDArray[np.uint8], quality: int, of: str, by: str) -> None:
    _comes_out(model, pixels, quality, of, by)


@pytest.mark.parametrize("model", MODELS)
@settings(FEW, max_examples=4)
@given(pixels=bilevel_arrays() | any_arrays, quality=st.integers(1, 100))
@example(checkerboard(64, 1), 95)
@example(stripes(64, 7), 60)
def test_any_array_comes_out_without_pytorch(model: str, pixels: NDArray[np.uint8], quality: int) -> None:
    """NumPy's networks and PyTorch's read each other's files; a warning of NumPy would be an error."""
    data = numpy_codec.encode(pixels, quality, model=model)
    assert np.asarray(numpy_codec.decode(data)).shape == _codec(model, "float32").decode(data, as_array=True).shape
    other = _codec(model, "bfloat16").encode(pixels, quality)
    assert np.asarray(numpy_codec.decode(other)).shape[:2] == pixels.shape[:2]
