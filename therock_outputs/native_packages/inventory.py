"""What a run's archives hold, stage by stage: what the plan decides on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.archives import ArchiveReader, Kind, Member, open_archive
from therock_outputs.artifacts.names import ArchiveName, ArtifactName, parse_archive_filename
from therock_outputs.errors import IntegrityError
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = ["InventoriedArchive", "Inventory", "StageMember", "read_inventory"]

_BLOCK = 1 << 20
_CODE = (b"\x7fELF", b"!<arch>\n")
"""How ELF files and static libraries begin."""


@dataclass(frozen=True, slots=True)
class StageMember:
    """One member of a stage directory, at its place in an install prefix."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    """Bytes of a file; 0 for anything else."""
    link: str = ""
    """A symlink's target as written; a hard link's file as a path in the prefix."""
    link_stage: str = ""
    """The stage that a hard link's file lies in; empty for its own."""
    digest: str = ""
    """SHA-256 of a file, or of the file that a hard link names."""
    is_code: bool = False
    """Whether a file begins as machine code does: as an ELF file or a static library."""


@dataclass(frozen=True, slots=True)
class InventoriedArchive:
    """One archive and all that is in it."""

    name: ArchiveName
    stages: dict[str, tuple[StageMember, ...]]
    """By stage directory, in the manifest's order; a stage may hold nothing."""

    @property
    def artifact(self) -> ArtifactName:
        """The artifact in the archive."""
        return self.name.artifact


@dataclass(frozen=True, slots=True)
class Inventory:
    """All archives of a run, one per artifact."""

    archives: tuple[InventoriedArchive, ...]
    """Generic ones first, then by name."""

    @property
    def targets(self) -> tuple[str, ...]:
        """GPU targets or families that the run has, without feature suffixes; sorted."""
        names = {a.artifact.base_target for a in self.archives if not a.artifact.is_generic}
        return tuple(sorted(names))

    def of(self, artifact: str) -> Iterator[InventoriedArchive]:
        """The archives of one artifact."""
        return (archive for archive in self.archives if archive.artifact.name == artifact)


def read_inventory(archives: Sequence[Path], jobs: int = 1) -> Inventory:
    """Read each archive once, up to ``jobs`` at a time, in bounded memory.

    Give one archive per artifact. IntegrityError for an archive that is no valid one.
    """
    read = run_parallel(_read, archives, jobs)
    return Inventory(tuple(sorted(read, key=lambda archive: archive.name.sort_key)))


def _read(path: Path, stop: Stop) -> InventoriedArchive:
    name = parse_archive_filename(path.name)
    if name is None:
        raise IntegrityError(f"{path}: not the name of an artifact archive")
    with open_archive(path) as reader:
        stages: dict[str, list[StageMember]] = {stage: [] for stage in reader.stages}
        seen: dict[str, tuple[str, bool]] = {}
        buffer = memoryview(bytearray(_BLOCK))
        for member in reader:
            stop.check()
            found = ("", False)
            if member.kind is Kind.FILE:
                found = seen[member.name] = _look(reader, buffer, stop)
            elif member.kind is Kind.HARDLINK:
                found = seen[member.name] = seen[member.link]
            if member.path:
                stages[member.stage].append(_stage_member(member, *found, reader.stages))
    return InventoriedArchive(name, {stage: tuple(held) for stage, held in stages.items()})


def _stage_member(member: Member, digest: str, is_code: bool, stages: Sequence[str]) -> StageMember:
    link, link_stage = member.link, ""
    if member.kind is Kind.HARDLINK:
        own = member.stage + "/"
        owner = member.stage if link.startswith(own) else _stage_of(link, stages)
        link = link[len(owner) + 1 :]
        link_stage = "" if owner == member.stage else owner
    return StageMember(
        member.path, member.kind, member.mode, member.size, link, link_stage, digest, is_code
    )


def _stage_of(name: str, stages: Sequence[str]) -> str:
    return next(stage for stage in stages if name.startswith(stage + "/"))


def _look(reader: ArchiveReader, buffer: memoryview, stop: Stop) -> tuple[str, bool]:
    """The SHA-256 of a file, and whether it begins as machine code does."""
    digest = hashlib.sha256()
    start = b""
    while count := reader.readinto(buffer):
        digest.update(buffer[:count])
        start = start or bytes(buffer[: min(count, 8)])
        stop.check()
    return digest.hexdigest(), start.startswith(_CODE)
