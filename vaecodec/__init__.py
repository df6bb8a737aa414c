"""vaecodec: a neural image codec whose files decode alike on every machine.

    data = vaecodec.encode(image, quality=60)   # PIL.Image, uint8 array or torch tensor -> bytes
    image = vaecodec.decode(data)               # bytes -> PIL.Image
    info = vaecodec.inspect(data)               # the header only: no torch, no numpy

``import vaecodec`` is cheap: a name is fetched from its module when it is first used, and PyTorch is loaded for a GPU,
for training and for refinement only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vaecodec.errors import (
    BackendError,
    BadMagic,
    ChecksumMismatch,
    CodingError,
    CorruptStream,
    DivergedError,
    FormatError,
    HashMismatch,
    InputError,
    InputTypeError,
    LimitExceeded,
    TargetError,
    Truncated,
    UnknownModel,
    UnsupportedVersion,
    VaecodecError,
    WeightsError,
)

if TYPE_CHECKING:
    from vaecodec.api import decode, encode
    from vaecodec.codec import Codec
    from vaecodec.entropy.coding import Latents
    from vaecodec.inspection import Info, inspect, verify
    from vaecodec.latents.blending import blend
    from vaecodec.pillow import register as register_pillow

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BadMagic",
    "ChecksumMismatch",
    "Codec",
    "CodingError",
    "CorruptStream",
    "DivergedError",
    "FormatError",
    "HashMismatch",
    "Info",
    "InputError",
    "InputTypeError",
    "Latents",
    "LimitExceeded",
    "TargetError",
    "Truncated",
    "UnknownModel",
    "UnsupportedVersion",
    "VaecodecError",
    "WeightsError",
    "__version__",
    "blend",
    "decode",
    "encode",
    "inspect",
    "register_pillow",
    "verify",
]

# public name -> (module, name there); the type checkers read the imports above instead.
_LAZY = {
    "Codec": ("vaecodec.codec", "Codec"),
    "Info": ("vaecodec.inspection", "Info"),
    "Latents": ("vaecodec.entropy.coding", "Latents"),
    "blend": ("vaecodec.latents.blending", "blend"),
    "decode": ("vaecodec.api", "decode"),
    "encode": ("vaecodec.api", "encode"),
    "inspect": ("vaecodec.inspection", "inspect"),
    "register_pillow": ("vaecodec.pillow", "register"),
    "verify": ("vaecodec.inspection", "verify"),
}


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module and keep it, so that the next use costs nothing (PEP 562)."""
    if name not in _LAZY:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module, attribute = _LAZY[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
