"""What a comparison consists of: sizes before and after, of a whole and of each of its parts."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from therock_outputs.artifacts.compare.pins import PinChange
from therock_outputs.artifacts.compare.sides import Side
from therock_outputs.artifacts.names import ArtifactName

__all__ = [
    "ArchiveChange",
    "Change",
    "Comparison",
    "FileChange",
    "FlagChange",
    "GroupChange",
    "Measure",
    "Status",
]


class Status(enum.Enum):
    """What happened to a file or an archive."""

    ADDED = "added"
    REMOVED = "removed"
    GROWN = "grown"
    SHRUNK = "shrunk"
    MOVED = "moved"
    """The same size under another name, or in another archive."""
    SAME = "same"
    """The same size at the same place."""


class Measure(enum.Enum):
    """Which bytes are counted."""

    UNPACKED = "unpacked"
    COMPRESSED = "compressed"


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes on both sides; None: it is not there."""

    before: int | None
    after: int | None

    @property
    def delta(self) -> int:
        """By how much it grew; negative where it shrank."""
        return (self.after or 0) - (self.before or 0)

    @property
    def percent(self) -> float | None:
        """The same in percent of what was there; None of nothing."""
        return 100 * self.delta / self.before if self.before else None

    @property
    def status(self) -> Status:
        """What happened, by the sizes alone."""
        if self.before is None:
            return Status.ADDED
        if self.after is None:
            return Status.REMOVED
        if self.delta == 0:
            return Status.SAME
        return Status.GROWN if self.delta > 0 else Status.SHRUNK


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file, or two that are taken for the same one."""

    path: str
    """Where the second side has it; where the first had it when it is gone."""
    size: Change
    archive: str = ""
    stage: str = ""
    was: str = ""
    """The path before, when it was another one."""
    was_archive: str = ""
    """The artifact before, when it was another one."""
    was_stage: str = ""
    """The stage before, when it was another one."""

    @property
    def status(self) -> Status:
        """What happened to it."""
        found = self.size.status
        moved = bool(self.was or self.was_archive or self.was_stage)
        return Status.MOVED if found is Status.SAME and moved else found


@dataclass(frozen=True, slots=True)
class ArchiveChange:
    """One artifact's archive."""

    name: ArtifactName
    compressed: Change | None
    """None where neither side has it packed."""
    unpacked: Change | None
    """None where its files were not read."""
    same_bytes: bool = False
    """Whether both archives have one digest."""

    @property
    def size(self) -> Change:
        """What it is judged by: unpacked bytes where they are known."""
        found = self.unpacked or self.compressed
        return found or Change(None, None)


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What several archives or files have in common."""

    name: str
    compressed: Change | None
    unpacked: Change | None

    @property
    def size(self) -> Change:
        """What it is judged by."""
        found = self.unpacked or self.compressed
        return found or Change(None, None)


@dataclass(frozen=True, slots=True)
class FlagChange:
    """A flag of the build that has another value; None: it was not set at all."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that is known of two sides. Rows of a kind stand by size of change, largest first."""

    before: Side
    after: Side
    compressed: Change | None
    """None where one side is not packed, or the sides are packed in different ways."""
    unpacked: Change | None
    """None where only archives were listed."""
    unpacked_whole: bool
    """Whether that counts every file; else archives that are the same were left unread, which
    changes the sums but no difference."""
    archives: tuple[ArchiveChange, ...] = ()
    artifacts: tuple[GroupChange, ...] = ()
    components: tuple[GroupChange, ...] = ()
    targets: tuple[GroupChange, ...] = ()
    stages: tuple[GroupChange, ...] = ()
    files: tuple[FileChange, ...] = ()
    """All files that were read, also those that are the same."""
    pins: tuple[PinChange, ...] = ()
    flags: tuple[FlagChange, ...] = ()
    notes: tuple[str, ...] = ()
    """What the reader has to know about these numbers."""
    counts: Mapping[Status, int] = field(default_factory=dict)
    """How many files, or archives where no files were read, are of each status."""

    @property
    def measure(self) -> Measure:
        """What the whole is judged by."""
        return Measure.COMPRESSED if self.unpacked is None else Measure.UNPACKED

    @property
    def total(self) -> Change:
        """The whole, by its measure."""
        found = self.unpacked or self.compressed
        return found or Change(None, None)

    @property
    def changed_files(self) -> tuple[FileChange, ...]:
        """Those of which anything changed."""
        return tuple(file for file in self.files if file.status is not Status.SAME)


def count_statuses(statuses: Iterable[Status]) -> dict[Status, int]:
    """How often each occurs, all of them in their order."""
    found = Counter(statuses)
    return {status: found[status] for status in Status}
