"""Put a build stage's logs, or test reports, under a run's root; pages come last."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.errors import UsageError
from therock_outputs.layout import LayoutError, StorageLocation, WorkflowOutputRoot
from therock_outputs.publish.build_logs import BuildLogs
from therock_outputs.publish.log_archives import write_log_archive
from therock_outputs.publish.pages import publish_directory_page, publish_pages
from therock_outputs.storage import IfExists, Progress, SourceFile, Storage, Transfer, Upload

__all__ = ["LogPlan", "LogScope", "PlannedArchive", "execute_logs", "plan_logs", "plan_report"]

_NINJA_ARCHIVE = "ninja_logs.tar.gz"
_CCACHE_ARCHIVE = "ccache_logs.tar.zst"
_INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class LogScope:
    """Whose logs they are: a single-stage build's, or a stage's and perhaps a family's.

    UsageError for names that cannot be a directory's, or that say too much or too little.
    """

    artifact_group: str | None = None
    stage: str | None = None
    family: str | None = None

    def __post_init__(self) -> None:
        if (self.artifact_group is None) == (self.stage is None):
            raise UsageError("whose logs are they? give one of --artifact-group and --stage")
        if self.family is not None and self.stage is None:
            raise UsageError(
                "--amdgpu-family goes with --stage, whose logs of that family they are"
            )

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.artifact_group or ", ".join(filter(None, (self.stage, self.family)))

    def directory(self, root: WorkflowOutputRoot) -> StorageLocation:
        """Where the logs go."""
        try:
            if self.stage is not None:
                return root.stage_logs(self.stage, self.family)
            return root.group_logs(str(self.artifact_group))
        except LayoutError as error:
            raise UsageError(str(error)) from None

    def manifest(self, root: WorkflowOutputRoot) -> StorageLocation:
        """Where the manifest goes: stages of one run share theirs."""
        return root.manifest(self.artifact_group)


@dataclass(frozen=True, slots=True)
class PlannedArchive:
    """Logs that travel in one archive, which is yet to be written."""

    target: StorageLocation
    members: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What will be put where. All of it belongs to the attempt that writes last."""

    root: WorkflowOutputRoot
    directory: StorageLocation
    uploads: tuple[Upload, ...]
    archives: tuple[PlannedArchive, ...] = ()
    manifest: StorageLocation | None = None
    """Where the manifest goes; None where there is none."""
    listings: bool = True
    """Whether the run's pages are written afterwards."""
    own_index: bool = False
    """Whether the files bring an ``index.html`` of their own."""

    @property
    def index(self) -> StorageLocation | None:
        """The page of the directory; None where nobody writes one."""
        return self.directory / _INDEX if self.listings or self.own_index else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to put."""
        return not self.uploads and not self.archives

    @property
    def size(self) -> int:
        """Bytes of the files; archives are not known yet."""
        paths = (upload.source for upload in self.uploads)
        return sum(path.stat().st_size for path in paths if isinstance(path, Path))


def plan_logs(
    root: WorkflowOutputRoot, scope: LogScope, logs: BuildLogs, *, listings: bool = True
) -> LogPlan:
    """Decide where a build's logs go.

    Archives of ninja's and ccache's logs take the place of files that are called so already.
    """
    directory = scope.directory(root)
    archives = tuple(
        PlannedArchive(directory / name, members)
        for name, members in ((_NINJA_ARCHIVE, logs.ninja), (_CCACHE_ARCHIVE, logs.ccache))
        if members
    )
    made = {archive.target for archive in archives}
    if listings:
        made.add(directory / _INDEX)  # a build's own page shows its own disk
    uploads = [upload for upload in _uploads(directory, logs.files) if upload.target not in made]
    manifest = scope.manifest(root) if logs.manifest is not None else None
    if logs.manifest is not None and manifest is not None:
        uploads.append(Upload(logs.manifest, manifest, IfExists.REPLACE))
    own_index = any(upload.target == directory / _INDEX for upload in uploads)
    return LogPlan(root, directory, tuple(uploads), archives, manifest, listings, own_index)


def plan_report(
    root: WorkflowOutputRoot, subfolder: str, report: BuildLogs, *, listings: bool = True
) -> LogPlan:
    """Decide where test reports go. Their own index stays; without one they get a listing.

    UsageError for a subfolder that is not the name of one directory.
    """
    try:
        directory = root.test_reports(subfolder)
    except LayoutError as error:
        raise UsageError(f"--subfolder: {error}") from None
    uploads = tuple(_uploads(directory, report.files))
    own_index = any(upload.target == directory / _INDEX for upload in uploads)
    return LogPlan(root, directory, uploads, listings=listings, own_index=own_index)


def execute_logs(
    plan: LogPlan,
    storage: Storage,
    *,
    mtime: int,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[Transfer]:
    """Put everything, in the order of the plan's uploads and then its archives; then the pages.

    Archives are written to temporary files, never into the build tree. ``mtime`` is their
    members' time.
    """
    if plan.is_empty:
        return []
    with tempfile.TemporaryDirectory(prefix="therock-outputs-") as scratch:
        uploads = list(plan.uploads)
        for archive in plan.archives:
            path = Path(scratch) / archive.target.name
            write_log_archive(path, archive.members, mtime=mtime)
            uploads.append(Upload(path, archive.target, IfExists.REPLACE))
        done = storage.upload(uploads, jobs=jobs, progress=progress)
    if plan.listings:
        if not plan.own_index:
            publish_directory_page(storage, plan.root, plan.directory)
        publish_pages(storage, plan.root)
    return done


def _uploads(directory: StorageLocation, files: Iterable[SourceFile]) -> list[Upload]:
    return [Upload(file.path, directory / file.name, IfExists.REPLACE) for file in files]
