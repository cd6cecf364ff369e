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
        digests: dict[str, str] = {}
        buffer = memoryview(bytearray(_BLOCK))
        for member in reader:
            stop.check()
            digest = ""
            if member.kind is Kind.FILE:
                digest = digests[member.name] = _digest(reader, buffer, stop)
            elif member.kind is Kind.HARDLINK:
                digest = digests[member.name] = digests[member.link]
            if member.path:
                stages[member.stage].append(_stage_member(member, digest, reader.stages))
    return InventoriedArchive(name, {stage: tuple(held) for stage, held in stages.items()})


def _stage_member(member: Member, digest: str, stages: Sequence[str]) -> StageMember:
    link, link_stage = member.link, ""
    if member.kind is Kind.HARDLINK:
        own = member.stage + "/"
        owner = member.stage if link.startswith(own) else _stage_of(link, stages)
        link = link[len(owner) + 1 :]
        link_stage = "" if owner == member.stage else owner
    return StageMember(member.path, member.kind, member.mode, member.size, link, link_stage, digest)


def _stage_of(name: str, stages: Sequence[str]) -> str:
    return next(stage for stage in stages if name.startswith(stage + "/"))


def _digest(reader: ArchiveReader, buffer: memoryview, stop: Stop) -> str:
    digest = hashlib.sha256()
    while count := reader.readinto(buffer):
        digest.update(buffer[:count])
        stop.check()
    return digest.hexdigest()
