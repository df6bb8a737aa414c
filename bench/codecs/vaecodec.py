"""This project's own codec."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, ClassVar

from bench.codecs.base import Codec, CodecError, Image

if TYPE_CHECKING:
    from vaecodec.codec import Codec as Model

REFINED_QUALITIES = (10, 30, 50, 70, 90)


class VaeCodec(Codec):
    """One of vaecodec's models on the CPU (or on `device`), by name or by the path of its weights.

    `base@9` encodes with effort 9, on a shorter ladder: that takes minutes a megapixel.
    """

    requires: ClassVar[str] = "no shipped weights of that name; a path to a .safetensors file works too"
    openmp = True
    qualities = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)

    def __init__(self, model: str, threads: int = 1, device: str = "cpu") -> None:
        super().__init__(threads)
        self.model, _, effort = model.partition("@")
        self.effort = int(effort or 4)
        self.name = f"vaecodec:{model}"
        self.title = f"vaecodec {self.model}" + (f", effort {effort}" if effort else "")
        if effort:
            self.qualities = REFINED_QUALITIES
        self.device = device
        self._codec: Model | None = None

    def available(self) -> bool:
        if importlib.util.find_spec("vaecodec.codec") is None:
            return False
        from vaecodec.errors import WeightsError

        try:
            self.codec()
        except WeightsError:
            return False
        return True

    def codec(self) -> Model:
        if self._codec is None:
            from vaecodec import Codec as Model
            from vaecodec.rans.choice import AUTO

            AUTO.use_compiled()  # as in a process that has coded some images
            self._codec = Model(model=self.model, device=self.device)
        return self._codec

    def encode(self, img: Image, quality: float) -> bytes:
        from vaecodec.errors import VaecodecError

        try:
            return self.codec().encode(img, quality=int(quality), mode="neural", effort=self.effort)
        except VaecodecError as error:
            message = f"{type(error).__name__}: {error}"
            raise CodecError(message) from error

    def decode(self, data: bytes) -> Image:
        from vaecodec.errors import VaecodecError

        try:
            picture = self.codec().decode(data, as_array=True)
        except VaecodecError as error:
            message = f"{type(error).__name__}: {error}"
            raise CodecError(message) from error
        return picture

    def version(self) -> str:
        import numpy as np

        import vaecodec
        from vaecodec.refine import passes_of

        # The header names the exact weights: the hash of the tables decides the bytes.
        probe = vaecodec.inspect(self.encode(np.zeros((8, 8, 3), np.uint8), 50))
        passes = passes_of(self.effort)
        refined = f", effort {self.effort} ({passes} passes)" if passes else ""
        return f"vaecodec {vaecodec.__version__}, model {probe.model} {probe.model_hash}, {self.device}{refined}"
