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

from vaecodec import container, image
from vaecodec.container import Header, Mode, Tag
from vaecodec.entropy.coding import CodedLatents, Latents, decode_latents, encode_latents
from vaecodec.errors import BackendError, HashMismatch, InputError, VaecodecError
from vaecodec.intnet.layers import scale_index
from vaecodec.models.config import ALIGNMENT, LEVELS
from vaecodec.models.loading import LoadedModel, load_model
from vaecodec.models.network import level_position, round_z
from vaecodec.weights.manifest import entry_by_name, entry_by_wire
from vaecodec.weights.store import StoredModel, read_model

QUALITY_MIN, QUALITY_MAX = 1, 100
DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH_IMAGES = 4
"""Pictures of equal size that share one pass of the networks."""
Result = Image.Image | NDArray[np.uint8]


def quality_to_level(quality: float) -> int:
    """Quality 1..100 -> level 0..63. Raises InputError outside of it."""
    if not QUALITY_MIN <= quality <= QUALITY_MAX:
        message = f"quality is {quality}; legal is {QUALITY_MIN}..{QUALITY_MAX}"
        raise InputError(message)
    return round((quality - QUALITY_MIN) * (LEVELS - 1) / (QUALITY_MAX - QUALITY_MIN))


@dataclass(frozen=True)
class Encoded:
    """A finished file with what went into it: the latents, their coded form, and x_hat as the encoder sees it."""

    data: bytes
    latents: Latents
    coded: CodedLatents
    y_hat: Tensor


