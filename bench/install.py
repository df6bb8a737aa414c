"""`python -m bench install`: what `pip install .` puts into an empty environment, package by package.

The newest commit is installed, in a temporary folder, with what the package index has today. pip and setuptools come
with the environment, not with vaecodec: the total is given with and without them.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from pathlib import Path

import click

from bench import records
from bench.records import Record
from bench.speed.practical_page import table

OUT = records.RESULTS / "install.json"
LIMIT = 330
"""Megabytes (of 10^6 bytes) of vaecodec and all that it needs."""
WITH_ENVIRONMENT = ("pip", "setuptools")
ASK = """
import importlib.metadata, json
rows = []
for package in importlib.metadata.distributions():
    sizes = {str(file): file.locate().stat().st_size for file in package.files or [] if file.locate().is_file()}
    code = sum(size for name, size in sizes.items() if name.endswith(".pyc"))
    name, version = package.metadata["Name"].lower(), package.version
    rows.append({"package": name, "version": version, "bytes": sum(sizes.values()), "byte_code": code})
print(json.dumps(sorted(rows, key=lambda row: -row["bytes"])))
"""
"""What is installed; what lies in the folder of one package counts as its own."""


def source(folder: Path) -> Path:
    """The files of the newest commit, without what is built or left beside them."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=records.ROOT, check=True, capture_output=True).stdout  # noqa: S607
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def measure(extras: str = "") -> Record:
    """Installs, and returns seconds and a row for each package."""
    with tempfile.TemporaryDirectory() as folder:
        root = source(Path(folder) / "source")
        venv.create(Path(folder) / "venv", with_pip=True, symlinks=True)
        python = Path(folder) / "venv" / "bin" / "python"
        start = time.perf_counter()
        line = [python, "-m", "pip", "install", "--quiet", f"{root}{extras}"]
        subprocess.run(line, check=True, stdout=sys.stderr)
        seconds = time.perf_counter() - start
        asked = subprocess.run([python, "-I", "-c", ASK], check=True, capture_output=True, text=True)
    return {"install_s": round(seconds, 1), "rows": json.loads(asked.stdout)}


def megabytes(rows: list[Record], field: str = "bytes", *, without: tuple[str, ...] = ()) -> float:
    """The size of all packages but some, in MB."""
    return float(sum(row[field] for row in rows if row["package"] not in without) / 1e6)


def page(record: Record) -> str:
    """The table as Markdown."""
    rows = [
        (f"{row['package']} {row['version']}", f"{row['bytes'] / 1e6:.1f}", f"{row['byte_code'] / 1e6:.1f}")
        for row in record["rows"]
    ]
    own = [megabytes(record["rows"], field, without=WITH_ENVIRONMENT) for field in ("bytes", "byte_code")]
    every = [megabytes(record["rows"], field) for field in ("bytes", "byte_code")]
    rows.append(("**vaecodec and what it needs**", *(f"**{value:.1f}**" for value in own)))
    rows.append(("with pip and setuptools", *(f"{value:.1f}" for value in every)))
    return table(["package", "MB", "of it byte code"], rows)


@click.command("install")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
def main(out: Path) -> None:
    """The size of an installation, and the share of each package."""
    record = measure()
    click.echo(page(record))
    size = megabytes(record["rows"], without=WITH_ENVIRONMENT)
    click.echo(f"{size:.1f} MB; {'at most' if size <= LIMIT else 'NOT at most'} {LIMIT}")
    records.save(out, records.header() | record)
    if size > LIMIT:
        raise click.exceptions.Exit(1)
