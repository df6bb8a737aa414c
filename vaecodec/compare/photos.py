"""`vaecodec compare PHOTO --html`: scenes and curves of one's own photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vaecodec.codec import Codec, quality_to_level
from vaecodec.compare.metrics import ms_ssim, psnr
from vaecodec.compare.page import Chart, Curve, build_page, ms_ssim_db
from vaecodec.compare.peers import Peer, VaecodecPeer, installed_peers
from vaecodec.compare.scene import centre_crop, make_scene

Pixels = NDArray[np.uint8]  # [H, W, 3] RGB

PAGE_PIXELS = 4_000_000
CURVE_SETTINGS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Where in a codec's range of settings the points of its curve lie."""


def compare_photos(
    photos: Sequence[tuple[str, Pixels]],
    codec: Codec,
    quality: float = 60,
    *,
    max_pixels: int = PAGE_PIXELS,
    advance: Callable[[str], None] = lambda _: None,
) -> str:
    """Return the page: every installed codec at the size that vaecodec needs for `quality`, and each photo's curves.

    photos: (name, uint8 RGB [H, W, 3]); of a larger one the centre of `max_pixels` is taken. `advance` is called with
    a line for each finished step. Raises InputError.
    """
    own = VaecodecPeer(codec)
    peers: list[Peer] = [own, *installed_peers()]
    scenes, charts = [], []
    for name, photo in photos:
        pixels = centre_crop(photo, max_pixels)
        name = name if pixels.shape == photo.shape else f"{name} (centre)"
        wanted = len(own.encode(pixels, quality_to_level(quality)))
        scenes.append(make_scene(name, pixels, peers, wanted, advance))
        charts.append(photo_chart(name, pixels, peers, advance))
    note = f"Every codec was brought to the size of the vaecodec file at quality {quality:g}."
    return build_page("Codecs at equal bytes", note, scenes, charts)


def photo_chart(name: str, pixels: Pixels, peers: Sequence[Peer], advance: Callable[[str], None]) -> Chart:
    """The rate-distortion curves of one photograph."""
    curves = []
    for peer in peers:
        curves.append(photo_curve(peer, pixels))
        advance(f"{name}: curve of {peer.title}")
    return Chart(name, tuple(curves))


def photo_curve(peer: Peer, pixels: Pixels) -> Curve:
    by_metric: dict[str, list[tuple[float, float]]] = {"PSNR": [], "MS-SSIM": []}
    for share in CURVE_SETTINGS:
        data = peer.encode(pixels, round(peer.low + share * (peer.high - peer.low)))
        decoded = peer.decode(data)
        bpp = 8 * len(data) / (pixels.shape[0] * pixels.shape[1])
        by_metric["PSNR"].append((bpp, psnr(pixels, decoded)))
        similarity = ms_ssim(pixels, decoded)
        if similarity is not None:
            by_metric["MS-SSIM"].append((bpp, ms_ssim_db(similarity)))
    return Curve(peer.name, peer.title, by_metric)
