"""Every error that vaecodec raises on purpose.

    VaecodecError
    ├── FormatError (ValueError)      the bytes are not a valid .vaec file
    │   ├── BadMagic                  not a .vaec file at all
    │   ├── UnsupportedVersion        a .vaec file of a version this release cannot read
    │   ├── Truncated                 the data end before the structure does
    │   ├── ChecksumMismatch          a CRC-32 differs: damaged after writing
    │   ├── LimitExceeded             well formed, but larger than a limit (pixels, side, metadata)
    │   └── CorruptStream             the coded content contradicts itself
    ├── WeightsError                  the weights, not the file, are the problem
    │   ├── UnknownModel              no installed model has this name or id
    │   └── HashMismatch              a model with this id is installed, but its integers differ
    ├── DivergedError                 training: the loss was not finite several times in a row
    ├── CodingError                   the networks gave what no file can hold, or a finished file failed its check
    ├── BackendError                  an explicitly requested device or backend does not work
    └── InputError (ValueError)       a bad argument or an image that cannot be coded
        ├── InputTypeError (TypeError)  an argument of a type that is not taken
        └── TargetError               no quality gives this picture the size or PSNR that was asked for

Messages name the field, its value and the legal range. A bad file never raises anything outside ``FormatError``
and ``WeightsError``; I/O errors stay ``OSError``.
"""

from __future__ import annotations


class VaecodecError(Exception):
    """The base of all errors of this package."""


class FormatError(VaecodecError, ValueError):
    """The bytes are not a valid .vaec file."""


class BadMagic(FormatError):
    """The data do not start with the signature of a .vaec file."""


class UnsupportedVersion(FormatError):
    """A .vaec file of a format version that this release cannot read."""


class Truncated(FormatError):
    """The data end before the structure they announce does."""


class ChecksumMismatch(FormatError):
    """A CRC-32 differs from the stored one: the file was damaged after it was written."""


class LimitExceeded(FormatError):
    """A value is larger than a limit of the format or of the caller."""


class CorruptStream(FormatError):
    """The coded content contradicts itself although its checksum is right."""


class WeightsError(VaecodecError):
    """The weights are missing, damaged or do not fit together."""


class UnknownModel(WeightsError):
    """No installed model has this name or id."""


class HashMismatch(WeightsError):
    """The integer part of a model differs from the hash that a file or the manifest states."""


class CodingError(VaecodecError):
    """The networks gave what no file can hold for this image, or a finished file did not pass its check."""


class BackendError(VaecodecError):
    """An explicitly requested device or backend does not work here."""


class DivergedError(VaecodecError):
    """The loss of a training run was not finite several times in a row: a lower learning rate is needed."""


class InputError(VaecodecError, ValueError):
    """A bad argument, or an image that cannot be coded."""


class InputTypeError(InputError, TypeError):
    """An argument of a type that is not taken."""


class TargetError(InputError):
    """No quality gives this picture the size or PSNR that was asked for."""
