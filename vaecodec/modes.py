"""How an image is coded: by the networks, without loss, or by whichever suits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from vaecodec.arguments import check_integer, check_real
from vaecodec.errors import InputError
from vaecodec.levels import DEFAULT_QUALITY

Mode = Literal["auto", "neural", "lossless"]


def chosen_mode(mode: str, *, lossless: bool, targets: Mapping[str, object]) -> Mode:
    """The mode that the arguments of `encode` ask for together; `lossless=True` is `mode="lossless"`.

    targets: argument names and values, None where not given. Raises InputError.
    """
    if mode not in get_args(Mode):
        message = f"mode is {mode!r}; it must be one of {', '.join(get_args(Mode))}"
        raise InputError(message)
    if not lossless and mode != "lossless":
        return mode  # type: ignore[return-value]
    conflicts = [name for name, value in targets.items() if value is not None] + ["mode='neural'"] * (mode == "neural")
    if conflicts:
        message = f"{' and '.join(conflicts)} cannot be combined with lossless"
        raise InputError(message)
    return "lossless"


def one_target(
    quality: float, target_bytes: int | None, target_psnr: float | None, target_bpp: float | None, level: int | None
) -> tuple[int | None, float | None, float | None]:
    """The targets, checked. Raises InputError for two of quality, level and targets, and for what is no number.

    A quality of `DEFAULT_QUALITY` counts as not given.
    """
    named = {"target_bytes": target_bytes, "target_psnr": target_psnr, "target_bpp": target_bpp, "level": level}
    stated = [name for name, value in named.items() if value is not None]
    if check_real("quality", quality) != DEFAULT_QUALITY:
        stated.insert(0, "quality")
    if len(stated) > 1:
        message = f"{' and '.join(stated)} cannot be combined; give one of them"
        raise InputError(message)
    return (
        None if target_bytes is None else check_integer("target_bytes", target_bytes),
        None if target_psnr is None else check_real("target_psnr", target_psnr),
        None if target_bpp is None else check_real("target_bpp", target_bpp),
    )
