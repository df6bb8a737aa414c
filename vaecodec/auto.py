"""mode="auto": the neural file, or the lossless one where that is not larger or the networks fail. No PyTorch.

A look at samples of the pixels decides whether a lossless file is tried at all, and whether the neural file is decoded
to see what became of it: on a photograph both would cost far more than they could gain. Figures are of 128 held-out
photographs (centres of 512 x 512; `python -m checks limits` measures them again), and of 300 images of text, drawings,
screens, patterns and edited photographs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image

from vaecodec import container, lossless
from vaecodec.container import MAX_TILE, METADATA, Tag
from vaecodec.errors import CodingError, InputError, TargetError
from vaecodec.image import Pixels
from vaecodec.levels import MAX_LEVEL
from vaecodec.metrics import block_errors, psnr
from vaecodec.picture_file import Source

BLOCK = 16
LIMIT_LEVELS = (0, 9, 18, 27, 36, 45, 54, 63)
BLOCK_LIMITS = (3060, 1690, 1236, 1007, 963, 914, 906, 905)
"""Mean squared error (of 255^2) of a 16 x 16 block at these levels that no sound file exceeds: at least 1.1 times the
largest in the held-out photographs, which `fast-perceptual` has."""
IMAGE_LIMITS = (1050, 664, 373, 237, 182, 162, 156, 153)
"""The same of a whole image."""

SAMPLE_ROWS = 48
"""Rows that the look takes whole."""
SAMPLE_BLOCK, SAMPLE_SHARE = 32, 16
"""And blocks of 32 x 32 pixels, one pixel in 16 of the image in all, within these bounds."""
LEAST_BLOCKS, MOST_BLOCKS = 4, 24

GRAPHIC_BPP = 3.0
"""Of lossless WebP of the sample with least effort; photographs have 3.6 to 14.6, but for one, which has 2.8."""
GRAPHIC_FLAT = 0.6
"""Share of pixels equal to their left neighbour, or to the one above if that is more; photographs have 0.01 to 0.57,
and that one 0.67."""
GRAPHIC_STEEP = 0.04
"""Share of steep steps, see below, as in text and stripes."""
WORTH_A_TRY = 2.0
"""A lossless file is tried below so many times the neural file; photographs are at 2.7 or more at the best level."""
LEAST_OF_LOOK = 0.7
"""A lossless file of a photograph has at least 0.74 of the bits that the look says."""
NOISY_BPP = 17.0
STEEP, STEEP_STEP = 0.008, 128
"""Share of steps of more than 128 between neighbours; photographs have 0.005 at most, sharpened ones 0.009 or more."""
PHOTO_BPP = (0.27, 0.56, 1.12, 1.89, 2.72, 3.57, 4.45, 5.31)
"""Bits per pixel at `LIMIT_LEVELS`, at least 1.02 times those of the dearest photograph with any model."""
PHOTO_OUTLIERS = 1e-3
"""Bytes of outliers a pixel; photographs have two thirds of it at most."""
WORSE_THAN_JPEG = 0.9
"""dB: a neural file so far below the JPEG of its size has failed."""
JPEG_SHARE, JPEG_TABLES = 1.05, 300
"""What a JPEG may be larger whose Huffman tables are not optimized: Pillow fails to do that for noise."""
FEW_COLOURS = 256
"""So many colours or fewer in all blocks of the look are those of a palette; photographs have more, unless gray."""
SMALL = 1 << 16
"""Pixels of an image that is looked at whole, and always compared with JPEG: samples of it say too little, and decoding
it takes some milliseconds."""
TINY = 1 << 14
"""Pixels of an image that is compared with JPEG alone unless it is a graphic: figures of photographs of 512 x 512 say
little about it, a thumbnail is all detail."""
QUICK_METHOD, QUICK_EFFORT = 1, 20
QUICK_EXCESS = 1.5
"""What lossless WebP of so little effort is larger at most, even for gradients."""
JPEG_MAX_SIDE = 65_500
"""libjpeg's limit."""


@dataclass(frozen=True)
class Look:
    """What samples say: bits per pixel of lossless WebP, shares of equal neighbours and of steep steps.

    has_palette: whether there are no more colours than in a palette; False for gray.
    """

    bpp: float
    flat: float
    steep: float
    has_palette: bool = False

    @property
    def is_graphic(self) -> bool:
        """True for what lossless coding is made for."""
        return self.bpp < GRAPHIC_BPP or self.flat > GRAPHIC_FLAT or self.steep > GRAPHIC_STEEP

    @property
    def is_photograph(self) -> bool:
        """True where nothing is seen that photographs don't have."""
        return not self.is_graphic and not self.has_palette and self.bpp < NOISY_BPP and self.steep < STEEP

    def suits_lossless(self, bpp: float) -> bool:
        """Whether a lossless file may be about as small as a neural one of so many bits per pixel."""
        return self.is_graphic or self.bpp < WORTH_A_TRY * bpp


