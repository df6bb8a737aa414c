"""Machine code of object files, placed in memory by llvmlite and called through ctypes, which releases the GIL."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import BackendError, InputError
from vaecodec.native import processor
from vaecodec.native.cache import Code

_INTEGERS = {"int64": ctypes.c_int64, "uint64": ctypes.c_uint64}
_lock = threading.Lock()
_Flat = Callable[[Any], Iterable[object]]


def llvm_version() -> str:
    """llvmlite's, which decides LLVM's."""
    import llvmlite

    return str(llvmlite.__version__)


def target_machine() -> Any:
    """What makes code for this processor. The code model is that of code which is called where it was placed."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=processor.name(), features=processor.feature_text(), opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


@cache
def _engine() -> Any:
    import llvmlite.binding as llvm

    machine = target_machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def function_of(code: Code) -> Callable[..., int | None]:
    """The function in machine code. It takes arrays in one piece and numbers, and raises InputError for others."""
    import llvmlite.binding as llvm

    with _lock:
        engine = _engine()
        engine.add_object_file(llvm.ObjectFileRef.from_data(code.objects))
        engine.finalize_object()
        address = engine.get_function_address(code.symbol)
    types: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]
    flats: list[_Flat] = []
    for kind in code.arguments:
        more, flat = _argument(kind)
        types += more
        flats.append(flat)
    native = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(address)
    result_type = _INTEGERS.get(code.result, ctypes.c_int64)

    def call(*arguments: object) -> int | None:
        flat = [part for flat, argument in zip(flats, arguments, strict=True) for part in flat(argument)]
        result, failure = result_type(), ctypes.c_void_p()
        status = native(ctypes.byref(result), ctypes.byref(failure), *flat)
        if status:
            message = f"{code.symbol} ended with status {status}"
            raise BackendError(message)
        return int(result.value) if code.result in _INTEGERS else None

    return call


def _argument(kind: str) -> tuple[list[Any], _Flat]:
    """How an argument is passed: types, and a function that takes it apart."""
    if kind in _INTEGERS:
        return [_INTEGERS[kind]], lambda number: (int(number),)
    if kind == "float32":
        return [ctypes.c_float], lambda number: (float(number),)
    name, _, rest = kind.partition("[")
    dtype, dimensions = np.dtype(name), int(rest[:-1])

    def flat(array: NDArray[Any]) -> Iterable[object]:
        if array.dtype != dtype or array.ndim != dimensions or not array.flags.c_contiguous:
            message = f"a loop got {array.dtype} {array.shape}, strides {array.strides}; it must be {kind} in one piece"
            raise InputError(message)
        address = array.__array_interface__["data"][0]
        return None, None, array.size, array.itemsize, address, *array.shape, *array.strides

    head = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    return head + [ctypes.c_int64] * (2 * dimensions), flat
