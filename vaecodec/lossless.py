"""Lossless files: the pixels as WebP images in tiles, coded and decoded by Pillow. No PyTorch, no model.

Their layout is in `container.lossless`. WebP is lossless for all that a picture can be: gray costs what gray costs,
since it takes one palette or one plane, and alpha is coded with the colours, which for drawings is up to a quarter
smaller than apart from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from PIL import Image, features
from PIL.WebPImagePlugin import WebPImageFile

from vaecodec import container, image
from vaecodec.container import Header, Tag, Tile
from vaecodec.errors import BackendError, CorruptStream, InputError
from vaecodec.image import Pixels
from vaecodec.picture_file import Crop, Result, Source, pixel_limit, present, window_of
from vaecodec.reading import Content
from vaecodec.runtime.windows import Window

METHODS = ((4, 80), (6, 80), (4, 100))
"""Pillow's `method` and `quality` (an effort) of lossless WebP. The first is its default, the second what one takes who
asks for the smallest; none of the three is always the smallest, and together they take about 1.4 s a megapixel of
drawings. Method 6 with quality 100 takes 8 s for 2 % less."""
DRAWING_BPP = 4.0
"""Beyond so many bits per pixel the first has to do, if the tile is large: more effort gains nothing on photographs."""
LARGE_TILE = 1_000_000
ENCODE_BYTES, DECODE_BYTES = 20, 20
"""For a pixel of a tile, at the peak: Pillow's image, libwebp's, and copies."""
LEAST_TILE = 1 << 16
"""Pixels of the smallest tile that a limit of memory leads to."""


def encode(source: Source, *, max_memory: int | None = None, limit: int | None = None) -> bytes:
    """A picture -> the bytes of a lossless file.

    max_memory: bytes that coding may take; smaller tiles take less, and a little more of the file. limit: the size
    in bytes beyond which the caller has no use for the file; less effort is spent where it is far away. Raises
    InputError for too little memory, BackendError for a Pillow without WebP.
    """
    picture = source.picture
    header = Header.of_lossless(container.Mode[picture.mode], picture.width, picture.height)
    tile = _tile_size(picture.width, picture.height, max_memory)
    webps = [_smallest(picture, place, limit) for place in container.tile_places(header.width, header.height, *tile)]
    return container.pack(header, [(Tag.LOSSLESS, container.pack_tiles(*tile, webps)), *source.metadata])


def decode(
    data: Content,
    *,
    as_array: bool = False,
    max_pixels: int | None = None,
    crop: Crop | None = None,
    reduction: int = 1,
    max_memory: int | None = None,
) -> Result:
    """The bytes of a lossless file -> PIL.Image or array; see `Codec.decode`. Reduced, it holds exact means of squares.

    Raises FormatError, and InputError for a bad crop or too little memory.
    """
    file = container.parse(data, max_pixels=pixel_limit(max_pixels))
    contents = container.read_all(data, file)
    window = window_of(file.header, crop, reduction)
    needed = window.finer(reduction).clipped(file.header.height, file.header.width)
    tiles = _tiles_within(container.parse_tiles(contents[Tag.LOSSLESS], file.header), needed)
    _check_memory(tiles, needed, max_memory)
    planes = np.empty((needed.height, needed.width, 4 if file.header.mode.has_alpha else 3), np.uint8)
    for tile, pixels in _decoded(tiles, planes.shape[2]):
        _place(tile, pixels, needed, planes)
    planes = image.box_means(planes, reduction)
    rgb, alpha = np.ascontiguousarray(planes[..., :3]), planes[..., 3] if planes.shape[2] == 4 else None
    return present(file.header, contents, rgb, alpha, as_array=as_array)


def check(content: bytes, header: Header) -> None:
    """Decode the section LOSSLESS of a file, tile by tile. Raises FormatError."""
    for _ in _decoded(container.parse_tiles(content, header), 4):
        pass


def _tile_size(width: int, height: int, max_memory: int | None) -> tuple[int, int]:
    """Width and height of tiles as large as WebP and the memory allow: what is alike in two tiles is coded twice."""
    tile_width, tile_height = min(width, container.MAX_TILE), min(height, container.MAX_TILE)
    if max_memory is None:
        return tile_width, tile_height
    most = max_memory // ENCODE_BYTES
    if most < LEAST_TILE:
        message = f"max_memory is {max_memory} bytes; to encode without loss it must be {LEAST_TILE * ENCODE_BYTES}"
        raise InputError(message)
    tile_width = min(tile_width, max(container.MIN_TILE, most // container.MIN_TILE))
    return tile_width, min(tile_height, most // tile_width)


def _smallest(picture: image.Picture, place: tuple[int, int, int, int], limit: int | None) -> bytes:
    """The WebP file of a tile."""
    pixels = _tile_image(picture, place)
    webp = _webp(pixels, *METHODS[0])
    bpp = 8 * len(webp) / (place[2] * place[3])
    is_worth_more = bpp <= DRAWING_BPP or place[2] * place[3] <= LARGE_TILE
    if is_worth_more and (limit is None or len(webp) <= 1.3 * limit):
        webp = min([webp, *(_webp(pixels, *method) for method in METHODS[1:])], key=len)
    return webp


def _tile_image(picture: image.Picture, place: tuple[int, int, int, int]) -> Image.Image:
    left, top, width, height = place
    rows, columns = slice(top, top + height), slice(left, left + width)
    planes = picture.rgb[rows, columns]
    if picture.alpha is not None:
        planes = np.dstack([planes, picture.alpha[rows, columns]])
    return Image.fromarray(np.ascontiguousarray(planes))


def _webp(pixels: Image.Image, method: int, effort: int) -> bytes:
    if not features.check("webp"):
        message = "this build of Pillow has no WebP, which lossless files are made of"
        raise BackendError(message)
    out = BytesIO()
    pixels.save(out, "WEBP", lossless=True, exact=True, method=method, quality=effort)
    return out.getvalue()


def _tiles_within(tiles: Sequence[Tile], window: Window) -> list[Tile]:
    """The tiles that have a pixel of the window."""
    return [
        tile
        for tile in tiles
        if tile.left < window.right
        and tile.left + tile.width > window.left
        and tile.top < window.bottom
        and tile.top + tile.height > window.top
    ]


def _check_memory(tiles: Sequence[Tile], window: Window, max_memory: int | None) -> None:
    needed = 4 * window.height * window.width + DECODE_BYTES * max(tile.width * tile.height for tile in tiles)
    if max_memory is not None and needed > max_memory:
        message = f"max_memory is {max_memory} bytes; to decode this lossless file it must be at least {needed}"
        raise InputError(message)


def _decoded(tiles: Sequence[Tile], channels: int) -> Iterator[tuple[Tile, Pixels]]:
    """Each tile with its pixels, [height, width, channels]; without alpha in the file, alpha is 255."""
    if not features.check("webp"):
        message = "this build of Pillow has no WebP, which lossless files are made of"
        raise BackendError(message)
    for tile in tiles:
        try:
            # The plugin itself: Image.open would judge the size, which the caller has, and try other formats.
            with WebPImageFile(BytesIO(tile.webp)) as opened:
                pixels = np.asarray(opened.convert("RGBA" if channels == 4 else "RGB"))
        except (OSError, EOFError, SyntaxError, ValueError) as error:
            message = f"tile at {tile.left}, {tile.top}: the WebP image cannot be decoded: {error}"
            raise CorruptStream(message) from error
        yield tile, pixels


def _place(tile: Tile, pixels: Pixels, window: Window, planes: Pixels) -> None:
    """Copy what of a tile is in the window."""
    inside = Window(tile.top, tile.top + tile.height, tile.left, tile.left + tile.width)
    shared = Window(
        max(inside.top, window.top), min(inside.bottom, window.bottom),
        max(inside.left, window.left), min(inside.right, window.right),
    )  # fmt: skip
    to, of = shared.relative_to(window), shared.relative_to(inside)
    planes[to.top : to.bottom, to.left : to.right] = pixels[of.top : of.bottom, of.left : of.right]
