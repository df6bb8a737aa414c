"""What a file says of itself, without networks: `inspect` reads the header, `verify` decodes all integers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vaecodec import container
from vaecodec.container import Tag
from vaecodec.errors import HashMismatch, InputError, UnknownModel
from vaecodec.levels import level_to_quality
from vaecodec.reading import Data, read_data
from vaecodec.weights.manifest import manifest

if TYPE_CHECKING:
    from vaecodec.entropy.coding import Latents
    from vaecodec.rans.choice import Loops
    from vaecodec.weights.store import StoredModel

DEFAULT_MAX_PIXELS = 2 * 89_478_485
"""Where Pillow, too, refuses by default (twice its MAX_IMAGE_PIXELS); it may not be installed here."""


@dataclass(frozen=True)
class Info:
    """The header of a file. `sections`: bytes of each section; `model`: "unknown" if these weights aren't shipped.

    A lossless file has model "none", level 63 and quality 100.
    """

    version: int
    model: str
    model_id: int
    model_hash: str
    level: int
    quality: int
    width: int
    height: int
    mode: str
    lossless: bool
    file_size: int
    bpp: float
    sections: dict[str, int]


def _describe(file: container.File) -> Info:
    header = file.header
    names = [e.name for e in manifest() if e.model_id == header.model_id and e.sha256[:8] == header.model_hash.hex()]
    return Info(
        version=header.version,
        model="none" if header.is_lossless else names[0] if names else "unknown",
        model_id=header.model_id,
        model_hash=header.model_hash.hex(),
        level=header.level,
        quality=level_to_quality(header.level),
        width=header.width,
        height=header.height,
        mode=header.mode.name,
        lossless=header.is_lossless,
        file_size=file.size,
        bpp=8 * file.size / (header.width * header.height),
        sections={container.tag_name(tag).lower(): section.length for tag, section in file.sections.items()},
    )


def inspect(data: Data) -> Info:
    """Header and section table of a file (its bytes, path, or open), checked; no torch, no numpy.

    Raises FormatError for a bad file, InputTypeError for what is no file, OSError for one that cannot be read.
    """
    return _describe(container.parse(read_data(data), max_pixels=None))


def verify(data: Data, *, max_pixels: int = DEFAULT_MAX_PIXELS, model: str | Path | None = None) -> Info:
    """All checksums of a file, the whole entropy decoding and its end check; no torch, pixels of lossless files only.

    data: as for `inspect`. max_pixels: largest legal width * height. model: the weights file of an own model; those of
    shipped models, and of models in the folder that VAECODEC_MODELS names, are found without.
    Raises FormatError for a damaged file or one beyond the limit, UnknownModel or HashMismatch when its weights aren't
    installed (or aren't those of `model`), and what `inspect` raises.
    """
    content = read_data(data)
    file = container.parse(content, max_pixels=max_pixels)
    if file.header.is_lossless:
        from vaecodec import lossless

        lossless.check(container.read_all(content, file)[Tag.LOSSLESS], file.header)
    else:
        decode_integers(content, max_pixels=max_pixels, model=model)
    return _describe(file)


def decode_integers(
    data: Data, *, max_pixels: int = DEFAULT_MAX_PIXELS, model: str | Path | None = None, loops: Loops = "auto"
) -> Latents:
    """The integers of a file, equal on every machine; checks and raises as `verify`. loops: see `rans.choice`.

    Raises InputError for a lossless file, which has none.
    """
    from vaecodec.entropy.coding import StoredLatents, decode_latents
    from vaecodec.entropy.model import from_tensors
    from vaecodec.rans.choice import rans_coder
    from vaecodec.runtime.windows import z_shape

    data = read_data(data)
    file = container.parse(data, max_pixels=max_pixels)
    if file.header.is_lossless:
        message = "a lossless file has no latents"
        raise InputError(message)
    header, content = file.header, container.read_all(data, file)
    entropy = from_tensors(_weights_of(header, model).tensors)
    stored = StoredLatents(
        header.level, z_shape(header.height, header.width), content[Tag.LATENTS], content.get(Tag.OUTLIERS, b"")
    )
    latents = decode_latents(entropy, stored, coder=rans_coder(loops))
    if Tag.ALPHA in content:
        container.unpack_alpha(content[Tag.ALPHA], header.width, header.height)
    container.parse_postfilter(content.get(Tag.POSTFILTER, b""))
    return latents


def weights_of(data: Data, path: str | Path) -> StoredModel:
    """The weights in an own model's file, if they are those that a .vaec file names; else HashMismatch."""
    return _weights_of(container.parse(read_data(data)).header, path)


def _weights_of(header: container.Header, path: str | Path | None) -> StoredModel:
    """The weights that a file names: shipped ones, or those at `path`. Raises UnknownModel or HashMismatch."""
    from vaecodec.weights.lookup import find_model
    from vaecodec.weights.store import read_model

    own = None if path is None else read_model(Path(path))
    if own is not None and own.wire_hash == header.model_hash:
        return own
    try:
        entry = find_model(header.model_id, header.model_hash)
    except UnknownModel as error:
        if own is None or header.model_id != own.card["model_id"]:
            raise
        message = f"the file needs weights {header.model_hash.hex()}; {path} is {own.wire_hash.hex()}"
        raise HashMismatch(message) from error
    return read_model(entry.path, entry.sha256)
