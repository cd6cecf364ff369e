"""Where a run's archives come from: a staging directory, S3, or the one by way of the other."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from therock_outputs.artifacts.fetch import FetchedArchive, Fetcher, FetchPlan, plan_fetch
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import parse_archive_filename, prefer_zst
from therock_outputs.artifacts.run_contents import (
    RunArchive,
    RunContents,
    list_run,
    read_run_manifest,
)
from therock_outputs.artifacts.selection import Selection
from therock_outputs.artifacts.topology import Topology
from therock_outputs.console import Console
from therock_outputs.errors import NotFoundError
from therock_outputs.places import Places
from therock_outputs.storage import IfExists, LocalStorage, Storage, Upload, open_storage

__all__ = ["Source", "fetch_from", "located", "staged_plan"]

_RECORD = ".run.partial"
"""Lies in a staging directory's run of which a part has been fetched from S3: the names of all
archives and digest files of the run. Storage neither lists nor uploads a file of such a name."""

_log = logging.getLogger(__name__)


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

    def staged_root(self) -> Path | None:
        """The run's directory in the staging directory; None without one."""
        storage = self.places.storage
        if not isinstance(storage, LocalStorage):
            return None
        return self.places.source.root.local_path(storage.staging_dir)


def located(source: Source, selection: Selection) -> tuple[FetchPlan, Storage, Path | None]:
    """The plan of a fetch, the storage that it reads, and the directory that archives go to.

    There is no directory for a run that lies in the staging directory already. A run that a
    staging directory has not, or of which only a part was fetched into it that lacks what is
    asked for, is read from S3 and put there.
    """
    root = source.staged_root()
    storage = source.places.storage
    if root is None:
        return _plan(storage, source, selection), storage, source.archives_dir
    plan = staged_plan(source, selection)
    if plan is not None:
        return plan, storage, None
    remote = open_storage(None)
    return _plan(remote, source, selection), remote, root


def fetch_from(
    source: Source, plan: FetchPlan, storage: Storage, target: Path | None, console: Console
) -> tuple[FetchedArchive, ...]:
    """Fetch what a plan names, with progress."""
    root = source.staged_root()
    mirrors = root is not None and target == root and not isinstance(storage, LocalStorage)
    if mirrors and root is not None:
        _write_record(root, plan.contents)
        _mirror_manifest(source, storage, plan.contents)
    with console.progress("fetch", plan.size) as progress:
        fetched = Fetcher(
            storage,
            allow_unverified=source.allow_unverified,
            cache_dir=source.cache_dir,
            jobs=source.jobs,
            progress=progress.advance,
        ).execute(plan, target)
    if mirrors and root is not None:
        _drop_record_of_whole(root)
    return fetched


def _plan(storage: Storage, source: Source, selection: Selection) -> FetchPlan:
    return _plan_of(storage, source, selection, list_run(storage, source.places.source))


def _plan_of(
    storage: Storage, source: Source, selection: Selection, contents: RunContents
) -> FetchPlan:
    manifest = read_run_manifest(storage, contents)
    return plan_fetch(
        contents, manifest, selection, families=source.families, topology=source.topology
    )


# ------------------------------------------------------------------- runs in part


def staged_plan(source: Source, selection: Selection) -> FetchPlan | None:
    """The plan of a fetch from the staging directory alone; None when that lacks something.

    NotFoundError for a run that is on no server either, or that has nothing of what is asked.
    """
    root, storage = source.staged_root(), source.places.storage
    if root is None:
        return None
    on_github = source.places.source.run_id.isdigit()
    try:
        contents = list_run(storage, source.places.source)
    except NotFoundError:
        if on_github:
            return None
        raise
    if on_github and not contents.archives:
        return None
    try:
        record = _read_record(root)
    except ValueError:
        _log.warning("%s: unreadable, so S3 is asked what the run has", root / _RECORD)
        return None
    if record is None:
        return _plan_of(storage, source, selection, contents)
    # Which of the run's archives are asked for is a question to all of them.
    missing = [
        RunArchive(name, source.places.source.archive(name.filename), 0, None)
        for name in map(parse_archive_filename, sorted(record))
        if name is not None and not (root / name.filename).exists()
    ]
    archives = sorted((*contents.archives, *missing), key=lambda archive: archive.name.sort_key)
    try:
        plan = _plan_of(storage, source, selection, replace(contents, archives=tuple(archives)))
    except NotFoundError:
        return None
    wanted = {
        name
        for archive in plan.archives
        for name in (archive.filename, archive.name.sha256_filename)
    }
    if any(not (root / name).exists() for name in wanted & record):
        return None
    return plan


def _read_record(root: Path) -> frozenset[str] | None:
    """What the run in S3 has; None without a record: then all of it is here.

    ValueError for a record that is damaged.
    """
    try:
        names = json.loads((root / _RECORD).read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError
    return frozenset(names)


def _write_record(root: Path, contents: RunContents) -> None:
    root.mkdir(parents=True, exist_ok=True)
    names = sorted(_names(contents.archives))
    partial = root / f"{_RECORD}.json"
    partial.write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
    partial.replace(root / _RECORD)


def _names(archives: Iterable[RunArchive]) -> set[str]:
    """Of two compressions of one artifact only one is ever fetched."""
    by_name = {archive.name: archive for archive in archives}
    chosen = [by_name[name] for name in prefer_zst(by_name)]
    return {archive.filename for archive in chosen} | {
        archive.name.sha256_filename for archive in chosen if archive.digest is not None
    }


def _drop_record_of_whole(root: Path) -> None:
    record = _read_record(root) or frozenset()
    if all((root / name).exists() for name in record):
        (root / _RECORD).unlink(missing_ok=True)


def _mirror_manifest(source: Source, storage: Storage, contents: RunContents) -> None:
    """Bring the run's manifest too: what is in the staging directory then is a run."""
    manifest = contents.root.manifest()
    if manifest in contents.others:
        copy = Upload(storage.read(manifest), manifest, IfExists.REPLACE)
        source.places.storage.upload([copy])
