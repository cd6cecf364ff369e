"""Lay archives over one another: who owns each path, and who has to give way.

Pure: from indexes to a decision. The archives come in a fixed order, so the decision does too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.links import LeavesRootError, follow
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.errors import ConflictError, IntegrityError
from therock_outputs.tarballs.index import ArchiveIndex, IndexedMember

__all__ = ["Overlay"]


@dataclass(slots=True)
class Overlay:
    """One install prefix, filled by ``add``; ``copy`` goes on from a common beginning."""

    on_conflict: OnConflict = OnConflict.ERROR
    directories: dict[str, int | None] = field(default_factory=dict)
    """Path to permission bits; None: no archive lists it, it is only above something."""
    archives: list[ArchiveIndex] = field(default_factory=list)
    dropped: dict[int, set[int]] = field(default_factory=dict)
    """Members that gave way, by position of the archive."""
    _owners: dict[str, tuple[int, int]] = field(default_factory=dict)
    _links: dict[str, str] = field(default_factory=dict)
    _replaced: set[tuple[int, str]] = field(default_factory=set)

    def copy(self) -> Self:
        """An overlay that goes its own way from here."""
        return type(self)(
            self.on_conflict,
            dict(self.directories),
            list(self.archives),
            {position: set(members) for position, members in self.dropped.items()},
            dict(self._owners),
            dict(self._links),
            set(self._replaced),
        )

    def add(self, index: ArchiveIndex) -> None:
        """Lay one more archive on top.

        Raises ConflictError, naming both archives, for different content at one path and for
        a path that is a directory here and something else there.
        """
        position = len(self.archives)
        self.archives.append(index)
        for number, member in enumerate(index.members):
            self._check_parents(member.path, index)
            if member.kind is Kind.DIRECTORY:
                if owner := self._owners.get(member.path):
                    raise self._not_both(member.path, self.archives[owner[0]], index)
                if self.directories.get(member.path) is None:
                    self.directories[member.path] = member.mode
            else:
                self._claim(position, number, member)

    def check(self) -> None:
        """Check what can only be seen once all archives are there.

        Raises IntegrityError for links that together lead out of the prefix, and ConflictError
        for a hard link to a file that gave way to a different one.
        """
        for path in self._links:
            try:
                follow(path, self._links)
            except LeavesRootError:
                owner = self.archives[self._owners[path][0]].archive
                raise IntegrityError(
                    f"{owner}: link {path!r} leads out of the prefix through other links"
                ) from None
        if self._replaced:
            self._check_hard_links()

    def replaced(self) -> list[tuple[str, str]]:
        """Archive and path of each member that gave way to different content."""
        return [(self.archives[place].archive, path) for place, path in sorted(self._replaced)]

    def _check_hard_links(self) -> None:
        """Each needs its own content under its target's name, and before it.

        Its own archive's file may have given way to an equal one that was then replaced.
        """
        for position, index in enumerate(self.archives):
            dropped = self.dropped.get(position, set())
            for number, member in enumerate(index.members):
                if member.kind is not Kind.HARDLINK or number in dropped:
                    continue
                owner = self._owners[member.link]
                rival = self.archives[owner[0]].members[owner[1]]
                if _content(rival) != _content(member) or owner > (position, number):
                    raise ConflictError(
                        f"{index.archive}: {member.path!r} is a hard link to {member.link!r}, "
                        f"which {self.archives[owner[0]].archive} replaces; leave one of them out"
                    )

    def _check_parents(self, path: str, index: ArchiveIndex) -> None:
        parent = path.rpartition("/")[0]
        while parent and parent not in self.directories:
            if owner := self._owners.get(parent):
                raise self._not_both(parent, self.archives[owner[0]], index)
            self.directories[parent] = None
            parent = parent.rpartition("/")[0]

    def _claim(self, position: int, number: int, member: IndexedMember) -> None:
        path, index = member.path, self.archives[position]
        if path in self.directories:
            raise self._not_both(path, next(a for a in self.archives if _has(a, path)), index)
        owner = self._owners.get(path)
        if owner is None:
            self._own(path, position, number, member)
            return
        rival = self.archives[owner[0]].members[owner[1]]
        same = _content(rival) == _content(member)
        if same or self.on_conflict is OnConflict.FIRST:
            self._drop(position, number, path, replaced=not same)
        elif self.on_conflict is OnConflict.LAST:
            self._drop(*owner, path, replaced=True)
            self._links.pop(path, None)
            self._own(path, position, number, member)
        else:
            raise self._conflict(path, owner, index)

    def _own(self, path: str, position: int, number: int, member: IndexedMember) -> None:
        self._owners[path] = (position, number)
        if member.kind is Kind.SYMLINK:
            self._links[path] = member.link

    def _drop(self, position: int, number: int, path: str, *, replaced: bool) -> None:
        self.dropped.setdefault(position, set()).add(number)
        if replaced:
            self._replaced.add((position, path))

    @staticmethod
    def _not_both(path: str, first: ArchiveIndex, second: ArchiveIndex) -> ConflictError:
        return ConflictError(
            f"{path!r} is a directory in one and not in the other of {first.archive} and "
            f"{second.archive}; leave one of them out"
        )

    def _conflict(self, path: str, owner: tuple[int, int], index: ArchiveIndex) -> ConflictError:
        return ConflictError(
            f"{path!r} differs between {self.archives[owner[0]].archive} and {index.archive}; "
            "leave one of them out, or choose with --on-conflict first or last"
        )


def _content(member: IndexedMember) -> tuple[str, str]:
    """What two members must share to be the same; a hard link is the file that it names."""
    if member.kind is Kind.SYMLINK:
        return "link", member.link
    return "file", member.digest


def _has(index: ArchiveIndex, path: str) -> bool:
    return any(
        member.path.startswith(path + "/") or member.path == path for member in index.members
    )
