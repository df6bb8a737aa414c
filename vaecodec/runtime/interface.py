"""What a codec asks of the networks and coders of one model, in PyTorch (`pipeline`) or without it (`cpu.pipeline`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vaecodec.collecting import or_error
from vaecodec.entropy.coding import CodedLatents, Latents, StoredLatents
from vaecodec.entropy.model import EntropyModel
from vaecodec.errors import FormatError
from vaecodec.intnet.fixedpoint import SCALE_INDICES
from vaecodec.networks.config import ModelConfig
from vaecodec.runtime.windows import Pixels, Window


@dataclass(frozen=True)
class LoadedModel:
    """The configuration, the entropy model and the model card of one weights file; its networks are in a subclass."""

    config: ModelConfig
    entropy: EntropyModel
    wire_hash: bytes
    card: dict[str, object]


class Quantized(Protocol):
    """What goes into the files of a batch, and y_hat [B, M, h, w] (array or tensor) beside."""

    @property
    def y_hat(self) -> Any:
        """What g_s makes the images of, float32."""

    def latents_of(self, number: int) -> Latents:
        """The integers of one image."""


class Pipeline(Protocol):
    """The networks of one model on one device, and the coder of their latents."""

    def quantize(self, pictures: Sequence[Pixels], level: int, *, dead_zone: float = 0.0) -> Any:
        """Images uint8 [H, W, 3] of equal size once padded -> `Quantized`. dead_zone: see `dead_zone_widths`."""

    def analyse(self, pixels: Pixels, level: int) -> Any:
        """An image uint8 [H, W, 3] -> y [M, h, w], array or tensor, float32."""

    def quantize_y(self, y: Any, level: int, *, dead_zone: float = 0.0) -> Any:
        """What `quantize` makes of an image, from its y, which is left as it is."""

    def encode(self, quantized: Any) -> list[CodedLatents]:
        """The bytes of each image's latents."""

    def encode_pictures(self, pictures: Sequence[Pixels], level: int) -> list[CodedLatents]:
        """The coded latents of images: `encode(quantize(...))` in less memory, since y_hat isn't kept."""

    def decode_latents(self, file: StoredLatents) -> Latents:
        """The latents of one file. Raises FormatError."""

    def latents(self, files: Sequence[StoredLatents]) -> list[tuple[Latents, Any] | FormatError]:
        """`decode_latents` of files of any sizes, and `y_hat` of each; or its error."""

    def y_hat(self, latents: Latents) -> Any:
        """What the decoder makes of the latents of one file, [M, h, w], before g_s."""

    def pixels(
        self, files: Sequence[StoredLatents], window: Window, *, reduction: int = 1
    ) -> list[NDArray[np.uint8] | FormatError]:
        """Files of equal z_shape -> the pixels of a rectangle of each, uint8 [height, width, 3], or its error.

        reduction: 1, 2, 4, 8 reduces the image by that factor; `window` counts the pixels of the reduced image.
        """

    def decoded_rows(self, quantized: Any, level: int) -> Iterator[NDArray[np.uint8]]:
        """What the decoder makes of the one image in `quantized`, band by band from the top: uint8 [rows, 16w, 3]."""

    def pixel_rows(self, y_hat: Any, level: int) -> Iterator[NDArray[np.uint8]]:
        """The decoded image of y_hat (or y) [M, h, w], band by band from the top: uint8 [rows, 16w, 3]."""


def latents_one_by_one(pipeline: Pipeline, files: Sequence[StoredLatents]) -> list[tuple[Latents, Any] | FormatError]:
    """What `Pipeline.latents` says, with nothing that several files share."""
    decoded = [or_error(FormatError, pipeline.decode_latents, file) for file in files]
    return [each if isinstance(each, FormatError) else (each, pipeline.y_hat(each)) for each in decoded]


def dead_zone_widths(entropy: EntropyModel, strength: float) -> NDArray[np.float32]:
    """The amount by which r moves toward zero before it is rounded, for each scale index: float32 [256], 0..0.5.

    Rounding v = 0.5 + d down to 0 instead of up to 1 adds 2d to the squared error (in units of the step) and saves the
    bits by which 1 is dearer than 0 in the index's table. So the widths that save most for an error are in
    proportion to these bits: 0.5 * strength * bits.
    """
    all_widths = np.zeros(256, np.float32)  # every uint8 has one: no index leads out of the table
    if not strength:
        return all_widths
    bits = entropy.y_tables.bits[:SCALE_INDICES]
    dearer = np.where(np.isfinite(bits[:, 1]), bits[:, 1] - bits[:, 0], np.inf)
    with np.errstate(invalid="ignore"):
        widths = np.nan_to_num(0.5 * strength * dearer, nan=0.0, posinf=0.5)
    all_widths[:SCALE_INDICES] = widths.clip(0, 0.5)
    return all_widths
