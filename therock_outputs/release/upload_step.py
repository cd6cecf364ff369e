"""The step ``upload``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from therock_outputs.artifacts.local_run import manifest_of
from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.console import format_size
from therock_outputs.errors import ConflictError, NotFoundError
from therock_outputs.indexes.build import build_indexes
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.publish.pages import publish_pages
from therock_outputs.publish.upload import (
    UploadPlan,
    UploadSources,
    execute_upload,
    plan_upload,
    size_of,
)
from therock_outputs.release.chain import PlannedFile, Release
from therock_outputs.release.fetch_step import with_archives_at_hand
from therock_outputs.release.native_step import NATIVE_STEP, native_target, publish_native
from therock_outputs.release.python_step import PYTHON_STEP, index_places, name_of
from therock_outputs.release.state import Output
from therock_outputs.storage import IfExists
from therock_outputs.storage.sums import read_sums
from therock_outputs.tarballs.write import WrittenTarball

__all__ = ["plan_upload_step", "upload"]

_STEP = "upload"
_BUILDERS = ("tarballs", PYTHON_STEP, NATIVE_STEP)
_LARGEST_MANIFEST = 16 << 20


def upload(release: Release) -> Release:
    """Put what there is under the run's root: files, then what vouches for them, then pages."""
    release = _prepared(release, tarballs_are_planned=False)
    plan = _plan(release)
    places = release.places
    packages = sum(output.size for output in release.native)
    with release.console.progress("upload", plan.size + packages) as progress:
        transfers = execute_upload(
            plan, places.storage, jobs=release.jobs, progress=progress.advance
        )
        _index_python(release)
        transfers += publish_native(release, progress.advance)
    if release.options.listings:
        publish_pages(places.storage, places.destination, digests=_digests(release))
    return replace(release, transfers=tuple(transfers))


def plan_upload_step(release: Release) -> Release:
    """Say what would be uploaded, how much it is, and what is there already."""
    awaited = [file for file in release.planned if file.step in _BUILDERS]
    release = _prepared(release, tarballs_are_planned=bool(awaited))
    root = release.places.destination
    present = {info.location: info.size for info in release.places.storage.list(root.root)}
    planned = [
        PlannedFile(
            _STEP,
            file.name,
            None,
            release.places.url(_target(root, file)),
            is_there=_target(root, file) in present,
        )
        for file in awaited
    ]
    plan = _plan(release, tarballs_are_planned=bool(awaited))
    for item in (*plan.uploads, *plan.digests):
        size = size_of(item)
        there = present.get(item.target)
        if there not in (None, size) and item.if_exists is IfExists.SAME:
            release.console.warn(
                f"{release.places.url(item.target)} is published with {there} bytes, not {size}; "
                "uploading other content under its name would fail"
            )
        url = release.places.url(item.target)
        planned.append(PlannedFile(_STEP, item.target.name, size, url, is_there=there == size))
    planned += _planned_packages(release, present)
    _tell_plan(release, planned)
    return replace(release, planned=(*release.planned, *planned))


def _planned_packages(
    release: Release, present: Mapping[StorageLocation, int]
) -> Iterator[PlannedFile]:
    """The deb and rpm packages that are there to be uploaded."""
    for output in release.native:
        target = native_target(release.places.destination, output.path.name)
        there = present.get(target) == output.size
        url = release.places.url(target)
        yield PlannedFile(_STEP, output.path.name, output.size, url, is_there=there)


def _target(root: WorkflowOutputRoot, file: PlannedFile) -> StorageLocation:
    """Where a file that is yet to be made will go."""
    if file.step == PYTHON_STEP:
        return root.python(*file.name.split("/"))
    if file.step == NATIVE_STEP:
        return native_target(root, file.name)
    return root.tarball(file.name)


def _index_python(release: Release) -> None:
    """Index the Python packages beside those that other jobs have put there."""
    root = release.places.destination
    outputs = {name_of(release, output): output for output in release.python}
    places = index_places(outputs)
    for directory, names in places:
        shared = (root.python(),) if directory and any(not other for other, _ in places) else ()
        build_indexes(
            release.places.storage,
            root.python_files(directory or None),
            names=names,
            shared=shared,
            digests={
                output.path.name: output.sha256
                for name, output in outputs.items()
                if name.rpartition("/")[0] == directory
            },
            flat=release.options.listings,
            jobs=release.jobs,
        )


def _tell_plan(release: Release, planned: list[PlannedFile]) -> None:
    """One line for each directory that gets something."""
    by_directory: dict[str, list[PlannedFile]] = defaultdict(list)
    for file in planned:
        by_directory[file.target.rpartition("/")[0] + "/"].append(file)
    release.console.table(
        ("upload to", "files", "size", "there already"),
        [
            (directory, len(files), _size(files), sum(file.is_there for file in files))
            for directory, files in sorted(by_directory.items())
        ],
    )
    if release.options.listings:
        release.console.say("and listing pages of what is there then")


