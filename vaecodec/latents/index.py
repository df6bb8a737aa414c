"""The index of a collection of images: one file (SQLite), and beside it a graph for approximate search (usearch).

The file holds for each image its path, size and time, a thumbnail of 32 x 32 from which the descriptors are made, and
a small picture for pages; some 6 KB. Images are added in transactions, so a process that is killed leaves an index
that is whole, with what was committed. The graph is made from the file and says of which state of it; without it, or
with one of another state, all images are compared, which gives the same hits more slowly.
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
    DIMENSIONS,
    SIDE,
    WINDOWS,
    Thumbnail,
    Vectors,
    asked_vectors,
    similarities,
    stored_vectors,
)
from vaecodec.latents.extra import library

FORMAT = 1
APPLICATION = 0x76616569
"""What SQLite calls the application id: "vaei"."""
CHUNK = 512
"""Images whose descriptors are in memory at once: 512 x 35 x 80 floats, 6 MB."""
GRAPH_FROM = 2000
"""Images from which a graph is made: fewer are compared in less than a second."""
PER_HIT = 12
"""Neighbours in the graph that are looked at for each hit and window: windows of one image crowd together."""

_TABLES = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT};
CREATE TABLE image (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB UNIQUE NOT NULL, size INTEGER NOT NULL, time INTEGER NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, thumbnail BLOB NOT NULL, picture BLOB NOT NULL
);
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
    """An image of an index and how alike it is to what was asked for, -1..1."""

    similarity: float
    entry: Entry


class ImageIndex:
    """An open index. As a context manager it is closed at the end, and what was not committed is not in it."""

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        """Open an index, with `create` a new one where there is none. Raises InputError for another file, OSError."""
        self.path = Path(path)
        is_new = create and (not self.path.exists() or self.path.stat().st_size == 0)
        if not is_new:
            with self.path.open("rb"):
                pass  # what cannot be read is an OSError with a name
        self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            if is_new:
                self._connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
            application, version = (self._number(f"PRAGMA {name}") for name in ("application_id", "user_version"))
        except sqlite3.DatabaseError as error:
            self.close()
            message = f"{path} is no index of images: {error}"
            raise InputError(message) from error
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
        return int(self._connection.execute(query).fetchone()[0])

    # What is in it

    def add(self, entries: Iterable[Entry]) -> None:
        """Add images in one transaction; one whose path is there already is replaced. All or none are in the file."""
        rows = [
            (os.fsencode(e.path), e.size, e.time, e.width, e.height, e.thumbnail.tobytes(), e.picture) for e in entries
        ]
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO image (path, size, time, width, height, thumbnail, picture) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def remove(self, paths: Iterable[str]) -> None:
        """Take images out, in one transaction."""
        with self._transaction():
            self._connection.executemany("DELETE FROM image WHERE path = ?", [(os.fsencode(path),) for path in paths])

    def has(self, path: str, size: int, time: int) -> bool:
        """Whether an image is in the index as its file is now."""
        row = self._connection.execute("SELECT size, time FROM image WHERE path = ?", (os.fsencode(path),)).fetchone()
        return row is not None and (row[0], row[1]) == (size, time)

    def paths(self) -> list[str]:
        """The paths of all images."""
        return [os.fsdecode(row[0]) for row in self._connection.execute("SELECT path FROM image ORDER BY id")]

    def entry(self, number: int) -> Entry:
        """The image of this id."""
        path, size, time, width, height, small, picture = self._connection.execute(
            "SELECT path, size, time, width, height, thumbnail, picture FROM image WHERE id = ?", (number,)
        ).fetchone()
        return Entry(os.fsdecode(path), size, time, width, height, _thumbnail_of(small), picture)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.OperationalError as error:
            raise OSError(None, f"the index cannot be written: {error}", str(self.path)) from error

    def _chunks(self, after: int = 0) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Ids and thumbnails [B, 32, 32, 3] of all images with a larger id."""
        while True:
            rows = self._connection.execute(
                "SELECT id, thumbnail FROM image WHERE id > ? ORDER BY id LIMIT ?", (after, CHUNK)
            ).fetchall()
            if not rows:
                return
            yield np.array([row[0] for row in rows], np.int64), np.stack([_thumbnail_of(row[1]) for row in rows])
            after = rows[-1][0]

    def _thumbnails(self, numbers: Sequence[int]) -> NDArray[np.uint8]:
        marks = ",".join("?" * len(numbers))
        query = f"SELECT id, thumbnail FROM image WHERE id IN ({marks})"  # noqa: S608 (question marks only)
        by_number = dict(self._connection.execute(query, [int(number) for number in numbers]).fetchall())
        return np.stack([_thumbnail_of(by_number[int(number)]) for number in numbers])

    # Search

    def search(self, asked: Thumbnail, count: int = 10, *, least: float = -1.0) -> list[Hit]:
        """The `count` images most alike to a thumbnail, or a part of it, the likest first, at least `least` alike."""
        vectors = asked_vectors(asked)
        numbers, values = self._compare(vectors, self._graph(), count)
        best = np.argsort(-values, kind="stable")[:count]
        return [Hit(float(values[at]), self.entry(int(numbers[at]))) for at in best if values[at] >= least]

    def duplicates(self, least: float) -> list[list[Hit]]:
        """Groups of images that are copies of each other, edited or not, the largest image of a group first.

        least: likeness, of the whole of one image and some window of the other, from which two belong together. The
        similarity of a member is that to the member it is likest to.
        """
        graph, pairs = self._graph(), dict[tuple[int, int], float]()
        for numbers, thumbnails in self._chunks():
            for number, asked in zip(numbers, thumbnails, strict=True):
                others, values = self._compare(asked_vectors(asked, brief=True), graph, 16)
                for other, value in zip(others[values >= least], values[values >= least], strict=True):
                    if other != number:
                        pair = (min(int(number), int(other)), max(int(number), int(other)))
                        pairs[pair] = max(float(value), pairs.get(pair, -1.0))
        return [self._group(members, pairs) for members in _connected(pairs)]

    def _group(self, members: Sequence[int], pairs: dict[tuple[int, int], float]) -> list[Hit]:
        best = {m: max(value for pair, value in pairs.items() if m in pair) for m in members}
        hits = [Hit(best[member], self.entry(member)) for member in members]
        return sorted(hits, key=lambda hit: (-hit.entry.width * hit.entry.height, -hit.entry.size, hit.entry.path))

    def _compare(
        self, vectors: Vectors, graph: Any | None, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids and similarities: of all images, or of those that the graph proposes."""
        if graph is not None:
            keys = np.asarray(graph.search(vectors, PER_HIT * count).keys).reshape(-1)
            numbers = np.unique(keys.astype(np.int64) // WINDOWS)
            return numbers, similarities(vectors, stored_vectors(self._thumbnails(numbers.tolist())))
        parts = [(ids, similarities(vectors, stored)) for ids, stored in self._all_vectors()]
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        return np.concatenate([ids for ids, _ in parts]), np.concatenate([values for _, values in parts])

    def _all_vectors(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """The vectors of all images, chunk by chunk; kept while they are few."""
        if len(self) >= GRAPH_FROM:
            yield from ((ids, stored_vectors(thumbnails)) for ids, thumbnails in self._chunks())
            return
        state = self._state()
        if getattr(self, "_kept", (None,))[0] != state:
            self._kept = (state, [(ids, stored_vectors(thumbnails)) for ids, thumbnails in self._chunks()])
        yield from self._kept[1]

    # The graph

    @property
    def graph_path(self) -> Path:
        """The file of the graph."""
        return self.path.with_name(self.path.name + ".graph")

    def _state(self) -> tuple[int, int]:
        """What changes with the images: how many there are, and the id of the last that was ever added."""
        last = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'image'").fetchone()
        return len(self), int(last[0]) if last else 0

    def _graph(self) -> Any | None:
        """The graph of the present state, None where there is none."""
        path = self.graph_path
        state = path.with_name(path.name + ".state")
        if not path.exists() or not state.exists() or state.read_text(encoding="ascii") != repr(self._state()):
            return None
        return library("usearch.index").Index.restore(os.fspath(path), view=True)

    def build_graph(self) -> bool:
        """Make the graph of the present state, if there are so many images that it pays. Raises BackendError."""
        state_path = self.graph_path.with_name(self.graph_path.name + ".state")
        state_path.unlink(missing_ok=True)  # from here to its return, no graph counts
        if len(self) < GRAPH_FROM:
            self.graph_path.unlink(missing_ok=True)
            return False
        state = self._state()
        graph = library("usearch.index").Index(ndim=DIMENSIONS, metric="ip", dtype="f16")
        for ids, vectors in self._all_vectors():
            keys = (ids[:, None] * WINDOWS + np.arange(WINDOWS)).reshape(-1).astype(np.uint64)
            graph.add(keys, vectors.reshape(-1, DIMENSIONS))
        temporary = self.graph_path.with_name(f"{self.graph_path.name}.{os.getpid()}.tmp")
        try:
            graph.save(os.fspath(temporary))
            temporary.replace(self.graph_path)
        finally:
            temporary.unlink(missing_ok=True)
        state_path.write_text(repr(state), encoding="ascii")
        return True


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
