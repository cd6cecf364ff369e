"""What each package holds, path by path, and what becomes of links, which a wheel cannot hold."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from posixpath import basename, dirname, join, normpath, relpath

from therock_outputs.artifacts.links import LeavesRootError, follow
from therock_outputs.errors import ConflictError
from therock_outputs.python_packages.content import FileKind

__all__ = [
    "Leftover",
    "Link",
    "LinkFate",
    "PackageTree",
    "TreeFile",
    "directories_above",
    "link_text",
]


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that went into no package, or not as it was."""

    path: str
    """In the install prefix; an archive's name where all of it is meant."""
    package: str
    """The distribution that could have held it; empty where there is none."""
    reason: str
    is_fault: bool
    """Whether ``--strict`` objects: it is not left out by a rule."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of a package."""

    place: str
    """Where the package has it, below its directory."""
    archive: str
    size: int
    sha256: str
    executable: bool
    kind: FileKind


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, or another name of a file, as an archive has it."""

    target: str
    """As ``readlink`` gives it."""
    archive: str


class LinkFate(enum.Enum):
    """What becomes of a link in a package that holds no links."""

    LAUNCHER = "launcher"
    COPY = "copy"
    NAME = "name"
    """Another name of a library, which only devel has."""
    DROPPED = "dropped"


@dataclass(slots=True)
class PackageTree:
    """The install prefix of one package, as its archives have it."""

    distribution: str
    files: dict[str, TreeFile] = field(default_factory=dict)
    """By path in the archives."""
    links: dict[str, Link] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)
    """All that hold something, and those that archives name."""
    by_place: dict[str, str] = field(default_factory=dict)
    """Path in the archives of what stands at a place."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Paths of files that say what the file at a place says: further names of a library."""

    def add_link(self, path: str, target: str, archive: str) -> None:
        """Note a link. ConflictError when something else is there."""
        known = self.links.get(path)
        if known is not None and known.target != target:
            raise self._conflict(path, known.archive, archive)
        if path in self.files:
            raise self._conflict(path, self.files[path].archive, archive)
        self.links.setdefault(path, Link(target, archive))
        self.directories.update(directories_above(path))

    def add_file(self, path: str, file: TreeFile) -> bool:
        """Note a file. False when the same is there, so that it need not be written.

        ConflictError when two archives claim the path, or the place, with different content.
        """
        if path in self.links:
            raise self._conflict(path, self.links[path].archive, file.archive)
        known = self.files.get(path)
        if known is not None:
            if known.sha256 != file.sha256:
                raise self._conflict(path, known.archive, file.archive)
            return False
        other = self.by_place.get(file.place)
        if other is not None:
            if self.files[other].sha256 != file.sha256:
                raise self._conflict(file.place, self.files[other].archive, file.archive)
            self.aliases[path] = file.place
            return False
        self.files[path] = file
        self.by_place[file.place] = path
        self.directories.update(directories_above(path))
        return True

    def resolve(self, path: str) -> tuple[str | None, str]:
        """Where a link leads, and what is wrong with it (empty when nothing is).

        The first is the path of a file; None for everything else.
        """
        texts = {name: link.target for name, link in self.links.items()}
        return self.resolve_with(path, texts)

    def resolve_with(self, path: str, texts: dict[str, str]) -> tuple[str | None, str]:
        """As ``resolve``, with the links' targets at hand."""
        try:
            final = follow(path, texts)
        except LeavesRootError:
            return None, "leads out of the tree"
        if final is None:
            return None, "loops"
        if final in self.files or final in self.aliases:
            return self.by_place.get(self.aliases.get(final, ""), final), ""
        if not final or final in self.directories:
            return None, "is a link to a directory"
        return None, f"dangles: there is no {final}"

    def _conflict(self, path: str, first: str, second: str) -> ConflictError:
        return ConflictError(
            f"{self.distribution}: {path!r} differs between {first} and {second}; leave one of "
            "them out"
        )


def fate_of(tree: PackageTree, path: str, target: str, *, keep: bool, launchers: bool) -> LinkFate:
    """What becomes of a link at ``path`` to the file at ``target``."""
    file = tree.files[target]
    if path == file.place:
        return LinkFate.NAME
    if file.kind.is_library and file.kind.soname:
        return LinkFate.COPY if keep else LinkFate.NAME
    if file.kind.is_program and file.executable and launchers:
        return LinkFate.LAUNCHER
    return LinkFate.COPY


def directories_above(path: str) -> Iterator[str]:
    """The directories that a path lies in, innermost first."""
    while path := dirname(path):
        yield path


def link_text(path: str, target: str) -> str:
    """How a link at ``path`` names ``target``; both below the same root."""
    return relpath(target, dirname(path) or ".")


def resolved_text(path: str, text: str) -> str:
    """The path that a link's text names, as far as names tell."""
    return normpath(join(dirname(path), text))


def library_place(path: str, kind: FileKind, *, keep: bool) -> str:
    """Where a package has a file: a library under its SONAME, everything else where it is."""
    soname = kind.soname
    usable = soname and "/" not in soname and soname not in (".", "..") and soname.isprintable()
    if not kind.is_library or not usable or keep or soname == basename(path):
        return path
    return join(dirname(path), soname)
