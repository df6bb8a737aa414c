"""Errors of the kernels package.

KernelError
└── KernelInputError (ValueError)   an argument of a launcher has a wrong type, shape, device or value
"""

from __future__ import annotations


class KernelError(Exception):
    """The base of all errors of this package."""


class KernelInputError(KernelError, ValueError):
    """An argument of a launcher has a wrong type, shape, device or value."""
