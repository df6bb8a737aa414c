"""``.vaec`` in Pillow: once this module is imported ``Image.open`` and ``Image.save`` know the format.

    vaecodec.register_pillow()
    Image.open("photo.vaec").show()
    image.save("photo.vaec", quality=60)

``Image.open`` reads the header and the metadata, never a pixel: Pillow tests the size for a decompression bomb before
``load()`` decodes. Options of ``save`` are those of `vaecodec.encode` (quality, lossless, mode, target_bytes,
target_psnr, target_bpp, effort, denoise, strip, verify, model, device), tune ("psnr" or "perceptual"), and icc_profile,
exif, xmp; the last three are those of the image unless given, and None or empty bytes leaves them out. Others are
refused.
``ImageFile.LOAD_TRUNCATED_IMAGES`` makes ``load()`` take what is intact of a damaged file.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import IO, Any

from PIL import Image, ImageFile

from vaecodec import container
from vaecodec.container import Tag
from vaecodec.errors import FormatError, InputTypeError, VaecodecError
from vaecodec.image import Picture, pillow_info, strip_exif_prefix, to_picture
from vaecodec.networks.config import REDUCTIONS
from vaecodec.weights.manifest import chosen_name

ENCODE_OPTIONS = (
    "quality", "lossless", "mode", "target_bytes", "target_psnr", "target_bpp", "effort", "denoise", "strip", "verify",
    "model", "device",
)  # fmt: skip
METADATA_OPTIONS = ("icc_profile", "exif", "xmp")
FORMAT = "VAEC"
EXTENSION = ".vaec"
MIME = "image/x-vaec"


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


class VaecImageFile(ImageFile.ImageFile):
    """A ``.vaec`` file opened by Pillow; its pixels are decoded by the first ``load()``."""

    format = FORMAT
    format_description = "vaecodec neural image"
    # True until the pixels are there.
    _waiting = False
    # `load` decodes at 1 / _reduction of the file's size.
    _reduction = 1

    def _open(self) -> None:
        """Take size, mode and metadata. Raises ``SyntaxError``, Pillow's word for "none of mine", for a bad header."""
        try:
            file = container.parse_header(self._stream.read(container.MAX_HEADER_BYTES))
        except FormatError as error:
            raise SyntaxError(str(error)) from error
        self._size = self._file_size = file.header.width, file.header.height
        self._mode = file.header.mode.name
        self.info.update(pillow_info(*(self._metadata(file, tag) for tag in (Tag.ICC, Tag.EXIF, Tag.XMP))))
        self._waiting = True

    def draft(
        self,
        mode: str | None,  # noqa: ARG002 (Pillow's signature)
        size: tuple[int, int] | None,
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Have ``load`` decode a smaller picture, 1/2, 1/4 or 1/8, no smaller than ``size``; as for JPEG.

        ``Image.thumbnail`` calls it. Returns None where nothing changes; ``mode`` never does.
        """
        if not self._waiting or size is None:
            return None
        width, height = self._file_size
        room = min(width // max(1, size[0]), height // max(1, size[1]))
        reduction = max((reduction for reduction in REDUCTIONS if reduction <= room), default=1)
        if reduction == 1:
            return None
        self._reduction, self._size = reduction, (-(-width // reduction), -(-height // reduction))
        return self.mode, (0, 0, width / reduction, height / reduction)

    def load(self) -> Any:
        """Decode on the first call. Raises ``OSError`` for a file that cannot be decoded, as Pillow's formats do."""
        if self._waiting:
            image = self._decode()
            if (image.size, image.mode) != (self.size, self.mode):
                message = (
                    f"the file changed after it was opened: {image.size} {image.mode}, was {self.size} {self.mode}"
                )
                raise OSError(message)
            self.im = image.im
            self._waiting = False
            self._close_when_ours()
        return super().load()

    @property
    def _stream(self) -> IO[bytes]:
        if self.fp is None:
            message = "the file is closed"
            raise OSError(message)
        return self.fp

    def _metadata(self, file: container.File, tag: Tag) -> bytes | None:
        """One small section. A damaged one is left to ``load()``, which names the damage."""
        section = file.sections.get(tag)
        if section is None:
            return None
        self._stream.seek(section.offset)
        content = self._stream.read(section.length)
        alone = container.File(file.header, {tag: dataclasses.replace(section, offset=0)}, len(content))
        with contextlib.suppress(FormatError):
            return container.read_section(content, alone, tag)
        return None

    def _decode(self) -> Image.Image:
        from vaecodec.api import decode

        self._stream.seek(0)
        width, height = self._file_size
        try:
            # Image.open has tested this size against Pillow's limit, with a warning or an error.
            data = self._stream.read()
            if not ImageFile.LOAD_TRUNCATED_IMAGES:
                return decode(data, max_pixels=width * height, reduction=self._reduction)
            image = decode(container.salvage(data).data, max_pixels=width * height, reduction=self._reduction)
            return image.convert(self.mode)  # of a damaged transparency, an opaque one is left
        except VaecodecError as error:
            raise OSError(str(error)) from error

    def _close_when_ours(self) -> None:
        # As ImageFile.load does: a file that Pillow opened is closed once it has been read.
        if self.fp is not None and self._exclusive_fp and self._close_exclusive_fp_after_loading:
            self.fp.close()
            self.fp = None


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001
    from vaecodec.api import encode

    options = dict(im.encoderinfo)
    unknown = sorted(set(options) - {*ENCODE_OPTIONS, *METADATA_OPTIONS, "tune"})
    if unknown:
        legal = ", ".join((*ENCODE_OPTIONS, "tune", *METADATA_OPTIONS))
        message = f"save has no option {', '.join(unknown)} for .vaec; it must be one of {legal}"
        raise InputTypeError(message)
    picture = _with_metadata(to_picture(im), options)
    tune = options.pop("tune", None)
    if tune is not None:
        options["model"] = chosen_name(options.get("model"), tune)
    fp.write(encode(picture, **{key: value for key, value in options.items() if key in ENCODE_OPTIONS}))


def _with_metadata(picture: Picture, options: dict[str, Any]) -> Picture:
    """The picture with the metadata that the caller of ``save`` asked for instead of its own."""
    icc = _checked_bytes("icc_profile", options.get("icc_profile", picture.icc))
    xmp = _checked_bytes("xmp", options.get("xmp", picture.xmp))
    exif = options.get("exif", picture.exif)
    exif = _checked_bytes("exif", exif.tobytes() if isinstance(exif, Image.Exif) else exif)
    return dataclasses.replace(picture, icc=icc, exif=strip_exif_prefix(exif) if exif else None, xmp=xmp)


def _checked_bytes(key: str, value: object) -> bytes | None:
    """The value of an option of ``save``; None for none. Raises InputTypeError."""
    if not isinstance(value, bytes | None):
        legal = "bytes or an Image.Exif" if key == "exif" else "bytes"
        message = f"{key} is of type {type(value).__name__}; it must be {legal}"
        raise InputTypeError(message)
    return value or None


def register() -> None:
    """Teach Pillow the format, in this process, as importing this module does. Calling it again changes nothing."""
    Image.register_open(FORMAT, VaecImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, EXTENSION)
    Image.register_mime(FORMAT, MIME)


register()  # so that a worker process that unpickles a function of this module knows the format, too
