"""What tests in a browser share: the page that loads browser_page.js, and patience."""

from __future__ import annotations

from pathlib import Path

PATIENCE = 120
"""Seconds; other processes may have the processor."""
PAGE = '<!doctype html><meta charset="utf-8"><title>t</title><script type="module" src="page.js"></script>'
SCRIPT = Path(__file__).with_name("browser_page.js")


def page_files() -> dict[str, bytes]:
    """The page and its script, for a `bench.chromium.Site`."""
    return {"page.html": PAGE.encode(), "page.js": SCRIPT.read_bytes()}
