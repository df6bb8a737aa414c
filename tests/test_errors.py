"""The error tree: every class, its parents, and the docstring that draws it."""

from __future__ import annotations

import inspect

import pytest

from vaecodec import errors

TREE: dict[str, tuple[type, ...]] = {
    "VaecodecError": (Exception,),
    "FormatError": (errors.VaecodecError, ValueError),
    "BadMagic": (errors.FormatError,),
    "UnsupportedVersion": (errors.FormatError,),
    "Truncated": (errors.FormatError,),
    "ChecksumMismatch": (errors.FormatError,),
    "LimitExceeded": (errors.FormatError,),
    "CorruptStream": (errors.FormatError,),
    "WeightsError": (errors.VaecodecError,),
    "UnknownModel": (errors.WeightsError,),
    "HashMismatch": (errors.WeightsError,),
    "CodingError": (errors.VaecodecError,),
    "BackendError": (errors.VaecodecError,),
    "DivergedError": (errors.VaecodecError,),
    "InputError": (errors.VaecodecError, ValueError),
    "InputTypeError": (errors.InputError, TypeError),
    "TargetError": (errors.InputError,),
}


def test_no_class_outside_the_tree() -> None:
    assert {name for name, _ in inspect.getmembers(errors, inspect.isclass)} == set(TREE)


@pytest.mark.parametrize("name", TREE)
def test_parents_and_drawing(name: str) -> None:
    assert getattr(errors, name).__bases__ == TREE[name]
    assert name in (errors.__doc__ or "")
    assert getattr(errors, name).__doc__
