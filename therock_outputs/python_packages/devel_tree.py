"""What the devel tree holds, path by path: all of a run, as links to the packages where it can."""

from __future__ import annotations

from collections.abc import Sequence
from posixpath import basename

from therock_outputs.artifacts.links import LeavesRootError, follow
from therock_outputs.errors import ConflictError
from therock_outputs.python_packages.devel_format import DevelEntry, EntryKind
from therock_outputs.python_packages.templates.rocm_sdk._manifest import ManifestError
from therock_outputs.python_packages.trees import (
    Leftover,
    PackageTree,
    directories_above,
    link_text,
)

__all__ = ["devel_entries"]

_OUTSIDE = "leads out of the tree"


def devel_entries(
    own: PackageTree, runtime: Sequence[tuple[str, PackageTree]]
) -> tuple[list[DevelEntry], list[Leftover]]:
    """The entries of the devel tree, and the links that lead nowhere.

    ``own`` holds the files that no runtime package has; ``runtime`` the packages' directories
    and what is in them. A library stands under its SONAME; all its other names are links again.
    """
    entries: dict[str, DevelEntry] = {}
    dropped: list[Leftover] = []
    for directory, tree in runtime:
        for path, file in tree.files.items():
            entry = DevelEntry(
                path=file.place,
                kind=EntryKind.PACKAGE,
                size=file.size,
                sha256=file.sha256,
                package=directory,
                target=file.place,
            )
            _add(entries, entry, own, file.archive)
            if path != file.place and path not in entries:
                _name(entries, path, basename(file.place))
        for path, place in tree.aliases.items():
            if path not in entries:
                _name(entries, path, link_text(path, place))
    for path, file in own.files.items():
        entry = DevelEntry(
            path=path,
            kind=EntryKind.FILE,
            size=file.size,
            sha256=file.sha256,
            executable=file.executable,
        )
        _add(entries, entry, own, file.archive)
    for tree in (own, *(tree for _, tree in runtime)):
        for path, link in tree.links.items():
            if path in entries:
                continue
            try:
                _name(entries, path, link.target)
            except ManifestError:
                dropped.append(Leftover(path, own.distribution, _OUTSIDE, is_fault=True))
    dropped += _drop_dead_links(entries, own)
    _add_empty_directories(entries, own)
    return list(entries.values()), dropped


def _add(entries: dict[str, DevelEntry], entry: DevelEntry, own: PackageTree, archive: str) -> None:
    known = entries.get(entry.path)
    if known is not None and known.kind is not EntryKind.SYMLINK:
        if known.sha256 != entry.sha256:
            raise ConflictError(
                f"{own.distribution}: {entry.path!r} of {archive} differs from another archive's; "
                "leave one of them out"
            )
        return
    entries[entry.path] = entry


def _name(entries: dict[str, DevelEntry], path: str, target: str) -> None:
    """Note a link. ManifestError for one that leads to the tree's root, or out of it."""
    entries[path] = DevelEntry(path=path, kind=EntryKind.SYMLINK, target=target)


def _drop_dead_links(entries: dict[str, DevelEntry], own: PackageTree) -> list[Leftover]:
    texts = {e.path: e.target for e in entries.values() if e.kind is EntryKind.SYMLINK}
    directories = {"", *own.directories}
    for path in entries:
        directories.update(directories_above(path))
    dropped = []
    for path in sorted(texts):
        try:
            final = follow(path, texts)
        except LeavesRootError:
            problem = _OUTSIDE
        else:
            if final is None:
                problem = "loops"
            elif final in directories or (final in entries and final not in texts):
                continue
            else:
                problem = f"dangles: there is no {final}"
        del entries[path]
        dropped.append(Leftover(path, own.distribution, problem, is_fault=True))
    return dropped


def _add_empty_directories(entries: dict[str, DevelEntry], own: PackageTree) -> None:
    full = {above for path in entries for above in directories_above(path)}
    for path in sorted(own.directories - full - entries.keys()):
        if not any(other.startswith(f"{path}/") for other in own.directories - full):
            entries[path] = DevelEntry(path=path, kind=EntryKind.DIRECTORY)
