"""One photograph through every codec at equal bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vaecodec.compare.maps import Map, bits_map, error_map
from vaecodec.compare.matching import match_size
from vaecodec.compare.ms_ssim import ms_ssim
from vaecodec.compare.peers import FAILURES, Peer, VaecodecPeer
from vaecodec.image import Pixels
from vaecodec.metrics import psnr


@dataclass(frozen=True)
class Version:
    """A decoded picture with what it cost and what it lost. Times: once, on the machine that made the page."""

    name: str
    title: str
    pixels: Pixels
    data: bytes
    mime: str | None  # where browsers can show `data` itself
    setting: str
    deviation: float  # of its size from the wanted one, 0.01 is 1 % more
    matched: bool
    psnr: float
    ms_ssim: float | None
    encode_s: float
    decode_s: float
    error: Map
    bits: Map | None = None  # bits per pixel by block; only vaecodec can say


@dataclass(frozen=True)
class Scene:
    name: str
    original: Pixels
    wanted_bytes: int
    versions: tuple[Version, ...]
    failures: tuple[str, ...] = ()  # a line for each codec that could not do this picture


def centre_crop(pixels: Pixels, most: int) -> Pixels:
    """The centre of the picture, of its shape and at most `most` pixels; pages hold true pixels, not reduced ones."""
    height, width, _ = pixels.shape
    share = math.sqrt(most / (height * width))
    if share >= 1:
        return pixels
    rows, columns = max(int(height * share), 1), max(int(width * share), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])


def make_scene(
    name: str,
    original: Pixels,
    peers: Sequence[Peer],
    wanted_bytes: int,
    advance: Callable[[str], None] = lambda _: None,
) -> Scene:
    """Bring every codec to `wanted_bytes` on one picture; `advance(line)` is called after each.

    A codec that cannot do the picture is named in the scene's failures and leaves the others alone.
    """
    versions, failures = [], []
    for peer in peers:
        try:
            versions.append(make_version(peer, original, wanted_bytes))
        except FAILURES as error:
            failures.append(failure_line(peer, error))
        advance(f"{name}: {peer.title}")
    return Scene(name, original, wanted_bytes, tuple(versions), tuple(failures))


def failure_line(peer: Peer, error: BaseException) -> str:
    """A line for the page: which codec could not do the image, and why."""
    return f"{peer.title} failed on this picture: {' '.join(str(error).split()) or type(error).__name__}"


def make_version(peer: Peer, original: Pixels, wanted_bytes: int) -> Version:
    """One codec's image at the size that is wanted, with its times and errors."""
    match = match_size(peer, original, wanted_bytes)
    start = time.perf_counter()
    peer.encode(original, match.setting)  # for its time: a file of a wanted size may be another one
    middle = time.perf_counter()
    decoded = peer.decode(match.data)
    end = time.perf_counter()
    return Version(
        name=peer.name,
        title=peer.title,
        pixels=decoded,
        data=match.data,
        mime=peer.mime,
        setting=peer.describe_file(match.data, match.setting),
        deviation=match.deviation,
        matched=match.matched,
        psnr=psnr(original, decoded),
        ms_ssim=ms_ssim(original, decoded),
        encode_s=middle - start,
        decode_s=end - middle,
        error=error_map(original, decoded),
        bits=bits_map(match.data, peer.codec) if isinstance(peer, VaecodecPeer) else None,
    )
