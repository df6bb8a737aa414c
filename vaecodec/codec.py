"""Images to .vaec files and back with loaded networks.

encode: image -> pad -> y, z -> z_hat -> scale index (integers) -> means in four steps -> r -> file
decode: file -> z_hat -> scale index (integers) -> r, all in one pass of the entropy coder -> means -> x_hat
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec import auto, container, feedback
from vaecodec import lossless as lossless_codec
from vaecodec.arguments import check_integer
from vaecodec.collecting import OnError, collected, or_error, raised, together
from vaecodec.container import Header
from vaecodec.denoising import Denoise, averaged, check_denoise, mirrored, strength_of
from vaecodec.entropy.coding import CodedLatents, Latents, encode_latents
from vaecodec.errors import CodingError, FormatError, InputError, VaecodecError
from vaecodec.image_latents import ImageLatents, checked_index, header_of, integers_of, is_file
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import DEFAULT_QUALITY, MAX_LEVEL, check_level, level_lambda, quality_to_level
from vaecodec.modes import Mode, chosen_mode, one_target
from vaecodec.networks.config import LATENT_MAX
from vaecodec.picture_file import (
    Crop,
    Item,
    Result,
    Source,
    as_it_is,
    batches,
    finish,
    finish_whole,
    header_for,
    make_source,
    needed,
    pack_item,
    pack_latents,
    pixel_limit,
    read_item,
    restored,
    window_of,
)
from vaecodec.postfilter import fit_postfilter
from vaecodec.reading import Content, Data, read_data
from vaecodec.refine import DEFAULT_EFFORT, Progress, passes_of, silent
from vaecodec.runtime.choice import Coder, Plan, choose
from vaecodec.runtime.cpu.postfilter import Loops, filtered
from vaecodec.runtime.engines import Engines
from vaecodec.runtime.interface import LoadedModel, Pipeline, Quantized
from vaecodec.runtime.memory import Memory, bytes_per_pixel
from vaecodec.runtime.windows import Window, padded_size
from vaecodec.searching import Care, Encoded, Refine, Refined, decoded, encode_to
from vaecodec.targets import Goal, bytes_of_bpp
from vaecodec.verification import check_file, check_y_hat, is_debugging
from vaecodec.weights.manifest import DEFAULT_MODEL

if TYPE_CHECKING:
    from vaecodec.refine.refiner import Refiner

__all__ = [
    "Codec",
    "Encoded",
    "shared_codec",
]


class Codec:
    """Encoder and decoder with loaded networks; reusable, picklable, and safe to share between threads.

    model: what to encode with, a shipped name ("base-perceptual", "base", "fast-perceptual") or the path of a
    weights file. A file names the model it needs: `decode` also takes files of the other shipped models.
    device: "auto", "cpu" or "cuda" (a GPU needs PyTorch: pip install 'vaecodec[torch]'). dtype: of the blocks of all
    networks: "float32", "bfloat16", "float16" (PyTorch, too), or "auto", see `native_dtype`. On a CPU without products
    of bfloat16 only weights are rounded to it. Latents decode alike in all; pixels of bfloat16 are 3 levels from those
    of float32 at most (4 behind a post filter).
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
        if max_memory is not None and check_integer("max_memory", max_memory) < 1:
            message = f"max_memory is {max_memory} bytes; it must be at least 1"
            raise InputError(message)
        self.model, self.dtype, self.max_memory, self.coder = model, dtype, max_memory, coder
        self._given_device, self._given_plan = device, plan
        self.plan = choose(device, dtype, coder) if plan is None else plan
        self.device = self.plan.device
        self._engines = Engines(model, self.plan)
        self.model_id = self._engines.model_id

    def __repr__(self) -> str:
        return f"Codec({str(self.model)!r}: {self.plan})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "device": self._given_device,
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

    @property
    def _loops(self) -> Loops:
        return "compiled" if self.plan.integer_product == "compiled" else "plain"

    def _pipeline(self, header: Header | None = None) -> Pipeline:
        """The pipeline of the model that a file names, or of the one that encodes."""
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
        verify: bool = False,
        effort: int = DEFAULT_EFFORT,
        progress: Progress | None = None,
        denoise: Denoise | None = None,
    ) -> bytes:
        """An image -> the bytes of a .vaec file.

        image: PIL.Image, uint8 array [H, W], [H, W, 1|2|3|4], or tensor [3, H, W]. quality 1..100, or in its place
        `level` 0..63 itself, or one target: target_bytes, the size of the whole file, never exceeded; target_bpp, the
        same in bits per pixel; target_psnr in dB over the colours, reached or exceeded by at most 0.05 (more where the
        lowest level has more). mode: "neural"; "lossless" (also by lossless=True), whatever the quality; or "auto",
        lossless where that is not larger or the networks fail (see `vaecodec.auto`). strip=True leaves ICC, EXIF and
        XMP out. verify=True decodes the finished file and compares (see `vaecodec.verification`). effort 1..9: up to 3
        one pass of the encoder; 4 for an image that is no photograph some more (see `vaecodec.feedback`), with a target
        only without `max_memory`; above it the integers are refined for this image in 12 to 90 passes, and `progress`
        is told of each (see `vaecodec.refine`). Images that are no photographs, and refined ones of a model for squared
        error, have a post filter where it pays (see `vaecodec.postfilter`). denoise: the standard deviation of the
        noise to take away, in shades of 255 up to 64, or "auto" to estimate it; noise costs no bits then, for a model
        with a denoising encoder ("base"); refined integers come closer to what that makes of the image at the best
        level.
        Raises InputError; TargetError for a target out of reach; CodingError where mode "neural" or the comparison
        fails; BackendError for a refinement without PyTorch.
        """
        care = self._care(effort, progress)
        goals = {"target_bytes": target_bytes, "target_psnr": target_psnr, "target_bpp": target_bpp, "level": level}
        target_bytes, target_psnr, target_bpp = one_target(quality, target_bytes, target_psnr, target_bpp, level)
        mode = chosen_mode(mode, lossless=lossless, targets=goals)
        source, latents = make_source(as_it_is(image), strip=strip), None
        if target_bpp is not None:
            target_bytes = bytes_of_bpp(target_bpp, source.picture.width * source.picture.height)
        has_target = target_bytes is not None or target_psnr is not None
        level = quality_to_level(quality) if level is None else check_level(level)
        sigma = None
        if denoise is not None:
            check_denoise(denoise, mode, target_psnr)
            sigma = strength_of(denoise, source.picture.rgb)
        if sigma is not None:
            data, latents = self._encode_denoised(source, level, target_bytes, sigma, care.refine)
        elif mode == "lossless":
            data = lossless_codec.encode(source, max_memory=self.max_memory)
        elif has_target and mode == "auto":
            neural = partial(self._encode_to, source, care)
            data = auto.choose_for_target(source, target_bytes, target_psnr, neural, max_memory=self.max_memory)
        elif has_target:
            data = self._encode_to(source, care, target_bytes, target_psnr)
        elif verify or is_debugging():
            data, latents = self._encode_kept(source, level, mode, care)
        else:
            data = raised(self._encode_equal([source], level, mode, care)[0])
        if verify:
            pixels = source.picture.width * source.picture.height
            decode_latents = partial(self.decode_latents, max_pixels=pixels)
            check_file(data, source, self._decoder(source), decode_latents, latents, noise=sigma or 0.0)
        return data

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
        return self._encode_neural(make_source(image, strip=strip), level, self._care(DEFAULT_EFFORT, None))

    def _encode_neural(self, source: Source, level: int, care: Care) -> Encoded:
        """The file that `encode` makes with mode="neural"."""
        if self._suits_feedback(source, care):
            return self._encode_fed_back(source, level, care.refine)
        return self._encode_with_latents(source, level, care.refine)

    def _quantized(self, source: Source, level: int) -> Quantized:
        """What goes into the file that `encode` makes with mode="neural"."""
        if self._suits_feedback(source, self._care(DEFAULT_EFFORT, None)):
            return feedback.fed_back(self._pipeline(), source, level).quantized
        quantized: Quantized = self._pipeline().quantize([source.picture.rgb], level)
        return quantized

    def _suits_feedback(self, source: Source, care: Care) -> bool:
        return self._feeds_back(source, care) and not auto.look(source.picture.rgb).is_photograph

    def _feeds_back(self, source: Source, care: Care) -> bool:
        """Whether feedback may gain anything, and there is the memory for it."""
        height, width = padded_size(source.picture.rgb)
        return care.feeds_back and self._memory.allows(self._engines.own.model.config, height * width, "feedback")

    def _encode_fed_back(self, source: Source, level: int, refine: Refine | None = None) -> Encoded:
        attempt = feedback.fed_back(self._pipeline(), source, level)
        postfilter = self._restore(source, attempt.shown, level) if refine is None else b""
        return self._finished(source, level, attempt.quantized, attempt.coded, refine, postfilter)

    def _encode_with_latents(self, source: Source, level: int, refine: Refine | None = None) -> Encoded:
        pipeline = self._pipeline()
        quantized = pipeline.quantize([source.picture.rgb], level)
        [coded] = pipeline.encode(quantized)
        return self._finished(source, level, quantized, coded, refine)

    def _finished(
        self,
        source: Source,
        level: int,
        quantized: Quantized,
        coded: CodedLatents,
        refine: Refine | None,
        postfilter: bytes = b"",
    ) -> Encoded:
        """The file of quantized latents with their post filter, or of refined ones with theirs."""
        pipeline = self._pipeline()
        if is_debugging():
            y_hat = quantized.y_hat[0]
            own = y_hat.cpu().numpy() if hasattr(y_hat, "cpu") else np.asarray(y_hat)
            check_y_hat(own, pipeline.y_hat(quantized.latents_of(0)))
        latents, y_hat = quantized.latents_of(0), quantized.y_hat
        if refine is not None:
            refined = refine(source, latents, 1.0)
            y_hat = pipeline.y_hat(refined.latents)[None]
            data = self._pack(source, refined.coded, level, refined.postfilter)
            return Encoded(data, refined.latents, refined.coded, y_hat)
        return Encoded(self._pack(source, coded, level, postfilter), latents, coded, y_hat)

    @overload
    def encode_batch(
        self,
        images: Sequence[object],
        quality: float = DEFAULT_QUALITY,
        *,
        mode: Mode = "auto",
        lossless: bool = False,
        strip: bool = False,
        effort: int = DEFAULT_EFFORT,
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
        effort: int = DEFAULT_EFFORT,
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
        effort: int = DEFAULT_EFFORT,
        on_error: OnError = "raise",
    ) -> Sequence[bytes | VaecodecError]:
        """Several pictures of any sizes -> their files; those of (nearly) equal size share passes of the networks.

        mode, lossless, effort: as for `encode`, for each picture by itself. With on_error="collect" the place of a
        picture that can't be encoded holds its error instead of a file.
        """
        level, care = quality_to_level(quality), self._care(effort, None)
        mode = chosen_mode(mode, lossless=lossless, targets={})
        results: dict[int, bytes | VaecodecError] = {}
        sources: dict[int, Source] = {}
        for number, image in enumerate(images):
            with collected(results, number, on_error):
                sources[number] = make_source(as_it_is(image), strip=strip)
        if mode == "lossless":
            for number, source in sources.items():
                with collected(results, number, on_error):
                    results[number] = lossless_codec.encode(source, max_memory=self.max_memory)
            return [results[number] for number in range(len(images))]
        numbers = list(sources)
        keys = [(*padded_size(sources[number].picture.rgb), b"") for number in numbers]
        for places in batches(keys, self._memory.batch_pixels):
            batch = [numbers[place] for place in places]
            for number, outcome in zip(
                batch, self._encode_equal([sources[n] for n in batch], level, mode, care), strict=True
            ):
                with collected(results, number, on_error):
                    results[number] = raised(outcome)
        return [results[number] for number in range(len(images))]

    def _encode_equal(
        self, sources: Sequence[Source], level: int, mode: Mode, care: Care
    ) -> list[bytes | VaecodecError]:
        """The files of pictures that are equal in size once padded, or the error of what can't be coded."""
        encode = partial(self._encode_alike, level=level, care=care)
        files = together((CodingError, InputError), sources, encode)
        file_of = partial(self._file_of, level=level, mode=mode, care=care)
        return [or_error(VaecodecError, file_of, source, data) for source, data in zip(sources, files, strict=True)]

    def _file_of(self, source: Source, data: bytes | VaecodecError, *, level: int, mode: Mode, care: Care) -> bytes:
        """The file of a picture, from its neural file or the error of the networks, which a lossless one may mend."""
        if isinstance(data, CodingError) and mode != "neural":
            return lossless_codec.encode(source, max_memory=self.max_memory)
        improve = self._improvement(source, level=level, care=care, keep=lambda encoded: encoded.data)
        return self._chosen(source, raised(data), level, mode, improve)

    def _encode_alike(self, sources: Sequence[Source], level: int, care: Care) -> list[bytes]:
        """The neural files of pictures that are equal in size once padded, fed back only where refined. Raises
        CodingError."""
        if care.refine is not None:
            return [self._encode_neural(source, level, care).data for source in sources]
        coded = self._pipeline().encode_pictures([source.picture.rgb for source in sources], level)
        return [self._pack(source, part, level) for source, part in zip(sources, coded, strict=True)]

    def _encode_kept(self, source: Source, level: int, mode: Mode, care: Care) -> tuple[bytes, Latents | None]:
        """The file of one image as `_encode_equal` makes it, and the integers that went into it, if any did."""
        kept: list[Encoded] = []

        def keep(encoded: Encoded) -> bytes:
            kept.append(encoded)
            return encoded.data

        encode = self._encode_with_latents if care.refine is None else partial(self._encode_neural, care=care)
        try:
            data = keep(encode(source, level))
        except CodingError:
            if mode == "neural":
                raise
            return lossless_codec.encode(source, max_memory=self.max_memory), None
        data = self._chosen(source, data, level, mode, self._improvement(source, level, care, keep))
        return data, kept[-1].latents

    def _chosen(
        self, source: Source, data: bytes, level: int, mode: Mode, improve: Callable[[], bytes] | None
    ) -> bytes:
        """The neural file of an image, the improved one unless it is a photograph, or in mode "auto" the lossless one
        where that suits it better."""
        if mode == "auto":
            return auto.choose(source, level, data, self._decoder(source), improve, max_memory=self.max_memory)
        return data if improve is None or auto.look(source.picture.rgb).is_photograph else improve()

    def _improvement(
        self, source: Source, level: int, care: Care, keep: Callable[[Encoded], bytes]
    ) -> Callable[[], bytes] | None:
        """What makes the neural file of an image that is no photograph better; None where nothing does."""
        if care.refine is not None or not self._feeds_back(source, care):
            return None
        return lambda: keep(self._encode_fed_back(source, level))

    def _encode_denoised(
        self, source: Source, level: int, target_bytes: int | None, sigma: float, refine: Refine | None
    ) -> tuple[bytes, Latents | None]:
        """The neural file of a noisy image without its noise, and the integers that went into it, if no target did."""
        pipeline = self._engines.denoising(sigma).pipeline(self.max_memory)
        if refine is not None:
            refine = partial(_towards, refine, _without_noise(source, pipeline))
        noisy = _with_colours(source, mirrored(source.picture.rgb))
        if target_bytes is not None:
            goal = Goal.of_bytes(target_bytes)
            care = Care(False, refine)
            return encode_to(goal, noisy, pipeline, partial(self._pack, source), care, self._loops), None
        quantized = pipeline.quantize([noisy.picture.rgb], level)
        latents = quantized.latents_of(0)
        if refine is None:
            [coded] = pipeline.encode(quantized)
            return self._pack(source, coded, level), latents
        refined = refine(source, latents, 1.0)
        return self._pack(source, refined.coded, level, refined.postfilter), refined.latents

    def _decoder(self, source: Source) -> Callable[[bytes], NDArray[np.uint8]]:
        """Decodes the files of one image, however large it is."""
        pixels = source.picture.width * source.picture.height
        return lambda data: self.decode(data, as_array=True, max_pixels=pixels)

    def _pack(self, source: Source, coded: CodedLatents, level: int, postfilter: bytes = b"") -> bytes:
        return pack_item(source, coded, level, self.model_id, self._engines.own.model.wire_hash, postfilter)

    def _encode_to(self, source: Source, care: Care, target_bytes: int | None, target_psnr: float | None) -> bytes:
        """The neural file that meets a target."""
        goal = Goal.of_psnr(float(target_psnr or 0)) if target_bytes is None else Goal.of_bytes(target_bytes)
        feeds_back = care.feeds_back and self.max_memory is None and not auto.look(source.picture.rgb).is_photograph
        restore = self._restore if feeds_back and care.refine is None else None
        care = replace(care, feeds_back=feeds_back, restore=restore)
        return encode_to(goal, source, self._pipeline(), partial(self._pack, source), care, self._loops)

    # Refinement

    @cached_property
    def _refiner(self) -> Refiner:
        from vaecodec.refine.refiner import make_refiner

        return make_refiner(self._engines.stored(), self.device, self.plan.dtype)

    def _care(self, effort: int, progress: Progress | None) -> Care:
        """What an effort does beyond one pass. Raises as `passes_of`."""
        passes = passes_of(effort)
        refine = partial(self._refine, passes, progress or silent) if passes else None
        return Care(effort >= feedback.LEAST_EFFORT, refine)

    def _refine(self, passes: int, progress: Progress, source: Source, latents: Latents, balance: float) -> Refined:
        """Better integers of the same z_hat, and these coded; see `Refiner.refine`. Then a post filter for them: a
        photograph has none of a perceptual model, which it would bring closer to the pixels, not to what is seen."""
        model, rgb, left = self._engines.own.model, source.picture.rgb, self.max_memory
        if left is not None:
            height, width = padded_size(rgb)
            left -= round(bytes_per_pixel(model.config, "target") * height * width)
        index = scale_index(latents.z_hat, latents.level, model.entropy.layers)
        r = self._refiner.refine(rgb, latents, index, passes, balance=balance, max_memory=left, progress=progress)
        better = replace(latents, r=r)
        coded = encode_latents(model.entropy, better, index)
        postfilter = b""
        if self._refiner.is_for_squared_error or not auto.look(rgb).is_photograph:
            postfilter = self._restore(source, decoded(self._pipeline(), source, better, coded), latents.level, balance)
        return Refined(better, coded, postfilter)

    def _restore(self, source: Source, shown: NDArray[np.uint8], level: int, balance: float = 1.0) -> bytes:
        """The section of a post filter for the decoded image uint8 [H, W, 3], empty where none pays."""
        worth = balance * level_lambda(level) / shown.shape[2]
        postfilter = fit_postfilter(source.picture.rgb, shown, worth, partial(filtered, shown, loops=self._loops))
        return b"" if postfilter is None else container.pack_postfilter(postfilter)

    # Decoding

    @overload
    def decode(
        self,
        data: Data,
        *,
        as_array: Literal[False] = False,
        max_pixels: int | None = None,
        crop: Crop | None = None,
        reduction: int = 1,
    ) -> Image.Image: ...
    @overload
    def decode(
        self,
        data: Data,
        *,
        as_array: Literal[True],
        max_pixels: int | None = None,
        crop: Crop | None = None,
        reduction: int = 1,
    ) -> NDArray[np.uint8]: ...
    def decode(
        self,
        data: Data,
        *,
        as_array: bool = False,
        max_pixels: int | None = None,
        crop: Crop | None = None,
        reduction: int = 1,
    ) -> Result:
        """The bytes of a .vaec file -> PIL.Image, or with as_array uint8 [H, W, 3|4] ([H, W] for gray).

        max_pixels: default is twice Pillow's MAX_IMAGE_PIXELS, as in Image.open. crop=(x, y, width, height): only that
        part of the picture, in a time that goes with its size. reduction=2, 4 or 8, without crop: a half, a quarter or
        an eighth of each side, rounded up, the means of squares; for 8 close to them and faster, if the model has a
        preview head. Raises FormatError for a bad file, UnknownModel or HashMismatch if it needs other weights,
        InputError for a bad crop. A lossless file needs no weights.
        """
        content = read_data(data)
        if self._is_lossless(content, max_pixels):
            return lossless_codec.decode(
                content,
                as_array=as_array,
                max_pixels=max_pixels,
                crop=crop,
                reduction=reduction,
                max_memory=self.max_memory,
            )
        item = self._read_item(0, content, max_pixels)
        window = window_of(item.header, crop, reduction)
        outer = needed(item, window, reduction)
        [rgb] = self._pipeline(item.header).pixels([item.stored], outer, reduction=reduction)
        inner = restored(item, raised(rgb), window, reduction, self._loops)
        return finish(item, inner, window, reduction, as_array=as_array)

    def decode_batch(
        self,
        datas: Sequence[Data],
        *,
        as_array: bool = False,
        on_error: OnError = "raise",
        max_pixels: int | None = None,
        reduction: int = 1,
    ) -> list[Result | VaecodecError | OSError]:
        """Several files of any sizes; pictures of (nearly) equal size go through the networks together.

        reduction: as for `decode`. With on_error="collect" a bad file's place holds its error instead of an image: a
        VaecodecError, or the OSError of one that can't be read.
        """
        results: dict[int, Result | VaecodecError | OSError] = {}
        items: list[Item] = []
        for number, data in enumerate(datas):
            with collected(results, number, on_error):
                content = read_data(data)
                if self._is_lossless(content, max_pixels):
                    results[number] = self.decode(  # type: ignore[call-overload]
                        content, as_array=as_array, max_pixels=max_pixels, reduction=reduction
                    )
                else:
                    items.append(self._read_item(number, content, max_pixels))
        keys = [(*item.padded_size, item.header.model_hash) for item in items]
        for places in batches(keys, self._memory.batch_pixels):
            batch = [items[place] for place in places]
            pixels = together(InputError, batch, partial(self._pixels_alike, reduction=reduction))
            for item, rgb in zip(batch, pixels, strict=True):
                with collected(results, item.number, on_error):
                    results[item.number] = finish_whole(
                        item, raised(rgb), reduction, loops=self._loops, as_array=as_array
                    )
        return [results[number] for number in range(len(datas))]

    def _pixels_alike(self, items: Sequence[Item], reduction: int) -> list[NDArray[np.uint8] | FormatError]:
        """The pixels of files that are equal in size once padded, or the error of a bad one. Raises InputError."""
        windows = [window_of(item.header, None, reduction) for item in items]
        whole = Window(0, max(each.height for each in windows), 0, max(each.width for each in windows))
        return self._pipeline(items[0].header).pixels([item.stored for item in items], whole, reduction=reduction)

    def decode_latents(self, data: Data, *, max_pixels: int | None = None) -> Latents:
        """Only the entropy decoding: the integers of the file, equal on every machine. A lossless file has none.

        Raises as `decode`, and InputError for a lossless file.
        """
        item = self._read_item(0, data, max_pixels)
        return self._pipeline(item.header).decode_latents(item.stored)

    # The latent space

    def latents(self, item: object, quality: float = DEFAULT_QUALITY, *, max_pixels: int | None = None) -> ImageLatents:
        """The latents of a .vaec file (bytes, path, open file) or of an image; no pixels are computed of them.

        Of a file: the entropy decoding and the means of y, with the model that it names. Of an image (as for `encode`):
        those of its neural file of this `quality`, which holds for images only, as `encode` makes it. Raises as
        `decode` and `encode`, and InputError for a lossless file, which has none.
        """
        if is_file(item):
            file = self._read_item(0, item, max_pixels)  # type: ignore[arg-type]
            header, pipeline = file.header, self._pipeline(file.header)
            integers = pipeline.decode_latents(file.stored)
        else:
            source, level, pipeline = (
                make_source(as_it_is(item), strip=True),
                quality_to_level(quality),
                self._pipeline(),
            )
            header = header_for(source, level, self.model_id, self.loaded_model().wire_hash)
            integers = self._quantized(source, level).latents_of(0)
        return self._latents_of(header, integers, pipeline.y_hat(integers))

    def latents_batch(
        self,
        items: Sequence[object],
        quality: float = DEFAULT_QUALITY,
        *,
        max_pixels: int | None = None,
        on_error: OnError = "raise",
    ) -> list[ImageLatents | VaecodecError | OSError]:
        """`latents` of several files and images; small files share passes of the networks. on_error: as for
        `decode_batch`."""
        results: dict[int, ImageLatents | VaecodecError | OSError] = {}
        files: dict[bytes, list[Item]] = {}
        for number, item in enumerate(items):
            with collected(results, number, on_error):
                if is_file(item):
                    file = self._read_item(number, item, max_pixels)  # type: ignore[arg-type]
                    files.setdefault(file.header.model_hash, []).append(file)
                else:
                    results[number] = self.latents(item, quality, max_pixels=max_pixels)
        for of_model in files.values():
            for file, outcome in zip(of_model, together(InputError, of_model, self._latents_alike), strict=True):
                with collected(results, file.number, on_error):
                    results[file.number] = self._latents_of(file.header, *raised(outcome))
        return [results[number] for number in range(len(items))]

    def _latents_alike(self, items: Sequence[Item]) -> list[tuple[Latents, Any] | FormatError]:
        """The latents and y_hat of files of one model, or the error of a bad one. Raises InputError."""
        return self._pipeline(items[0].header).latents([each.stored for each in items])

    def _latents_of(self, header: Header, integers: Latents, y_hat: Any) -> ImageLatents:
        return ImageLatents(
            header, integers, np.ascontiguousarray(y_hat, np.float32), self.loaded_model(header).entropy
        )

    def synthesize(self, latents: ImageLatents, y_hat: NDArray[np.float32] | None = None) -> Image.Image:
        """The RGB image that g_s makes of latents, or of another y_hat [M, 4h, 4w] of their size and model.

        Such a y_hat, a mean of several for example, need not be one that integers of a file lead to: for a file of it,
        encode the image. Raises InputError for a y_hat of another shape, or far from any that an encoder makes.
        """
        values = latents.y_hat if y_hat is None else np.ascontiguousarray(y_hat, np.float32)
        if values.shape != latents.y_hat.shape:
            message = f"y_hat has shape {values.shape}; that of these latents is {latents.y_hat.shape}"
            raise InputError(message)
        if not np.abs(values).max() <= 2 * LATENT_MAX:
            message = f"y_hat reaches {values.min()}..{values.max()}; it must be within {2 * LATENT_MAX:g} of 0"
            raise InputError(message)
        header = latents.header
        rows = np.concatenate(list(self._pipeline(header).pixel_rows(values, header.level)))
        return Image.fromarray(np.ascontiguousarray(rows[: header.height, : header.width]))

    def from_latents(
        self,
        latents: ImageLatents | Latents | NDArray[np.integer],
        size: tuple[int, int] | None = None,
        *,
        level: int | None = None,
    ) -> bytes:
        """Integers of this codec's model -> the bytes of a .vaec file that decodes; no network runs.

        latents: what `latents` gave; or its `integers`, changed or made; or `tokens`, int16 [h, w, N + 16 M], with the
        level 0..63 that they were made at. size: width and height in pixels, for the last two. Alpha and metadata are
        not in latents. Raises InputError for what does not fit or can't be coded, HashMismatch for those of another
        model.
        """
        model = self._engines.own.model
        content = integers_of(latents, level, model.entropy)
        header = header_of(content, size, model, self.model_id)
        integers = content.integers if isinstance(content, ImageLatents) else content
        index = checked_index(integers, header, model.entropy)
        z_hat, r = np.ascontiguousarray(integers.z_hat, np.int8), np.ascontiguousarray(integers.r, np.int32)
        return pack_latents(header, encode_latents(model.entropy, replace(integers, z_hat=z_hat, r=r), index))

    @staticmethod
    def _is_lossless(data: Content, max_pixels: int | None) -> bool:
        """Raises FormatError for what can be seen in the header."""
        return container.parse(data, max_pixels=pixel_limit(max_pixels)).header.is_lossless

    def _read_item(self, number: int, data: Data, max_pixels: int | None) -> Item:
        """All that can be checked of a file before it is decoded; loads the model that it needs."""
        return read_item(number, read_data(data), max_pixels, self._engines.of)