def _size(files: list[PlannedFile]) -> str:
    known = format_size(sum(file.size or 0 for file in files))
    unknown = sum(file.size is None for file in files)
    if not unknown:
        return known
    made_first = f"{unknown} to be made first"
    return made_first if unknown == len(files) else f"{known} and {made_first}"


def _prepared(release: Release, *, tarballs_are_planned: bool) -> Release:
    """The release with what lies on this disk: archives, tarballs, the run's manifest."""
    if not release.tarballs and not tarballs_are_planned:
        release = replace(release, tarballs=tuple(_built_before(release)))
    if not release.python and not tarballs_are_planned:
        release = replace(release, python=_python_built_before(release))
    if not release.native and not tarballs_are_planned:
        release = replace(release, native=_native_built_before(release))
    release = with_archives_at_hand(release)
    if release.manifest is None:
        release = replace(release, manifest=_published_manifest(release))
    return release


def _built_before(release: Release) -> Iterator[WrittenTarball]:
    """What ``build-tarballs`` left; ConflictError when it is of another run."""
    directory = release.tarballs_dir
    if not directory.is_dir():
        return
    other = release.state.other_run
    if other is not None:
        raise ConflictError(
            f"{directory}: holds the tarballs of {other}; build this run's, or give another "
            "--work-dir"
        )
    for name, digest in sorted(read_sums(directory).items()):
        path = directory / name
        try:
            yield WrittenTarball(path, path.stat().st_size, digest, None)
        except FileNotFoundError:
            raise NotFoundError(f"{path}: is gone; run build-tarballs again") from None


def _python_built_before(release: Release) -> tuple[Output, ...]:
    """What ``build-python-packages`` left for this run, as it noted; it is verified on the way."""
    if not release.python_dir.is_dir():
        return ()
    known = release.state.recorded(PYTHON_STEP) or ()
    return tuple(o for o in known if not name_of(release, o).startswith("../"))


def _native_built_before(release: Release) -> tuple[Output, ...]:
    """What ``build-native-packages`` left for this run, as it noted; verified on the way."""
    if not release.native_dir.is_dir():
        return ()
    known = release.state.recorded(NATIVE_STEP) or ()
    for output in known:
        if not output.path.is_file():
            raise NotFoundError(f"{output.path}: is gone; run build-native-packages again")
    return known


def _published_manifest(release: Release) -> RunManifest | None:
    """What the run that is read says of itself under ``manifests/``, if it says anything."""
    places = release.places
    location = places.source.manifest()
    if not places.storage.exists(location):
        return None
    data = places.storage.read(location, _LARGEST_MANIFEST)
    return RunManifest.parse(data, location.s3_uri)


def _plan(release: Release, *, tarballs_are_planned: bool = False) -> UploadPlan:
    options, places = release.options, release.places
    tarballs = release.tarballs_dir if release.tarballs else None
    sources = UploadSources(
        archives=_own_archives(release),
        tarballs=tarballs,
        python=tuple((name_of(release, o), o.path, o.sha256) for o in release.python),
        logs=tuple(d for d in (options.logs_dir, _build_logs(release)) if d is not None),
        manifests=options.manifests_dir,
        manifest=_manifest_to_add(release),
    )
    given = (sources.archives, tarballs, sources.python, release.native, sources.logs)
    if not any(given) and sources.manifests is None:
        if tarballs_are_planned:
            return UploadPlan(places.destination, ())
        raise NotFoundError(
            f"{release.output_dir}: holds nothing to upload: no tarballs, no Python packages, no "
            "deb or rpm packages; run build-tarballs, build-python-packages or "
            "build-native-packages first, or name what to upload with --artifacts-dir, --logs-dir "
            "or --manifests-dir"
        )
    return plan_upload(places.destination, sources)


def _build_logs(release: Release) -> Path | None:
    """The logs that steps of this release left."""
    return release.build_logs_dir if release.native and release.build_logs_dir.is_dir() else None


def _manifest_to_add(release: Release) -> bytes | None:
    """The manifest in the base archive, where the run that is written would have none else."""
    location = release.places.destination.manifest()
    given = release.options.manifests_dir
    if given is not None and (given / location.name).is_file():
        return None
    if release.places.storage.exists(location):
        return None
    on_disk = [archive for archive in release.archives if archive.path.is_file()]
    return manifest_of(on_disk)[1]


def _own_archives(release: Release) -> tuple[tuple[Path, str | None], ...]:
    """Archives that the run which is written has to get: those of a local directory.

    Another run's are copied by ``copy-artifacts``, which does not move them through here.
    """
    if release.options.archives_dir is None:
        return ()
    return tuple((archive.path, archive.sha256) for archive in release.archives)


def _digests(release: Release) -> dict[StorageLocation, str]:
    """What is known of the destination's archives, for its listing pages."""
    places = release.places
    if places.destination.root != places.source.root and release.options.archives_dir is None:
        return {}
    return {
        places.destination.archive(archive.name.filename): archive.sha256
        for archive in release.archives
        if archive.sha256
    }
