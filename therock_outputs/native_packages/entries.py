"""The paths of a package as both formats write them: absolute, complete and in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import IntegrityError
from therock_outputs.native_packages.files import StoredFile
from therock_outputs.native_packages.modes import packaged_mode
from therock_outputs.native_packages.package import Content, PackagePlan

__all__ = ["Entry", "FileKey", "entries_of", "key_of"]

FileKey = tuple[str, str, str]
"""Archive, stage and path of a file: what is worked on once."""

_DIRECTORY_MODE = 0o755
_LINK_MODE = 0o777


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a package."""

    path: str
    """From the root, without the first slash."""
    kind: Kind
    """Of hard links the first by path is the file, and the others lead to it."""
    mode: int
    """Permission bits, by the custom of the package's format."""
    link: str = ""
    """A symlink's target, or the path of the entry that a hard link leads to."""
    file: StoredFile | None = None
    """Of a file, and of a hard link to one."""

    @property
    def size(self) -> int:
        """Bytes that a file has, or a symlink's target."""
        if self.kind is Kind.SYMLINK:
            return len(self.link.encode())
        return self.file.size if self.file is not None else 0

    @property
    def inode(self) -> str:
        """The path that stands for all names of one file."""
        return self.link if self.kind is Kind.HARDLINK else self.path


def key_of(content: Content) -> FileKey:
    """What a file is found by."""
    return content.archive, content.stage, content.path


def entries_of(plan: PackagePlan, files: Mapping[FileKey, StoredFile]) -> list[Entry]:
    """All paths of a package, sorted by their bytes, and the directories from the root down.

    IntegrityError for a plan that contradicts itself.
    """
    prefix = plan.prefix.strip("/")
    if not plan.contents:
        return []
    entries: dict[str, Entry] = {}
    for entry in _own_entries(plan, prefix, files):
        if entry.path in entries:
            raise IntegrityError(f"{plan.filename}: {entry.path!r} is planned twice")
        entries[entry.path] = entry
    for path in [prefix, *entries]:
        while path := path.rpartition("/")[0]:
            above = entries.setdefault(path, Entry(path, Kind.DIRECTORY, _DIRECTORY_MODE))
            if above.kind is not Kind.DIRECTORY:
                raise IntegrityError(f"{plan.filename}: {path!r} is planned as no directory")
    entries.setdefault(prefix, Entry(prefix, Kind.DIRECTORY, _DIRECTORY_MODE))
    return sorted(entries.values(), key=lambda entry: entry.path.encode())


def _own_entries(
    plan: PackagePlan, prefix: str, files: Mapping[FileKey, StoredFile]
) -> Iterator[Entry]:
    names: dict[str, list[Content]] = {}
    by_path = {content.path: content for content in plan.contents}
    for content in plan.contents:
        path = f"{prefix}/{content.path}" if content.path else prefix
        if content.kind is Kind.DIRECTORY:
            yield Entry(path, Kind.DIRECTORY, content.mode)
        elif content.kind is Kind.SYMLINK:
            yield Entry(path, Kind.SYMLINK, _LINK_MODE, content.link)
        else:
            file = _file_of(plan, content, by_path)
            names.setdefault(file.path, []).append(content)
    for path, links in names.items():
        file = by_path[path]
        yield from _named(plan, file, [link.path for link in links], files)


def _named(
    plan: PackagePlan, file: Content, paths: Sequence[str], files: Mapping[FileKey, StoredFile]
) -> Iterator[Entry]:
    """One file under all its names."""
    stored, prefix = files[key_of(file)], plan.prefix.strip("/")
    mode = packaged_mode(file.mode, stored.use, plan.format)
    first, *others = (f"{prefix}/{path}" for path in sorted(paths, key=str.encode))
    yield Entry(first, Kind.FILE, mode, "", stored)
    for path in others:
        yield Entry(path, Kind.HARDLINK, mode, first, stored)


def _file_of(plan: PackagePlan, content: Content, by_path: Mapping[str, Content]) -> Content:
    """The file that a content is, or is another name of."""
    if content.kind is Kind.FILE:
        return content
    target = by_path.get(content.link)
    if target is None or target.kind is not Kind.FILE:
        raise IntegrityError(
            f"{plan.filename}: hard link {content.path!r} names {content.link!r}, which is no file "
            "of this package"
        )
    return target
