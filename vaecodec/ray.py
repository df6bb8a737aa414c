"""Ray Data: columns of image files into columns of .vaec files and back, on a cluster.

    photos = ray.data.read_binary_files("s3://archive/photos", include_paths=True)
    small = vaecodec.ray.compress(photos, quality=60)        # a column "vaec", and "error"
    images = vaecodec.ray.decompress(small)                  # a column "bytes" again, PNG

`Compressor` and `Decompressor` are the classes behind them, for `Dataset.map_batches` (batch_format="pyarrow") and for
whatever else calls an object with an Arrow table. Ray itself is the extra [ray]; of it this module needs nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL import Image

from vaecodec.codec import Codec
from vaecodec.errors import InputError, VaecodecError
from vaecodec.image import PILLOW_ERRORS
from vaecodec.levels import DEFAULT_QUALITY
from vaecodec.runtime.cpu.threads import set_thread_count
from vaecodec.weights.manifest import DEFAULT_MODEL

if TYPE_CHECKING:
    import pyarrow
    import ray.data

ERROR = "error"
"""The column that says why a row has no result; null where it has one."""
ROWS_PER_BLOCK = 8
"""Rows that a worker takes at a time: few, so that no worker is left with a queue of large images."""
MOST_RETRIES = 3
"""Times that a block is tried again after its worker has died."""

_ERRORS = (VaecodecError, OSError, MemoryError)
_PILLOW_ERRORS = (*PILLOW_ERRORS, Image.DecompressionBombError)


@dataclass
class Compressor:
    """A callable that adds a column of .vaec files to Arrow tables with a column of image files.

    column, into: names of the columns, of type binary. A row that cannot be coded has null there, and a text in the
    column `error`. options: of `Codec.encode`, beside quality. threads: of one image, on a CPU; on a GPU the images of
    a table that are of equal size go through the networks together. The codec is made with the first table.
    """

    column: str = "bytes"
    into: str = "vaec"
    quality: float = DEFAULT_QUALITY
    model: str = DEFAULT_MODEL
    device: str = "auto"
    threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Code the images of one table."""
        set_thread_count(self.threads)
        images = [_attempt(_opened, data) for data in _values(table, self.column)]
        return _with_results(table, self.into, self._encoded(images))

    @cached_property
    def codec(self) -> Codec:
        """The codec of this process."""
        return Codec(self.model, device=self.device)

    def _encoded(self, images: Sequence[Any]) -> list[Any]:
        if self.codec.device == "cpu" or self.options:
            return [image if isinstance(image, Exception) else _attempt(self._encode, image) for image in images]
        whole = [image for image in images if not isinstance(image, Exception)]
        files = iter(self.codec.encode_batch(whole, self.quality, on_error="collect"))
        return [image if isinstance(image, Exception) else next(files) for image in images]

    def _encode(self, image: Image.Image) -> bytes:
        return self.codec.encode(image, self.quality, **self.options)


@dataclass
class Decompressor:
    """A callable that adds a column of image files to Arrow tables with a column of .vaec files.

    form: Pillow's name of their format. Else as `Compressor`.
    """

    column: str = "vaec"
    into: str = "bytes"
    form: str = "PNG"
    device: str = "auto"
    threads: int = 1

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        """Decode the files of one table."""
        set_thread_count(self.threads)
        return _with_results(table, self.into, [_attempt(self._decode, data) for data in _values(table, self.column)])

    @cached_property
    def codec(self) -> Codec:
        """The codec of this process."""
        return Codec(device=self.device)

    def _decode(self, data: bytes) -> bytes:
        file, image = io.BytesIO(), self.codec.decode(data)
        kept = {key: image.info[key] for key in ("icc_profile", "exif") if key in image.info}
        try:
            image.save(file, self.form, **kept)
        except _PILLOW_ERRORS as error:
            message = f"the image cannot be written as {self.form}: {error}"
            raise InputError(message) from error
        return file.getvalue()


