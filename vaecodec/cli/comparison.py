"""What `vaecodec compare` measures: the JPEG of the same PSNR, and a page that shows all codecs at equal bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

import vaecodec
from vaecodec.auto import JPEG_MAX_SIDE
from vaecodec.cli.image_files import open_photo
from vaecodec.cli.jobs import Job
from vaecodec.cli.progress import steps_of
from vaecodec.cli.results import Record
from vaecodec.image import Pixels
from vaecodec.metrics import psnr


def open_rgb(job: Job) -> tuple[Image.Image, Pixels]:
    """The colours of a photo as they are stored, and as they are seen: turned upright."""
    opened = open_photo(job.read())
    return opened.convert("RGB"), np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


def compare_one(image: Image.Image, codec: vaecodec.Codec, quality: float) -> Record:
    """Code the colours of one photo both ways; alpha and metadata would cost both the same and are left out."""
    pixels = np.asarray(image)
    data = codec.encode(pixels, quality=quality)
    decoded = codec.decode(data)
    reached = psnr(pixels, np.asarray(decoded))
    jpeg_quality, jpeg_bytes = smallest_jpeg(image, reached)
    return {
        "bytes": len(data),
        "psnr": None if math.isinf(reached) else round(reached, 3),  # JSON knows no infinity
        "jpeg_bytes": jpeg_bytes,
        "jpeg_quality": jpeg_quality,
        "width": image.width,
        "height": image.height,
    }


def write_page(
    page: Job,
    jobs: Sequence[Job],
    photos: list[tuple[str, Pixels]],
    codec: vaecodec.Codec,
    quality: float,
    *,
    overwrite: bool,
) -> Record:
    """Write the page of these photos, as private as the most private of them (`jobs`)."""
    from vaecodec.compare.photos import compare_photos, steps

    with steps_of("page", steps(len(photos))) as advance:
        content = compare_photos(photos, codec, quality, advance=advance).encode()
    page.write(content, overwrite=overwrite, shown=jobs)
    return {"output": page.output, "bytes": len(content), "photos": [name for name, _ in photos]}


def smallest_jpeg(image: Image.Image, target: float) -> tuple[int | None, int | None]:
    """Quality and bytes of the smallest Pillow JPEG (4:2:0, optimize) of ``target`` dB or more; None where none is."""
    pixels = np.asarray(image)
    low, high = 1, 100
    best: tuple[int | None, int | None] = (None, None)
    if max(image.size) > JPEG_MAX_SIDE:
        return best
    while low <= high:
        middle = (low + high) // 2
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=middle, subsampling="4:2:0", optimize=True)
        if psnr(pixels, np.asarray(Image.open(buffer))) >= target:
            best, high = (middle, buffer.getbuffer().nbytes), middle - 1
        else:
            low = middle + 1
    return best
