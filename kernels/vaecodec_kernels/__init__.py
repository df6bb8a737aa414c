"""Triton kernels of vaecodec: they know nothing of the codec, constants reach them as ``tl.constexpr``.

quantize     one context step: r = round(gain * (y - mu)), y_hat = mu + r / gain, and the inverse
compaction   coded elements gathered in coding order as symbols, and scattered back
rans         rANS encode and decode, a batch of images in one launch
intnet       the integer scale network
depthwise    bias, SiLU, depthwise 3x3 convolution and bias in one pass
estimate     bits without coding

Every launcher checks its arguments and raises KernelInputError. Without a GPU, TRITON_INTERPRET=1 (set before triton is
imported) runs the kernels on the CPU, slowly.
"""
