"""What a file says of itself, without networks: `inspect` reads the header, `verify` decodes all integers."""

from __future__ import annotations

from dataclasses import dataclass

from vaecodec import container
from vaecodec.container import Tag
from vaecodec.weights.manifest import manifest

_LEVELS = 64
_ALIGNMENT = 64


@dataclass(frozen=True)
class Info:
    """The header of a file. `sections`: bytes of each section; `model`: "unknown" if these weights aren't shipped."""

    version: int
    model: str
    model_id: int
    model_hash: str
    level: int
    quality: int
    width: int
    height: int
    mode: str
    file_size: int
    bpp: float
    sections: dict[str, int]


def level_to_quality(level: int) -> int:
    """The lowest quality, 1..100, that gives this level."""
    return next(q for q in range(1, 101) if round((q - 1) * (_LEVELS - 1) / 99) == level)


def _describe(file: container.File) -> Info:
    header = file.header
    names = [e.name for e in manifest() if e.model_id == header.model_id and e.sha256[:8] == header.model_hash.hex()]
    return Info(
        version=header.version,
        model=names[0] if names else "unknown",
        model_id=header.model_id,
        model_hash=header.model_hash.hex(),
        level=header.level,
        quality=level_to_quality(header.level),
        width=header.width,
        height=header.height,
        mode=header.mode.name,
        file_size=file.size,
        bpp=8 * file.size / (header.width * header.height),
        sections={container.tag_name(tag).lower(): section.length for tag, section in file.sections.items()},
    )


def inspect(data: bytes) -> Info:
    """Header and section table, checked; no torch, no numpy. Raises FormatError for a bad file."""
    return _describe(container.parse(data, max_pixels=None))


def verify(data: bytes) -> Info:
    """All checksums, the whole entropy decoding and its end check; no torch, no pixels.

    Raises FormatError for a damaged file, UnknownModel or HashMismatch when its weights aren't installed.
    """
    from vaecodec.entropy.coding import decode_latents
    from vaecodec.entropy.model import from_tensors
    from vaecodec.weights.manifest import entry_by_wire
    from vaecodec.weights.store import read_model

    file = container.parse(data, max_pixels=None)
    header = file.header
    content = container.read_all(data, file)
    entry = entry_by_wire(header.model_id, header.model_hash)
    model = from_tensors(read_model(entry.path, entry.sha256).tensors)
    z_shape = (-(-header.height // _ALIGNMENT), -(-header.width // _ALIGNMENT))
    decode_latents(model, header.level, z_shape, content[Tag.LATENTS], content.get(Tag.OUTLIERS, b""))
    if Tag.ALPHA in content:
        container.unpack_alpha(content[Tag.ALPHA], header.width, header.height)
    return _describe(file)
