"""`python -m bench latents search OTHERS PHOTOS`: edited copies of photographs, found again among others.

Every photograph of PHOTOS is edited in each way of `edits`. Each edited copy is looked for in an index of PHOTOS and
OTHERS, all of them .vaec files, copies too: what is compared is read off latents. Beside it the distances of pHash
(imagehash) and PDQ (pdqhash) of the pixels, each the lesser of the copy's own and of the mirrored copy's. What the
figures are: `bench/latents/retrieval.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import imagehash
import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image, ImageOps

import vaecodec
from bench import records
from bench.latents.edits import KINDS, edited
from bench.latents.folders import images_of
from bench.latents.retrieval import micro_ap, recall_at_1
from vaecodec.latents.descriptors import Thumbnail, describe, describe_queries, similarities, unpacked
from vaecodec.latents.images import describe_file

RESULT = records.RESULTS / "latents" / "search.json"
Bits = NDArray[np.bool_]


@dataclass
class Described:
    """What the methods know of images; of mirrored ones, too, where they are queries."""

    thumbnails: list[Thumbnail] = field(default_factory=list)
    phash: list[list[Bits]] = field(default_factory=list)
    pdq: list[list[Bits]] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, photo: Image.Image, codec: vaecodec.Codec, quality: float) -> None:
        data = codec.encode(photo, quality, mode="neural")
        start = time.perf_counter()
        self.thumbnails.append(describe_file(data, lambda: codec, "", 0).thumbnail)
        self.seconds += time.perf_counter() - start
        both = (photo, ImageOps.mirror(photo))
        self.phash.append([imagehash.phash(each).hash.ravel() for each in both])
        self.pdq.append([np.array(pdqhash.compute(np.asarray(each))[0], bool) for each in both])


@click.command("search")
@click.argument("others", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--most-others", type=int, default=None, metavar="N", help="Take so many of OTHERS.")
@click.option("--most", type=int, default=None, metavar="N", help="Take so many of PHOTOS.")
@click.option("--skip", type=int, default=0, metavar="N", help="Leave the first N of PHOTOS out.")
@click.option("--side", type=int, default=384, show_default=True, help="Longer side of all photographs, in pixels.")
@click.option("-q", "--quality", type=float, default=60, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=RESULT, show_default=False)
def main(
    others: Path,
    photos: Path,
    most_others: int | None,
    most: int | None,
    skip: int,
    side: int,
    quality: float,
    output: Path,
) -> None:
    """Look for edited copies of PHOTOS in an index of PHOTOS and OTHERS."""
    codec = vaecodec.Codec()
    stored, asked = Described(), Described()
    names = images_of(photos)[skip:][:most]
    other_names = images_of(others)[:most_others]
    for path in (*names, *other_names):
        stored.add(_reduced(path, side), codec, quality)
    kinds: list[str] = []
    for number, path in enumerate(names):
        photo = _reduced(path, side)
        for kind in KINDS:
            asked.add(edited(photo, kind, number), codec, quality)
            kinds.append(kind)
        click.echo(f"{number + 1} of {len(names)}: {path.name}")
    start = time.perf_counter()
    values = {name: similarity(stored, asked) for name, similarity in SIMILARITIES.items()}
    right = np.repeat(np.arange(len(names)), len(KINDS))
    rows = [row(name, values, right, [kind in members for kind in kinds]) for name, members in groups().items()]
    record = records.header() | {
        "options": {"photos": len(names), "others": len(other_names), "skip": skip, "side": side, "quality": quality},
        "model": codec.model,
        "files_per_second": len(stored.thumbnails) / stored.seconds,
        "compare_s": time.perf_counter() - start,
        "rows": rows,
    }
    records.save(output, record)
    for line in rows:
        figures = (f"{name} {line[name]['recall_at_1']:.3f} / {line[name]['micro_ap']:.3f}" for name in values)
        click.echo(f"{line['edits']}: {', '.join(figures)}")


def groups() -> dict[str, set[str]]:
    """The rows of the table: groups of edits, each edit by itself, and all."""
    named: dict[str, set[str]] = {}
    for kind, of in KINDS.items():
        named.setdefault(of.group, set()).add(kind)
    return named | {kind: {kind} for kind in KINDS if len(named[KINDS[kind].group]) > 1} | {"all": set(KINDS)}


def row(name: str, values: dict[str, NDArray[Any]], right: NDArray[np.int64], mask: Sequence[bool]) -> records.Record:
    """Recall at 1 and micro-AP of every method over the copies that the mask picks."""
    picked = np.asarray(mask)
    figures = {
        method: {
            "recall_at_1": recall_at_1(similarity[picked], right[picked]),
            "micro_ap": micro_ap(similarity[picked], right[picked]),
        }
        for method, similarity in values.items()
    }
    return {"edits": name, "copies": int(picked.sum()), **figures}


def _of_vaecodec(stored: Described, asked: Described) -> NDArray[Any]:
    kept = unpacked(describe(np.stack(stored.thumbnails)).packed())  # as an index has them
    return np.concatenate([similarities(describe_queries(each[None]), kept) for each in asked.thumbnails])


def _of_hashes(stored: Sequence[list[Bits]], asked: Sequence[list[Bits]]) -> NDArray[Any]:
    own = np.stack([hashes[0] for hashes in stored])
    return np.stack([-np.min([(each != own).sum(axis=1) for each in hashes], axis=0) for hashes in asked])


SIMILARITIES: dict[str, Callable[[Described, Described], NDArray[Any]]] = {
    "vaecodec": _of_vaecodec,
    "phash": lambda stored, asked: _of_hashes(stored.phash, asked.phash),
    "pdq": lambda stored, asked: _of_hashes(stored.pdq, asked.pdq),
}


def _reduced(path: Path, side: int) -> Image.Image:
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    photo.thumbnail((side, side), Image.Resampling.LANCZOS)
    return photo
