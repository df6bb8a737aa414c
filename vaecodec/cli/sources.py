"""Which files a command works on: names, lists of names, patterns, and what lies in folders."""

from __future__ import annotations

import codecs
import fnmatch
import glob
import importlib.util
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import click

from vaecodec import urls
from vaecodec.cli.console import Console
from vaecodec.cli.exits import Fatal
from vaecodec.cli.jobs import STDIO
from vaecodec.urls import State, is_url

VAEC_SUFFIXES = (".vaec",)
PHOTO_SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tga",
    ".tif",
    ".tiff",
    ".webp",
)
"""What `compress -r` picks out of a folder. A file named on the command line is tried whatever its name."""
PLUGINS = {".jxl": "pillow_jxl", ".heic": "pillow_heif", ".heif": "pillow_heif"}
"""Suffixes that Pillow reads with a plugin only."""


def photo_suffixes() -> tuple[str, ...]:
    """The suffixes of image files, with those of the plugins that are installed."""
    return PHOTO_SUFFIXES + tuple(suffix for suffix, name in PLUGINS.items() if importlib.util.find_spec(name))


@dataclass(frozen=True)
class Source:
    """A file to work on: a path or a URL. relative: where it lies below the folder that it was taken from.

    state: what the listing of that folder says of an object behind a URL. error: of a folder that cannot be listed.
    """

    path: str
    relative: Path
    state: State | None = None
    error: OSError | None = None


