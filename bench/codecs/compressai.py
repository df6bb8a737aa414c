"""placeholder"""
from __future__ import annotations
from bench.codecs.base import Codec, Image


class CompressAi(Codec):
    qualities = (1, 2, 3, 4, 5, 6, 7, 8)

    def __init__(self, model: str, threads: int = 1) -> None:
        super().__init__(threads)
        self.name = f"compressai:{model}"
        self.title = f"CompressAI {model}"

    def available(self) -> bool:
        return False

    def encode(self, img: Image, quality: float) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes) -> Image:
        raise NotImplementedError

    def version(self) -> str:
        return ""
