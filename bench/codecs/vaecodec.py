"""This project's own codec."""

from __future__ import annotations

from typing import ClassVar

from bench.codecs.base import Codec, CodecError, Image
from vaecodec.codec import Codec as Model
from vaecodec.compare.peers import VaecodecPeer
from vaecodec.errors import VaecodecError, WeightsError
from vaecodec.modes import Mode
from vaecodec.rans.choice import AUTO
from vaecodec.refine import passes_of

REFINED_QUALITIES = (10, 30, 50, 70, 90)


class VaeCodec(VaecodecPeer, Codec):
    """One of vaecodec's models on the CPU (or on `device`), by name or by the path of its weights.

    `base@9` encodes with effort 9, on a shorter ladder: that takes minutes a megapixel.
    """

    requires = "no shipped weights of that name; a path to a .safetensors file works too"
    openmp = True
    qualities = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    mode: ClassVar[Mode] = "neural"

    def __init__(self, model: str, threads: int = 1, device: str = "cpu") -> None:
        Codec.__init__(self, threads)
        self.model, _, effort = model.partition("@")
        self.effort = int(effort or 4)
        self.name = f"vaecodec:{model}"
        self.title = f"vaecodec {self.model}" + (f", effort {effort}" if effort else "")
        if effort:
            self.qualities = REFINED_QUALITIES
        self.device = device
        self._codec: Model | None = None

    def available(self) -> bool:
        try:
            return self.codec is not None
        except WeightsError:
            return False

    @property
    def codec(self) -> Model:
        """The loaded model, as in a process that has coded some images."""
        if self._codec is None:
            AUTO.use_compiled()
            self._codec = Model(model=self.model, device=self.device)
        return self._codec

    def encode(self, pixels: Image, setting: float) -> bytes:
        try:
            return super().encode(pixels, int(setting))
        except VaecodecError as error:
            message = f"{type(error).__name__}: {error}"
            raise CodecError(message) from error

    def decode(self, data: bytes) -> Image:
        try:
            return super().decode(data)
        except VaecodecError as error:
            message = f"{type(error).__name__}: {error}"
            raise CodecError(message) from error

    def version(self) -> str:
        import numpy as np

        import vaecodec

        # The header names the exact weights: the hash of the tables decides the bytes.
        probe = vaecodec.inspect(self.encode(np.zeros((8, 8, 3), np.uint8), 50))
        passes = passes_of(self.effort)
        refined = f", effort {self.effort} ({passes} passes)" if passes else ""
        return f"vaecodec {vaecodec.__version__}, model {probe.model} {probe.model_hash}, {self.device}{refined}"
