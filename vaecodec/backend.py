"""Which implementation runs: NumPy reference, numba, or Triton. The one place that chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vaecodec.rans.tables import CdfTables

Segment = tuple[NDArray[np.uint16], NDArray[np.uint8], CdfTables]


class RansDecoder(Protocol):
    """What every rANS decoder offers, see `vaecodec.rans.coder`."""

    def decode(self, table_index: NDArray[np.uint8], tables: CdfTables) -> NDArray[np.uint16]: ...

    def finish(self) -> None: ...


def rans_encode(segments: Sequence[Segment], lanes: int) -> bytes:
    """Encode with the fastest coder there is."""
    from vaecodec.rans import numba_coder

    return numba_coder.encode(segments, lanes)


def rans_decoder(data: bytes, lanes: int) -> RansDecoder:
    """A decoder of the fastest kind there is."""
    from vaecodec.rans import numba_coder

    return numba_coder.Decoder(data, lanes)
