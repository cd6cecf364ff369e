"""Push what a build tree has made: pack its artifact directories and upload the archives.

A build leaves ``artifacts/{name}_{component}_{target}/`` directories, and a single-stage build
also packs them itself. Both are taken; whatever else lies there is not looked at.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.archives import MANIFEST_NAME
from therock_outputs.artifacts.entries import scan_artifact_directory
from therock_outputs.artifacts.names import (
    ArchiveName,
    ArtifactName,
    Compression,
    parse_archive_filename,
    parse_sha256sum,
)
from therock_outputs.artifacts.pack import (
    DEFAULT_LEVEL,
    PackSettings,
    pack_directory,
    sha256sum_line,
)
from therock_outputs.artifacts.selection import ALL_STAGES
from therock_outputs.artifacts.topology import Topology
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.storage import Outcome, Progress, Storage, Upload
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.hidden import sweep_abandoned
from therock_outputs.storage.parallel import Stop, run_parallel

__all__ = ["PushPlan", "PushUnit", "PushedArchive", "Pusher", "made_by", "plan_push"]

_LARGEST_DIGEST_FILE = 4096
_MOST_THREADS_PER_ARCHIVE = 4
"""More leave cores idle at the end of each archive; other archives keep them busy instead."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PushUnit:
    """One archive that will be uploaded."""

    name: ArchiveName
    source: Path
    """The artifact's directory, or an archive that is there already."""
    is_packed: bool
    """Whether ``source`` is an archive."""
    target: StorageLocation
    digest_target: StorageLocation
    size: int
    """Bytes of ``source``: of all its files, or of the archive."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What will be packed and uploaded, and what will not."""

    units: tuple[PushUnit, ...]
    """Generic ones first, then by name, component and target."""
    skipped: tuple[tuple[str, str], ...]
    """Names in the build tree that are left alone, each with the reason."""

    @property
    def size(self) -> int:
        """Bytes that will be read."""
        return sum(unit.size for unit in self.units)


@dataclass(frozen=True, slots=True)
class PushedArchive:
    """An archive that stands in the run, with its digest beside it."""

    name: ArchiveName
    location: StorageLocation
    size: int
    """Bytes of the archive."""
    sha256: str
    outcome: Outcome
    """SAME: these bytes were there already."""


@dataclass(frozen=True, slots=True)
class _Built:
    """What a build tree has of one artifact."""

    directory: Path | None = None
    archives: tuple[tuple[ArchiveName, Path], ...] = ()


def made_by(stages: Sequence[str], topology: Topology) -> frozenset[str] | None:
    """Names of the artifacts that the build stages make; None, which is all, without stages.

    On all platforms: what is there was built. UsageError for an unknown stage.
    """
    if not stages or ALL_STAGES in stages:
        return None
    return frozenset(name for stage in stages for name in topology.makes(stage))


def plan_push(
    build_dir: Path, root: WorkflowOutputRoot, *, topology: Topology, stages: Sequence[str] = ()
) -> PushPlan:
    """Look at a build tree and say what goes where; without stages all that is there.

    Of an artifact's directory and archive the archive is taken, unless the directory's
    manifest is newer. Everything is validated before anything is packed: NotFoundError when
    there is nothing to push or a manifest or digest is missing, IntegrityError for a name that
    is no artifact's and for what cannot be packed, UsageError for an unknown stage.
    """
    directory = build_dir / "artifacts"
    wanted = made_by(stages, topology)
    found = _find(directory)
    units = []
    skipped = []
    for artifact in sorted(found, key=lambda artifact: artifact.sort_key):
        if wanted is not None and artifact.name not in wanted:
            skipped.append((artifact.stem, f"not made by stage {' or '.join(stages)}"))
            continue
        name, source = _choose(artifact, found[artifact])
        is_packed = source.is_file()
        units.append(
            PushUnit(
                name,
                source,
                is_packed,
                root.archive(name.filename),
                root.archive_digest(name.filename),
                source.stat().st_size if is_packed else scan_artifact_directory(source).size,
            )
        )
        if is_packed:
            _published_digest(source)
    if not units:
        raise NotFoundError(_nothing_to_push(directory, stages, found))
    return PushPlan(tuple(units), tuple(skipped))


def _find(directory: Path) -> dict[ArtifactName, _Built]:
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise NotFoundError(
            f"{directory} cannot be listed ({error.strerror}); is {directory.parent} a build tree?"
        ) from error
    found: dict[ArtifactName, _Built] = {}
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            if path.is_dir():
                _add_directory(path, found)
            elif archive := parse_archive_filename(path.name):
                before = found.get(archive.artifact, _Built())
                found[archive.artifact] = _Built(
                    before.directory, (*before.archives, (archive, path))
                )
        except IntegrityError as error:
            raise IntegrityError(f"{directory}: {error}; rename or remove it") from None
    return found


def _add_directory(path: Path, found: dict[ArtifactName, _Built]) -> None:
    if path.name.count("_") < 2 and not (path / MANIFEST_NAME).exists():
        _log.info("%s is no artifact's directory", path)
        return
    artifact = ArtifactName.parse(path.name)
    before = found.get(artifact, _Built())
    found[artifact] = _Built(path, before.archives)


