"""Files into an index and out of it, for the commands of the latent space."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PIL import ImageOps

from vaecodec.cli.exits import EXPECTED, Fatal
from vaecodec.cli.image_files import open_photo, scaled_down
from vaecodec.cli.jobs import Job
from vaecodec.cli.results import Record
from vaecodec.cli.sources import VAEC_SUFFIXES, photo_suffixes
from vaecodec.container import MAGIC, parse_header
from vaecodec.errors import VaecodecError
from vaecodec.latents.images import describe_file, describe_files, describe_image
from vaecodec.latents.index import Entry, ImageIndex
from vaecodec.latents.mapping import Place, features_of
from vaecodec.levels import DEFAULT_QUALITY

if TYPE_CHECKING:
    from PIL import Image

    from vaecodec import Codec
    from vaecodec.image_latents import ImageLatents

MAP_SIDE = 512
"""The longer side, in pixels, at which photos are encoded for a map."""
BATCH, BATCH_S = 256, 1.0
"""Images that are committed together, fewer where they take longer than so many seconds: what is lost at most when a
run is killed. A commit waits for the disk."""
AHEAD = 64
"""Small files that are described together."""
SMALL_BYTES = 32_000
"""Of a .vaec file that is described together with others: a thumbnail, or an image of low quality."""


def index_suffixes() -> tuple[str, ...]:
    """The suffixes of files that an index takes."""
    return (*VAEC_SUFFIXES, *photo_suffixes())


def describe(job: Job, make_codec: Callable[[], Codec]) -> Entry:
    """The entry of a file. Raises what its decoder raises."""
    data = job.read()
    path, written = os.path.abspath(job.source), job.source_time() or 0  # noqa: PTH100 (links stay links)
    if is_vaec(data):
        return describe_file(data, make_codec, path, written)
    return describe_image(open_photo(data), path, len(data), written)


def placed(job: Job, make_codec: Callable[[], Codec]) -> Place:
    """What a map holds of a file; a photo, or a lossless file, is made small and encoded on the way."""
    entry = describe(job, make_codec)
    latents = opened_latents(job, make_codec(), longest=MAP_SIDE)
    return Place(entry.path, entry.width, entry.height, entry.picture, features_of(latents))


def opened_latents(
    job: Job, codec: Codec, quality: float = DEFAULT_QUALITY, *, longest: int | None = None
) -> ImageLatents:
    """The latents of a .vaec file; a photo, or a lossless file, is encoded on the way, `longest` pixels a side."""
    data = job.read()
    if is_vaec(data) and not parse_header(data).header.is_lossless:
        return codec.latents(data)
    image = codec.decode(data) if is_vaec(data) else ImageOps.exif_transpose(open_photo(data))
    return codec.latents(scaled_down(image, longest), quality)


def opened(job: Job) -> bytes | Image.Image:
    """The bytes of a .vaec file, or an image, upright. Raises what its decoder raises."""
    data = job.read()
    return data if is_vaec(data) else ImageOps.exif_transpose(open_photo(data))


def is_vaec(data: bytes) -> bool:
    """Whether data begin as a .vaec file, whatever its name."""
    return data.startswith(MAGIC)


def open_index(path: str, *, create: bool = False) -> ImageIndex:
    """An index. Raises Fatal for what is none."""
    try:
        return ImageIndex(path, create=create)
    except EXPECTED as error:
        raise Fatal(error) from error


class Indexing:
    """The work of `vaecodec index`: files that are new or changed, committed in batches.

    Small .vaec files are described ahead of their turn, several together: a call costs more than their numbers.
    """

    def __init__(self, index: ImageIndex, make_codec: Callable[[], Codec], jobs: Sequence[Job] = ()) -> None:
        """jobs: those of the run, in their order."""
        self._index, self._make_codec, self._jobs = index, make_codec, jobs
        self._numbers = {job.source: number for number, job in enumerate(jobs)}
        self._waiting: list[Entry] = []
        self._committed = time.monotonic()
        self._ahead: dict[str, Entry | VaecodecError] = {}
        self._lock, self._describing = threading.Lock(), threading.Lock()

    def is_known(self, job: Job) -> bool:
        """Whether the file is in the index as it is now."""
        status = _status(job.source)
        path = os.path.abspath(job.source)  # noqa: PTH100
        with self._lock:
            return self._index.has(path, status.st_size, status.st_mtime_ns)

    def work(self, job: Job) -> Record:
        """Describe a file; it is in the index once its batch is committed."""
        entry = self._described(job)
        with self._lock:
            self._waiting.append(entry)
            if len(self._waiting) >= BATCH or time.monotonic() > self._committed + BATCH_S:
                self._commit()
        return {"width": entry.width, "height": entry.height}

    def _described(self, job: Job) -> Entry:
        if not _is_small(job):
            return describe(job, self._make_codec)
        with self._describing:
            if job.source not in self._ahead:
                self._look_ahead(job)
            entry = self._ahead.pop(job.source, None)
        if isinstance(entry, VaecodecError):
            raise entry
        return describe(job, self._make_codec) if entry is None else entry

    def _look_ahead(self, job: Job) -> None:
        """Describe this file and those of the next that are small .vaec files and not known; what else there is waits
        for its turn."""
        first = self._numbers.get(job.source, len(self._jobs))
        following = [each for each in self._jobs[first + 1 : first + AHEAD] if _is_small(each)]
        read = []
        for each in (job, *(each for each in following if not self.is_known(each))):
            with contextlib.suppress(OSError):
                written, data = each.source_time() or 0, each.read()
                if is_vaec(data):
                    read.append((each.source, data, os.path.abspath(each.source), written))  # noqa: PTH100
        if len(read) > 1:
            sources, datas, paths, times = zip(*read, strict=True)
            entries = describe_files(datas, self._make_codec(), paths, times)
            self._ahead |= dict(zip(sources, entries, strict=True))

    def commit(self) -> None:
        """Put what is left into the index."""
        with self._lock:
            self._commit()

    def _commit(self) -> None:
        if self._waiting:
            self._index.add(self._waiting)
            self._waiting.clear()
        self._committed = time.monotonic()


def _is_small(job: Job) -> bool:
    """Whether it is a file of this machine that may be described with others; one that is not there is none."""
    try:
        return job.source.endswith(VAEC_SUFFIXES) and _status(job.source).st_size <= SMALL_BYTES
    except OSError:
        return False


def _status(path: str) -> os.stat_result:
    return os.stat(path)  # noqa: PTH116 (to make a Path takes longer than the call)
