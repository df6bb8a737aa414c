"""Triton kernels of vaecodec: they know nothing of the codec, constants reach them as ``tl.constexpr``."""
