"""What one picture is on its way into a file (`Source`) and out of it (`Item`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec import container, image
from vaecodec.arguments import check_integer
from vaecodec.container import REACH, Header, Mode, PostFilter, Tag
from vaecodec.entropy.coding import CodedLatents, StoredLatents
from vaecodec.errors import InputError, InputTypeError
from vaecodec.metrics import psnr_of, squared_error
from vaecodec.networks.config import ALIGNMENT, REDUCTIONS
from vaecodec.runtime.cpu.postfilter import Loops, filtered
from vaecodec.runtime.windows import Pixels, Window, z_shape

Crop = tuple[int, int, int, int]
"""x, y, width, height of a part of a picture, in pixels."""
Result = Image.Image | NDArray[np.uint8]

_MODES: dict[Mode, image.Mode] = {Mode.RGB: "RGB", Mode.L: "L", Mode.RGBA: "RGBA", Mode.LA: "LA"}


@dataclass(frozen=True)
class Source:
    """A picture to be coded, and the sections of its metadata, in ascending order of tag."""

    picture: image.Picture
    metadata: list[tuple[Tag, bytes]]

    @cached_property
    def extras(self) -> list[tuple[Tag, bytes]]:
        """The sections beside the latents: alpha, coded when it is first needed, and the metadata."""
        picture = self.picture
        if picture.alpha is None:
            return self.metadata
        alpha = container.pack_alpha(picture.alpha.tobytes(), picture.width, picture.height)
        return [(Tag.ALPHA, alpha), *self.metadata]

    def gathered(self, rows: Iterable[Pixels]) -> Pixels:
        """A decoded image in bands of rows [n, W or more, 3] from the top -> uint8 [H, W, 3]."""
        return np.concatenate(list(rows))[: self.picture.height, : self.picture.width]

    def psnr(self, rows: Iterable[NDArray[np.uint8]]) -> float:
        """The PSNR in dB, over the colours, of a decoded image in bands of rows [n, W or more, 3] from the top."""
        total, values = self._error(rows)
        return psnr_of(total, values)

    def squared_error(self, rows: Iterable[NDArray[np.uint8]]) -> float:
        """The squared error (of 255^2) of such an image, summed over the pixels: the mean of the colours of each."""
        total, values = self._error(rows)
        return total / (values / (self.picture.height * self.picture.width))

    def _error(self, rows: Iterable[NDArray[np.uint8]]) -> tuple[int, int]:
        """The sum of squared errors, and of how many values."""
        source, total, top = self.picture, 0, 0
        for band in rows:
            original = source.rgb[top : top + len(band)]
            decoded = band[: len(original), : source.width]
            total += squared_error(_as_shown(original, source.mode), _as_shown(decoded, source.mode))
            top += len(band)
        return total, source.height * source.width * (1 if source.mode in ("L", "LA") else 3)


def _as_shown(rgb: NDArray[np.uint8], mode: image.Mode) -> NDArray[np.uint8]:
    return image.to_array(image.Picture(rgb, None, "L" if mode in ("L", "LA") else "RGB"))


def as_it_is(picture: object) -> object:
    """Pixels that are as the networks want them, not copied: nobody keeps them once they are coded."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3:
        return picture
    is_plain = picture.shape[2] == 3 and picture.size > 0 and picture.flags.c_contiguous
    return image.Picture(picture) if is_plain else picture


def make_source(picture: object, *, strip: bool) -> Source:
    """Raises InputError for what cannot be coded."""
    source = image.to_picture(picture)
    if strip:
        source = image.stripped(source)
    container.check_size(source.width, source.height)
    named = ((Tag.ICC, source.icc), (Tag.EXIF, source.exif), (Tag.XMP, source.xmp))
    return Source(source, [] if strip else [(tag, content) for tag, content in named if content])


def pack_item(
    source: Source, coded: CodedLatents, level: int, model_id: int, model_hash: bytes, postfilter: bytes = b""
) -> bytes:
    """The file. postfilter: the content of that section, nothing for a file without one."""
    extras = [*source.extras, (Tag.POSTFILTER, postfilter)]
    return pack_latents(header_for(source, level, model_id, model_hash), coded, extras)


def header_for(source: Source, level: int, model_id: int, model_hash: bytes) -> Header:
    """The header of the neural file of an image."""
    picture = source.picture
    return Header(model_id, model_hash, level, Mode[picture.mode], picture.width, picture.height)


def pack_latents(header: Header, coded: CodedLatents, extras: Sequence[tuple[Tag, bytes]] = ()) -> bytes:
    """The file of coded latents. extras: its other sections, in ascending order of tag."""
    sections = [(Tag.LATENTS, coded.payload), (Tag.OUTLIERS, coded.outliers), *extras]
    return container.pack(header, [(tag, content) for tag, content in sections if content])


