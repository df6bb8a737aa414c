"""numba compiles a loop to LLVM's language, LLVM that to an object file. The only part that imports numba.

A loop must do without Python and without numba's library, or its code could not run alone: it allocates nothing,
raises nothing, and calls nothing but LLVM's own functions. That is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vaecodec.errors import BackendError
from vaecodec.native.cache import Code
from vaecodec.native.calling import target_machine
from vaecodec.native.loops import Loop

_ARRAY_PARTS = ("ptr", "ptr", "i64", "i64", "ptr")
"""How numba passes an array, before its shape and strides: owner, parent, size, bytes a number, address."""
_SCALARS = {"int64": "i64", "uint64": "i64", "float32": "float"}
_OUTSIDE = re.compile(r"^declare [^@]*@\"?((?!llvm\.)[^\"(]+)", re.MULTILINE)
_DEFINED = re.compile(r"^define [^@]*@\"?([^\"(]+)", re.MULTILINE)


def compile_loop(loop: Loop) -> Code:
    """The code of a loop for this processor. Raises BackendError where numba makes something else than expected."""
    import llvmlite.binding as llvm
    import numba

    options: Any = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(loop.signature, nogil=True, **options)(loop.function)
    [signature] = dispatcher.nopython_signatures
    text = dispatcher.inspect_llvm(signature.args)
    arguments = tuple(_kind(each) for each in signature.args)
    defined, outside = _DEFINED.findall(text), _OUTSIDE.findall(text)
    if len(defined) != 1 or outside:
        message = f"numba {numba.__version__} made {defined} of {loop.function.__name__}, which needs {outside}"
        raise BackendError(message)
    module = llvm.parse_assembly(text)
    parameters = [_parameter(str(each.type)) for each in module.get_function(defined[0]).arguments]
    expected = ["ptr", "ptr", *(part for kind in arguments for part in _parts(kind))]
    if parameters != expected:
        message = f"numba {numba.__version__} passes {arguments} to {loop.function.__name__} as {parameters}"
        raise BackendError(message)
    return Code(defined[0], arguments, str(signature.return_type), target_machine().emit_object(module))


def checked(loop: Loop) -> Any:
    """The loop as numba itself compiles and calls it, with all that its environment variables ask for."""
    import numba

    # Of the types of its arguments: among the declared ones are no arrays that cannot be written.
    return numba.njit(nogil=True, error_model="numpy")(loop.function)


def _kind(kind: Any) -> str:
    return f"{kind.dtype}[{kind.ndim}]" if hasattr(kind, "ndim") else str(kind)


def _parts(kind: str) -> Iterator[str]:
    """What is passed for an argument."""
    if kind in _SCALARS:
        yield _SCALARS[kind]
        return
    yield from _ARRAY_PARTS
    yield from ["i64"] * (2 * int(kind[:-1].partition("[")[2]))


def _parameter(kind: str) -> str:
    """LLVM's type, all pointers alike: older releases name what they point to."""
    return "ptr" if kind.endswith("*") else kind
