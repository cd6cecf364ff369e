"""The steps of a release. Each also runs without those before it, from what they left."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from therock_outputs.artifacts.fetch import FetchedArchive, Fetcher
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.local_run import archives_in, manifest_of
from therock_outputs.artifacts.selection import Selection
from therock_outputs.console import format_size
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.layout import StorageLocation
from therock_outputs.publish.pages import publish_pages
from therock_outputs.publish.upload import (
    UploadPlan,
    UploadSources,
    execute_upload,
    plan_upload,
)
from therock_outputs.release.chain import Release, Step
from therock_outputs.release.source import Source, fetch_from, located
from therock_outputs.release.state import Output, fingerprint
from therock_outputs.storage import Outcome
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.tarballs.assemble import WrittenTarball
from therock_outputs.tarballs.build import (
    SHA256SUMS,
    ArchiveFile,
    prepare_tarballs,
    write_prepared,
)
from therock_outputs.tarballs.plan import TarballOptions, TarballPlan, plan_tarballs

__all__ = ["STEPS"]

# ------------------------------------------------------------------------------ fetch


def _source(release: Release) -> Source:
    return Source(
        release.places,
        release.archives_dir,
        release.jobs,
        release.options.allow_unverified,
        release.options.cache_dir,
    )


def _selection(release: Release) -> Selection:
    """All archives, or those of the families that are asked for."""
    return Selection(
        amdgpu_families=release.options.families,
        expand_family_to_targets=bool(release.options.families),
        platform=release.places.source.platform,
    )


def _fetch(release: Release) -> Release:
    source = _source(release)
    plan, storage, target = located(source, _selection(release))
    archives = fetch_from(source, plan, storage, target, release.console)
    release.console.say(
        f"{len(archives)} archives, {format_size(plan.size)}, verified: {archives[0].path.parent}"
    )
    return replace(release, archives=archives, manifest=plan.manifest)


def _plan_fetch(release: Release) -> Release:
    plan, _, target = located(_source(release), _selection(release))
    where = target or "where they are"
    release.console.say(
        f"fetch {len(plan.archives)} archives, {format_size(plan.size)}, to {where}"
    )
    archives = tuple(
        FetchedArchive(a.name, Path(a.filename), a.size, None, Outcome.PLANNED)
        for a in plan.archives
    )
    return replace(release, archives=archives, manifest=plan.manifest)


def _with_archives(release: Release) -> Release:
    """The release with its archives: those just fetched, else those that lie there."""
    if release.archives:
        return release
    if release.places.is_local and release.options.archives_dir is None:
        plan, storage, target = located(_source(release), _selection(release))
        if target is None:
            return replace(
                release,
                archives=Fetcher(
                    storage, allow_unverified=release.options.allow_unverified, jobs=release.jobs
                ).execute(plan, None),
                manifest=plan.manifest,
            )
    archives = archives_in(release.archives_dir, allow_unverified=release.options.allow_unverified)
    manifest, _ = manifest_of(archives)
    return replace(release, archives=archives, manifest=manifest)


# --------------------------------------------------------------------------- tarballs


def _tarball_plan(release: Release) -> TarballPlan:
    options = release.options
    version = options.package_version or release.manifest.package_version
    if version is None:
        raise UsageError("the run's manifest names no version; give --package-version")
    return plan_tarballs(
        [archive.name for archive in release.archives],
        TarballOptions(
            version=version,
            platform=release.places.source.platform,
            families=options.families,
            split=release.manifest.kpack_split,
            include_tests=options.include_tests,
            encoding=options.encoding,
            on_conflict=options.on_conflict,
        ),
        GpuFamilies.load(),
    )


def _tarballs(release: Release) -> Release:
    release = _with_archives(release)
    plan = _tarball_plan(release)
    options = release.options
    inputs = fingerprint(
        {
            "archives": {a.name.filename: a.sha256 or str(a.path) for a in release.archives},
            "tarballs": [
                [tarball.filename, [name.filename for name in tarball.archives]]
                for tarball in plan.tarballs
            ],
            "encoding": options.encoding.name,
            "on_conflict": options.on_conflict.value,
            "mtime": options.mtime,
        }
    )
    known = release.state.outputs_of("tarballs", inputs)
    if known is not None:
        release.console.say(f"{len(known) - 1} tarballs are there and whole; nothing to do")
        return replace(release, tarballs=_as_tarballs(known))
    result = _build(release, plan)
    outputs = [Output(t.path, t.size, t.sha256) for t in result]
    sums = release.tarballs_dir / SHA256SUMS
    outputs.append(Output(sums, sums.stat().st_size, sha256_of_file(sums)))
    release.state.record("tarballs", inputs, outputs)
    return replace(release, tarballs=result)


def _build(release: Release, plan: TarballPlan) -> tuple[WrittenTarball, ...]:
    for tarball in plan.tarballs:
        if tarball.missing_targets:
            release.console.note(
                f"{tarball.filename}: the run has nothing for {', '.join(tarball.missing_targets)}"
            )
    archives = [ArchiveFile(a.name, a.path, a.sha256) for a in release.archives]
    segments = release.options.segments_dir or release.work_dir / "segments"
    compressed = sum(archive.size for archive in release.archives)
    with release.console.progress("compress", compressed) as progress:
        prepared = prepare_tarballs(
            plan,
            archives,
            release.tarballs_dir,
            segments,
            mtime=release.options.mtime,
            jobs=release.jobs,
            progress=progress.advance,
        )
    with release.console.progress("write", prepared.size) as progress:
        built = write_prepared(prepared, jobs=release.jobs, progress=progress.advance)
    if release.options.segments_dir is None:
        shutil.rmtree(segments)
    return built.tarballs


def _plan_tarballs(release: Release) -> Release:
    release = _with_archives(release)
    plan = _tarball_plan(release)
    sizes = {archive.name: archive.size for archive in release.archives}
    release.console.table(
        ("tarball", "archives", "compressed input"),
        [
            (t.filename, len(t.archives), format_size(sum(sizes[name] for name in t.archives)))
            for t in plan.tarballs
        ],
    )
    return release


def _as_tarballs(outputs: tuple[Output, ...]) -> tuple[WrittenTarball, ...]:
    return tuple(
        WrittenTarball(output.path, output.size, output.sha256, None)
        for output in outputs
        if output.path.name != SHA256SUMS
    )


# ----------------------------------------------------------------------------- upload


def _upload_plan(release: Release) -> UploadPlan:
    options, places = release.options, release.places
    manifest = None
    if options.manifests_dir is None and not _has_manifest(release):
        _, manifest = manifest_of(release.archives)
    if not release.tarballs_dir.is_dir():
        raise NotFoundError(
            f"{release.tarballs_dir}: holds no tarballs to upload; run build-tarballs first"
        )
    return plan_upload(
        places.destination,
        UploadSources(
            archives=_own_archives(release),
            tarballs=release.tarballs_dir,
            logs=options.logs_dir,
            manifests=options.manifests_dir,
            manifest=manifest,
        ),
    )


def _has_manifest(release: Release) -> bool:
    return release.places.storage.exists(release.places.destination.manifest())


def _own_archives(release: Release) -> tuple[Path, ...]:
    """Archives that the run which is written has to get: those of a local directory.

    Another run's are copied by ``copy-artifacts``, which does not move them through here.
    """
    if release.options.archives_dir is None:
        return ()
    return tuple(
        path
        for archive in release.archives
        for path in (archive.path, archive.path.with_name(archive.name.sha256_filename))
        if path.exists()
    )


def _upload(release: Release) -> Release:
    release = _with_archives(release)
    plan = _upload_plan(release)
    places = release.places
    with release.console.progress("upload", plan.size) as progress:
        transfers = execute_upload(
            plan, places.storage, jobs=release.jobs, progress=progress.advance
        )
    if release.options.listings:
        publish_pages(
            places.storage,
            places.destination,
            digests=_digests(release),
            groups=_groups(release),
        )
    return replace(release, transfers=tuple(transfers))


def _listed(release: Release) -> tuple[FetchedArchive, ...]:
    """The archives, where the run that is written is the one that has them."""
    places = release.places
    own = places.destination.root == places.source.root or release.options.archives_dir
    return release.archives if own else ()


def _digests(release: Release) -> dict[StorageLocation, str]:
    """What is known of the destination's files, for its listing pages."""
    return {
        release.places.destination.archive(archive.name.filename): archive.sha256
        for archive in _listed(release)
        if archive.sha256
    }


def _groups(release: Release) -> dict[str, list[str]]:
    """For each family or target of the run, the archives that somebody with it needs."""
    archives = [archive.name for archive in _listed(release)]
    targets = {name.artifact.base_target for name in archives if not name.artifact.is_generic}
    return {
        target: [
            name.filename
            for name in archives
            if name.artifact.is_generic or name.artifact.base_target == target
        ]
        for target in targets
    }


def _plan_upload(release: Release) -> Release:
    release.console.say(f"upload to {release.places.url(release.places.destination.root)}")
    return release


STEPS = (
    Step("fetch", "Fetch the run's artifacts", _fetch, _plan_fetch),
    Step("tarballs", "Build tarballs", _tarballs, _plan_tarballs),
    Step("upload", "Upload", _upload, _plan_upload),
)
"""The whole chain, in its order."""