def look(rgb: Pixels) -> Look:
    """A look at rows and blocks spread evenly over uint8 [H, W, 3]: a few milliseconds."""
    height, width = rgb.shape[:2]
    rows = _planes(rgb[_places(height - 1, min(height, SAMPLE_ROWS))])
    flat = _share_equal(rows[:, :, 1:], rows[:, :, :-1]) if width > 1 or height == 1 else 0.0
    steep = float(np.mean(np.abs(np.diff(rows[1].astype(np.int16), axis=1)) > STEEP_STEP)) if width > 1 else 0.0
    if height > 1:
        tops = np.array(_places(height - 2, min(height - 1, SAMPLE_ROWS)))
        flat = max(flat, _share_equal(_planes(rgb[tops]), _planes(rgb[tops + 1])))
    blocks = _sample(rgb)
    return Look(_lossless_bpp(blocks, method=0, effort=0), flat, steep, _has_palette(blocks))


def _lossless_bpp(pixels: Pixels, *, method: int, effort: int) -> float:
    image, out = Image.fromarray(pixels), BytesIO()
    image.save(out, "WEBP", lossless=True, exact=True, method=method, quality=effort)
    return 8 * out.getbuffer().nbytes / (image.width * image.height)


def _planes(rows: Pixels) -> Pixels:
    """[rows, columns, 3] -> [3, rows, columns]: planes are compared faster."""
    return np.ascontiguousarray(rows.transpose(2, 0, 1))


def _share_equal(planes: Pixels, others: Pixels) -> float:
    """The share of pixels equal in all channels; 1 where there are none."""
    red, green, blue = planes == others
    red &= green
    red &= blue
    return float(np.mean(red)) if red.size else 1.0


