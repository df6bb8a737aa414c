"""Which coder runs on a CPU: plain Python for the first few symbols of a process, numba for all that follow.

Importing numba and loading what it has compiled take 0.4 to 0.7 s, more than all else that is done for a small picture.
So a process pays for that only when it has coded as much as makes it worth it. All coders write the same words.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vaecodec.rans import plain_coder
from vaecodec.rans.coder import Segment
from vaecodec.rans.streams import WORD_BYTES
from vaecodec.rans.tables import CdfTables

if TYPE_CHECKING:
    pass

PLAIN_SYMBOLS = 1 << 20
"""About two megapixels. Up to more than three, plain Python is done before numba is (`python -m bench practical`)."""


class RansDecoder(Protocol):
    """What every rANS decoder offers, see `coder`."""

    def decode(self, table_index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.uint16]: ...

    def finish(self) -> None: ...


def is_compiled() -> bool:
    """Whether this process has loaded numba and what it compiles: from then on, all that it can do is done by it."""
    return "vaecodec.rans.numba_coder" in sys.modules


@dataclass
class Start:
    """How many symbols plain Python may still code in this process."""

    left: int = PLAIN_SYMBOLS

    def takes(self, symbols: int) -> bool:
        """Whether plain Python shall code so many more."""
        if symbols > self.left or is_compiled():
            return False
        self.left -= symbols
        return True


_START = Start()


def encode(segments: Sequence[Segment], lanes: int) -> bytes:
    """As `coder.encode`."""
    if _START.takes(sum(len(symbols) for symbols, _, _ in segments)):
        return plain_coder.encode(segments, lanes)
    from vaecodec.rans import numba_coder

    return numba_coder.encode(segments, lanes)


def decoder(data: bytes | memoryview, lanes: int, symbols_at_most: int | None) -> RansDecoder:
    """As `coder.Decoder`. symbols_at_most: of all segments together, None where nobody knows."""
    # A hostile stream may hold more words than there are symbols, and in plain Python a word takes 36 bytes.
    if symbols_at_most is not None and _START.takes(max(symbols_at_most, len(data) // WORD_BYTES)):
        return plain_coder.Decoder(data, lanes)
    from vaecodec.rans import numba_coder

    return numba_coder.Decoder(data, lanes)
