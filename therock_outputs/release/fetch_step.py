"""The step ``fetch``, and how a later step finds the archives that it left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from therock_outputs.artifacts.fetch import FetchedArchive, Fetcher, FetchPlan
from therock_outputs.artifacts.local_run import archives_in, manifest_of
from therock_outputs.artifacts.selection import Selection
from therock_outputs.console import format_size
from therock_outputs.errors import ConflictError, NotFoundError
from therock_outputs.release.chain import PlannedFile, Release
from therock_outputs.release.source import Source, fetch_from, located, staged_plan
from therock_outputs.release.state import Output, fingerprint
from therock_outputs.storage import Outcome, Storage

__all__ = ["fetch", "plan_fetch_step", "with_archives", "with_archives_at_hand"]

_STEP = "fetch"


def fetch(release: Release) -> Release:
    """Fetch and verify the run's archives."""
    if release.options.archives_dir is not None:
        return _with_given(release, release.options.archives_dir)
    source = _source(release)
    plan, storage, target = located(source, _selection(release))
    archives = fetch_from(source, plan, storage, target, release.console)
    if target == release.archives_dir:
        _record(release, archives)
    release.console.say(
        f"{len(archives)} archives, {format_size(plan.size)}, verified: {archives[0].path.parent}"
    )
    return replace(release, archives=archives, manifest=plan.manifest)


def plan_fetch_step(release: Release) -> Release:
    """Say what would be fetched."""
    if release.options.archives_dir is not None:
        return _with_given(release, release.options.archives_dir)
    plan, storage, target = located(_source(release), _selection(release))
    size = format_size(plan.size)
    if target is None:
        where = release.places.url(release.places.source.root)
        release.console.say(f"{len(plan.archives)} archives, {size}, are there: {where}")
    else:
        here = sum(_has(target, archive.filename, archive.size) for archive in plan.archives)
        release.console.say(
            f"fetch {len(plan.archives)} archives, {size}, from {plan.contents.root.root.s3_uri} "
            f"to {target}; {here} of them are there"
        )
    return replace(
        release,
        archives=_planned_archives(release, plan, storage, target),
        manifest=plan.manifest,
        planned=(*release.planned, *_planned_files(plan, target)),
    )


def with_archives(release: Release) -> Release:
    """The release with its archives: those of a step before, else those that lie on this disk.

    NotFoundError when there are none, ConflictError when they are another run's.
    """
    if release.archives:
        return release
    if release.options.archives_dir is not None:
        return _with_given(release, release.options.archives_dir)
    if release.places.is_local:
        plan = staged_plan(_source(release), _selection(release))
        if plan is None:
            where = release.places.url(release.places.source.root)
            raise NotFoundError(f"{where}: lacks archives of the run; fetch it first")
        archives = _fetcher(release, release.places.storage).execute(plan, None)
        return replace(release, archives=archives, manifest=plan.manifest)
    archives = _fetched_before(release)
    manifest, _ = manifest_of(archives)
    return replace(release, archives=archives, manifest=manifest)


def with_archives_at_hand(release: Release) -> Release:
    """The same, where archives are welcome but not needed: S3 is not asked for them."""
    if release.archives or release.options.archives_dir is not None:
        return with_archives(release)
    if release.places.is_local:
        root = _source(release).staged_root()
        return with_archives(release) if root is not None and _holds_archives(root) else release
    return with_archives(release) if _holds_archives(release.archives_dir) else release


def _source(release: Release) -> Source:
    return Source(
        release.places,
        release.archives_dir,
        release.jobs,
        release.options.allow_unverified,
        release.options.cache_dir,
    )


def _fetcher(release: Release, storage: Storage) -> Fetcher:
    return Fetcher(storage, allow_unverified=release.options.allow_unverified, jobs=release.jobs)


def _selection(release: Release) -> Selection:
    """All archives, or those of the families that are asked for."""
    return Selection(
        amdgpu_families=release.options.families,
        expand_family_to_targets=bool(release.options.families),
        platform=release.places.source.platform,
    )


def _with_given(release: Release, directory: Path) -> Release:
    """The archives of a directory that the user names; whoever uses them verifies them."""
    archives = archives_in(directory, allow_unverified=release.options.allow_unverified)
    manifest, _ = manifest_of(archives)
    size = format_size(sum(archive.size for archive in archives))
    release.console.say(f"{len(archives)} archives, {size}, are given: {directory}")
    return replace(release, archives=archives, manifest=manifest)


def _record(release: Release, archives: tuple[FetchedArchive, ...]) -> None:
    """Note which of the files in the work directory are this run's."""
    outputs = [Output(a.path, a.size, a.sha256 or "") for a in archives]
    inputs = fingerprint({a.name.filename: a.sha256 for a in archives})
    release.state.record(_STEP, inputs, outputs)


def _fetched_before(release: Release) -> tuple[FetchedArchive, ...]:
    """Archives in the work directory: what this run's fetch noted, else whatever is there."""
    directory = release.archives_dir
    other = release.state.other_run
    if other is not None:
        raise ConflictError(
            f"{directory}: holds the archives of {other}; fetch this run, or give another "
            "--work-dir"
        )
    archives = archives_in(directory, allow_unverified=release.options.allow_unverified)
    recorded = release.state.recorded(_STEP)
    if recorded is None:
        return archives
    by_name = {archive.name.filename: archive for archive in archives}
    for output in recorded:
        archive = by_name.get(output.path.name)
        if archive is None or (archive.sha256 or "") != output.sha256:
            raise NotFoundError(
                f"{output.path}: is gone or not what was fetched; fetch the run again"
            )
    return tuple(by_name[output.path.name] for output in recorded)


def _planned_archives(
    release: Release, plan: FetchPlan, storage: Storage, target: Path | None
) -> tuple[FetchedArchive, ...]:
    digests = _fetcher(release, storage).digests(plan.archives)
    root = target or _source(release).staged_root() or Path()
    return tuple(
        FetchedArchive(a.name, root / a.filename, a.size, digest, Outcome.PLANNED)
        for a, digest in zip(plan.archives, digests, strict=True)
    )


def _planned_files(plan: FetchPlan, target: Path | None) -> tuple[PlannedFile, ...]:
    if target is None:
        return ()
    return tuple(
        PlannedFile(
            _STEP, a.filename, a.size, str(target / a.filename), _has(target, a.filename, a.size)
        )
        for a in plan.archives
    )


def _has(directory: Path, filename: str, size: int) -> bool:
    path = directory / filename
    return path.is_file() and path.stat().st_size == size


def _holds_archives(directory: Path) -> bool:
    """Whether anything there could be an archive."""
    if not directory.is_dir():
        return False
    return any(".tar." in path.name for path in directory.iterdir())
