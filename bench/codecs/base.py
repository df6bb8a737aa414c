"""What the benchmark asks of a codec: a peer, as the pages have them, with a ladder of qualities and a version.

A new codec is one small class in this folder and one line in `bench/codecs/__init__.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from vaecodec.compare.peers import Peer
from vaecodec.image import Pixels

Image = Pixels


class CodecError(RuntimeError):
    """A codec could not do one image; the benchmark records it beside that image and goes on."""


class Codec(Peer):
    """One codec with fixed settings; only the quality moves along its rate-distortion curve.

    `name` is the word used on the command line and in file names, `title` the one in plots and tables. `threads` is how
    many threads the codec may use for one image; the benchmark states it.
    """

    tuned_for: ClassVar[str | None] = None  # the metric that its settings aim at; tables of others leave it out
    qualities: tuple[float, ...]  # the default ladder, from small files to large ones
    openmp: ClassVar[bool] = False  # its threads are OpenMP's, bound by the environment of its process

    def __init__(self, threads: int = 1) -> None:
        self.threads: int = threads

    @abstractmethod
    def version(self) -> str:
        """Name everything that may change the bytes: library versions, settings, weights.

        Cached results made under another version are measured again.
        """

    def close(self) -> None:
        """Give back what the codec holds, such as a process."""


class LadderCodec(Codec):
    """A codec of whole qualities, between the ends of its ladder."""

    whole = True

    def __init__(self, threads: int = 1) -> None:
        super().__init__(threads)
        self.low, self.high = self.qualities[0], self.qualities[-1]
