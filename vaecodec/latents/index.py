"""The index of a collection of images: one file (SQLite).

It holds for each image its path, size and time, its descriptors, the thumbnail of 32 x 32 that they are made from, and
a small picture for pages; some 9 KB. Images are added in transactions, so a process that is killed leaves an index that
is whole, with what was committed.

A search compares all images: some 10 microseconds each on one core (`python -m bench latents index`), a second for
100,000. A graph for approximate search (usearch was tried) takes several times as long to make as describing all small
files, and up to such numbers it is not faster: its candidates have to be compared, too.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import InputError
from vaecodec.latents.descriptors import (
    SIDE,
    Descriptors,
    Thumbnail,
    describe,
    describe_queries,
    similarities,
    unpacked,
)

FORMAT = 2
APPLICATION = 0x76616569
"""What SQLite calls the application id: "vaei"."""
CHUNK = 512
"""Images whose descriptors are in memory at once: 512 x 35 x 80 floats, 6 MB."""
QUERIES = 64
"""Images that are described at once, or compared with a chunk, where all are compared with all."""
KEPT = 2000
"""Images up to which the descriptors of an open index stay in memory, for further queries."""

_TABLES = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT};
CREATE TABLE image (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB UNIQUE NOT NULL, size INTEGER NOT NULL, time INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, thumbnail BLOB NOT NULL, picture BLOB NOT NULL
);
CREATE TABLE descriptor (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
"""


@dataclass(frozen=True, eq=False)
class Entry:
    """What an index holds of an image. path: absolute. size, time: of the file, in bytes and nanoseconds.

    picture: a small image file for pages.
    """

    path: str
    size: int
    time: int
    width: int
    height: int
    thumbnail: Thumbnail
    picture: bytes


@dataclass(frozen=True)
class Hit:
    """An image of an index and how alike it is to what was asked for, 0..1."""

    similarity: float
    entry: Entry


@contextlib.contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Errors of SQLite as an OSError (locked, full, not to be written) or an InputError (damaged, or another file)."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OSError(None, f"the index cannot be used: {error}", str(path)) from error
    except sqlite3.DatabaseError as error:
        message = f"{path} is damaged, or no index of images: {error}"
        raise InputError(message) from error