@dataclass(frozen=True)
class Item:
    """One file on its way from bytes to pixels."""

    number: int
    header: Header
    extras: dict[Tag, bytes]
    stored: StoredLatents
    alpha: NDArray[np.uint8] | None
    postfilter: PostFilter | None

    def filter_at(self, reduction: int) -> PostFilter | None:
        """The post filter of the picture reduced so; a reduced one is not filtered."""
        return self.postfilter if reduction == 1 else None

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width as the networks see the image."""
        height, width = (ALIGNMENT * side for side in self.stored.z_shape)
        return height, width


def read_item(
    number: int, data: bytes | bytearray | memoryview, max_pixels: int | None, need: Callable[[Header], object]
) -> Item:
    """All that can be checked of a file before it is decoded. need: finds the model that it needs, or raises.

    Raises FormatError, and InputError for a lossless file, which has no latents.
    """
    file = container.parse(data, max_pixels=pixel_limit(max_pixels))
    if file.header.is_lossless:
        message = "a lossless file has no latents"
        raise InputError(message)
    need(file.header)
    contents = container.read_all(data, file)
    alpha = read_alpha(file.header, contents)
    postfilter = container.parse_postfilter(contents.get(Tag.POSTFILTER, b""))
    return Item(number, file.header, contents, read_latents(file.header, contents), alpha, postfilter)


def read_latents(header: Header, contents: dict[Tag, bytes]) -> StoredLatents:
    """What the file says of its latents."""
    return StoredLatents(
        header.level, z_shape(header.height, header.width), contents[Tag.LATENTS], contents.get(Tag.OUTLIERS, b"")
    )


def read_alpha(header: Header, contents: dict[Tag, bytes]) -> NDArray[np.uint8] | None:
    """uint8 [H, W]; read before any network runs, as all that can be wrong with a file."""
    if Tag.ALPHA not in contents:
        return None
    raw = container.unpack_alpha(contents[Tag.ALPHA], header.width, header.height)
    return np.frombuffer(raw, np.uint8).reshape(header.height, header.width)


def window_of(header: Header, crop: Crop | None, reduction: int) -> Window:
    """The part of the (reduced) picture that is asked for. Raises InputError for what it doesn't have."""
    reduction = check_integer("reduction", reduction)
    if reduction not in REDUCTIONS:
        message = f"reduction is {reduction}; it must be one of {', '.join(map(str, REDUCTIONS))}"
        raise InputError(message)
    height, width = -(-header.height // reduction), -(-header.width // reduction)
    if crop is None:
        return Window(0, height, 0, width)
    if reduction != 1:
        message = "crop and reduction cannot be combined"
        raise InputError(message)
    x, y, crop_width, crop_height = _check_crop(crop)
    if min(crop_width, crop_height) < 1 or min(x, y) < 0 or x + crop_width > width or y + crop_height > height:
        message = (
            f"crop is x {x}, y {y}, {crop_width} x {crop_height}; "
            f"it must have pixels and lie within the picture, {width} x {height}"
        )
        raise InputError(message)
    return Window(y, y + crop_height, x, x + crop_width)


def _check_crop(crop: Crop) -> Crop:
    """The four numbers of a crop. Raises InputTypeError for others than whole ones, InputError for more or fewer."""
    if not isinstance(crop, Sequence) or isinstance(crop, str | bytes):
        message = f"crop is {crop!r}; it must be x, y, width and height"
        raise InputTypeError(message)
    if len(crop) != 4:
        message = f"crop has {len(crop)} numbers; it must have four: x, y, width and height"
        raise InputError(message)
    x, y, width, height = (check_integer("crop", value) for value in crop)
    return x, y, width, height


def needed(item: Item, window: Window, reduction: int) -> Window:
    """The part of a picture that must be decoded for `window` of it: a post filter looks beyond its edges."""
    if item.filter_at(reduction) is None:
        return window
    return window.grown(REACH, item.header.height, item.header.width)


def restored(item: Item, rgb: Pixels, window: Window, reduction: int, loops: Loops) -> Pixels:
    """The pixels of `window`, from those that are `needed` for it, uint8 [h, w, 3]."""
    postfilter = item.filter_at(reduction)
    if postfilter is None:
        return rgb
    inner = window.relative_to(needed(item, window, reduction))
    return filtered(rgb, postfilter, loops)[inner.top : inner.bottom, inner.left : inner.right]


def finish(item: Item, rgb: NDArray[np.uint8], window: Window, reduction: int, *, as_array: bool) -> Result:
    """The decoded pixels of `window`, uint8 [h, w, 3], with all that rides along."""
    alpha = None if item.alpha is None else window.cut(image.box_means(item.alpha, reduction))
    return present(item.header, item.extras, rgb, alpha, as_array=as_array)


def finish_whole(item: Item, rgb: NDArray[np.uint8], reduction: int = 1, *, loops: Loops, as_array: bool) -> Result:
    """The pixels of a whole image, cut out of those of the largest of its batch, with all that rides along."""
    window = window_of(item.header, None, reduction)
    own = restored(item, rgb[: window.height, : window.width], window, reduction, loops)
    return finish(item, own, window, reduction, as_array=as_array)


def present(
    header: Header,
    contents: dict[Tag, bytes],
    rgb: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    *,
    as_array: bool,
) -> Result:
    """Pixels uint8 [h, w, 3] and [h, w] with the mode and the metadata of their file."""
    metadata = (contents.get(tag) for tag in (Tag.ICC, Tag.EXIF, Tag.XMP))
    picture = image.Picture(rgb, alpha, _MODES[header.mode], *metadata)
    return image.to_array(picture) if as_array else image.to_pil(picture)


def pixel_limit(max_pixels: int | None) -> int | None:
    """The caller's limit, or the one at which Pillow refuses (twice MAX_IMAGE_PIXELS; None there means no limit)."""
    if max_pixels is not None:
        return max_pixels
    return None if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def batches(keys: Iterable[tuple[int, int, bytes]], most_pixels: int) -> list[list[int]]:
    """Numbers of the items that can share a pass of the networks.

    keys: padded height and width of each, and what else must be equal. most_pixels: of a batch of more than one.
    """
    groups: dict[tuple[int, int, bytes], list[list[int]]] = {}
    for number, key in enumerate(keys):
        current = groups.setdefault(key, [[]])
        if len(current[-1]) >= max(1, most_pixels // (key[0] * key[1])):
            current.append([])
        current[-1].append(number)
    return [numbers for group in groups.values() for numbers in group]
