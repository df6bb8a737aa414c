"""Images to .vaec files and back with loaded networks.

encode: picture -> pad -> y, z -> z_hat -> scale index (integers) -> means in four steps -> r -> file
decode: file -> z_hat -> scale index (integers) -> r, all in one pass of the entropy coder -> means -> x_hat
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec import auto, container
from vaecodec import lossless as lossless_codec
from vaecodec.arguments import check_integer, check_real
from vaecodec.collecting import OnError, collected, raised
from vaecodec.container import Header
from vaecodec.entropy.coding import CodedLatents, Latents
from vaecodec.errors import CodingError, FormatError, InputError, VaecodecError
from vaecodec.levels import DEFAULT_QUALITY, check_level, quality_to_level
from vaecodec.modes import Mode, chosen_mode
from vaecodec.picture_file import (
    Crop,
    Item,
    Result,
    Source,
    as_it_is,
    batches,
    finish,
    make_source,
    pack_item,
    pixel_limit,
    read_item,
    window_of,
)
from vaecodec.reading import Content, Data, read_data
from vaecodec.runtime.choice import Coder, Plan, choose
from vaecodec.runtime.engines import Engines
from vaecodec.runtime.interface import LoadedModel, Pipeline
from vaecodec.runtime.memory import Memory
from vaecodec.runtime.windows import Window, padded_size
from vaecodec.searching import encode_to
from vaecodec.targets import Goal, bytes_of_bpp
from vaecodec.weights.manifest import DEFAULT_MODEL

__all__ = [
    "Codec",
    "Encoded",
    "shared_codec",
]


@dataclass(frozen=True)
class Encoded:
    """A finished file with what went into it: latents, their coded form, and y_hat, of which g_s makes the image."""

    data: bytes
    latents: Latents
    coded: CodedLatents
    y_hat: Any


class Codec:
    """Encoder and decoder with loaded networks; reusable, picklable, and safe to share between threads.

    model: what to encode with, a shipped name ("base-perceptual", "base", "fast-perceptual", "fast") or the path of a
    weights file. A file names the model it needs: `decode` also takes files of the other shipped models.
    device: "auto", "cpu" or "cuda" (a GPU needs PyTorch: pip install 'vaecodec[torch]'). dtype: of the blocks of all
    networks: "float32", "bfloat16", "float16" (PyTorch, too), or "auto", see `native_dtype`. On a CPU without products
    of bfloat16 only weights are rounded to it. Latents decode alike in all; pixels of bfloat16 are 3 levels from those
    of float32 at most.
    max_memory: bytes that coding one batch may take, beside the program, its weights and the caller's picture. None:
    about 15 a pixel and some 70 MB for each thread. A picture that can't be coded within it raises InputError.
    coder: where latents become bytes: "auto" (beside the networks), "cpu" or "gpu". Files of equal images are the same.
    What runs is chosen when a Codec is made; `repr` shows it (see `runtime.choice`). plan: for tests and measurements,
    what runs in place of what device, dtype and coder choose; it is kept by pickling, other choices are made anew.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_memory: int | None = None,
        coder: Coder = "auto",
        plan: Plan | None = None,
    ) -> None:
        self.model, self.dtype, self.max_memory, self.coder = model, dtype, max_memory, coder
        self._given_plan = plan
        self.plan = choose(device, dtype, coder) if plan is None else plan
        self.device = self.plan.device
        self._engines = Engines(model, self.plan)
        self.model_id = self._engines.model_id

    def __repr__(self) -> str:
        return f"Codec({str(self.model)!r}: {self.plan})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "device": self.device,
            "dtype": self.dtype,
            "max_memory": self.max_memory,
            "coder": self.coder,
            "plan": self._given_plan,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def _memory(self) -> Memory:
        return self._engines.own.memory(self.max_memory)

    def _pipeline(self, header: Header | None = None) -> Pipeline:
        """Of the model that a file names, or of the one that encodes."""
        engine = self._engines.own if header is None else self._engines.of(header)
        return engine.pipeline(self.max_memory)

    def loaded_model(self, header: Header | None = None) -> LoadedModel:
        """The loaded model that encodes, or that a file's header names: entropy model, config, networks.

        Raises UnknownModel or HashMismatch.
        """
        engine = self._engines.own if header is None else self._engines.of(header)
        return engine.model

    # Encoding

    def encode(
        self,
        image: object,
        quality: float = DEFAULT_QUALITY,
        *,
        level: int | None = None,
        target_bytes: int | None = None,
        target_psnr: float | None = None,
        target_bpp: float | None = None,
        mode: Mode = "auto",
        lossless: bool = False,
        strip: bool = False,
    ) -> bytes:
        """An image -> the bytes of a .vaec file.

        image: PIL.Image, uint8 array [H, W], [H, W, 1|2|3|4], or tensor [3, H, W]. quality 1..100, or `level` 0..63
        itself, or one target: target_bytes, the size of the whole file, never exceeded; target_bpp, the same in bits
        per pixel; target_psnr in dB over the colours, reached or exceeded by at most 0.05 (more where the lowest level
        has more). mode: "neural"; "lossless" (also by lossless=True), whatever the quality; or "auto", lossless where
        that is not larger or the networks fail (see `vaecodec.auto`). strip=True leaves ICC, EXIF and XMP out. Raises
        InputError; TargetError for a target out of reach; CodingError where mode "neural" can't code the image.
        """
        goals = {"target_bytes": target_bytes, "target_psnr": target_psnr, "target_bpp": target_bpp, "level": level}
        given = [name for name, value in goals.items() if value is not None]
        if len(given) > 1:
            message = f"{' and '.join(given)} can't be combined; give one of them"
            raise InputError(message)
        if target_bytes is not None:
            target_bytes = check_integer("target_bytes", target_bytes)
        target_psnr, target_bpp = (
            value if value is None else check_real(name, value)
            for name, value in (("target_psnr", target_psnr), ("target_bpp", target_bpp))
        )
        mode = chosen_mode(mode, lossless=lossless, targets=goals)
        source = make_source(as_it_is(image), strip=strip)
        if mode == "lossless":
            return lossless_codec.encode(source, max_memory=self.max_memory)
        if given in ([], ["level"]):
            level = quality_to_level(quality) if level is None else check_level(level)
            [found] = self._encode_equal([source], level, mode)
            return raised(found)
        if target_bpp is not None:
            target_bytes = bytes_of_bpp(target_bpp, source.picture.width * source.picture.height)
        if mode == "auto":
            return auto.choose_for_target(
                source, target_bytes, target_psnr, partial(self._encode_to, source), max_memory=self.max_memory
            )
        return self._encode_to(source, target_bytes, target_psnr)

    def encode_with_latents(
        self,
        image: object,
        quality: float = DEFAULT_QUALITY,
        *,
        level: int | None = None,
        strip: bool = False,
    ) -> Encoded:
        """The file that `encode` makes, with the integers that went into it."""
        level = quality_to_level(quality) if level is None else check_level(level)
        source = make_source(image, strip=strip)
        pipeline = self._pipeline()
        quantized = pipeline.quantize([source.picture.rgb], level)
        [coded] = pipeline.encode(quantized)
        return Encoded(self._pack(source, coded, level), quantized.latents_of(0), coded, quantized.y_hat)

    @overload
    def encode_batch(
        self,
        images: Sequence[object],
        quality: float = DEFAULT_QUALITY,
        *,
        mode: Mode = "auto",
        lossless: bool = False,
        strip: bool = False,
        on_error: Literal["raise"] = "raise",
    ) -> list[bytes]: ...
    @overload
    def encode_batch(
        self,
        images: Sequence[object],
        quality: float = DEFAULT_QUALITY,
        *,
        mode: Mode = "auto",
        lossless: bool = False,
        strip: bool = False,
        on_error: Literal["collect"],
    ) -> list[bytes | VaecodecError]: ...
    def encode_batch(
        self,
        images: Sequence[object],
        quality: float = DEFAULT_QUALITY,
        *,
        mode: Mode = "auto",
        lossless: bool = False,
        strip: bool = False,
        on_error: OnError = "raise",
    ) -> Sequence[bytes | VaecodecError]:
        """Several pictures of any sizes -> their files; those of (nearly) equal size share passes of the networks.

        mode, lossless: as for `encode`, for each picture by itself. With on_error="collect" the place of a picture
        that can't be encoded holds its error instead of a file.
        """
        level = quality_to_level(quality)
        mode = chosen_mode(mode, lossless=lossless, targets={})
        results: dict[int, bytes | VaecodecError] = {}
        sources: dict[int, Source] = {}
        for number, image in enumerate(images):
            with collected(results, number, on_error):
                sources[number] = make_source(as_it_is(image), strip=strip)
        if mode == "lossless":
            results |= {n: lossless_codec.encode(s, max_memory=self.max_memory) for n, s in sources.items()}
            return [results[number] for number in range(len(images))]
        numbers = list(sources)
        keys = [(*padded_size(sources[number].picture.rgb), b"") for number in numbers]
        for places in batches(keys, self._memory.batch_pixels):
            batch = [numbers[place] for place in places]
            for number, found in zip(batch, self._encode_equal([sources[n] for n in batch], level, mode), strict=True):
                with collected(results, number, on_error):
                    results[number] = raised(found)
        return [results[number] for number in range(len(images))]

    def _encode_equal(self, sources: Sequence[Source], level: int, mode: Mode) -> list[bytes | CodingError]:
        """The files of pictures that are equal in size once padded, or the error of what the networks can't code."""
        try:
            coded = self._pipeline().encode_pictures([source.picture.rgb for source in sources], level)
        except CodingError as error:
            if len(sources) > 1:
                return [self._encode_equal([source], level, mode)[0] for source in sources]
            return [error if mode == "neural" else lossless_codec.encode(sources[0], max_memory=self.max_memory)]
        pairs = [(source, self._pack(source, part, level)) for source, part in zip(sources, coded, strict=True)]
        return [data if mode == "neural" else self._choose(source, data, level) for source, data in pairs]

    def _choose(self, source: Source, data: bytes, level: int) -> bytes:
        """The neural file of a picture, or the lossless one where that suits it better."""
        pixels = source.picture.width * source.picture.height

        def decode(data: bytes) -> NDArray[np.uint8]:
            return self.decode(data, as_array=True, max_pixels=pixels)

        return auto.choose(source, level, data, decode, max_memory=self.max_memory)

    def _pack(self, source: Source, coded: CodedLatents, level: int) -> bytes:
        return pack_item(source, coded, level, self.model_id, self._engines.own.model.wire_hash)

    def _encode_to(self, source: Source, target_bytes: int | None, target_psnr: float | None) -> bytes:
        """The neural file that meets a target."""
        goal = Goal.of_psnr(float(target_psnr or 0)) if target_bytes is None else Goal.of_bytes(target_bytes)
        return encode_to(goal, source, self._pipeline(), partial(self._pack, source))

    # Decoding

    @overload
    def decode(
        self,
        data: Data,
        *,
        as_array: Literal[False] = False,
        max_pixels: int | None = None,
        crop: Crop | None = None,
        scale: int = 1,
    ) -> Image.Image: ...
    @overload
    def decode(
        self,
        data: Data,
        *,
        as_array: Literal[True],
        max_pixels: int | None = None,
        crop: Crop | None = None,
        scale: int = 1,
    ) -> NDArray[np.uint8]: ...
    def decode(
        self,
        data: Data,
        *,
        as_array: bool = False,
        max_pixels: int | None = None,
        crop: Crop | None = None,
        scale: int = 1,
    ) -> Result:
        """The bytes of a .vaec file -> PIL.Image, or with as_array uint8 [H, W, 3|4] ([H, W] for gray).

        max_pixels: default is twice Pillow's MAX_IMAGE_PIXELS, as in Image.open. crop=(x, y, width, height): only that
        part of the picture, in a time that goes with its size. scale=2, 4 or 8, without crop: 1/scale of the size,
        rounded up, the means of squares; for 8 close to them and faster, if the model has a preview head. Raises
        FormatError for a bad file, UnknownModel or HashMismatch if it needs other weights, InputError for a bad crop.
        A lossless file needs no weights.
        """
        content = read_data(data)
        if self._is_lossless(content, max_pixels):
            return lossless_codec.decode(
                content, as_array=as_array, max_pixels=max_pixels, crop=crop, scale=scale, max_memory=self.max_memory
            )
        item = self._read_item(0, content, max_pixels)
        window = window_of(item.header, crop, scale)
        [rgb] = self._pipeline(item.header).pixels([item.stored], window, scale=scale)
        if isinstance(rgb, FormatError):
            raise rgb
        return finish(item, rgb, window, scale, as_array=as_array)

    def decode_batch(
        self,
        datas: Sequence[Data],
        *,
        as_array: bool = False,
        on_error: OnError = "raise",
        max_pixels: int | None = None,
    ) -> list[Result | VaecodecError | OSError]:
        """Several files of any sizes; pictures of (nearly) equal size go through the networks together.

        With on_error="collect" a bad file's place holds its error instead of an image: a VaecodecError, or the OSError
        of one that can't be read.
        """
        results: dict[int, Result | VaecodecError | OSError] = {}
        items: list[Item] = []
        for number, data in enumerate(datas):
            with collected(results, number, on_error):
                content = read_data(data)
                if self._is_lossless(content, max_pixels):
                    results[number] = self.decode(content, as_array=as_array, max_pixels=max_pixels)  # type: ignore[call-overload]
                else:
                    items.append(self._read_item(number, content, max_pixels))
        keys = [(*item.padded_size, item.header.model_hash) for item in items]
        for places in batches(keys, self._memory.batch_pixels):
            batch = [items[place] for place in places]
            height, width = (max(getattr(item.header, side) for item in batch) for side in ("height", "width"))
            stored, whole = [item.stored for item in batch], Window(0, height, 0, width)
            pixels = self._pipeline(batch[0].header).pixels(stored, whole)
            for item, rgb in zip(batch, pixels, strict=True):
                if isinstance(rgb, FormatError) and on_error == "raise":
                    raise rgb
                results[item.number] = rgb if isinstance(rgb, FormatError) else _finish_whole(item, rgb, as_array)
        return [results[number] for number in range(len(datas))]

    def decode_latents(self, data: Data, *, max_pixels: int | None = None) -> Latents:
        """Only the entropy decoding: the integers of the file, equal on every machine. A lossless file has none.

        Raises as `decode`, and InputError for a lossless file.
        """
        item = self._read_item(0, data, max_pixels)
        return self._pipeline(item.header).decode_latents(item.stored)

    @staticmethod
    def _is_lossless(data: Content, max_pixels: int | None) -> bool:
        """Raises FormatError for what can be seen in the header."""
        return container.parse(data, max_pixels=pixel_limit(max_pixels)).header.is_lossless

    def _read_item(self, number: int, data: Data, max_pixels: int | None) -> Item:
        """All that can be checked of a file before it is decoded; loads the model that it needs."""
        return read_item(number, read_data(data), max_pixels, self._engines.of)


def _finish_whole(item: Item, rgb: NDArray[np.uint8], as_array: bool) -> Result:
    """Pixels of a whole picture, cut out of those of the largest of its batch."""
    window = window_of(item.header, None, 1)
    return finish(item, rgb[: window.height, : window.width], window, 1, as_array=as_array)


@lru_cache(maxsize=4)
def shared_codec(model: str | Path = DEFAULT_MODEL, device: str = "auto", max_memory: int | None = None) -> Codec:
    """The codec that `vaecodec.encode` and `vaecodec.decode` share."""
    return Codec(model, device=device, max_memory=max_memory)
