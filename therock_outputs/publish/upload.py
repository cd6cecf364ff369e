"""Put what was built, with logs and manifests, under a run's root: files first, pointers last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from therock_outputs.errors import NotFoundError
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.storage import (
    IfExists,
    Progress,
    Storage,
    Transfer,
    Upload,
    files_to_upload,
)
from therock_outputs.storage.sums import SHA256SUMS, merge_sums, read_sums

__all__ = ["UploadPlan", "UploadSources", "execute_upload", "plan_upload", "size_of"]


_SHA256SUM = ".sha256sum"


@dataclass(frozen=True, slots=True)
class UploadSources:
    """What lies on disk to be uploaded; each part may be missing."""

    archives: tuple[tuple[Path, str | None], ...] = ()
    """Archives with their digests, which are checked; None: none is known."""
    tarballs: Path | None = None
    """A directory of tarballs with their SHA256SUMS."""
    python: tuple[tuple[str, Path, str], ...] = ()
    """Python packages: the name below the run's ``python/``, the file, its digest."""
    logs: tuple[Path, ...] = ()
    """Directories laid out as the run's ``logs/``."""
    manifests: Path | None = None
    """A directory laid out as the run's ``manifests/``."""
    manifest: bytes | None = None
    """The run's manifest, where no directory of them is at hand."""


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What will be put where."""

    root: WorkflowOutputRoot
    uploads: tuple[Upload, ...]
    """Files, in no order that matters: nothing in them points at another."""
    digests: tuple[Upload, ...] = ()
    """Files that vouch for one other file, put after it."""
    sums: tuple[tuple[StorageLocation, bytes], ...] = ()
    """Shared SHA256SUMS files and the lines to merge into each; last of all."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size_of(upload) for upload in (*self.uploads, *self.digests))


def size_of(upload: Upload) -> int:
    """Bytes that an upload holds."""
    source = upload.source
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def plan_upload(root: WorkflowOutputRoot, sources: UploadSources) -> UploadPlan:
    """Decide where each file goes. NotFoundError for a directory that is not there.

    Tarballs, Python packages and archives are published: they are never replaced by other
    bytes. Logs and manifests belong to the attempt that writes them last.
    """
    uploads: list[Upload] = []
    digests: list[Upload] = []
    sums: list[tuple[StorageLocation, bytes]] = []
    for path, sha256 in sources.archives:
        uploads.append(Upload(path, root.archive(path.name), sha256=sha256))
        beside = path.with_name(f"{path.name}{_SHA256SUM}")
        if beside.exists():
            digests.append(Upload(beside, root.archive_digest(path.name)))
    if sources.tarballs is not None:
        # What lies there without being named is of an earlier version, and stays behind.
        for name, digest in read_sums(sources.tarballs).items():
            path = sources.tarballs / name
            if not path.is_file():
                raise NotFoundError(f"{path}: is gone; run build-tarballs again")
            uploads.append(Upload(path, root.tarball(name), sha256=digest))
        lines = (sources.tarballs / SHA256SUMS).read_bytes()
        sums.append((root.tarball(SHA256SUMS), lines))
    for name, path, digest in sources.python:
        if not path.is_file():
            raise NotFoundError(f"{path}: is gone; run build-python-packages again")
        uploads.append(Upload(path, root.python(*name.split("/")), sha256=digest))
    for directory, place in (
        *((directory, root.logs) for directory in sources.logs),
        (sources.manifests, root.manifests),
    ):
        if directory is not None:
            for file in files_to_upload(directory):
                target = place(*file.name.split("/"))
                uploads.append(Upload(file.path, target, if_exists=IfExists.REPLACE))
    if sources.manifest is not None:
        target = root.manifest()
        uploads.append(Upload(sources.manifest, target, if_exists=IfExists.REPLACE))
    return UploadPlan(root, tuple(uploads), tuple(digests), tuple(sums))


def execute_upload(
    plan: UploadPlan,
    storage: Storage,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> list[Transfer]:
    """Put everything; what is there with the same bytes is skipped.

    Raises ConflictError for other bytes under a published name. A rerun after any failure
    finishes the job.
    """
    done = storage.upload(plan.uploads, jobs=jobs, progress=progress)
    done += storage.upload(plan.digests, jobs=jobs, progress=progress)
    for location, lines in plan.sums:
        storage.update(location, partial(merge_sums, new=lines, location=location))
    return done
