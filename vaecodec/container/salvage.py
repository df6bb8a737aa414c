"""What can still be trusted of a damaged file: the picture, when its own sections are whole.

Trusted is what a right CRC covers. Header, LATENTS, OUTLIERS and LOSSLESS are needed; a damaged or missing ALPHA
leaves the picture opaque, damaged metadata is left out, and bytes behind the file are ignored. Decoders never do this
by themselves: it takes an explicit call, or `vaecodec decompress --allow-partial`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vaecodec.container.header import Mode
from vaecodec.container.sections import Tag, pack, parse_header, read_section, tag_name
from vaecodec.errors import FormatError

NEEDED = (Tag.LATENTS, Tag.OUTLIERS, Tag.LOSSLESS)
_OPAQUE = {Mode.RGBA: Mode.RGB, Mode.LA: Mode.L}


@dataclass(frozen=True)
class Salvaged:
    """data: a whole, legal file of what is left. lost: one line for each thing that is missing in it."""

    data: bytes
    lost: tuple[str, ...]


def salvage(data: bytes | bytearray | memoryview) -> Salvaged:
    """Rebuild a damaged file from its intact sections; an intact file comes back as it is, with nothing lost.

    Optional sections of later releases go without a word: nothing here reads them.

    Raises FormatError when the header, LATENTS, OUTLIERS or LOSSLESS are damaged or missing.
    """
    file, size = parse_header(data), memoryview(data).nbytes
    lost, contents = [], []
    for tag in file.sections:
        try:
            contents.append((tag, read_section(data, file, tag)))
        except FormatError as error:
            if tag in NEEDED:
                raise
            lost.append(f"{error}; {'the picture is opaque' if tag is Tag.ALPHA else f'{tag_name(tag)} is left out'}")
    if size < file.size:
        lost.append(f"the file is cut: {size} of {file.size} bytes are there")
    if size > file.size:
        lost.append(f"{size - file.size} bytes behind the end of the file are ignored")
    if not lost:
        return Salvaged(bytes(data), ())
    keeps_mode = Tag.ALPHA in dict(contents) or file.header.is_lossless
    mode = file.header.mode if keeps_mode else _OPAQUE.get(file.header.mode, file.header.mode)
    return Salvaged(pack(replace(file.header, mode=mode), contents), tuple(lost))
