"""Butteraugli (Alakuijala et al. 2017, arXiv 1703.10194), the metric that JPEG XL is tuned by, from libjxl's own code.

libjxl exported it in version 0.7 (Debian 12's package libjxl0.7); its later versions keep it to themselves.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from bench.codecs.base import Image

LIBRARY = "libjxl.so.0.7"
REQUIRES = "libjxl 0.7 (Debian 12: apt-get install libjxl0.7)"
NORM = 3.0
"""The norm over pixels that libjxl's own comparisons report."""
HF_ASYMMETRY = 0.8
INTENSITY_TARGET = 80.0
"""Nits of white. Both are the defaults of libjxl's butteraugli_main."""
UINT8 = 2  # JXL_TYPE_UINT8


class _PixelFormat(ctypes.Structure):
    _fields_ = (
        ("num_channels", ctypes.c_uint32),
        ("data_type", ctypes.c_int),
        ("endianness", ctypes.c_int),
        ("align", ctypes.c_size_t),
    )


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Load the library; None where it is not installed, or without Butteraugli."""
    try:
        loaded = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    pointer, real = ctypes.c_void_p, ctypes.c_float
    image = (ctypes.POINTER(_PixelFormat), ctypes.c_char_p, ctypes.c_size_t)
    signatures = {
        "ApiCreate": ((pointer,), pointer),
        "ApiDestroy": ((pointer,), None),
        "ApiSetHFAsymmetry": ((pointer, real), None),
        "ApiSetIntensityTarget": ((pointer, real), None),
        "Compute": ((pointer, ctypes.c_uint32, ctypes.c_uint32, *image, *image), pointer),
        "ResultGetDistance": ((pointer, real), real),
        "ResultDestroy": ((pointer,), None),
    }
    for name, (arguments, result) in signatures.items():
        function = getattr(loaded, f"JxlButteraugli{name}")
        function.argtypes, function.restype = arguments, result
    return loaded


def available() -> bool:
    return library() is not None


def distance(original: Image, decoded: Image) -> float:
    """Butteraugli's 3-norm distance of two uint8 images [H, W, 3] in sRGB: 0 is equal, below 1 is hard to see.

    Raises RuntimeError where libjxl cannot compare them (fewer than 8 pixels a side).
    """
    jxl = library()
    if jxl is None:
        message = f"butteraugli needs {REQUIRES}"
        raise RuntimeError(message)
    height, width, channels = original.shape
    layout = ctypes.byref(_PixelFormat(channels, UINT8, 0, 0))
    api = jxl.JxlButteraugliApiCreate(None)
    try:
        jxl.JxlButteraugliApiSetHFAsymmetry(api, HF_ASYMMETRY)
        jxl.JxlButteraugliApiSetIntensityTarget(api, INTENSITY_TARGET)
        pixels = [part for image in (original, decoded) for part in (layout, image.tobytes(), image.size)]
        result = jxl.JxlButteraugliCompute(api, width, height, *pixels)
        if not result:
            message = f"butteraugli: libjxl cannot compare images of {width} x {height} pixels"
            raise RuntimeError(message)
        try:
            return float(jxl.JxlButteraugliResultGetDistance(result, NORM))
        finally:
            jxl.JxlButteraugliResultDestroy(result)
    finally:
        jxl.JxlButteraugliApiDestroy(api)