def _without_noise(source: Source, pipeline: Pipeline) -> Source:
    """What comes back of a noisy image at the best level: refinement must not come closer to the noise."""

    def denoised(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows = pipeline.decoded_rows(pipeline.quantize([mirrored(rgb)], MAX_LEVEL), MAX_LEVEL)
        return np.concatenate(list(rows))[: rgb.shape[0], : rgb.shape[1]]

    return _with_colours(source, averaged(denoised, source.picture.rgb))


def _with_colours(source: Source, rgb: NDArray[np.uint8]) -> Source:
    """Another image with the rest of a source."""
    return replace(source, picture=replace(source.picture, rgb=rgb))


def _towards(refine: Refine, aim: Source, _: Source, latents: Latents, balance: float) -> Refined:
    """A refinement whose distortion is that from another image than the one which was encoded."""
    return refine(aim, latents, balance)


def shared_codec(model: str | Path = DEFAULT_MODEL, device: str = "auto", max_memory: int | None = None) -> Codec:
    """The codec that `vaecodec.encode` and `vaecodec.decode` share."""
    with _sharing:  # threads that ask at the same time would each make one
        return _shared_codec(model, device, max_memory)


_sharing = threading.Lock()


@lru_cache(maxsize=4)
def _shared_codec(model: str | Path, device: str, max_memory: int | None) -> Codec:
    return Codec(model, device=device, max_memory=max_memory)
