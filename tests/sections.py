"""Files whose sections are changed."""

from __future__ import annotations

from vaecodec import container
from vaecodec.container import Tag


def without(data: bytes, tag: Tag) -> bytes:
    """The file without one of its sections."""
    file = container.parse(data)
    contents = container.read_all(data, file)
    return container.pack(file.header, [(each, content) for each, content in contents.items() if each != tag])
