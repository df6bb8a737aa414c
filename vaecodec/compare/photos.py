"""`vaecodec compare PHOTO --html`: scenes and curves of one's own photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from vaecodec.codec import Codec
from vaecodec.compare.ms_ssim import ms_ssim
from vaecodec.compare.page import Chart, Curve, build_page
from vaecodec.compare.peers import FAILURES, Peer, VaecodecPeer, absent_peers, installed_peers
from vaecodec.compare.scene import centre_crop, failure_line, make_scene
from vaecodec.image import Pixels
from vaecodec.levels import DEFAULT_QUALITY
from vaecodec.metrics import ms_ssim_db, psnr

PAGE_PIXELS = 4_000_000
CURVE_SETTINGS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Where in a codec's range of settings the points of its curve lie."""


def compare_photos(
    photos: Sequence[tuple[str, Pixels]],
    codec: Codec,
    quality: float = DEFAULT_QUALITY,
    *,
    max_pixels: int = PAGE_PIXELS,
    advance: Callable[[str], None] = lambda _: None,
) -> str:
    """Return the page: every installed codec at the size that vaecodec needs for `quality`, and each photo's curves.

    photos: (name, uint8 RGB [H, W, 3]); of a larger one the centre of `max_pixels` is taken. `advance` is called with
    a line for each of `steps(len(photos))` finished steps. A codec that is not installed or cannot do a photo is named
    on the page. Raises InputError.
    """
    own = VaecodecPeer(codec)
    peers: list[Peer] = [own, *installed_peers()]
    scenes, charts = [], []
    for name, photo in photos:
        pixels = centre_crop(photo, max_pixels)
        name = name if pixels.shape == photo.shape else f"{name} (centre)"
        size = len(own.encode(pixels, quality))
        scene = make_scene(name, pixels, peers, size, advance)
        chart, failures = photo_chart(name, pixels, peers, advance)
        scenes.append(replace(scene, failures=tuple(dict.fromkeys([*scene.failures, *failures]))))
        charts.append(chart)
    note = f"Every codec was brought to the size of the vaecodec file at quality {quality:g}."
    if missing := absent_peers():
        note += f" Not installed here: {', '.join(missing)}."
    return build_page("Codecs at equal bytes", note, scenes, charts)


def steps(photos: int) -> int:
    """How often `compare_photos` calls `advance` for so many photos."""
    return 2 * photos * (1 + len(installed_peers()))


def photo_chart(
    name: str, pixels: Pixels, peers: Sequence[Peer], advance: Callable[[str], None]
) -> tuple[Chart, list[str]]:
    """The rate-distortion curves of one photograph, and a line for each codec that could not do it."""
    curves, failures = [], []
    for peer in peers:
        try:
            curves.append(photo_curve(peer, pixels))
        except FAILURES as error:
            failures.append(failure_line(peer, error))
        advance(f"{name}: curve of {peer.title}")
    return Chart(name, tuple(curves)), failures


def photo_curve(peer: Peer, pixels: Pixels) -> Curve:
    """The rate-distortion curves of one codec on one image, by metric."""
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
