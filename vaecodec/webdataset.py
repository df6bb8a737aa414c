"""WebDatasets (tar files of samples) with .vaec members: a decoder for `decode`, an encoder for the writers.

images = webdataset.WebDataset("photos-{000..099}.tar").decode(Decoder(as_array=True))
webdataset.ShardWriter("photos-%03d.tar", encoder=Encoder(quality=60))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vaecodec.api import decode, encode
from vaecodec.levels import DEFAULT_QUALITY
from vaecodec.picture_file import Crop, Result
from vaecodec.weights.manifest import DEFAULT_MODEL

FIELD = "vaec"


@dataclass(frozen=True)
class Decoder:
    """A handler for `WebDataset.decode`: fields named vaec become images. Options as for `vaecodec.decode`."""

    as_array: bool = False
    crop: Crop | None = None
    reduction: int = 1
    device: str = "auto"

    def __call__(self, key: str, data: bytes) -> Result | None:
        """Decode one field; None for a field of another kind."""
        if key.rpartition(".")[2].lower() != FIELD:
            return None
        return decode(data, as_array=self.as_array, crop=self.crop, reduction=self.reduction, device=self.device)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True)
class Encoder:
    """An encoder for `TarWriter` and `ShardWriter`: images in fields named vaec become files, bytes stay as they are.

    Options as for `vaecodec.encode`. What else is in a sample is encoded as webdataset does by itself.
    """

    quality: float = DEFAULT_QUALITY
    model: str = DEFAULT_MODEL
    device: str = "auto"

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Encode the fields of one sample."""
        from webdataset.writer import default_handlers, encode_based_on_extension

        handlers = {**default_handlers, FIELD: self._encode}
        encoded: dict[str, Any] = encode_based_on_extension(sample, handlers)
        return encoded

    def _encode(self, image: object) -> bytes:
        return encode(image, self.quality, model=self.model, device=self.device)
