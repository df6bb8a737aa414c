"""`python -m bench latents COMMAND`: what the latent space is good for, measured."""

from __future__ import annotations

import click

from bench.lazy import LazyGroup

COMMANDS = {
    "search": "bench.latents.search:main",
    "morphs": "bench.latents.morphs:main",
    "anomalies": "bench.latents.anomalies:main",
    "index": "bench.latents.indexing:main",
    "denoising": "bench.latents.denoising:main",
    "denoising-effort": "bench.latents.denoising_effort:main",
    "denoised-crops": "bench.latents.denoised_crops:main",
}


@click.command(cls=LazyGroup, lazy=COMMANDS)
def main() -> None:
    """Measure what the latent space is good for, beside baselines.

    \b
    python -m bench latents search OTHERS PHOTOS    edited copies found again among other photographs
    python -m bench latents index PHOTOS            files a second of vaecodec index
    python -m bench latents morphs PHOTOS           what a mean of latents keeps of two photographs
    python -m bench latents anomalies TEXTURES      defects on textures, or on a folder laid out as MVTec AD
    python -m bench latents denoising PHOTOS        bytes and PSNR of noisy photographs, beside BM3D and AVIF
    python -m bench latents denoising-effort PHOTOS what refinement adds to that
    python -m bench latents denoised-crops PHOTO    what becomes of a noisy crop, to look at
    """
