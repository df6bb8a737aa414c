"""How far a decoded picture is from its original: PSNR, MS-SSIM, SSIMULACRA2 and Butteraugli."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench import butteraugli
from bench.codecs.base import Image
from vaecodec.metrics import psnr

# MS-SSIM halves the picture four times under an 11-pixel window.
MS_SSIM_SHORTEST_SIDE = 161
REQUIRES = {
    "psnr": "",
    "ms-ssim": "pip install pytorch-msssim",
    "ssimulacra2": "pip install ssimulacra2",
    "butteraugli": butteraugli.REQUIRES,
}
MODULES = {"psnr": "numpy", "ms-ssim": "pytorch_msssim", "ssimulacra2": "ssimulacra2"}
TITLES = {
    "psnr": "PSNR (RGB, dB)",
    "ms-ssim": "MS-SSIM (RGB, dB)",
    "ssimulacra2": "SSIMULACRA2",
    "butteraugli": "Butteraugli (3-norm, negative: higher is better)",
}


def available(metric: str) -> bool:
    if metric == "butteraugli":
        return butteraugli.available()
    return importlib.util.find_spec(MODULES[metric]) is not None


def measure(metric: str, original: Image, decoded: Image) -> float | None:
    """Return the metric of two uint8 pictures [H, W, 3], or None where it is not defined for their size."""
    if metric == "psnr":
        return psnr(original, decoded)
    if metric == "ms-ssim":
        return ms_ssim(original, decoded)
    if metric == "ssimulacra2":
        return ssimulacra2(original, decoded)
    if metric == "butteraugli":
        return butteraugli.distance(original, decoded)
    message = f"metric: {metric!r} is not one of {', '.join(TITLES)}"
    raise ValueError(message)


def ms_ssim(original: Image, decoded: Image) -> float | None:
    """Multi-scale SSIM (Wang 2003) over RGB, 0..1, as CompressAI reports it; None below 161 pixels a side."""
    if min(original.shape[:2]) < MS_SSIM_SHORTEST_SIDE:
        return None
    import torch
    from pytorch_msssim import ms_ssim as compute

    # [1, 3, H, W]
    planes = [torch.from_numpy(img.transpose(2, 0, 1)[None].astype(np.float32)) for img in (original, decoded)]
    return float(compute(*planes, data_range=255.0))


def ssimulacra2(original: Image, decoded: Image) -> float:
    """SSIMULACRA2 (Sneyers 2022): 100 is lossless, 90 is visually lossless, 30 is low quality."""
    from ssimulacra2 import compute_ssimulacra2

    with tempfile.TemporaryDirectory() as folder:  # the package reads files only; BMP is written at once
        paths = [Path(folder) / name for name in ("original.bmp", "decoded.bmp")]
        for path, img in zip(paths, (original, decoded), strict=True):
            PillowImage.fromarray(img).save(path)
        return float(compute_ssimulacra2(*map(str, paths)))
