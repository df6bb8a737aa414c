"""Checks of the arguments that callers give: what is no number is a TypeError, and a VaecodecError, at once."""

from __future__ import annotations

import numbers
import operator
from typing import SupportsIndex, cast

from vaecodec.errors import InputTypeError


def check_real(name: str, value: object) -> float:
    """The value itself. Raises InputTypeError for what is no real number, such as a string."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        message = f"{name} is {value!r}, of type {type(value).__name__}; it must be a number"
        raise InputTypeError(message)
    return cast(float, value)


def check_integer(name: str, value: object) -> int:
    """The value as an int. Raises InputTypeError for what is no whole number, such as 5.0."""
    try:
        if not isinstance(value, bool):
            return operator.index(cast(SupportsIndex, value))
    except TypeError:
        pass
    message = f"{name} is {value!r}, of type {type(value).__name__}; it must be a whole number"
    raise InputTypeError(message)
