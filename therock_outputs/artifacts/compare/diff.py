"""Compare two sides: pure, and independent of the order in which anything was read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from therock_outputs.artifacts.compare.changes import (
    ArchiveChange,
    Change,
    Comparison,
    FileChange,
    FlagChange,
    GroupChange,
    count_statuses,
)
from therock_outputs.artifacts.compare.pins import PinChange, compare_pins
from therock_outputs.artifacts.compare.sides import Side, SideArchive, SizedFile

__all__ = ["compare_files", "compare_sides"]

_DIGITS = re.compile(r"\d+")
_Key = tuple[object, ...]
_Sized = TypeVar("_Sized", ArchiveChange, GroupChange, FileChange)


def compare_sides(before: Side, after: Side) -> Comparison:
    """Compare everything that both sides know.

    Where one of them is flat (a tarball, an install prefix), files are compared by path alone
    and there are no archives to compare.
    """
    flat = before.is_flat or after.is_flat
    files: tuple[FileChange, ...] = ()
    unpacked = None
    if before.files is not None and after.files is not None:
        files = compare_files(_files(before, flat=flat), _files(after, flat=flat))
        unpacked = _sum(file.size for file in files)
    archives = () if flat else _archives(before, after, files)
    statuses = (
        [file.status for file in files]
        if unpacked is not None
        else [archive.size.status for archive in archives]
    )
    return Comparison(
        before=before,
        after=after,
        compressed=_compressed(before, after),
        unpacked=unpacked,
        unpacked_whole=not before.unread and not after.unread,
        archives=_by_change(archives, lambda archive: archive.name.stem),
        artifacts=_groups(archives, lambda archive: archive.name.name),
        components=_groups(archives, lambda archive: archive.name.component.value),
        targets=_groups(archives, lambda archive: archive.name.target),
        stages=() if flat else _stages(files),
        files=_by_change(files, lambda file: f"{file.archive}/{file.path}"),
        pins=_pins(before, after),
        flags=_flags(before, after),
        notes=tuple(_notes(before, after)),
        counts=count_statuses(statuses),
    )


def compare_files(
    before: Sequence[SizedFile], after: Sequence[SizedFile]
) -> tuple[FileChange, ...]:
    """Pair the files of two sides; what finds no partner was added or removed.

    A file is paired with the one at its very place; else with one of the same path and size
    in another archive or stage, which was moved; else with the only one of its archive whose path
    differs in nothing but numbers, as in ``libfoo.so.5.1`` and ``libfoo.so.5.2``.
    """
    paired: list[FileChange] = []
    old, new = list(before), list(after)
    for key, alone in (
        (_place, False),
        (_content, False),
        (_without_stage, True),
        (_without_numbers, True),
    ):
        old, new = _pair(old, new, key, paired, only_alone=alone)
    paired += [FileChange(f.path, Change(f.size, None), f.archive, f.stage) for f in old]
    paired += [FileChange(f.path, Change(None, f.size), f.archive, f.stage) for f in new]
    return tuple(paired)


def _place(file: SizedFile) -> _Key:
    return (file.archive, file.stage, file.path)


def _content(file: SizedFile) -> _Key:
    return (file.path, file.size)


def _without_stage(file: SizedFile) -> _Key:
    return (file.archive, file.path)


def _without_numbers(file: SizedFile) -> _Key:
    # The directories keep theirs: gfx942/ and gfx950/ are two things, not one renamed.
    directory, _, name = file.path.rpartition("/")
    return (file.archive, file.stage, directory, _DIGITS.sub("0", name))


def _pair(
    old: Sequence[SizedFile],
    new: Sequence[SizedFile],
    key: Callable[[SizedFile], _Key],
    paired: list[FileChange],
    *,
    only_alone: bool,
) -> tuple[list[SizedFile], list[SizedFile]]:
    """Pair files of one key, in the order of their places; the rest of both."""
    if not old or not new:
        return list(old), list(new)
    waiting: dict[_Key, list[SizedFile]] = defaultdict(list)
    fresh: dict[_Key, list[SizedFile]] = defaultdict(list)
    for files, by_key in ((old, waiting), (new, fresh)):
        # Files of one place are all alike: the first and largest pass needs no order.
        for file in files if key is _place else sorted(files, key=_place):
            by_key[key(file)].append(file)
    left_old: list[SizedFile] = []
    left_new: list[SizedFile] = []
    for name, ones in waiting.items():
        others = fresh.pop(name, [])
        count = min(len(ones), len(others))
        if only_alone and (len(ones), len(others)) != (1, 1):
            count = 0
        paired += map(_paired, ones[:count], others[:count])
        left_old += ones[count:]
        left_new += others[count:]
    for others in fresh.values():
        left_new += others
    return left_old, left_new


def _paired(old: SizedFile, new: SizedFile) -> FileChange:
    return FileChange(
        new.path,
        Change(old.size, new.size),
        new.archive,
        new.stage,
        was=old.path if old.path != new.path else "",
        was_archive=old.archive if old.archive != new.archive else "",
        was_stage=old.stage if old.stage != new.stage else "",
    )


def _files(side: Side, *, flat: bool) -> Sequence[SizedFile]:
    files = side.files or ()
    if not flat or side.is_flat:
        return files
    # As an install prefix is laid: of two archives that hold one path the first wins.
    rank = {archive.stem: number for number, archive in enumerate(side.archives)}
    prefix: dict[str, SizedFile] = {}
    for file in sorted(files, key=lambda file: rank[file.archive]):
        prefix.setdefault(file.path, SizedFile(file.path, file.size))
    return tuple(prefix.values())


def _archives(before: Side, after: Side, files: Iterable[FileChange]) -> tuple[ArchiveChange, ...]:
    old = {archive.stem: archive for archive in before.archives}
    new = {archive.stem: archive for archive in after.archives}
    unpacked = _unpacked_by(files, lambda archive, _stage: archive)
    were_read = before.files is not None and after.files is not None
    return tuple(
        _archive(
            old.get(stem),
            new.get(stem),
            # An archive without files is there, too.
            _filled(unpacked.get(stem), old.get(stem), new.get(stem))
            if were_read and stem not in before.unread
            else None,
        )
        for stem in {**old, **new}
    )


def _archive(
    old: SideArchive | None, new: SideArchive | None, unpacked: Change | None
) -> ArchiveChange:
    found = new or old
    assert found is not None  # noqa: S101 - the name came from one of them
    compressed = Change(old.size if old else None, new.size if new else None)
    sizes = [archive.size for archive in (old, new) if archive is not None]
    return ArchiveChange(
        found.name,
        None if None in sizes else compressed,
        unpacked,
        same_bytes=(
            old is not None
            and new is not None
            and old.sha256 is not None
            and old.sha256 == new.sha256
        ),
    )


def _filled(change: Change | None, old: SideArchive | None, new: SideArchive | None) -> Change:
    """None exactly where the archive is not there: one that lost all its files has 0 bytes."""
    before, after = (change.before, change.after) if change else (None, None)
    return Change(
        (before or 0) if old is not None else None, (after or 0) if new is not None else None
    )


def _unpacked_by(files: Iterable[FileChange], name: Callable[[str, str], str]) -> dict[str, Change]:
    """Sums of files by where they are, and were, as ``name(archive, stage)`` calls it."""
    sums: dict[str, list[int | None]] = defaultdict(lambda: [None, None])
    for file in files:
        if file.size.before is not None:
            place = name(file.was_archive or file.archive, file.was_stage or file.stage)
            sums[place][0] = (sums[place][0] or 0) + file.size.before
        if file.size.after is not None:
            place = name(file.archive, file.stage)
            sums[place][1] = (sums[place][1] or 0) + file.size.after
    return {place: Change(*both) for place, both in sums.items()}


def _stages(files: Iterable[FileChange]) -> tuple[GroupChange, ...]:
    sums = _unpacked_by(files, lambda _archive, stage: stage)
    groups = (GroupChange(stage, None, change) for stage, change in sums.items())
    return _by_change(groups, lambda group: group.name)


def _groups(
    archives: Iterable[ArchiveChange], name: Callable[[ArchiveChange], str]
) -> tuple[GroupChange, ...]:
    members: dict[str, list[ArchiveChange]] = defaultdict(list)
    for archive in archives:
        members[name(archive)].append(archive)
    groups = (
        GroupChange(
            key,
            _sum_known(archive.compressed for archive in ones),
            _sum_read(archive.unpacked for archive in ones),
        )
        for key, ones in members.items()
    )
    return _by_change(groups, lambda group: group.name)


def _sum(changes: Iterable[Change]) -> Change:
    before = after = 0
    for change in changes:
        before += change.before or 0
        after += change.after or 0
    return Change(before, after)


def _sum_known(changes: Iterable[Change | None]) -> Change | None:
    """The sum, absent where all parts are; None where one part is not known."""
    known = []
    for change in changes:
        if change is None:
            return None
        known.append(change)
    return _sum_read(known)


def _sum_read(changes: Iterable[Change | None]) -> Change | None:
    """The sum of the parts that are known; None where there is none."""
    known = [change for change in changes if change is not None]
    if not known:
        return None
    befores = [change.before for change in known if change.before is not None]
    afters = [change.after for change in known if change.after is not None]
    return Change(sum(befores) if befores else None, sum(afters) if afters else None)


def _compressed(before: Side, after: Side) -> Change | None:
    if before.compressed is None or after.compressed is None or before.is_flat != after.is_flat:
        return None
    return Change(before.compressed, after.compressed)


def _pins(before: Side, after: Side) -> tuple[PinChange, ...]:
    if before.provenance is None or after.provenance is None:
        return ()
    return compare_pins(before.provenance.pins, after.provenance.pins)


def _flags(before: Side, after: Side) -> tuple[FlagChange, ...]:
    if before.provenance is None or after.provenance is None:
        return ()
    old: Mapping[str, str] = dict(before.provenance.flags)
    new: Mapping[str, str] = dict(after.provenance.flags)
    return tuple(
        FlagChange(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _notes(before: Side, after: Side) -> Iterable[str]:
    sides = (before, after)
    if lacking := [side.label for side in sides if side.provenance is None]:
        yield f"no manifest in {' nor in '.join(lacking)}: the pins of submodules are not compared"
    if before.files is None or after.files is None:
        yield "only archives were listed; --files reads those that changed, too"
    elif before.unread:
        yield (
            f"{len(before.unread)} archives are the same on both sides and were not read: "
            "they count in compressed sizes only"
        )
    if before.is_flat != after.is_flat:
        yield "one side has no archives: files are compared by path, as in an install prefix"


def _by_change(rows: Iterable[_Sized], name: Callable[[_Sized], str]) -> tuple[_Sized, ...]:
    """The largest change first, of two of one size the growth; then by name."""
    return tuple(sorted(rows, key=lambda row: (-abs(row.size.delta), -row.size.delta, name(row))))