class ImageIndex:
    """An open index. As a context manager it is closed at the end, and what was not committed is not in it."""

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        """Open an index, with `create` a new one where there is none. Raises InputError for another file, OSError."""
        self.path = Path(path)
        self._kept: tuple[tuple[int, int], list[tuple[NDArray[np.int64], Descriptors]]] | None = None
        is_new = create and (not self.path.exists() or self.path.stat().st_size == 0)
        if not is_new:
            with self.path.open("rb"):
                pass  # what cannot be read is an OSError with a name
        with _said_of(self.path):
            self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            if is_new:
                with _said_of(self.path):
                    self._connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
            application, version = (self._number(f"PRAGMA {name}") for name in ("application_id", "user_version"))
        except (InputError, OSError):
            self.close()
            raise
        if application != APPLICATION or version != FORMAT:
            self.close()
            message = f"{path} is no index of images of version {FORMAT}; `vaecodec index` makes one"
            raise InputError(message)

    def __enter__(self) -> ImageIndex:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return self._number("SELECT count(*) FROM image")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows of a query. Raises OSError and InputError."""
        with _said_of(self.path):
            return self._connection.execute(query, values).fetchall()

    # What is in it

    def add(self, entries: Iterable[Entry]) -> None:
        """Add images in one transaction; one whose path is there already is replaced, the last of several with one path
        stays. All or none are in the file."""
        rows = list({entry.path: entry for entry in entries}.values())
        contents = [content for start in range(0, len(rows), QUERIES) for content in _packed(rows[start:][:QUERIES])]
        with self._transaction():
            self._delete(entry.path for entry in rows)
            for e, content in zip(rows, contents, strict=True):
                values = (os.fsencode(e.path), e.size, e.time, e.width, e.height, e.thumbnail.tobytes(), e.picture)
                added = self._connection.execute(
                    "INSERT INTO image (path, size, time, width, height, thumbnail, picture) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
                self._connection.execute("INSERT INTO descriptor VALUES (?, ?)", (added.lastrowid, content))

    def remove(self, paths: Iterable[str]) -> None:
        """Take images out, in one transaction."""
        with self._transaction():
            self._delete(paths)

    def _delete(self, paths: Iterable[str]) -> None:
        names = [(os.fsencode(path),) for path in paths]
        self._connection.executemany("DELETE FROM descriptor WHERE id IN (SELECT id FROM image WHERE path = ?)", names)
        self._connection.executemany("DELETE FROM image WHERE path = ?", names)

    def has(self, path: str, size: int, time: int) -> bool:
        """Whether an image is in the index as its file is now."""
        return self._rows("SELECT size, time FROM image WHERE path = ?", (os.fsencode(path),)) == [(size, time)]

    def paths(self) -> list[str]:
        """The paths of all images."""
        return [os.fsdecode(row[0]) for row in self._rows("SELECT path FROM image ORDER BY id")]

    def entry(self, number: int) -> Entry:
        """The image of this id."""
        path, size, time, width, height, small, picture = self._rows(
            "SELECT path, size, time, width, height, thumbnail, picture FROM image WHERE id = ?", (number,)
        )[0]
        return Entry(os.fsdecode(path), size, time, width, height, _thumbnail_of(small), picture)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _said_of(self.path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def _chunks(self, columns: str, size: int) -> Iterator[list[tuple[int, bytes]]]:
        """Ids and contents of all images, some at a time. columns: which, and the table."""
        after = 0
        query = f"SELECT id, {columns} WHERE id > ? ORDER BY id LIMIT ?"
        while True:
            rows = self._rows(query, (after, size))
            if not rows:
                return
            yield rows
            after = rows[-1][0]

    # Search

    def search(self, asked: Thumbnail, count: int = 10, *, least: float = 0.0) -> list[Hit]:
        """The `count` images most alike to a thumbnail, or a part of it, the likest first, at least `least` alike."""
        query = describe_queries(asked[None])
        parts = [(numbers, similarities(query, stored)[0]) for numbers, stored in self._descriptors()]
        if not parts:
            return []
        numbers, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        best = np.argsort(-values, kind="stable")[:count]
        return [Hit(float(values[at]), self.entry(int(numbers[at]))) for at in best if values[at] >= least]

    def duplicates(self, least: float) -> list[list[Hit]]:
        """Groups of images that are copies of each other, edited or not, the largest image of a group first.

        least: likeness, of the whole of one image and some window of the other, from which two belong together. The
        similarity of a member is that to the member it is likest to.
        """
        pairs: dict[tuple[int, int], float] = {}
        for rows in self._chunks("thumbnail FROM image", QUERIES):
            query = describe_queries(np.stack([_thumbnail_of(row[1]) for row in rows]), brief=True)
            for numbers, stored in self._descriptors():
                values = similarities(query, stored)
                for at, other in np.argwhere(values >= least).tolist():
                    first, second = sorted((rows[at][0], int(numbers[other])))
                    if first != second:
                        pairs[first, second] = max(float(values[at, other]), pairs.get((first, second), -1.0))
        return [self._group(members, pairs) for members in _connected(pairs)]

    def _group(self, members: Sequence[int], pairs: dict[tuple[int, int], float]) -> list[Hit]:
        best = {m: max(value for pair, value in pairs.items() if m in pair) for m in members}
        hits = [Hit(best[member], self.entry(member)) for member in members]
        return sorted(hits, key=lambda hit: (-hit.entry.width * hit.entry.height, -hit.entry.size, hit.entry.path))

    def _descriptors(self) -> Iterator[tuple[NDArray[np.int64], Descriptors]]:
        """Ids and descriptors of all images, chunk by chunk; kept while they are few."""
        if len(self) > KEPT:
            yield from self._read_descriptors()
            return
        state = self._state()
        if self._kept is None or self._kept[0] != state:
            self._kept = state, list(self._read_descriptors())
        yield from self._kept[1]

    def _read_descriptors(self) -> Iterator[tuple[NDArray[np.int64], Descriptors]]:
        for rows in self._chunks("content FROM descriptor", CHUNK):
            yield np.array([row[0] for row in rows], np.int64), unpacked([row[1] for row in rows])

    def _state(self) -> tuple[int, int]:
        """What changes with the images: how many there are, and the id of the last that was ever added."""
        last = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'image'")
        return len(self), int(last[0][0]) if last else 0


def _packed(entries: Sequence[Entry]) -> list[bytes]:
    """The descriptors of images, as they are in the file."""
    return describe(np.stack([entry.thumbnail for entry in entries])).packed()


def _thumbnail_of(data: bytes) -> Thumbnail:
    return np.frombuffer(data, np.uint8).reshape(SIDE, SIDE, 3)


def _connected(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The groups that pairs join, each in ascending order."""
    group_of: dict[int, set[int]] = {}
    for first, second in pairs:
        joined = group_of.get(first, {first}) | group_of.get(second, {second})
        for member in joined:
            group_of[member] = joined
    return sorted(sorted(group) for group in {id(group): group for group in group_of.values()}.values())