@dataclass
class Selection:
    """What was named on the command line, and what of it is taken.

    names: files, folders and patterns. list_file: a file with more names, "-" for standard input; with_nul: they end
    with NUL, not with a newline. include, exclude: shell patterns, of the name or (with a slash) of the path.
    """

    names: tuple[str, ...]
    recursive: bool = False
    list_file: str | None = None
    with_nul: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    left_alone: Counter[str] = field(default_factory=Counter)
    """What was in the folders and is not taken: files by suffix, "hidden" ones, "special" ones (pipes, devices)."""
    has_folder: bool = False
    """True after `find` where a name was a folder."""

    def find(self, suffixes: Sequence[str]) -> list[Source]:
        """The files in a stable order. Raises UsageError, and Fatal where the list cannot be read."""
        sources: list[Source] = []
        names = [*self.names, *self._listed()]
        if not names:
            message = "the list is empty." if self.list_file else "name at least one file, or give --files-from."
            raise click.UsageError(message)
        for name in dict.fromkeys(names):  # a file that is named twice is taken once
            sources += self._expand(name, suffixes)
        if STDIO in names and len(names) > 1:
            message = "'-' (standard input) must be the only source."
            raise click.UsageError(message)
        if not sources:
            message = "--include and --exclude leave no file to work on."
            raise click.UsageError(message)
        return sources

    @property
    def is_given(self) -> bool:
        """True where anything was named."""
        return bool(self.names) or self.list_file is not None

    def say_left_alone(self, console: Console) -> None:
        """Note what was in the folders and is not taken."""
        line = self.left_alone_line
        if line is not None:
            console.note(line)

    @property
    def left_alone_line(self) -> str | None:
        """How many files in folders are not taken, by kind; None where all are."""
        if not self.left_alone:
            return None
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_alone.items()))
        total = sum(self.left_alone.values())
        return f"{total} other {'file' if total == 1 else 'files'} left alone: {kinds}"

    def _listed(self) -> list[str]:
        if self.list_file is None:
            if self.with_nul:
                message = "-0 says how the names of --files-from are separated: give that, too."
                raise click.UsageError(message)
            return []
        if self.list_file == STDIO and STDIO in self.names:
            message = "standard input cannot be both the list and a photo."
            raise click.UsageError(message)
        content = _content_of_list(self.list_file).removeprefix(codecs.BOM_UTF8)  # as editors of Windows begin a text
        parts = content.split(b"\0") if self.with_nul else content.splitlines()
        return [os.fsdecode(part) for part in parts if part]

    def _expand(self, name: str, suffixes: Sequence[str]) -> list[Source]:
        if not name:
            message = "a file name is empty."
            raise click.UsageError(message)
        if name == STDIO:
            return [Source(name, Path(name))]
        if is_url(name):
            return self._expand_url(name, suffixes)
        if not os.path.lexists(name) and glob.has_magic(name):  # where the shell does not expand patterns
            matches = sorted(glob.glob(name))  # noqa: PTH207 (the pattern may be absolute)
            return [source for match in matches for source in self._expand(match, suffixes)] or [_named(name)]
        if not is_folder(name):
            return [_named(name)] if self._is_taken(Path(name)) else []
        self.has_folder = True
        if not self.recursive:
            message = f"{name} is a folder: -r takes the files in it."
            raise click.UsageError(message)
        unlisted: list[OSError] = []
        inside = [Source(str(path), path.relative_to(name)) for path in self._walk(Path(name), suffixes, unlisted)]
        return _not_empty(inside + self._failing(unlisted, Path(name)), name, suffixes)

    def _failing(self, errors: Sequence[OSError], folder: Path) -> list[Source]:
        """The failures of folders that could not be listed: their photos must not be missing without a word.

        Raises Fatal where it is the folder itself.
        """
        failing = []
        for error in errors:
            path = Path(str(error.filename))
            if path == folder:
                raise Fatal(error)
            if not _matches(path.relative_to(folder), self.exclude):
                failing.append(Source(str(path), path.relative_to(folder), error=error))
        return failing

    def _expand_url(self, name: str, suffixes: Sequence[str]) -> list[Source]:
        """An object, those that a pattern names, or with -r those below it. Raises Fatal where a store refuses."""
        try:
            if glob.has_magic(name) and urls.state(name) is None:
                matches = urls.matching(name)
                return [source for match in matches for source in self._expand_url(match, suffixes)] or [_named(name)]
            objects = urls.listing(name) if self.recursive else {}
        except OSError as error:
            raise Fatal(error) from error
        if name.endswith("/") and not self.recursive:
            message = f"{name} is a folder: -r takes the files in it."
            raise click.UsageError(message)
        if not objects:
            return [_named(name)] if self._is_taken(Path(name)) else []
        self.has_folder = True
        inside = [
            Source(urls.join(name, key), Path(key), state)
            for key, state in objects.items()
            if self._takes_object(PurePosixPath(key), suffixes)
        ]
        return _not_empty(inside, name, suffixes)

    def _takes_object(self, key: PurePosixPath, suffixes: Sequence[str]) -> bool:
        """The rule for files; a name that leads out of a folder (..) is left alone, too: anybody may have put it."""
        is_hidden = any(part.startswith(".") for part in key.parts) or key.is_absolute()
        kind = "hidden" if is_hidden else self._kind_of_name(Path(key.name), Path(key), suffixes)
        if kind is not None:
            self.left_alone[kind] += 1
        return kind is None

    def _walk(self, folder: Path, suffixes: Sequence[str], unlisted: list[OSError]) -> Iterator[Path]:
        """The files below a folder in a stable order; hidden ones are left alone, links to folders are not followed.

        unlisted: gets the errors of folders that cannot be listed.
        """
        for root, folders, names in os.walk(folder, onerror=unlisted.append):
            self.left_alone["hidden"] += sum(name.startswith(".") for name in folders)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(root) / name
                kind = self._kind_left_alone(path, path.relative_to(folder), suffixes)
                if kind is None:
                    yield path
                else:
                    self.left_alone[kind] += 1
        self.left_alone += Counter()  # drops zeros

    def _kind_left_alone(self, path: Path, relative: Path, suffixes: Sequence[str]) -> str | None:
        kind = self._kind_of_name(path, relative, suffixes)
        if kind is not None:
            return kind
        return None if _is_regular(path) else "special"

    def _kind_of_name(self, path: Path, relative: Path, suffixes: Sequence[str]) -> str | None:
        if path.name.startswith("."):
            return "hidden"
        if not self.include and path.suffix.lower() not in suffixes:
            return path.suffix.lower() or "without extension"
        return None if self._is_taken(relative) else "excluded"

    def _is_taken(self, path: Path) -> bool:
        if self.include and not _matches(path, self.include):
            return False
        return not _matches(path, self.exclude)


def is_folder(name: str) -> bool:
    """True for a folder; a name that the system refuses, as one too long, is none and fails where it is opened."""
    try:
        return Path(name).is_dir()
    except OSError:
        return False


def _named(name: str) -> Source:
    return Source(name, Path(Path(name).name))


def _not_empty(sources: list[Source], folder: str, suffixes: Sequence[str]) -> list[Source]:
    if not sources:
        message = f"{folder} holds no file to work on ({' '.join(suffixes)})."
        raise click.UsageError(message)
    return sources


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(path.as_posix() if "/" in pattern else path.name, pattern) for pattern in patterns)


def _is_regular(path: Path) -> bool:
    """True for what can be read to its end, as a pipe cannot. A link that leads nowhere is tried and named."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _content_of_list(name: str) -> bytes:
    """The bytes of a list of names: a file, a URL, or standard input. Raises Fatal."""
    try:
        if is_url(name):
            return urls.read(name)
        return sys.stdin.buffer.read() if name == STDIO else Path(name).read_bytes()
    except OSError as error:
        raise Fatal(error) from error
