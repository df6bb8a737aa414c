"""One target under libFuzzer, in a process of its own: `python -m fuzz.worker TARGET [libFuzzer options] CORPUS`."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    name = sys.argv.pop(1)
    # numba compiles bytecode and must see its own.
    with atheris.instrument_imports(include=["vaecodec"], exclude=["vaecodec.rans.numba_coder"]):
        targets = importlib.import_module("fuzz.targets")
    targets.warm_up()
    target = targets.TARGETS[name]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
