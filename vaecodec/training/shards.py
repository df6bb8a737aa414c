"""Packed corpora: image files in a few large files, for machines that a folder of thousands is slow to reach.

A shard is a safetensors file: every tensor is uint8, the bytes of one image file, named by its path in the folder.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec.errors import InputError, WeightsError
from vaecodec.files import write_atomic

SHARD_KEY = "vaecodec_shard"
SHARD_VERSION = "1"
SHARD_SUFFIX = ".safetensors"

ENCODINGS: dict[str, tuple[str, dict[str, object]]] = {
    "keep": ("", {}),
    "jpeg": ("JPEG", {"quality": 97, "subsampling": "4:4:4", "optimize": True}),
    "webp": ("WEBP", {"lossless": True, "method": 2, "quality": 50}),
}
"""How images are stored: their own bytes, or, for a Pillow that can't read them, a format that every Pillow reads.

On 16 photographs in AVIF 4:4:4 (5.8 megapixels): keep 1.65 MB; jpeg 3.17 MB at 47.3 dB; lossless webp 5.96 MB. (All
932: keep 124 MB, jpeg 241 MB.) Lossy WebP is no choice: its halved chroma leaves 39.8 dB at quality 100.
"""


def encode_image(path: Path, encoding: str) -> bytes:
    """The bytes of one image as a shard holds them. `encoding` is a key of ENCODINGS."""
    form, options = ENCODINGS[encoding]
    if not form:
        return path.read_bytes()
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, form, **options)
    return buffer.getvalue()


def write_shards(
    folder: Path, paths: Sequence[Path], output: Path, shard_bytes: int, encoding: str = "keep", *, overwrite: bool
) -> Iterator[tuple[Path, int]]:
    """Write the images at `paths` (below `folder`) to output/shard-000.safetensors, ...

    A shard holds at most `shard_bytes` of images, one image at least. Yields every shard, with the images in it, as it
    is written. Raises InputError for an unknown encoding, FileExistsError for a shard that is there already.
    """
    if encoding not in ENCODINGS:
        message = f"encoding is {encoding!r}; it must be one of {', '.join(ENCODINGS)}"
        raise InputError(message)
    output.mkdir(parents=True, exist_ok=True)
    images: dict[str, bytes] = {}
    number = 0
    for path in paths:
        data = encode_image(path, encoding)
        if images and sum(map(len, images.values())) + len(data) > shard_bytes:
            yield _write_shard(output, number, images, overwrite=overwrite), len(images)
            images, number = {}, number + 1
        images[path.relative_to(folder).as_posix()] = data
    if images:
        yield _write_shard(output, number, images, overwrite=overwrite), len(images)


def _write_shard(output: Path, number: int, images: dict[str, bytes], *, overwrite: bool) -> Path:
    from safetensors.numpy import save

    path = output / f"shard-{number:03d}{SHARD_SUFFIX}"
    tensors = {name: np.frombuffer(data, np.uint8) for name, data in images.items()}
    write_atomic(path, save(tensors, metadata={SHARD_KEY: SHARD_VERSION}), overwrite=overwrite)
    return path


def list_shard(path: Path) -> list[str]:
    """The names in a shard; an empty list for a safetensors file that isn't one.

    Raises WeightsError when it can't be read or is of another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            version = (file.metadata() or {}).get(SHARD_KEY)
            names = list(file.keys())
    except (OSError, SafetensorError) as error:
        message = f"{path}: not a readable shard ({error})"
        raise WeightsError(message) from error
    if version not in (None, SHARD_VERSION):
        message = f"{path}: a shard of version {version}; this version reads {SHARD_VERSION}"
        raise WeightsError(message)
    return names if version else []


def read_from_shard(path: Path, name: str) -> bytes:
    """The bytes of one image file in a shard."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        data: NDArray[np.uint8] = file.get_tensor(name)
    return data.tobytes()
