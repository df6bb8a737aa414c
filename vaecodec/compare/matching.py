"""Finding the setting at which a codec's file has a wanted size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vaecodec.compare.peers import FAILURES, Peer
from vaecodec.image import Pixels

TOLERANCE = 0.02
"""Files within 2 % of each other count as equal."""
CLOSE_ENOUGH = 0.003
"""Where the search stops early: a difference that nobody can see or should pay for."""
FINE_STEPS = 7


@dataclass(frozen=True)
class Match:
    """The file found; `deviation` is its size over the wanted one, less 1."""

    data: bytes
    setting: float
    deviation: float

    @property
    def matched(self) -> bool:
        """Whether the size is the one that was asked for, within the tolerance."""
        return abs(self.deviation) <= TOLERANCE


def match_size(peer: Peer, pixels: Pixels, size: int) -> Match:
    """Bisect over whole settings, then, where the codec takes fractions, between the two that enclose `size`.

    The file that comes closest is returned, also when the codec cannot come within the tolerance. A codec that has a
    way of its own to a size is asked for it when no setting comes that close.
    """
    matches: dict[float, Match] = {}

    def attempt(setting: float) -> Match:
        if setting not in matches:
            data = peer.encode(pixels, setting)
            matches[setting] = Match(data, setting, len(data) / size - 1)
        return matches[setting]

    low, high = int(peer.low), int(peer.high)
    while low < high:
        middle = (low + high) // 2
        if attempt(middle).deviation < 0:
            low = middle + 1
        else:
            high = middle
    attempt(low)
    if not peer.whole:
        _refine(attempt, max(low - 1, peer.low), min(low, peer.high))
    nearest = min(matches.values(), key=lambda match: abs(match.deviation))
    own = None if nearest.matched else peer.to_size(pixels, size)
    return nearest if own is None else Match(*own, len(own[0]) / size - 1)


def _refine(attempt: Callable[[float], Match], low: float, high: float) -> None:
    """Bisect fractions; stops when it is close, or after FINE_STEPS."""
    for _ in range(FINE_STEPS):
        middle = (low + high) / 2
        deviation = attempt(middle).deviation
        if abs(deviation) <= CLOSE_ENOUGH:
            return
        low, high = (middle, high) if deviation < 0 else (low, middle)


NEIGHBOURS = 6


def common_size(peers: Sequence[Peer], pixels: Pixels, around: int) -> int:
    """A size near `around` bytes that codecs of whole settings can all come close to, but for those of any size.

    Each of them has sizes some percent apart; the size taken is the one of theirs from which the worst of them is
    least far. With no such codec it is `around`, with one the size of its nearest file. A codec that cannot do the
    picture has no say.
    """
    whole = [peer for peer in peers if peer.whole and not peer.any_size]
    ladders = []
    for peer in whole:
        with contextlib.suppress(*FAILURES):
            ladders.append(_sizes_near(peer, pixels, around, NEIGHBOURS if len(whole) > 1 else 0))

    def worst(size: int) -> float:
        return max(min(abs(other / size - 1) for other in ladder) for ladder in ladders)

    sizes = sorted({size for ladder in ladders for size in ladder})
    # Between two sizes that never meet, the middle is twice as near as either.
    middles = [(a + b) // 2 for i, a in enumerate(sizes) for b in sizes[i + 1 :]]
    return min([*sizes, *middles], key=worst, default=around)


def _sizes_near(peer: Peer, pixels: Pixels, around: int, reach: int) -> list[int]:
    """The sizes at the setting nearest to `around` bytes and at `reach` settings on either side."""
    centre = int(match_size(peer, pixels, around).setting)
    settings = range(max(centre - reach, int(peer.low)), min(centre + reach, int(peer.high)) + 1)
    return [len(peer.encode(pixels, setting)) for setting in settings]
