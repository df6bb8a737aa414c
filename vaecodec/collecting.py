"""One bad image or file of several: its error is raised, or kept in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from vaecodec.errors import InputError, VaecodecError

OnError = Literal["raise", "collect"]
Item = TypeVar("Item")
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


def together(
    kinds: type[Error] | tuple[type[Error], ...],
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Sequence[Value]],
) -> list[Value | Error]:
    """What `work` makes of several items at once; where that raises an error of these kinds, of each alone, or its
    error."""
    try:
        return [*work(items)]
    except kinds as error:
        return [error] if len(items) == 1 else [together(kinds, [item], work)[0] for item in items]


def raised(outcome: Value | VaecodecError) -> Value:
    """The value itself, unless it is an error, which is raised."""
    if isinstance(outcome, VaecodecError):
        raise outcome
    return outcome
