"""All errors of vaecodec.

    VaecodecError
    +-- FormatError(ValueError)      the file is bad; the message names field, value and legal range
    |   +-- BadMagic                 not a .vaec file
    |   +-- UnsupportedVersion       made by a newer format version
    |   +-- Truncated                the file ends too early
    |   +-- ChecksumMismatch         a CRC-32 differs
    |   +-- LimitExceeded            a size beyond a limit (sides, pixels, metadata)
    |   +-- CorruptStream            the checksums fit, but the content makes no sense
    +-- WeightsError                 weights file missing, damaged or out of bounds
    |   +-- UnknownModel             no installed model has this id or name
    |   +-- HashMismatch             the installed weights of this id are others
    +-- BackendError                 a device or implementation asked for is not available
    +-- InputError(ValueError)       a caller's argument or image is not usable
"""

from __future__ import annotations


class VaecodecError(Exception):
    """Base of all errors of this package."""


class FormatError(VaecodecError, ValueError):
    """The file is bad."""


class BadMagic(FormatError):  # noqa: N818 (names fixed by the public error tree)
    """Not a .vaec file."""


class UnsupportedVersion(FormatError):  # noqa: N818
    """The file was made by a newer version of the format."""


class Truncated(FormatError):  # noqa: N818
    """The file ends too early."""


class ChecksumMismatch(FormatError):  # noqa: N818
    """A CRC-32 differs from the one stored."""


class LimitExceeded(FormatError):  # noqa: N818
    """A size lies beyond a limit."""


class CorruptStream(FormatError):  # noqa: N818
    """The checksums fit, but the content makes no sense."""


class WeightsError(VaecodecError):
    """A weights file is missing, damaged or out of bounds."""


class UnknownModel(WeightsError):  # noqa: N818
    """No installed model has this id or name."""


class HashMismatch(WeightsError):  # noqa: N818
    """The installed weights of this id are not the ones that are needed."""


class BackendError(VaecodecError):
    """A device or an implementation that was asked for is not available."""


class InputError(VaecodecError, ValueError):
    """An argument or an image of the caller is not usable."""
