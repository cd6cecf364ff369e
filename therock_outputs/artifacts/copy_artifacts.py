"""Copy archives of another run into this one, so that a stage need not be built again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import ArchiveName, parse_sha256sum
from therock_outputs.artifacts.push import made_by
from therock_outputs.artifacts.run_contents import RunArchive, RunContents
from therock_outputs.artifacts.selection import Selection, select
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import IntegrityError, NotFoundError, UsageError
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.storage import Outcome, Progress, Storage, copy_between
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = ["CopiedArchive", "Copier", "CopyPlan", "CopyUnit", "plan_copy"]

_LARGEST_DIGEST_FILE = 4096
_CHUNK = 1 << 20
_JOBS = 8


@dataclass(frozen=True, slots=True)
class CopyUnit:
    """One archive, with its digest file, and where they go."""

    name: ArchiveName
    source: StorageLocation
    digest_source: StorageLocation
    target: StorageLocation
    digest_target: StorageLocation
    size: int
    """Bytes of the archive."""


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What will be copied, and what will not."""

    units: tuple[CopyUnit, ...]
    """Generic ones first, then by name, component and target."""
    skipped: tuple[tuple[RunArchive, str], ...]
    """Each with the reason."""
    warnings: tuple[str, ...]
    """Lines for the user: asked-for families and targets of which the run has nothing."""

    @property
    def size(self) -> int:
        """Bytes of all archives."""
        return sum(unit.size for unit in self.units)


@dataclass(frozen=True, slots=True)
class CopiedArchive:
    """An archive that stands in this run, with its digest beside it."""

    name: ArchiveName
    location: StorageLocation
    size: int
    sha256: str
    outcome: Outcome
    """SAME: these bytes were there already."""


def plan_copy(
    contents: RunContents,
    target: WorkflowOutputRoot,
    *,
    families: GpuFamilies,
    topology: Topology,
    split: bool,
    stages: Sequence[str] = (),
    selection: Selection | None = None,
) -> CopyPlan:
    """Choose archives of another run; ``stages`` are those that would make them here.

    UsageError when both runs are the same or a name is unknown, NotFoundError when nothing is
    left, IntegrityError when an archive has no digest: it could not be verified here either.
    """
    source = contents.root.root
    if source == target.root:
        raise UsageError(f"{source.s3_uri} cannot be copied into itself; check --source-run-id")
    wanted = made_by(stages, topology)
    made = [a for a in contents.archives if wanted is None or a.artifact.name in wanted]
    if contents.archives and not made:
        names = sorted({archive.artifact.name for archive in contents.archives})
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        raise NotFoundError(
            f"{source.s3_uri} has nothing that stage {' or '.join(stages)} makes; "
            f"it has {', '.join(names[:12])}{more}"
        )
    chosen = select(
        made, selection or Selection(), families=families, topology=topology, split=split
    )
    others = [(a, f"not made by stage {' or '.join(stages)}") for a in contents.archives]
    return CopyPlan(
        tuple(_unit(archive, target) for archive in chosen.selected),
        (*chosen.skipped, *(pair for pair in others if pair[0] not in made)),
        chosen.warnings,
    )


def _unit(archive: RunArchive, target: WorkflowOutputRoot) -> CopyUnit:
    if archive.digest is None:
        raise IntegrityError(
            f"{archive.location.s3_uri} has no {archive.name.sha256_filename} beside it, so it "
            "cannot be verified; push it again, or leave it out with --exclude"
        )
    return CopyUnit(
        archive.name,
        archive.location,
        archive.digest,
        target.archive(archive.filename),
        target.archive_digest(archive.filename),
        archive.size,
    )


@dataclass(frozen=True, slots=True)
class Copier:
    """How archives are copied. ``execute`` may be repeated after any interruption.

    Within one storage nothing passes through this machine but what ``verify`` reads.
    """

    source: Storage
    target: Storage
    """The same object as ``source`` when both runs lie in one storage."""
    verify: bool = True
    """Whether a copy that the server made is read and compared with its digest."""
    jobs: int | None = None
    progress: Progress | None = None

    def execute(self, plan: CopyPlan) -> tuple[CopiedArchive, ...]:
        """Copy in parallel; results in the plan's order.

        All digests are read before the first archive is copied, and each is published only
        after its archive was verified. IntegrityError for an archive that is not what its
        digest says (a wrong copy is removed), ConflictError when this run has other bytes.
        """
        jobs = self.jobs or _JOBS
        digests = run_parallel(self._digest, plan.units, jobs)
        return tuple(run_parallel(self._copy, zip(plan.units, digests, strict=True), jobs))

    def _digest(self, unit: CopyUnit, stop: Stop) -> str:
        stop.check()
        content = self.source.read(unit.digest_source, _LARGEST_DIGEST_FILE)
        return parse_sha256sum(content.decode("utf-8", "replace"), unit.name.filename)

    def _copy(self, work: tuple[CopyUnit, str], stop: Stop) -> CopiedArchive:
        unit, digest = work
        stop.check()
        [transfer] = copy_between(
            self.source, self.target, [(unit.source, unit.target)], progress=self.progress
        )
        if transfer.outcome is not Outcome.PLANNED:
            actual = transfer.sha256 or (self._read_back(unit.target, stop) if self.verify else "")
            if actual not in ("", digest):
                if transfer.outcome is Outcome.WRITTEN:
                    self.target.delete(unit.target)
                raise IntegrityError(
                    f"{unit.source.s3_uri}: its SHA-256 is {actual}, not {digest} as "
                    f"{unit.name.sha256_filename} says; push it again or leave it out with "
                    "--exclude"
                )
        copy_between(self.source, self.target, [(unit.digest_source, unit.digest_target)])
        return CopiedArchive(unit.name, unit.target, unit.size, digest, transfer.outcome)

    def _read_back(self, location: StorageLocation, stop: Stop) -> str:
        sha256 = hashlib.sha256()
        with self.target.open(location) as stream:
            while chunk := stream.read(_CHUNK):
                stop.check()
                sha256.update(chunk)
        return sha256.hexdigest()
