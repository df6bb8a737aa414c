"""Codecs beside each other on one photograph at equal bytes, as a self-contained HTML page.

    page = vaecodec.compare.compare_photos([("cat", pixels)], codec, quality=60)

``peers.py`` holds the codecs, ``matching.py`` brings them to equal bytes, ``metrics.py`` and ``maps.py`` say what was
lost and where, ``scene.py`` joins that for one photograph, ``page.py`` makes the page out of scenes and curves.
"""

from vaecodec.compare.page import Chart, Curve, build_page
from vaecodec.compare.peers import Peer, VaecodecPeer, installed_peers
from vaecodec.compare.photos import compare_photos, steps
from vaecodec.compare.scene import Scene, Version, make_scene

__all__ = [
    "Chart",
    "Curve",
    "Peer",
    "Scene",
    "VaecodecPeer",
    "Version",
    "build_page",
    "compare_photos",
    "installed_peers",
    "make_scene",
    "steps",
]
