"""The 24 Kodak images: where they are, and how to get them on a machine with a network."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path

import click
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from rich.progress import track

from bench.records import ROOT, load

HASHES = Path(__file__).parent / "data" / "kodak_hashes.json"
DOWNLOADED = Path("kodak")
PLACES = (DOWNLOADED, ROOT.parent / "shared" / "data" / "kodak")
MISSING = (
    "the Kodak images are not here; get them with `python -m bench kodak --download` (24 files, 15 MB), "
    "or put kodim01.png to kodim24.png into a folder ./kodak"
)
SHOWN = ("kodim23.png", "kodim04.png", "kodim13.png")  # on the page: smooth colours, a face, dense texture
TIMEOUT_S = 30


def locate() -> Path | None:
    """The first folder that has all 24 images, or None."""
    names = load(HASHES)["sha256"]
    return next((place for place in PLACES if all((place / name).is_file() for name in names)), None)


def pixel_hash(data: bytes) -> str:
    """SHA-256 of the RGB pixels: the same for every lossless file of one picture."""
    with PillowImage.open(BytesIO(data)) as opened:
        return hashlib.sha256(opened.convert("RGB").tobytes()).hexdigest()


def check(name: str, data: bytes, expected: str) -> None:
    """Raise ClickException unless `data` is the picture that everyone reports results on."""
    try:
        digest = pixel_hash(data)
    except (UnidentifiedImageError, OSError) as error:
        message = f"{name}: not an image ({error})"
        raise click.ClickException(message) from error
    if digest != expected:
        message = f"{name}: pixels have SHA-256 {digest}, expected {expected}"
        raise click.ClickException(message)


def download(folder: Path = DOWNLOADED) -> None:
    """Fetch what is missing, check every picture against its pinned hash, write it only then."""
    pinned = load(HASHES)
    folder.mkdir(parents=True, exist_ok=True)
    for name, expected in track(pinned["sha256"].items(), "Kodak"):
        path = folder / name
        if path.exists():
            check(name, path.read_bytes(), expected)
            continue
        data = fetch(pinned["source"] + name)
        check(name, data, expected)
        temporary = path.with_suffix(".part")
        temporary.write_bytes(data)
        temporary.replace(path)


def fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  (the url is https, from our file)
            data: bytes = answer.read()
    except (urllib.error.URLError, OSError) as error:
        message = f"{url} cannot be reached ({error}). Without a network, copy the images into ./{DOWNLOADED}"
        raise click.ClickException(message) from error
    return data


@click.command("kodak")
@click.option("--download", "fetch_them", is_flag=True, help="Fetch what is missing (15 MB; needs a network).")
@click.option("--to", default=str(DOWNLOADED), show_default=True, type=click.Path(file_okay=False))
def main(fetch_them: bool, to: str) -> None:
    """Say where the Kodak images are, check their pixels, or fetch them."""
    if fetch_them:
        download(Path(to))
    folder = locate() if not fetch_them else Path(to)
    if folder is None:
        raise click.ClickException(MISSING)
    pinned = load(HASHES)["sha256"]
    for name, expected in pinned.items():
        check(name, (folder / name).read_bytes(), expected)
    click.echo(f"{folder}: {len(pinned)} images, pixels as pinned")
