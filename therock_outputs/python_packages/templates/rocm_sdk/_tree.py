"""Build the devel tree in a directory from its manifest, its archive and the other packages."""

from __future__ import annotations

import gzip
import hashlib
import os
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from ._errors import DevelError, MixedRunsError
from ._links import LinkMode, link_file
from ._manifest import DevelEntry, DevelManifest, EntryKind

__all__ = ["TreePlan", "build_tree", "check_tree", "plan_tree"]

_BLOCK = 1 << 20


@dataclass(frozen=True)
class TreePlan:
    """What the devel tree will hold, given what is installed beside it."""

    directories: tuple[str, ...]
    """Parents first."""
    files: tuple[DevelEntry, ...]
    linked: tuple[tuple[DevelEntry, str], ...]
    """With the file of the other package, absolute."""
    aliases: tuple[tuple[DevelEntry, str], ...]
    """With the path in the tree of the file or directory that a name leads to in the end."""

    @property
    def entries(self) -> tuple[DevelEntry, ...]:
        """Everything but directories."""
        linked = (entry for entry, _ in self.linked)
        aliases = (entry for entry, _ in self.aliases)
        return (*self.files, *linked, *aliases)


def plan_tree(manifest: DevelManifest, site: str, packages: Iterable[str]) -> TreePlan:
    """Match the manifest with the installed runtime packages, named by their directories.

    What a package that is not installed would hold is left out, with the other names of it.
    MixedRunsError when an installed file is not the one that the manifest means.
    """
    there = set(packages)
    by_path = {entry.path: entry for entry in manifest.entries}
    directories = {posixpath.dirname(path) for path in by_path}
    directories.update(
        entry.path for entry in manifest.entries if entry.kind is EntryKind.DIRECTORY
    )
    for directory in list(directories):
        parts = directory.split("/")
        directories.update("/".join(parts[:count]) for count in range(1, len(parts)))
    directories.discard("")
    linked = []
    left_out = set()
    for entry in manifest.entries:
        if entry.kind is not EntryKind.PACKAGE:
            continue
        if entry.package not in there:
            left_out.add(entry.path)
            continue
        source = os.path.join(site, entry.package, *entry.target.split("/"))
        _check_source(entry, source)
        linked.append((entry, source))
    aliases = []
    for entry in manifest.entries:
        if entry.kind is EntryKind.SYMLINK:
            place = _end_of(entry, by_path)
            if place in left_out:
                continue
            if place not in by_path and place not in directories:
                raise DevelError(f"the development files have a dangling link, {entry.path}")
            aliases.append((entry, place))
    files = tuple(entry for entry in manifest.entries if entry.kind is EntryKind.FILE)
    return TreePlan(tuple(sorted(directories)), files, tuple(linked), tuple(aliases))


def build_tree(
    root: Path,
    plan: TreePlan,
    archive: BinaryIO,
    mode: LinkMode,
    *,
    hard_link: Callable[[str, str], None] = os.link,
) -> None:
    """Fill an empty directory.

    DevelError for an archive that does not hold what the manifest says, OSError for a disk that
    is full or read-only.
    """
    for directory in plan.directories:
        os.mkdir(os.path.join(root, directory))
    _unpack(root, plan.files, archive)
    for entry, source in plan.linked:
        link_file(source, os.path.join(root, entry.path), mode, hard_link=hard_link)
    directories = set(plan.directories)
    for entry, place in plan.aliases:
        name = os.path.join(root, entry.path)
        if mode is LinkMode.SYMBOLIC or place in directories:
            os.symlink(entry.target, name, target_is_directory=place in directories)
        else:
            link_file(os.path.join(root, place), name, mode, hard_link=hard_link)


def check_tree(root: Path, plan: TreePlan) -> list[str]:
    """What is wrong with a tree, one line for each path; nothing when it is whole."""
    wrong = [
        f"{directory}: the directory is missing"
        for directory in plan.directories
        if not os.path.isdir(os.path.join(root, directory))
    ]
    for entry in plan.entries:
        name = os.path.join(root, entry.path)
        try:
            status = os.stat(name)
        except OSError as error:
            is_link = os.path.islink(name)
            wrong.append(f"{entry.path}: {'a dangling link' if is_link else error.strerror}")
            continue
        if entry.kind is not EntryKind.SYMLINK and status.st_size != entry.size:
            wrong.append(f"{entry.path}: {status.st_size} bytes, not {entry.size}")
    return wrong


def _check_source(entry: DevelEntry, source: str) -> None:
    try:
        size = os.stat(source).st_size
    except OSError as error:
        raise DevelError(
            f"{source} is missing, which the development files link to; reinstall its package"
        ) from error
    if size != entry.size:
        raise MixedRunsError(
            f"{source} has {size} bytes where the development files expect {entry.size}: these "
            "packages are not of one run; reinstall all of them from one"
        )


def _end_of(entry: DevelEntry, by_path: dict[str, DevelEntry]) -> str:
    """The path that a link leads to in the end; DevelError for a loop."""
    place, seen = entry.path, set[str]()
    while place in by_path and by_path[place].kind is EntryKind.SYMLINK:
        if place in seen:
            raise DevelError(f"the development files have a link loop at {place}")
        seen.add(place)
        place = _through_directory_links(by_path[place].resolved, by_path, seen)
    return place


def _through_directory_links(place: str, by_path: dict[str, DevelEntry], seen: set[str]) -> str:
    """A path with the first of its parents that is itself a link replaced by where that leads."""
    parts = place.split("/")
    for count in range(1, len(parts)):
        parent = by_path.get("/".join(parts[:count]))
        if parent is not None and parent.kind is EntryKind.SYMLINK and parent.path not in seen:
            seen.add(parent.path)
            rest = "/".join((parent.resolved, *parts[count:]))
            return _through_directory_links(rest, by_path, seen)
    return place


def _unpack(root: Path, files: Iterable[DevelEntry], archive: BinaryIO) -> None:
    missing = {entry.path: entry for entry in files}
    try:
        # Not tarfile's own "r|gz", which stops at the end of the first of several gzip members.
        with (
            gzip.GzipFile(fileobj=archive) as plain,
            tarfile.open(fileobj=plain, mode="r|") as members,
        ):
            for member in members:
                entry = missing.pop(member.name, None)
                if entry is None or not member.isreg() or member.size != entry.size:
                    raise DevelError(f"the archive's member {member.name} is not in its manifest")
                content = members.extractfile(member)
                if content is None:
                    raise DevelError(f"the archive's member {member.name} is no file")
                with content:
                    _write_file(os.path.join(root, entry.path), entry, content)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
        raise DevelError(
            f"the archive of the development files is damaged ({error}); reinstall rocm-sdk-devel"
        ) from error
    if missing:
        raise DevelError(f"the archive lacks {min(missing)}; reinstall rocm-sdk-devel")


def _write_file(name: str, entry: DevelEntry, content: IO[bytes]) -> None:
    digest = hashlib.sha256()
    mode = 0o755 if entry.executable else 0o644
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with os.fdopen(handle, "wb") as file:
        while True:
            block = content.read(_BLOCK)
            if not block:
                break
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != entry.sha256:
        raise DevelError(
            f"the archive's member {entry.path} is damaged: its SHA-256 is not the manifest's; "
            "reinstall rocm-sdk-devel"
        )
