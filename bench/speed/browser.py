"""`python -m bench browser`: what the browser codec weighs, and how long Chromium takes with it on one thread.

Processor time is that of all processes of the browser; it counts, since other work on a machine doesn't change it much.
The images are the samples side by side, as in `bench scale`. Needs Chromium, its driver, selenium and Linux.
"""

from __future__ import annotations

import gzip
import statistics
import tempfile
from pathlib import Path
from typing import Any

import click
from PIL import Image

import vaecodec
from bench import records
from bench.chromium import CHROMIUM, DRIVER, MISSING, Site, call, start_chromium, usage
from bench.speed.scale import picture_of
from vaecodec.web import browser_weights, encoder_weights, site_files
from vaecodec.weights.manifest import entry_by_name

PATIENCE = 600
GZIP_LEVEL = 6
"""That of most servers."""
FIRST = 0.4
"""Megapixels of the image that a visitor sees first."""
PAGE = """<!doctype html><meta charset="utf-8"><title>t</title>
<script type="module" src="vaecodec.js"></script><script type="module" src="page.js"></script>
<vaec-image src="first.vaec"></vaec-image>"""
SCRIPT = """
import { VaecImage } from "./vaecodec.js";
window.encode = async (name, width, height, options) => {
  const rgba = new Uint8Array(await (await fetch(name)).arrayBuffer());
  const start = performance.now();
  const { length } = await VaecImage.client.encode({ width, height, rgba }, options);
  return { whole: (performance.now() - start) / 1000, length };
};
window.show = (src) => new Promise((resolve, reject) => {
  const element = document.createElement("vaec-image");
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  let preview = null;
  element.addEventListener("preview", () => (preview = seconds()));
  element.addEventListener("load", () => resolve({ preview, whole: seconds() }));
  element.addEventListener("error", ({ detail }) => reject(detail));
  element.src = src;
  document.body.replaceChildren(element);
});
const [first] = document.getElementsByTagName("vaec-image");
window.first = first.decode().then(() => performance.now() / 1000); // since the navigation began
"""


@click.command()
@click.option(
    "--models",
    default="base-perceptual,fast-perceptual",
    show_default=True,
    help="Shipped models, separated by commas.",
)
@click.option("--large", default=12.0, show_default=True, help="Megapixels of a large image, for its memory.")
@click.option("--repeats", default=3, show_default=True, help="The median counts.")
@click.option("--quality", default=60, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=records.RESULTS / "browser.json", show_default=True)
def main(models: str, large: float, repeats: int, quality: int, out: Path) -> None:
    """What the browser codec weighs, how long it takes, and in how much memory."""
    if CHROMIUM is None or DRIVER is None:
        raise click.ClickException(MISSING)
    record = records.header() | {"options": {"large": large, "repeats": repeats, "quality": quality}}
    record["downloads"] = _downloads(models.split(","))
    record["rows"] = [_row(name, large, repeats, quality) for name in models.split(",")]
    records.save(out, record)


def _downloads(models: list[str]) -> list[records.Record]:
    """Bytes of every file that a visitor may fetch, as they are and as gzip makes them."""
    files = site_files([entry_by_name(name) for name in models], with_scripts=False)
    titles = {}
    for name in models:
        entry = entry_by_name(name)
        titles[f"weights/{browser_weights(entry).name}.safetensors"] = f"weights of {name}"
        titles[f"weights/{encoder_weights(entry).name}.safetensors"] = f"to encode with {name}, beside these"
    return [
        {"file": titles.get(name, name), "bytes": len(data), "gzip": len(gzip.compress(data, GZIP_LEVEL))}
        for name, data in files.items()
    ]


def _row(model: str, large: float, repeats: int, quality: int) -> records.Record:
    files = site_files([entry_by_name(model)], with_scripts=False)
    files |= {"page.html": PAGE.encode(), "page.js": SCRIPT.encode()}
    for name, megapixels in (("first", FIRST), ("one", 1.0), ("large", large)):
        image = Image.fromarray(picture_of(megapixels))
        files[f"{name}.vaec"] = vaecodec.encode(image, quality, model=model, device="cpu", mode="neural")
    pixels = Image.fromarray(picture_of(1.0)).convert("RGBA")
    files["one.rgba"] = pixels.tobytes()
    encode = f"encode('one.rgba', {pixels.width}, {pixels.height}, {{ model: '{model}', quality: {quality} }})"
    site = Site(files)
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            colds = [_cold(site, Path(folder, f"cold-{number}")) for number in range(repeats)]
            warm = _warm(site, Path(folder, "warm"), repeats, encode)
    finally:
        site.close()
    return {"model": model, "first": _medians(colds), **warm}


def _medians(rounds: list[records.Record]) -> records.Record:
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def _cold(site: Site, profile: Path) -> records.Record:
    """Seconds from the address to the whole first image, nothing in any cache."""
    driver = start_chromium(profile)
    try:
        before, _ = usage(driver)
        return {"whole_s": _call(driver, site, "first"), "cpu_s": usage(driver)[0] - before}
    finally:
        driver.quit()


def _warm(site: Site, profile: Path, repeats: int, encode: str) -> records.Record:
    driver = start_chromium(profile)
    try:
        _call(driver, site, "first")
        ones = [_timed(driver, site, "one.vaec") for _ in range(repeats + 1)][1:]  # the first one compiles
        large = _timed(driver, site, "large.vaec")
        peak = usage(driver)[1]
        encoded = [_timed_encoding(driver, site, encode) for _ in range(repeats + 1)][1:]
        return {"one": _medians(ones), "large": large | {"peak_bytes": peak}, "encode": _medians(encoded)}
    finally:
        driver.quit()


def _timed(driver: Any, site: Site, name: str) -> records.Record:
    before, _ = usage(driver)
    times = _call(driver, site, f"show('{name}')")
    return {"preview_s": times["preview"], "whole_s": times["whole"], "cpu_s": usage(driver)[0] - before}


def _timed_encoding(driver: Any, site: Site, promise: str) -> records.Record:
    before, _ = usage(driver)
    times = _call(driver, site, promise)
    return {"whole_s": times["whole"], "cpu_s": usage(driver)[0] - before, "bytes": times["length"]}


def _call(driver: Any, site: Site, promise: str) -> Any:
    driver.set_script_timeout(PATIENCE)
    if not driver.current_url.startswith(site.url):
        driver.get(f"{site.url}/page.html")
    answer = call(driver, promise)
    if isinstance(answer, dict) and "thrown" in answer:
        message = f"{promise}: {answer['thrown']}"
        raise click.ClickException(message)
    return answer
