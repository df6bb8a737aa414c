"""How an image is coded: by the networks or without loss. No PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from vaecodec.errors import InputError

Mode = Literal["neural", "lossless"]


def chosen_mode(mode: str, *, lossless: bool, targets: Mapping[str, object]) -> Mode:
    """The mode that the arguments of `encode` ask for together; `lossless=True` is `mode="lossless"`.

    targets: argument names and values, None where not given. Raises InputError.
    """
    if mode not in get_args(Mode):
        message = f"mode is {mode!r}; it must be {', '.join(get_args(Mode))}"
        raise InputError(message)
    if not lossless and mode == "neural":
        return "neural"
    given = [name for name, value in targets.items() if value is not None]
    if given:
        message = f"{' and '.join(given)} can't be combined with lossless"
        raise InputError(message)
    return "lossless"
