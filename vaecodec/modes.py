"""How an image is coded: by the networks, without loss, or by whichever suits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from vaecodec.errors import InputError

Mode = Literal["auto", "neural", "lossless"]


def chosen_mode(mode: str, *, lossless: bool, targets: Mapping[str, object]) -> Mode:
    """The mode that the arguments of `encode` ask for together; `lossless=True` is `mode="lossless"`.

    targets: argument names and values, None where not given. Raises InputError.
    """
    if mode not in get_args(Mode):
        message = f"mode is {mode!r}; it must be {', '.join(get_args(Mode))}"
        raise InputError(message)
    if lossless and mode == "neural":
        message = "lossless=True and mode='neural' can't be combined"
        raise InputError(message)
    if not lossless and mode != "lossless":
        return mode  # type: ignore[return-value]
    given = [name for name, value in targets.items() if value is not None]
    if given:
        message = f"{' and '.join(given)} can't be combined with lossless"
        raise InputError(message)
    return "lossless"