def _has_palette(blocks: Pixels) -> bool:
    red, green, blue = (blocks[..., channel].astype(np.int32) for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return False
    return len(np.unique(red << 16 | green << 8 | blue)) <= FEW_COLOURS


def _sample(rgb: Pixels) -> Pixels:
    """Blocks one above the other, [rows, 32 or fewer, 3]."""
    height, width = rgb.shape[:2]
    side_y, side_x = min(SAMPLE_BLOCK, height), min(SAMPLE_BLOCK, width)
    count = height * width // (SAMPLE_SHARE * side_y * side_x)
    count = max(LEAST_BLOCKS, min(MOST_BLOCKS, count))
    columns = max(1, min(width // side_x, round((count * width / height) ** 0.5)))
    rows = max(1, min(height // side_y, -(-count // columns)))
    tops, lefts = _places(height - side_y, rows), _places(width - side_x, columns)
    return np.concatenate([rgb[top : top + side_y, left : left + side_x] for top in tops for left in lefts])


def _places(last: int, count: int) -> list[int]:
    """`count` whole numbers, evenly from 0 to `last`; the one in the middle where there is one only."""
    return [last // 2] if count == 1 else [last * number // (count - 1) for number in range(count)]


def at_level(values: Sequence[float], level: int) -> float:
    """Between the values at `LIMIT_LEVELS`, along a straight line."""
    return float(np.interp(min(level, MAX_LEVEL), LIMIT_LEVELS, values))


def choose(
    source: Source,
    level: int,
    data: bytes,
    decode: Callable[[bytes], Pixels],
    improve: Callable[[], bytes] | None = None,
    *,
    max_memory: int | None = None,
) -> bytes:
    """The file that suits the image: `data`, its neural file of this level, or a lossless one.

    decode: the pixels of a neural file, as `Codec.decode` gives them with as_array. improve: a better neural file of an
    image that is no photograph; it takes time, so it is not asked for where the lossless file is not larger anyway.
    """
    seen = look(source.picture.rgb)
    candidate = _lossless_within(source, seen, data, max_memory)
    if candidate is None and improve is not None and not seen.is_photograph:
        data = improve()
        candidate = _lossless_within(source, seen, data, max_memory)
    if candidate is not None:
        return candidate
    bpp, outliers = _cost(data)
    is_usual = bpp <= at_level(PHOTO_BPP, level) and outliers <= PHOTO_OUTLIERS
    is_sound = seen.is_photograph and is_usual
    if is_sound and not _is_within(source, SMALL):
        return data
    try:
        decoded, size = decode(data), _bytes_of_pixels(data)
    except InputError:  # max_memory is enough to encode, and not to look at what comes back
        return lossless.encode(source, max_memory=max_memory)
    is_thumbnail = _is_within(source, TINY) and not seen.is_graphic
    judge = partial(keeps_up_with_jpeg, source) if is_sound or is_thumbnail else partial(is_good, source, level)
    return data if judge(decoded, size) else lossless.encode(source, max_memory=max_memory)  # now with all effort


def _lossless_within(source: Source, seen: Look, data: bytes, max_memory: int | None) -> bytes | None:
    """The lossless file where it is not larger than the neural one."""
    if not _suits_lossless(source, seen, _cost(data)[0]):
        return None
    candidate = lossless.encode(source, max_memory=max_memory, limit=len(data))
    return candidate if len(candidate) <= len(data) else None


def _is_within(source: Source, pixels: int) -> bool:
    return source.picture.width * source.picture.height <= pixels


def _suits_lossless(source: Source, seen: Look, bpp: float) -> bool:
    """Whether a lossless file may be about as small as a neural one of so many bits per pixel."""
    if seen.suits_lossless(bpp):
        return True
    if not _is_within(source, SMALL) or max(source.picture.width, source.picture.height) > MAX_TILE:
        return False  # there is no WebP of it in one piece
    return _lossless_bpp(colours(source), method=QUICK_METHOD, effort=QUICK_EFFORT) < QUICK_EXCESS * bpp


def choose_for_target(
    source: Source,
    target_bytes: int | None,
    target_psnr: float | None,
    neural: Callable[[int | None, float | None], bytes],
    *,
    max_memory: int | None = None,
) -> bytes:
    """The file that meets a target: lossless if that fits into the bytes, or is not larger than the neural one.

    neural: makes the neural file that meets it. Raises what that raises, where the lossless file is no way out: it
    is one for any PSNR (infinity, too), and for bytes if it fits.
    """
    encode = partial(lossless.encode, source, max_memory=max_memory)
    if target_bytes is None and target_psnr == math.inf:
        return encode()
    seen, pixels = look(source.picture.rgb), source.picture.width * source.picture.height
    if target_bytes is not None and (seen.is_graphic or LEAST_OF_LOOK * seen.bpp * pixels < 8 * target_bytes):
        candidate = encode()
        if len(candidate) <= target_bytes:
            return candidate
    try:
        data = neural(target_bytes, target_psnr)
    except (CodingError, TargetError):
        candidate = encode()
        if target_bytes is None or len(candidate) <= target_bytes:
            return candidate
        raise
    if target_bytes is None and _suits_lossless(source, seen, _cost(data)[0]):
        return min(encode(limit=len(data)), data, key=len)
    return data


def _cost(data: bytes) -> tuple[float, float]:
    """Bits of the latents and bytes of outliers of a neural file, both per pixel."""
    file = container.parse(data)
    lengths = {tag: section.length for tag, section in file.sections.items()}
    outliers, pixels = lengths.get(Tag.OUTLIERS, 0), file.header.width * file.header.height
    return 8 * (lengths[Tag.LATENTS] + outliers) / pixels, outliers / pixels


def _bytes_of_pixels(data: bytes) -> int:
    """Size of a neural file without its transparency and its metadata, which a JPEG would not have."""
    sections = container.parse(data).sections
    return len(data) - sum(sections[tag].length for tag in (Tag.ALPHA, *METADATA) if tag in sections)


def is_good(source: Source, level: int, decoded: Pixels, size: int) -> bool:
    """Whether a neural file gives what its level allows, and what a JPEG of `size` bytes would."""
    errors = block_errors(colours(source), _without_alpha(source, decoded), BLOCK)
    if errors.max() > at_level(BLOCK_LIMITS, level) or errors.mean() > at_level(IMAGE_LIMITS, level):
        return False
    return keeps_up_with_jpeg(source, decoded, size)


def keeps_up_with_jpeg(source: Source, decoded: Pixels, size: int) -> bool:
    """Whether the best JPEG of `size` bytes is less than a decibel better, if there is one."""
    original = colours(source)
    other = jpeg_psnr(original, size)
    return other is None or psnr(original, _without_alpha(source, decoded)) >= other - WORSE_THAN_JPEG


def _without_alpha(source: Source, decoded: Pixels) -> Pixels:
    shown = decoded[..., :-1] if source.picture.alpha is not None else decoded
    return shown[..., 0] if shown.ndim == 3 and shown.shape[2] == 1 else shown


def colours(source: Source) -> Pixels:
    """The image without alpha, [H, W] if it is gray."""
    rgb = source.picture.rgb
    return rgb[..., 0] if source.picture.mode in ("L", "LA") else rgb


def jpeg_psnr(pixels: Pixels, size: int) -> float | None:
    """PSNR in dB of the best JPEG of about `size` bytes; None where there is none so small, or none of these sides."""
    if max(pixels.shape[:2]) > JPEG_MAX_SIDE:
        return None
    files = [_jpeg_within(pixels, size, subsampling) for subsampling in ("4:2:0", "4:4:4")]
    return max((psnr(pixels, np.asarray(Image.open(BytesIO(data)))) for data in files if data), default=None)


def _jpeg_within(pixels: Pixels, size: int, subsampling: str) -> bytes | None:
    """The best of about `size` bytes by bisection: sizes grow with the quality."""
    picture, best = Image.fromarray(pixels), None
    low, high = 1, 100
    while low <= high:
        middle = (low + high) // 2
        data, most = _jpeg(picture, middle, subsampling), size
        if data is None:
            data, most = _jpeg(picture, middle, subsampling, optimize=False), int(JPEG_SHARE * size) + JPEG_TABLES
        if data is not None and len(data) <= most:
            best, low = data, middle + 1
        else:
            high = middle - 1
    return best


def _jpeg(picture: Image.Image, quality: int, subsampling: str, *, optimize: bool = True) -> bytes | None:
    """None where Pillow's buffer is too small to optimize the Huffman tables."""
    out = BytesIO()
    try:
        picture.save(out, "JPEG", quality=quality, subsampling=subsampling, optimize=optimize)
    except OSError:
        return None
    return out.getvalue()
