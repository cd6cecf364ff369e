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
    """By name; empty for a file."""
    same_files: int = 0
    """How many files directly in it did not change."""
    same_size: int = 0
    """Bytes of those."""

    @property
    def change(self) -> Change:
        """What became of its size."""
        return Change(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Hotspot:
    """The part that most of a change happened in."""

    path: tuple[str, ...]
    change: Change
    share: float
    """Of the whole change; more than 1 where other parts changed the other way."""


def change_tree(comparison: Comparison) -> Part:
    """The parts of a comparison, in the order of their names.

    With archives: artifact, archive, stage where an archive has several, directories, files.
    Without files the archives are the leaves. A file that moved counts where it is now.
    """
    root = Part("")
    if comparison.unpacked is None:
        for archive in comparison.archives:
            _add(root, (archive.name.name, archive.name.stem), archive.size)
    else:
        several = _archives_of_several_stages(comparison)
        for file in comparison.files:
            above: tuple[str, ...] = ()
            if file.archive:
                above = (file.archive.partition("_")[0], file.archive)
                if file.archive in several:
                    above += (file.stage,)
            places = (*above, *_steps(file.path))
            _add(root, places, file.size, same=file.status in (Status.SAME, Status.MOVED))
    return root


def find_hotspot(tree: Part, whole: Change) -> Hotspot | None:
    """The deepest part that still holds most of the whole change; None where there is none."""
    if whole.delta == 0:
        return None
    path: list[str] = []
    part, found = tree, None
    while part.parts:
        part = max(part.parts.values(), key=lambda one: one.change.delta / whole.delta)
        share = part.change.delta / whole.delta
        if share < _DOMINATES:
            break
        path.append(part.name)
        found = Hotspot(tuple(path), part.change, share)
    return found


def _steps(path: str) -> list[str]:
    """The parts of a path; of one that is absurdly deep, the rest as one."""
    return path.split("/", _DEEPEST)


def _archives_of_several_stages(comparison: Comparison) -> set[str]:
    stages: dict[str, str] = {}
    several = set()
    for file in comparison.files:
        if stages.setdefault(file.archive, file.stage) != file.stage:
            several.add(file.archive)
    return several


def _add(root: Part, places: tuple[str, ...], size: Change, *, same: bool = False) -> None:
    part = root
    _count(part, size)
    for place in places[:-1] if same else places:
        part = part.parts.setdefault(place, Part(place))
        _count(part, size)
    if same:
        part.same_files += 1
        part.same_size += size.after or 0


def _count(part: Part, size: Change) -> None:
    if size.before is not None:
        part.before = (part.before or 0) + size.before
    if size.after is not None:
        part.after = (part.after or 0) + size.after
