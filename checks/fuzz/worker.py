"""One target under libFuzzer, in a process of its own: `python -m checks.fuzz.worker TARGET [OPTIONS] CORPUS`."""

from __future__ import annotations

import importlib
import sys

import atheris

# numba compiles bytecode and must see its own. A comparison of arrays leaks its result when it is instrumented (atheris
# 3.0): 7 KB a call in the reference coder; for an image 35 KB in the checks of tables and symbols, which are there for
# hostile bytes and no matter to images.
EXCLUDED = ("vaecodec.rans.numba_coder", "vaecodec.rans.coder", "vaecodec.rans.plain_coder")
EXCLUDED_FOR_PIXELS = ("vaecodec.rans.tables", "vaecodec.entropy.coding", "vaecodec.entropy.quantize")


def main() -> None:
    name = sys.argv.pop(1)
    excluded = (*EXCLUDED, *EXCLUDED_FOR_PIXELS) if name == "pixels" else EXCLUDED
    with atheris.instrument_imports(include=["vaecodec"], exclude=list(excluded)):
        targets = importlib.import_module("checks.fuzz.targets")
    targets.warm_up(name)
    target = targets.TARGETS[name]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
