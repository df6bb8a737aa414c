"""Images to .vaec files and back: the only place that joins container, entropy coder and networks.

encode: picture -> pad -> y, z -> z_hat -> scale index (integers) -> means in four steps -> r -> file
decode: file -> z_hat -> scale index (integers) -> r, all in one pass of the entropy coder -> means -> x_hat
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vaecodec import container
from vaecodec.container import Header, Mode, Tag
from vaecodec.entropy.coding import CodedLatents, Latents, decode_latents, encode_latents
from vaecodec.errors import HashMismatch, InputError, VaecodecError
from vaecodec.items import Crop, Item, Result, Source, batches, finish, make_source, pixel_limit, read_alpha, window_of
from vaecodec.models.config import ALIGNMENT, LEVELS
from vaecodec.models.devices import DTYPES, choose_device, native_dtype
from vaecodec.models.loading import LoadedModel, load_model
from vaecodec.models.memory import Memory
from vaecodec.models.passes import padded_size
from vaecodec.models.pipeline import Pipeline, Quantized, to_pixels
from vaecodec.models.windows import Window
from vaecodec.targets import Goal, Trial, bytes_of_bpp, meet
from vaecodec.weights.manifest import entry_by_name, entry_by_wire
from vaecodec.weights.store import StoredModel, read_model

__all__ = [
    "Codec",
    "Encoded",
    "choose_device",
    "decode",
    "encode",
    "native_dtype",
    "quality_to_level",
    "shared_codec",
    "to_pixels",
]

QUALITY_MIN, QUALITY_MAX = 1, 100
DEFAULT_QUALITY = 60


def quality_to_level(quality: float) -> int:
    """Quality 1..100 -> level 0..63. Raises InputError outside of it."""
    if not QUALITY_MIN <= quality <= QUALITY_MAX:
        message = f"quality is {quality}; legal is {QUALITY_MIN}..{QUALITY_MAX}"
        raise InputError(message)
    return round((quality - QUALITY_MIN) * (LEVELS - 1) / (QUALITY_MAX - QUALITY_MIN))


def check_level(level: int) -> int:
    """The level itself. Raises InputError outside of 0..63."""
    if not 0 <= level < LEVELS:
        message = f"level is {level}; legal is 0..{LEVELS - 1}"
        raise InputError(message)
    return level


@dataclass(frozen=True)
class Encoded:
    """A finished file with what went into it: the latents, their coded form, and x_hat as the encoder sees it."""

    data: bytes
    latents: Latents
    coded: CodedLatents
    y_hat: Tensor


class Codec:
    """Encoder and decoder with loaded networks; reusable, picklable, and safe to share between threads.

    model: a shipped name ("fast", ...) or the path of a weights file; it is used to encode. A file names the model it
    needs, so `decode` also takes files of the other shipped models.
    device: "auto", "cpu" or "cuda". dtype: of the blocks of g_a and g_s: "float32", "bfloat16", "float16", or "auto",
    see `native_dtype`. Latents decode alike in every dtype; pixels of bfloat16 and float32 differ by about one level at
    most.
    max_memory: bytes that coding one batch may take, beside the program, its weights and the caller's picture. None:
    about 18 a pixel and some 50 MB for each thread. A picture that can't be coded within it raises InputError.
    """

    def __init__(
        self, model: str | Path = "fast", *, device: str = "auto", dtype: str = "auto", max_memory: int | None = None
    ) -> None:
        if dtype not in DTYPES:
            message = f"dtype is {dtype!r}; legal are {', '.join(DTYPES)}"
            raise InputError(message)
        self.model, self.device, self.dtype, self.max_memory = model, choose_device(device), dtype, max_memory
        self._block_dtype = DTYPES[dtype] or native_dtype(self.device)
        self._loaded: dict[tuple[int, bytes], LoadedModel] = {}
        self._is_shipped = not (isinstance(model, Path) or model.endswith(".safetensors"))
        stored, self._model_id = self._read(model)
        self._own = self._load(stored, self._model_id)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "device": str(self.device),
            "dtype": self.dtype,
            "max_memory": self.max_memory,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _read(self, model: str | Path) -> tuple[StoredModel, int]:
        if not self._is_shipped:
            stored = read_model(Path(model))
            return stored, int(stored.card["model_id"])
        entry = entry_by_name(str(model))
        return read_model(entry.path, entry.sha256), entry.model_id

    def _load(self, stored: StoredModel, model_id: int) -> LoadedModel:
        loaded = load_model(stored)
        loaded.network.to(self.device)
        # Only the blocks: what enters and leaves them needs more than 8 bits of mantissa at the high qualities.
        for blocks in (loaded.network.g_a.blocks, loaded.network.g_s.blocks):
            blocks.to(self._block_dtype)
        return self._loaded.setdefault((model_id, loaded.wire_hash), loaded)

    def _model_of(self, header: Header) -> LoadedModel:
        """The model that a file needs. Raises UnknownModel or HashMismatch."""
        loaded = self._loaded.get((header.model_id, header.model_hash))
        if loaded is not None:
            return loaded
        if header.model_id == self._model_id and not self._is_shipped:
            message = f"the file needs weights {header.model_hash.hex()}; {self.model} is {self._own.wire_hash.hex()}"
            raise HashMismatch(message)
        entry = entry_by_wire(header.model_id, header.model_hash)
        return self._load(read_model(entry.path, entry.sha256), entry.model_id)

    @property
    def _memory(self) -> Memory:
        return Memory(self.max_memory, self.device.type, torch.get_num_threads())

    def _pipeline(self, loaded: LoadedModel) -> Pipeline:
        return Pipeline(loaded, self.device, self._memory)

    # Encoding

    def encode(
        self,
        picture: object,
        quality: float = DEFAULT_QUALITY,
        *,
        level: int | None = None,
        target_bytes: int | None = None,
        target_psnr: float | None = None,
        target_bpp: float | None = None,
        strip: bool = False,
    ) -> bytes:
        """A picture -> the bytes of a .vaec file.

        picture: PIL.Image, uint8 array [H, W], [H, W, 1|2|3|4], or tensor [3, H, W]. quality 1..100, or `level` 0..63
        itself, or one target: target_bytes, the size of the whole file, never exceeded; target_bpp, the same in bits
        per pixel; target_psnr in dB over the colours, reached or exceeded by at most 0.05 (more where the lowest level
        has more). strip=True leaves ICC, EXIF and XMP out. Raises InputError; TargetError for a target out of reach.
        """
        goals = {"target_bytes": target_bytes, "target_psnr": target_psnr, "target_bpp": target_bpp, "level": level}
        given = [name for name, value in goals.items() if value is not None]
        if len(given) > 1:
            message = f"{' and '.join(given)} can't be combined; give one of them"
            raise InputError(message)
        if given in ([], ["level"]):
            return self.encode_with_latents(picture, quality, level=level, strip=strip).data
        source = make_source(picture, strip=strip)
        if target_bpp is not None:
            target_bytes = bytes_of_bpp(target_bpp, source.picture.width * source.picture.height)
        if target_bytes is not None:
            return self._encode_to(Goal.of_bytes(target_bytes), source)
        return self._encode_to(Goal.of_psnr(float(target_psnr or 0)), source)

    def encode_with_latents(
        self,
        picture: object,
        quality: float = DEFAULT_QUALITY,
        *,
        level: int | None = None,
        strip: bool = False,
    ) -> Encoded:
        """As `encode`, with the integers that went into the file."""
        level = quality_to_level(quality) if level is None else check_level(level)
        source = make_source(picture, strip=strip)
        [quantized] = self._pipeline(self._own).quantize([source.picture.rgb], level)
        return self._pack(source, quantized)

    def encode_batch(
        self, pictures: Sequence[object], quality: float = DEFAULT_QUALITY, *, strip: bool = False
    ) -> list[bytes]:
        """Several pictures of any sizes -> their files; those of (nearly) equal size share passes of the networks."""
        level = quality_to_level(quality)
        sources = [make_source(picture, strip=strip) for picture in pictures]
        files: dict[int, bytes] = {}
        keys = [(*padded_size(source.picture.rgb), b"") for source in sources]
        for numbers in batches(keys, self._memory.batch_pixels):
            quantized = self._pipeline(self._own).quantize([sources[n].picture.rgb for n in numbers], level)
            files |= {n: self._pack(sources[n], part).data for n, part in zip(numbers, quantized, strict=True)}
        return [files[number] for number in range(len(sources))]

    def _pack(self, source: Source, quantized: Quantized) -> Encoded:
        """The entropy coder's part, and the file."""
        latents = quantized.latents
        coded = encode_latents(self._own.entropy, latents, quantized.index)
        header = Header(
            version=container.VERSION,
            flags=0,
            model_id=self._model_id,
            model_hash=self._own.wire_hash,
            level=latents.level,
            mode=Mode[source.picture.mode],
            width=source.picture.width,
            height=source.picture.height,
        )
        sections = [(Tag.LATENTS, coded.payload), (Tag.OUTLIERS, coded.outliers), *source.extras]
        data = container.pack(header, [(tag, content) for tag, content in sections if content])
        return Encoded(data, latents, coded, quantized.y_hat[None])

    def _encode_to(self, goal: Goal, source: Source) -> bytes:
        """The file that meets a goal. What doesn't depend on the level is computed once."""
        pipeline = self._pipeline(self._own)
        features = pipeline.features([source.picture.rgb])

        def measure(level: int, strength: float) -> Trial[bytes]:
            [quantized] = pipeline.quantize(features, level, dead_zone=strength)
            data = self._pack(source, quantized).data
            if goal.bound == "high":
                return Trial(goal.value_of_bytes(len(data)), data)
            return Trial(source.psnr(pipeline.pixel_rows(quantized.y_hat, level)), data)

        return meet(measure, goal, LEVELS).content

    # Decoding

    @overload
    def decode(
        self,
        data: bytes,
        *,
        as_array: Literal[False] = False,
        max_pixels: int | None = None,
        crop: Crop | None = None,
        scale: int = 1,
    ) -> Image.Image: ...
    @overload
    def decode(
        self,
        data: bytes,
        *,
        as_array: Literal[True],
        max_pixels: int | None = None,
        crop: Crop | None = None,
        scale: int = 1,
    ) -> NDArray[np.uint8]: ...
    def decode(
        self,
        data: bytes,
        *,
        as_array: bool = False,
        max_pixels: int | None = None,
        crop: Crop | None = None,
        scale: int = 1,
    ) -> Result:
        """The bytes of a .vaec file -> PIL.Image, or with as_array uint8 [H, W, 3|4] ([H, W] for gray).

        max_pixels: default is twice Pillow's MAX_IMAGE_PIXELS, as in Image.open. crop=(x, y, width, height): only that
        part of the picture, in a time that goes with its size. scale=2, 4 or 8: the picture at 1/scale of its size
        (rounded up), the mean of each square; not together with crop. Raises FormatError for a bad file, UnknownModel
        or HashMismatch for one that needs other weights, InputError for a crop outside of the picture.
        """
        item = self._read_item(0, data, max_pixels)
        window = window_of(item.header, crop, scale)
        [rgb] = self._pipeline(item.loaded).synthesize([item.latents], window, scale=scale)
        return finish(item, rgb, window, scale, as_array=as_array)

    def decode_batch(
        self,
        datas: Sequence[bytes],
        *,
        as_array: bool = False,
        on_error: Literal["raise", "collect"] = "raise",
        max_pixels: int | None = None,
    ) -> list[Result | VaecodecError]:
        """Several files of any sizes; pictures of (nearly) equal size go through the networks together.

        With on_error="collect" a bad file's place holds its error instead of an image.
        """
        results: dict[int, Result | VaecodecError] = {}
        items: list[Item] = []
        for number, data in enumerate(datas):
            try:
                items.append(self._read_item(number, data, max_pixels))
            except VaecodecError as error:
                if on_error == "raise":
                    raise
                results[number] = error
        keys = [(*item.padded_size, item.loaded.wire_hash) for item in items]
        for places in batches(keys, self._memory.batch_pixels):
            batch = [items[place] for place in places]
            height, width = (max(getattr(item.header, side) for item in batch) for side in ("height", "width"))
            latents = [item.latents for item in batch]
            pixels = self._pipeline(batch[0].loaded).synthesize(latents, Window(0, height, 0, width))
            for item, rgb in zip(batch, pixels, strict=True):
                window = window_of(item.header, None, 1)
                pixels_of_it = rgb[: window.height, : window.width]
                results[item.number] = finish(item, pixels_of_it, window, 1, as_array=as_array)
        return [results[number] for number in range(len(datas))]

    def decode_latents(self, data: bytes, *, max_pixels: int | None = None) -> Latents:
        """Only the entropy decoding: the integers of the file, equal on every machine."""
        return self._read_item(0, data, max_pixels).latents

    def _read_item(self, number: int, data: bytes, max_pixels: int | None) -> Item:
        """Checks and entropy decoding of one file."""
        file = container.parse(data, max_pixels=pixel_limit(max_pixels))
        loaded = self._model_of(file.header)
        contents = container.read_all(data, file)
        z_shape = (-(-file.header.height // ALIGNMENT), -(-file.header.width // ALIGNMENT))
        payload, outliers = contents[Tag.LATENTS], contents.get(Tag.OUTLIERS, b"")
        latents = decode_latents(loaded.entropy, file.header.level, z_shape, payload, outliers)
        return Item(number, file.header, contents, latents, loaded, read_alpha(file.header, contents))


@lru_cache(maxsize=4)
def shared_codec(model: str = "fast", device: str = "auto", max_memory: int | None = None) -> Codec:
    """The codec that the module-level functions share."""
    return Codec(model, device=device, max_memory=max_memory)


def encode(
    picture: object,
    quality: float = DEFAULT_QUALITY,
    *,
    model: str = "fast",
    device: str = "auto",
    target_bytes: int | None = None,
    target_psnr: float | None = None,
    target_bpp: float | None = None,
    strip: bool = False,
    max_memory: int | None = None,
) -> bytes:
    """A picture -> the bytes of a .vaec file; see `Codec.encode`."""
    targets = {"target_bytes": target_bytes, "target_psnr": target_psnr, "target_bpp": target_bpp}
    return shared_codec(model, device, max_memory).encode(picture, quality, strip=strip, **targets)  # type: ignore[arg-type]


@overload
def decode(
    data: bytes,
    *,
    as_array: Literal[False] = False,
    device: str = "auto",
    max_pixels: int | None = None,
    crop: Crop | None = None,
    scale: int = 1,
    max_memory: int | None = None,
) -> Image.Image: ...
@overload
def decode(
    data: bytes,
    *,
    as_array: Literal[True],
    device: str = "auto",
    max_pixels: int | None = None,
    crop: Crop | None = None,
    scale: int = 1,
    max_memory: int | None = None,
) -> NDArray[np.uint8]: ...
def decode(
    data: bytes,
    *,
    as_array: bool = False,
    device: str = "auto",
    max_pixels: int | None = None,
    crop: Crop | None = None,
    scale: int = 1,
    max_memory: int | None = None,
) -> Result:
    """The bytes of a .vaec file -> image; see `Codec.decode`."""
    codec = shared_codec(device=device, max_memory=max_memory)
    return codec.decode(data, as_array=as_array, max_pixels=max_pixels, crop=crop, scale=scale)  # type: ignore[call-overload,no-any-return]
