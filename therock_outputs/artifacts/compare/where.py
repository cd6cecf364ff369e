"""Where a whole changed: its parts as a tree, and the one place that explains most of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from therock_outputs.artifacts.compare.changes import Change, Comparison, Status

__all__ = ["Hotspot", "Part", "change_tree", "find_hotspot"]

_DOMINATES = 0.6
"""The share of the whole change that makes one part worth naming instead of the parts around."""


_DEEPEST = 50
"""Directories below one another; a real path has ten."""


@dataclass(slots=True)
class Part:
    """A directory, an archive or a file, with all that lies in it."""

    name: str
    before: int | None = None
    """Bytes; None: it was not there."""
    after: int | None = None
    """Bytes; None: it is gone."""
    parts: dict[str, Part] = field(default_factory=dict)
    """By name, a directory's with a slash: before it may have been a file. Empty for a file."""
    same_files: int = 0
    """How many files directly in it did not change."""
    same_size: int = 0
    """Bytes of those."""
    grown: int = 0
    """Bytes by which files in it grew, all together."""
    shrunk: int = 0
    """Bytes by which files in it shrank, all together."""

    @property
    def change(self) -> Change:
        """What became of its size."""
        return Change(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Hotspot:
    """The part in which most of the growth (or, where the whole shrank, shrinkage) happened."""

    path: tuple[str, ...]
    amount: int
    """Bytes by which files in it changed in the whole's direction."""
    share: float
    """Of all such bytes."""
    against: int
    """Bytes by which files anywhere changed in the other direction."""
    in_archives: bool = False
    """Whether the path begins with an artifact and its archive."""

    @property
    def place(self) -> tuple[str, ...]:
        """The path as it is read: the archive, which names its artifact, and a path in it."""
        if not self.in_archives:
            return ("/".join(self.path),)
        archive = self.path[min(len(self.path), 2) - 1]
        return (archive, "/".join(self.path[2:])) if len(self.path) > 2 else (archive,)


def change_tree(comparison: Comparison) -> Part:
    """The parts of a comparison.

    With archives: artifact, archive, stage where an archive has several, directories, files.
    Without files the archives are the leaves. A file that moved counts where it is now.
    """
    root = Part("")
    if comparison.unpacked is None:
        for archive in comparison.archives:
            artifact = root.parts.setdefault(archive.name.name, Part(archive.name.name))
            _add(artifact, archive.name.stem, archive.size)
    else:
        _add_files(root, comparison)
    _sum_up(root)
    return root


def find_hotspot(tree: Part, comparison: Comparison) -> Hotspot | None:
    """The deepest part that still holds most of the change; None where there is none.

    Growth is held against growth alone: where much grew and as much shrank elsewhere, the sum
    would let any part look like all of it.
    """
    whole = comparison.total
    if whole.delta == 0:
        return None

    def amount(part: Part) -> int:
        return part.grown if whole.delta > 0 else part.shrunk

    path: list[str] = []
    part = tree
    while part.parts:
        largest = max(part.parts.values(), key=amount)
        if amount(largest) < _DOMINATES * amount(tree):
            break
        part = largest
        path.append(part.name)
    if not path:
        return None
    against = tree.shrunk if whole.delta > 0 else tree.grown
    share = amount(part) / amount(tree)
    return Hotspot(tuple(path), amount(part), share, against, bool(comparison.archives))


def _steps(path: str) -> list[str]:
    """The parts of a path; of one that is absurdly deep, the rest as one."""
    return path.split("/", _DEEPEST)


def _add_files(root: Part, comparison: Comparison) -> None:
    several = _archives_of_several_stages(comparison)
    # A directory of thousands of files is looked up once and not for each of them.
    directories: dict[tuple[str, str, str], Part] = {}
    for file in comparison.files:
        *above, name = _steps(file.path)
        stage = file.stage if file.archive in several else ""
        key = (file.archive, stage, file.path.removesuffix(name))
        directory = directories.get(key)
        if directory is None:
            directory = root
            archive = (file.archive.partition("_")[0], file.archive) if file.archive else ()
            for step in (*archive, *((stage,) if stage else ())):
                directory = directory.parts.setdefault(step, Part(step))
            for step in above:
                directory = directory.parts.setdefault(f"{step}/", Part(step))
            directories[key] = directory
        if file.status in (Status.SAME, Status.MOVED):
            directory.same_files += 1
            directory.same_size += file.size.after or 0
        else:
            _add(directory, name, file.size)


def _archives_of_several_stages(comparison: Comparison) -> set[str]:
    stages: dict[str, str] = {}
    several = set()
    for file in comparison.files:
        if stages.setdefault(file.archive, file.stage) != file.stage:
            several.add(file.archive)
    return several


def _add(directory: Part, name: str, size: Change) -> None:
    part = directory.parts.setdefault(name, Part(name))
    _count(part, size.before, size.after)
    part.grown += max(size.delta, 0)
    part.shrunk += max(-size.delta, 0)


def _sum_up(part: Part) -> None:
    """Let every part know what lies in it."""
    if part.same_files:
        _count(part, part.same_size, part.same_size)
    for child in part.parts.values():
        _sum_up(child)
        _count(part, child.before, child.after)
        part.grown += child.grown
        part.shrunk += child.shrunk


def _count(part: Part, before: int | None, after: int | None) -> None:
    if before is not None:
        part.before = (part.before or 0) + before
    if after is not None:
        part.after = (part.after or 0) + after