def _choose(artifact: ArtifactName, built: _Built) -> tuple[ArchiveName, Path]:
    """The archive's name, and the archive or the directory to make it from."""
    # zst first: when both are pushed everybody takes the zst anyway.
    ordered = sorted(built.archives, key=lambda pair: pair[0].compression is Compression.XZ)
    if ordered and (built.directory is None or not _is_stale(ordered[0][1], built.directory)):
        return ordered[0]
    if ordered:
        _log.info("%s is older than its directory, which is packed instead", ordered[0][1])
    if built.directory is None:
        raise AssertionError(artifact)
    return ArchiveName(artifact, Compression.ZST), built.directory


def _is_stale(archive: Path, directory: Path) -> bool:
    try:
        return archive.stat().st_mtime_ns < (directory / MANIFEST_NAME).stat().st_mtime_ns
    except FileNotFoundError:
        return False


def _published_digest(archive: Path) -> tuple[str, bytes]:
    """The digest in the file beside an archive, and that file's bytes."""
    path = archive.with_name(archive.name + ".sha256sum")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_DIGEST_FILE)
    except OSError as error:
        raise NotFoundError(
            f"{archive} cannot be verified: {path.name} cannot be read ({error.strerror}); build "
            "it again, or remove the archive to have its directory packed"
        ) from error
    return parse_sha256sum(content.decode("utf-8", "replace"), archive.name), content


def _nothing_to_push(
    directory: Path, stages: Sequence[str], found: Collection[ArtifactName]
) -> str:
    if not found:
        return f"{directory} holds no artifacts; has the build ended?"
    names = sorted({artifact.name for artifact in found})
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return (
        f"{directory} holds nothing that stage {' or '.join(stages)} makes; "
        f"it holds {', '.join(names[:12])}{more}"
    )


@dataclass(frozen=True, slots=True)
class Pusher:
    """How archives are packed and uploaded. ``execute`` may be repeated after any interruption.

    Each archive is uploaded as soon as it is packed, and its digest after it: a reader that
    finds the digest finds the archive.
    """

    storage: Storage
    work_dir: Path
    """Where archives are packed before they are uploaded; nothing stays there."""
    mtime: int
    """Every member's time in seconds since the epoch."""
    level: int = DEFAULT_LEVEL
    jobs: int | None = None
    """Archives at a time; None: as many as keep the machine busy."""
    progress: Progress | None = None
    """Told of ``plan.size`` bytes in all: of files packed and of archives that are taken."""

    def execute(self, plan: PushPlan) -> tuple[PushedArchive, ...]:
        """Do it, in parallel, and return results in the plan's order.

        ConflictError when the run has other bytes under an archive's name, IntegrityError when
        an archive is not what its digest says, OutputsError when a directory changes meanwhile.
        """
        cores = os.cpu_count() or 1
        threads = min(cores, _MOST_THREADS_PER_ARCHIVE)
        work = _PushOne(
            self.storage,
            self.work_dir,
            PackSettings(self.mtime, self.level, threads),
            self.progress,
        )
        sweep_abandoned(self.work_dir)
        # The largest first, so that no core waits long for the last one.
        largest_first = sorted(plan.units, key=lambda unit: -unit.size)
        results = run_parallel(work, largest_first, self.jobs or cores // threads + 1)
        by_location = {pushed.location: pushed for pushed in results}
        return tuple(by_location[unit.target] for unit in plan.units)


@dataclass(frozen=True, slots=True)
class _PushOne:
    storage: Storage
    work_dir: Path
    settings: PackSettings
    progress: Progress | None

    def __call__(self, unit: PushUnit, stop: Stop) -> PushedArchive:
        stop.check()
        if unit.is_packed:
            return self._take(unit)
        path = self.work_dir / unit.name.filename

        def progress(label: str, count: int) -> None:
            stop.check()
            if self.progress:
                self.progress(label, count)

        packed = pack_directory(unit.source, path, self.settings, progress=progress)
        try:
            line = sha256sum_line(packed.sha256, path.name).encode()
            return self._upload(unit, path, packed.sha256, line, None)
        finally:
            path.unlink(missing_ok=True)
            path.with_name(unit.name.sha256_filename).unlink(missing_ok=True)

    def _take(self, unit: PushUnit) -> PushedArchive:
        digest, content = _published_digest(unit.source)
        try:
            actual = sha256_of_file(unit.source)
        except OSError as error:
            raise OutputsError(f"cannot read {unit.source} ({error.strerror})") from error
        if actual != digest:
            raise IntegrityError(
                f"{unit.source}: its SHA-256 is {actual}, not {digest} as "
                f"{unit.name.sha256_filename} says; build it again"
            )
        return self._upload(unit, unit.source, digest, content, self.progress)

    def _upload(
        self, unit: PushUnit, path: Path, digest: str, line: bytes, progress: Progress | None
    ) -> PushedArchive:
        archive = Upload(path, unit.target, sha256=digest)
        [transfer] = self.storage.upload([archive], progress=progress)
        self.storage.upload([Upload(line, unit.digest_target)])
        return PushedArchive(unit.name, unit.target, transfer.size, digest, transfer.outcome)
