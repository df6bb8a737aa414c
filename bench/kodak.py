"""placeholder"""
from __future__ import annotations
from pathlib import Path

from bench.records import ROOT

MISSING = "x"
LOCAL = (ROOT.parent / "shared" / "data" / "kodak",)


def locate() -> Path | None:
    return next((p for p in LOCAL if p.is_dir()), None)