def choose_device(device: str) -> torch.device:
    """ "auto" (a GPU where there is one), "cpu", "cuda", ... Raises BackendError when it can't be had."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        message = f"device {device!r} is not known; use auto, cpu or cuda"
        raise BackendError(message) from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        message = f"device {device!r} asked for, but no CUDA device is available"
        raise BackendError(message)
    return chosen


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a CPU with instructions for it (AVX512-BF16, AMX), twice as fast there; else float32."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.11
    has_bfloat16 = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return torch.bfloat16 if device.type == "cpu" and has_bfloat16 else torch.float32


class Codec:
    """Encoder and decoder with loaded networks; reusable, picklable, and safe to share between threads.

    model: a shipped name ("fast", ...) or the path of a weights file; it is used to encode. A file names the model it
    needs, so `decode` also takes files of the other shipped models.
    device: "auto", "cpu" or "cuda". dtype: of the blocks of g_a and g_s: "float32", "bfloat16", "float16", or "auto",
    see `native_dtype`. Latents decode alike in every dtype; pixels of bfloat16 and float32 differ by about one level at
    most.
    """

    def __init__(self, model: str | Path = "fast", *, device: str = "auto", dtype: str = "auto") -> None:
        if dtype not in DTYPES:
            message = f"dtype is {dtype!r}; legal are {', '.join(DTYPES)}"
            raise InputError(message)
        self.model, self.device, self.dtype = model, choose_device(device), dtype
        self._block_dtype = DTYPES[dtype] or native_dtype(self.device)
        self._loaded: dict[tuple[int, bytes], LoadedModel] = {}
        self._is_shipped = not (isinstance(model, Path) or model.endswith(".safetensors"))
        stored, self._model_id = self._read(model)
        self._own = self._load(stored, self._model_id)

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "device": str(self.device), "dtype": self.dtype}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"], device=state["device"], dtype=state["dtype"])  # type: ignore[misc]

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

    # Encoding

    def encode(self, picture: object, quality: float = 60, *, level: int | None = None, strip: bool = False) -> bytes:
        """A picture -> the bytes of a .vaec file.

        picture: PIL.Image, uint8 array [H, W], [H, W, 1|2|3|4], or tensor [3, H, W]. quality 1..100, or `level` 0..63
        itself. strip=True leaves ICC, EXIF and XMP out. Raises InputError.
        """
        return self.encode_with_latents(picture, quality, level=level, strip=strip).data

    def encode_with_latents(
        self, picture: object, quality: float = 60, *, level: int | None = None, strip: bool = False
    ) -> Encoded:
        """As `encode`, with the integers that went into the file."""
        level = quality_to_level(quality) if level is None else level
        if not 0 <= level < LEVELS:
            message = f"level is {level}; legal is 0..{LEVELS - 1}"
            raise InputError(message)
        source = image.to_picture(picture)
        _check_size(source)
        latents, index, y_hat = self._to_latents(source.rgb, level)
        coded = encode_latents(self._own.entropy, latents, index)
        header = Header(
            version=container.VERSION,
            flags=0,
            model_id=self._model_id,
            model_hash=self._own.wire_hash,
            level=level,
            mode=Mode[source.mode],
            width=source.width,
            height=source.height,
        )
        sections = [(Tag.LATENTS, coded.payload), (Tag.OUTLIERS, coded.outliers), *_extras(source, strip)]
        data = container.pack(header, [(tag, content) for tag, content in sections if content])
        return Encoded(data, latents, coded, y_hat)

    def encode_batch(self, pictures: Sequence[object], quality: float = 60, *, strip: bool = False) -> list[bytes]:
        """Several pictures of any sizes -> their files."""
        return [self.encode(picture, quality, strip=strip) for picture in pictures]

    @torch.inference_mode()
    def _to_latents(self, rgb: NDArray[np.uint8], level: int) -> tuple[Latents, NDArray[np.uint8], Tensor]:
        network, entropy = self._own.network, self._own.entropy
        x = self._to_input(image.pad_to_multiple(rgb, ALIGNMENT))
        t = level_position(torch.tensor([level], device=self.device))
        y, z = network.analyse(x, t)
        z_float = round_z(z)
        z_hat = z_float[0].cpu().numpy().astype(np.int8)
        index = scale_index(z_hat, level, entropy.layers)
        coded = torch.from_numpy(index > 0).to(self.device)
        gain = network.log_gain(t).exp()
        p = network.prior(z_float, t)
        result = network.run_context(p, gain, lambda mu: (gain * (y - mu)).round() * coded)
        r = result.r[0].cpu().numpy().astype(np.int32)
        return Latents(level, z_hat, r), index, result.y_hat

    def _to_input(self, rgb: NDArray[np.uint8]) -> Tensor:
        """uint8 [H, W, 3] -> float32 [1, 3, H, W] in 0..1, channels last."""
        return torch.from_numpy(rgb).to(self.device).permute(2, 0, 1)[None].float().div_(255)

    # Decoding

    @overload
    def decode(
        self, data: bytes, *, as_array: Literal[False] = False, max_pixels: int | None = None
    ) -> Image.Image: ...
    @overload
    def decode(self, data: bytes, *, as_array: Literal[True], max_pixels: int | None = None) -> NDArray[np.uint8]: ...
    def decode(self, data: bytes, *, as_array: bool = False, max_pixels: int | None = None) -> Result:
        """The bytes of a .vaec file -> PIL.Image, or with as_array uint8 [H, W, 3|4] ([H, W] for gray).

        max_pixels: default is twice Pillow's MAX_IMAGE_PIXELS, as in Image.open. Raises FormatError for a bad file,
        UnknownModel or HashMismatch for one that needs other weights.
        """
        item = self._read_item(0, data, max_pixels)
        return self._finish(item, self._synthesize([item])[0], as_array)

    def decode_batch(
        self,
        datas: Sequence[bytes],
        *,
        as_array: bool = False,
        on_error: Literal["raise", "collect"] = "raise",
        max_pixels: int | None = None,
    ) -> list[Result | VaecodecError]:
        """Several files of any sizes; pictures of equal size go through the networks together.

        With on_error="collect" a bad file's place holds its error instead of an image.
        """
        results: dict[int, Result | VaecodecError] = {}
        groups: dict[tuple[object, ...], list[_Item]] = {}
        for number, data in enumerate(datas):
            try:
                item = self._read_item(number, data, max_pixels)
            except VaecodecError as error:
                if on_error == "raise":
                    raise
                results[number] = error
            else:
                groups.setdefault(item.group, []).append(item)
        for items in groups.values():
            for start in range(0, len(items), BATCH_IMAGES):
                batch = items[start : start + BATCH_IMAGES]
                for item, rgb in zip(batch, self._synthesize(batch), strict=True):
                    results[item.number] = self._finish(item, rgb, as_array)
        return [results[number] for number in range(len(datas))]

    def decode_latents(self, data: bytes, *, max_pixels: int | None = None) -> Latents:
        """Only the entropy decoding: the integers of the file, equal on every machine."""
        return self._read_item(0, data, max_pixels).latents

    def _read_item(self, number: int, data: bytes, max_pixels: int | None) -> _Item:
        """Checks and entropy decoding of one file."""
        file = container.parse(data, max_pixels=_pixel_limit(max_pixels))
        loaded = self._model_of(file.header)
        contents = container.read_all(data, file)
        z_shape = (-(-file.header.height // ALIGNMENT), -(-file.header.width // ALIGNMENT))
        payload, outliers = contents[Tag.LATENTS], contents.get(Tag.OUTLIERS, b"")
        latents = decode_latents(loaded.entropy, file.header.level, z_shape, payload, outliers)
        return _Item(number, file.header, contents, latents, loaded, _read_alpha(file.header, contents))

    @torch.inference_mode()
    def _synthesize(self, items: Sequence[_Item]) -> list[NDArray[np.uint8]]:
        """Latents of equal shape and model -> pixels, uint8 [H, W, 3] each (padding cut off)."""
        network = items[0].loaded.network
        t = level_position(torch.tensor([item.latents.level for item in items], device=self.device))
        r = torch.from_numpy(np.stack([item.latents.r for item in items])).to(self.device).float()
        z_hat = torch.from_numpy(np.stack([item.latents.z_hat for item in items])).to(self.device).float()
        gain = network.log_gain(t).exp()
        y_hat = network.run_context(network.prior(z_hat, t), gain, lambda _: r).y_hat
        x_hat = network.synthesize(y_hat, t)
        pixels = to_pixels(x_hat)
        return [p[: item.header.height, : item.header.width] for item, p in zip(items, pixels, strict=True)]

    @staticmethod
    def _finish(item: _Item, rgb: NDArray[np.uint8], as_array: bool) -> Result:
        mode, extras = _MODES[item.header.mode], item.extras
        picture = image.Picture(rgb, item.alpha, mode, extras.get(Tag.ICC), extras.get(Tag.EXIF), extras.get(Tag.XMP))
        return image.to_array(picture) if as_array else image.to_pil(picture)


@dataclass(frozen=True)
class _Item:
    """One file on its way from bytes to pixels."""

    number: int
    header: Header
    extras: dict[Tag, bytes]
    latents: Latents
    loaded: LoadedModel
    alpha: NDArray[np.uint8] | None

    @property
    def group(self) -> tuple[object, ...]:
        """Items of one group can share a batch."""
        return self.loaded.wire_hash, self.latents.r.shape


_MODES: dict[Mode, image.Mode] = {Mode.RGB: "RGB", Mode.L: "L", Mode.RGBA: "RGBA", Mode.LA: "LA"}


def _read_alpha(header: Header, contents: dict[Tag, bytes]) -> NDArray[np.uint8] | None:
    """uint8 [H, W]; read before any network runs, as all that can be wrong with a file."""
    if Tag.ALPHA not in contents:
        return None
    raw = container.unpack_alpha(contents[Tag.ALPHA], header.width, header.height)
    return np.frombuffer(raw, np.uint8).reshape(header.height, header.width)


def _check_size(source: image.Picture) -> None:
    for name, side in (("width", source.width), ("height", source.height)):
        if not 1 <= side <= container.MAX_SIDE:
            message = f"{name} is {side}; legal is 1..{container.MAX_SIDE}"
            raise InputError(message)


def to_pixels(x_hat: Tensor) -> NDArray[np.uint8]:
    """x_hat [B, 3, H, W] about 0..1 -> uint8 [B, H, W, 3], rounded."""
    scaled = x_hat.mul(255).round_().clamp_(0, 255).to(torch.uint8)
    return scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _extras(source: image.Picture, strip: bool) -> list[tuple[Tag, bytes]]:
    """The sections beside the latents, in ascending order of tag."""
    sections = []
    if source.alpha is not None:
        sections.append((Tag.ALPHA, container.pack_alpha(source.alpha.tobytes(), source.width, source.height)))
    if not strip:
        named = ((Tag.ICC, source.icc), (Tag.EXIF, source.exif), (Tag.XMP, source.xmp))
        sections += [(tag, content) for tag, content in named if content]
    return sections


def _pixel_limit(max_pixels: int | None) -> int | None:
    """The caller's limit, or the one at which Pillow refuses (twice MAX_IMAGE_PIXELS; None there means no limit)."""
    if max_pixels is not None:
        return max_pixels
    return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


@lru_cache(maxsize=4)
def shared_codec(model: str = "fast", device: str = "auto") -> Codec:
    """The codec that the module-level functions share."""
    return Codec(model, device=device)


def encode(
    picture: object, quality: float = 60, *, model: str = "fast", device: str = "auto", strip: bool = False
) -> bytes:
    """A picture -> the bytes of a .vaec file; see `Codec.encode`."""
    return shared_codec(model, device).encode(picture, quality, strip=strip)


@overload
def decode(
    data: bytes, *, as_array: Literal[False] = False, device: str = "auto", max_pixels: int | None = None
) -> Image.Image: ...
@overload
def decode(
    data: bytes, *, as_array: Literal[True], device: str = "auto", max_pixels: int | None = None
) -> NDArray[np.uint8]: ...
def decode(data: bytes, *, as_array: bool = False, device: str = "auto", max_pixels: int | None = None) -> Result:
    """The bytes of a .vaec file -> image; see `Codec.decode`."""
    return shared_codec(device=device).decode(data, as_array=as_array, max_pixels=max_pixels)  # type: ignore[call-overload,no-any-return]
