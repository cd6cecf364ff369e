"""Where a run's archives come from: a staging directory, S3, or the one by way of the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from therock_outputs.artifacts.fetch import FetchedArchive, Fetcher, FetchPlan, plan_fetch
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.run_contents import list_run, read_run_manifest
from therock_outputs.artifacts.selection import Selection
from therock_outputs.artifacts.topology import Topology
from therock_outputs.console import Console
from therock_outputs.errors import NotFoundError
from therock_outputs.places import Places
from therock_outputs.storage import LocalStorage, Storage, open_storage

__all__ = ["Source", "fetch_from", "located"]

_PARTIAL_FETCH = ".partial-fetch"
"""Lies in a staging directory's run while archives are fetched into it from S3."""


@dataclass(frozen=True, slots=True)
class Source:
    """A run to read, and how."""

    places: Places
    archives_dir: Path
    """Where archives from S3 go when there is no staging directory."""
    jobs: int
    allow_unverified: bool = False
    cache_dir: Path | None = None
    families: GpuFamilies = field(default_factory=GpuFamilies.load)
    topology: Topology = field(default_factory=Topology.load)


def located(source: Source, selection: Selection) -> tuple[FetchPlan, Storage, Path | None]:
    """The plan of a fetch, the storage that it reads, and the directory that archives go to.

    There is no directory for a run that lies in the staging directory already. A run that a
    staging directory has not, or of which it has not what is asked for, is read from S3 and
    put there.
    """
    storage = source.places.storage
    if not isinstance(storage, LocalStorage):
        return _plan(storage, source, selection), storage, source.archives_dir
    root = source.places.source.root.local_path(storage.staging_dir)
    on_github = source.places.source.run_id.isdigit()
    if not (root / _PARTIAL_FETCH).exists():
        try:
            return _plan(storage, source, selection), storage, None
        except NotFoundError:
            if not on_github:
                raise
    remote = open_storage(None)
    return _plan(remote, source, selection), remote, root


def fetch_from(
    source: Source, plan: FetchPlan, storage: Storage, target: Path | None, console: Console
) -> tuple[FetchedArchive, ...]:
    """Fetch what a plan names, with progress."""
    marker = None
    if target is not None and source.places.is_local and not isinstance(storage, LocalStorage):
        target.mkdir(parents=True, exist_ok=True)
        marker = target / _PARTIAL_FETCH
        marker.touch()
    with console.progress("fetch", plan.size) as progress:
        fetched = Fetcher(
            storage,
            allow_unverified=source.allow_unverified,
            cache_dir=source.cache_dir,
            jobs=source.jobs,
            progress=progress.advance,
        ).execute(plan, target)
    if marker is not None:
        marker.unlink()
    return fetched


def _plan(storage: Storage, source: Source, selection: Selection) -> FetchPlan:
    contents = list_run(storage, source.places.source)
    manifest = read_run_manifest(storage, contents)
    return plan_fetch(
        contents, manifest, selection, families=source.families, topology=source.topology
    )
