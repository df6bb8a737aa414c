"""One bad image or file of several: its error is raised, or kept in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from vaecodec.errors import InputError, VaecodecError

OnError = Literal["raise", "collect"]
Value = TypeVar("Value")
Error = TypeVar("Error", bound=Exception)


@contextlib.contextmanager
def collected(results: dict[int, Any], number: int, on_error: OnError) -> Iterator[None]:
    """Keeps the error of one of several, or lets it pass. Raises InputError for another `on_error`."""
    if on_error not in ("raise", "collect"):
        message = f"on_error is {on_error!r}; it must be 'raise' or 'collect'"
        raise InputError(message)
    try:
        yield
    except (VaecodecError, OSError) as error:
        if on_error == "raise":
            raise
        results[number] = error


def or_error(kind: type[Error], make: Callable[..., Value], *arguments: Any) -> Value | Error:
    """What `make` gives, or the error of this kind that it raises."""
    try:
        return make(*arguments)
    except kind as error:
        return error


def raised(outcome: Value | VaecodecError) -> Value:
    """The value itself, unless it is an error, which is raised."""
    if isinstance(outcome, VaecodecError):
        raise outcome
    return outcome
