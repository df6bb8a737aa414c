"""Chunks of Zarr arrays of format 3 as .vaec files: `VaecCodec`, a serializer.

    zarr.create_array("photos.zarr", shape=(100, 512, 768, 3), chunks=(1, 512, 768, 3), dtype="uint8",
                      serializer=VaecCodec(quality=60), compressors=None)

Zarr knows it by the name "vaecodec" (an entry point of this package), so readers import nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from vaecodec.levels import DEFAULT_QUALITY
from vaecodec.weights.manifest import DEFAULT_MODEL
from vaecodec.zarr import Vaec, pixels_of

try:
    from zarr.abc.codec import ArrayBytesCodec
except ImportError as error:
    message = "vaecodec.zarr3 needs zarr 3: pip install 'zarr>=3'"
    raise ImportError(message) from error


@dataclass(frozen=True)
class VaecCodec(ArrayBytesCodec):
    """A serializer of Zarr 3; chunks and options as for `vaecodec.zarr.Vaec`."""

    is_fixed_size = False

    quality: float = DEFAULT_QUALITY
    model: str = DEFAULT_MODEL
    lossless: bool = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VaecCodec:
        """The codec that an array's metadata name."""
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """What an array's metadata say of the codec."""
        return {"name": Vaec.codec_id, "configuration": asdict(self)}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Raises NotImplementedError: the size of a file is known when it is there."""
        raise NotImplementedError

    async def _encode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        data = await asyncio.to_thread(Vaec(**asdict(self)).encode, chunk_array.as_numpy_array())
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        pixels = await asyncio.to_thread(pixels_of, chunk_bytes.to_bytes())
        return chunk_spec.prototype.nd_buffer.from_numpy_array(pixels.reshape(chunk_spec.shape))
