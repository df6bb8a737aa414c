"""Headless Chromium, for the tests of pages and for what is measured in a browser; and a server to visit."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "needs Chromium and its driver (Debian: apt-get install chromium chromium-driver)"

# No service of its own may reach out; the container of a CI has no sandbox to offer.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)
STRICT_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src blob:"
)
"""What <vaec-image> asks of a site's Content-Security-Policy; docs/browser.md says the same."""
TYPES = {".html": "text/html", ".js": "text/javascript"}


def start_chromium(profile: Path, downloads: Path | None = None) -> Any:
    """A driver; its console is kept for `get_log`. downloads: where files go that a page offers."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def wait_for(driver: Any, script: str, patience: float) -> Any:
    """Until a script gives what is true, for so many seconds at most."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, patience).until(lambda _: driver.execute_script(f"return {script}"))


def call(driver: Any, promise: str, *arguments: object) -> Any:
    """What a promise gives, or {thrown: its error}."""
    done = "const done = arguments[arguments.length - 1]"
    code = f"{done}; Promise.resolve({promise}).then(done, (error) => done({{ thrown: String(error) }}))"
    return driver.execute_async_script(code, *arguments)


class Site:
    """A server on loopback; `files` can be added to. No answer may be cached.

    policy: the Content-Security-Policy of every answer; None: pages bring their own. shared: pages of other hosts may
    use what is here.
    """

    def __init__(self, files: dict[str, bytes], policy: str | None = STRICT_POLICY, *, shared: bool = False) -> None:
        self.files = files
        self.asked: list[str] = []
        """The names of all requests so far."""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                site.asked.append(name)
                content = site.files.get(name)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Type", TYPES.get(Path(name).suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(len(content or b"")))
                self.send_header("Cache-Control", "no-store")
                if shared:
                    self.send_header("Access-Control-Allow-Origin", "*")
                if policy is not None:
                    self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # a page that was left
                    self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def usage(driver: Any) -> tuple[float, int]:
    """Processor seconds of a browser so far, all of its processes; and the peak memory of its largest page, in bytes.

    Linux only.
    """
    seconds, peak = 0.0, 0
    for process in _descendants(driver.service.process.pid):
        with contextlib.suppress(OSError):  # it has ended
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            if "--type=renderer" in (process / "cmdline").read_text():
                peak = max(peak, _peak_of((process / "status").read_text()))
    return seconds, peak


def _peak_of(status: str) -> int:
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return 1024 * int(line.split()[1])


def _descendants(root: int) -> list[Path]:
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    processes = [root]
    for process in processes:
        processes += [child for child, parent in parents.items() if parent == process]
    return [Path("/proc", str(process)) for process in processes]
