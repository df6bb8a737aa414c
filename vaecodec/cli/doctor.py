"""`vaecodec doctor`: what runs here, and what is missing."""

from __future__ import annotations

import json
import platform

import click

import vaecodec
from vaecodec.cli.help import Command

PACKAGES = ("numpy", "numba", "llvmlite", "pillow", "safetensors", "torch", "triton")
PIXELS = 64
"""The side of the image that is coded: every layer runs, and is compiled where it has not been."""
MOST = 3
"""Levels between the pixels of any two forms of the networks."""
INSTALL = "pip install 'vaecodec[torch]'"


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def doctor(as_json: bool) -> None:
    """Show what runs on this machine, and what is missing.

    Codes a small image, so that everything is compiled for this processor: the first time that takes some seconds.

    \b
    vaecodec doctor
    """
    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        click.echo(f"{name:<12} {value}")


def examine() -> dict[str, object]:
    """The facts by name: versions, plan, instructions, threads, GPU, and whether pixels are those of NumPy."""
    import numpy as np

    from vaecodec.native.processor import has_bfloat16, vectors
    from vaecodec.rans.choice import AUTO
    from vaecodec.runtime.choice import choose_brief
    from vaecodec.runtime.cpu.threads import thread_count
    from vaecodec.runtime.devices import has_gpu_driver, has_torch

    AUTO.use_compiled()  # however small the image is
    codec = vaecodec.Codec()
    image = np.full((PIXELS, PIXELS, 3), 128, np.uint8)
    data = codec.encode(image)
    plain = vaecodec.Codec(plan=choose_brief())
    decoded, expected = (each.decode(data, as_array=True).astype(int) for each in (codec, plain))
    return {
        "vaecodec": vaecodec.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "plan": str(codec.plan),
        "vectors": f"{vectors()}, products of bfloat16: {'yes' if has_bfloat16() else 'no'}",
        "threads": thread_count(),
        "gpu": _gpu(has_driver=has_gpu_driver(), has_pytorch=has_torch()),
        "test image": "is right" if int(np.abs(decoded - expected).max()) <= MOST else "is WRONG",
    }


def _version(package: str) -> str:
    import importlib.metadata  # it would be a third of the time of --help, which imports every command

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _gpu(*, has_driver: bool, has_pytorch: bool) -> str:
    if not has_driver:
        return "no NVIDIA driver"
    return "NVIDIA driver" if has_pytorch else f"NVIDIA driver, but no PyTorch: {INSTALL}"
