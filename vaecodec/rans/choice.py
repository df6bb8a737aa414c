"""Which coder runs on a CPU: plain Python for the first few symbols of a process, compiled loops for all that follow.

Placing loops in memory takes 0.03 s; importing numba and compiling them, where no earlier process has, a second and
more. A process pays for either only when it has coded as much as makes it worth it. All coders write the same words:

| name  | module        | when                                                                                  |
|-------|---------------|---------------------------------------------------------------------------------------|
| auto  | the next two  | always, unless another one is asked for: plain at first, then numba (see the limits)    |
| plain | plain_coder   | lists of Python's integers: the fastest that is not compiled                            |
| numba | numba_coder   | compiled loops, 30 times as fast; these also replace NumPy's passes (`entropy.compiled`) |
| numpy | coder         | the normative reference: slow for few lanes, for tests                                  |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vaecodec.rans import numba_coder
from vaecodec.rans.coder import Segment
from vaecodec.rans.lanes import WORD_BYTES
from vaecodec.rans.tables import CdfTables

Loops = Literal["auto", "plain", "numba", "numpy"]

PLAIN_SYMBOLS = 1 << 20
"""About two megapixels. Up to more than three, plain Python is done before numba has compiled."""
FEW_SYMBOLS = 1 << 14
"""Plain Python takes as long for them as compiled loops take to be placed in memory."""


class RansDecoder(Protocol):
    """A decoder of one stream, see `coder.Decoder`."""

    def decode(self, table_index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.uint16]:
        """The symbols of the next segment, with the table of each."""

    def finish(self) -> None:
        """Raises CorruptStream unless every word is used and every state is back at its start."""


class RansCoder(Protocol):
    """One way to code on a CPU."""

    @property
    def is_compiled(self) -> bool:
        """Whether loops are compiled: from then on, all that they can do beside the coder is done by them, too."""

    def encode(self, segments: Sequence[Segment], lanes: int) -> bytes:
        """The payload of some segments, see `coder.encode`."""

    def decoder(self, data: bytes | memoryview, lanes: int, symbols_at_most: int | None) -> RansDecoder:
        """A decoder of a payload, see `coder.Decoder`.

        symbols_at_most: of all segments together, None where nobody knows.
        """


@dataclass
class StartingCoder:
    """Plain Python for the first few symbols, then numba for good: `few_symbols` where it has compiled before, else
    `plain_symbols`."""

    plain_symbols: int = PLAIN_SYMBOLS
    few_symbols: int = FEW_SYMBOLS
    is_compiled: bool = False

    def use_compiled(self) -> None:
        """Let numba code from now on, as in a process that has coded some images."""
        self.plain_symbols, self.is_compiled = 0, True

    def encode(self, segments: Sequence[Segment], lanes: int) -> bytes:
        """The payload of some segments, see `coder.encode`."""
        symbols = sum(len(symbols) for symbols, _, _ in segments)
        return self._next(symbols, numba_coder.ENCODING).encode(segments, lanes)

    def decoder(self, data: bytes | memoryview, lanes: int, symbols_at_most: int | None) -> RansDecoder:
        """A decoder of a payload, see `coder.Decoder`."""
        # A hostile stream may hold more words than there are symbols, and in plain Python a word takes 36 bytes.
        symbols = None if symbols_at_most is None else max(symbols_at_most, len(data) // WORD_BYTES)
        return self._next(symbols, numba_coder.DECODING).decoder(data, lanes, symbols_at_most)

    def _next(self, symbols: int | None, loops: Sequence[str]) -> RansCoder:
        """The coder of so many more symbols, compiled if it takes these loops."""
        if self.is_compiled or symbols is None or self._is_worth_it(symbols, loops):
            self.use_compiled()
            return rans_coder("numba")
        self.plain_symbols -= symbols
        self.few_symbols -= symbols
        return rans_coder("plain")

    def _is_worth_it(self, symbols: int, loops: Sequence[str]) -> bool:
        return symbols > self.plain_symbols or (symbols > self.few_symbols and numba_coder.LOOPS.are_kept(*loops))


class PlainCoder:
    """`plain_coder`, whatever the number of symbols."""

    is_compiled = False

    def encode(self, segments: Sequence[Segment], lanes: int) -> bytes:
        """The payload of some segments, see `coder.encode`."""
        from vaecodec.rans import plain_coder

        return plain_coder.encode(segments, lanes)

    def decoder(self, data: bytes | memoryview, lanes: int, symbols_at_most: int | None) -> RansDecoder:  # noqa: ARG002
        """A decoder of a payload, see `coder.Decoder`."""
        from vaecodec.rans import plain_coder

        return plain_coder.Decoder(data, lanes)


class NumbaCoder:
    """`numba_coder`. Imports numba where no earlier process has compiled its loops."""

    is_compiled = True

    def encode(self, segments: Sequence[Segment], lanes: int) -> bytes:
        """The payload of some segments, see `coder.encode`."""
        return numba_coder.encode(segments, lanes)

    def decoder(self, data: bytes | memoryview, lanes: int, symbols_at_most: int | None) -> RansDecoder:  # noqa: ARG002
        """A decoder of a payload, see `coder.Decoder`."""
        return numba_coder.Decoder(data, lanes)


class ReferenceCoder:
    """`coder`, the normative form."""

    is_compiled = False

    def encode(self, segments: Sequence[Segment], lanes: int) -> bytes:
        """The payload of some segments, see `coder.encode`."""
        from vaecodec.rans import coder

        return coder.encode(segments, lanes)

    def decoder(self, data: bytes | memoryview, lanes: int, symbols_at_most: int | None) -> RansDecoder:  # noqa: ARG002
        """A decoder of a payload, see `coder.Decoder`."""
        from vaecodec.rans import coder

        return coder.Decoder(data, lanes)


AUTO = StartingCoder()
"""What this process codes with: its state is the only one, so that the second image profits from the first."""
_CODERS: dict[Loops, RansCoder] = {
    "auto": AUTO,
    "plain": PlainCoder(),
    "numba": NumbaCoder(),
    "numpy": ReferenceCoder(),
}


def rans_coder(loops: Loops) -> RansCoder:
    """The coder of this name."""
    return _CODERS[loops]