def compress(
    ds: ray.data.Dataset,
    *,
    column: str = "bytes",
    into: str = "vaec",
    quality: float = DEFAULT_QUALITY,
    model: str = DEFAULT_MODEL,
    device: str = "cpu",
    num_cpus: int = 1,
    num_gpus: float = 0,
    concurrency: int | tuple[int, int] | None = None,
    rows_per_block: int | None = ROWS_PER_BLOCK,
    **options: Any,
) -> ray.data.Dataset:
    """A Dataset with a column of image files -> the same with columns of .vaec files and of errors; see `Compressor`.

    num_cpus: of an actor, and its threads. num_gpus, concurrency: as for `Dataset.map_batches`; None: as many actors as
    there is room for. rows_per_block: the dataset is cut into blocks of so many rows first; None: it is not.
    """
    settings = {"quality": quality, "model": model, "device": device, "options": options}
    columns = {"column": column, "into": into, "threads": num_cpus}
    return _mapped(ds, Compressor, {**columns, **settings}, num_cpus, num_gpus, concurrency, rows_per_block)


def decompress(
    ds: ray.data.Dataset,
    *,
    column: str = "vaec",
    into: str = "bytes",
    form: str = "PNG",
    device: str = "cpu",
    num_cpus: int = 1,
    num_gpus: float = 0,
    concurrency: int | tuple[int, int] | None = None,
    rows_per_block: int | None = ROWS_PER_BLOCK,
) -> ray.data.Dataset:
    """A Dataset with a column of .vaec files -> the same with image files; see `Decompressor` and `compress`."""
    settings = {"column": column, "into": into, "form": form, "device": device, "threads": num_cpus}
    return _mapped(ds, Decompressor, settings, num_cpus, num_gpus, concurrency, rows_per_block)


def actors(concurrency: int | tuple[int, int] | None, first: int = 1) -> Any:
    """The pool of actors of `concurrency`; None: as many as there is room for, also when nodes are added later.

    first: how many are started at once.
    """
    least, most = (concurrency, concurrency) if isinstance(concurrency, int) else concurrency or (1, None)
    first = max(least, first) if most is None else min(max(least, first), most)
    return _ray_data().ActorPoolStrategy(
        min_size=least, max_size=most, initial_size=first, max_tasks_in_flight_per_actor=2
    )


def _mapped(
    ds: ray.data.Dataset,
    actor: Callable[..., Any],
    settings: dict[str, Any],
    num_cpus: int,
    num_gpus: float,
    concurrency: int | tuple[int, int] | None,
    rows_per_block: int | None,
) -> ray.data.Dataset:
    blocks = ds if rows_per_block is None else ds.repartition(target_num_rows_per_block=rows_per_block)
    return blocks.map_batches(
        actor, fn_constructor_kwargs=settings, batch_format="pyarrow", batch_size=None, compute=actors(concurrency),
        num_cpus=num_cpus, num_gpus=num_gpus, max_task_retries=MOST_RETRIES,
    )  # fmt: skip


def _ray_data() -> Any:
    try:
        import ray.data
    except ImportError as error:
        message = "Ray Data is not installed: pip install 'vaecodec[ray]'"
        raise InputError(message) from error
    return ray.data


def _values(table: pyarrow.Table, column: str) -> list[Any]:
    """Bytes or None of each row. Raises InputError where there is no such column."""
    if column not in table.column_names:
        message = f"column is {column!r}; it must be one of {', '.join(table.column_names)}"
        raise InputError(message)
    return table.column(column).to_pylist()  # type: ignore[no-any-return]


def _opened(data: bytes | None) -> Image.Image:
    if data is None:
        message = "the row holds no image file"
        raise InputError(message)
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except _PILLOW_ERRORS as error:
        message = f"the image cannot be read: {error}"
        raise InputError(message) from error
    return image


def _attempt(work: Callable[[Any], Any], value: Any) -> Any:
    """The result of one row, or its error."""
    try:
        return work(value)
    except _ERRORS as error:
        return error


def _with_results(table: pyarrow.Table, into: str, results: Sequence[Any]) -> pyarrow.Table:
    """The table with a column of results, and of the errors among them; columns of these names are replaced."""
    import pyarrow

    data = [None if isinstance(result, Exception) else result for result in results]
    texts = [f"{type(r).__name__}: {r}" if isinstance(r, Exception) else None for r in results]
    kept = table.drop_columns([name for name in (into, ERROR) if name in table.column_names])
    with_data = kept.append_column(into, pyarrow.array(data, pyarrow.binary()))
    return with_data.append_column(ERROR, pyarrow.array(texts, pyarrow.string()))
