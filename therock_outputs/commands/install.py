"""The task ``install``: an install prefix out of a run's archives or a published tarball."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from packaging.version import InvalidVersion, Version

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.names import Component
from therock_outputs.artifacts.selection import Selection, parse_components
from therock_outputs.artifacts.topology import Topology
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.artifacts.unpack import (
    PREFIX_MARKER,
    Unpacked,
    UnpackMode,
    check_prefix,
    unpack,
    unpack_tarball,
)
from therock_outputs.console import Console, format_size
from therock_outputs.errors import IntegrityError, UsageError
from therock_outputs.layout import (
    DistributionLayout,
    DistributionPlaces,
    ReleaseType,
    StorageLocation,
    version_date,
)
from therock_outputs.places import places_of
from therock_outputs.publish.published import (
    PublishedTarball,
    choose_tarball,
    published_tarballs,
    with_digest,
)
from therock_outputs.release.source import Source, fetch_from, located
from therock_outputs.settings import Settings
from therock_outputs.storage import Download, Storage, open_storage
from therock_outputs.storage.files import sha256_of_file
from therock_outputs.storage.hidden import exclusive, sweep_abandoned
from therock_outputs.storage.local_io import os_errors
from therock_outputs.tarballs.plan import MULTIARCH, TEST_ONLY_ARTIFACTS

__all__ = ["InstallOptions", "InstallReport", "install_prefix", "release_type_of"]

_USUAL = (Component.LIB, Component.RUN, Component.DEV, Component.DOC)
"""What users of ROCm need; debug symbols are as large as all of it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOptions:
    """What the flags say beyond the settings; as they were typed."""

    install_prefix: Path | None = None
    release: str | None = None
    latest_release: bool = False
    layout: str = DistributionLayout.CLASSIC.value
    components: Sequence[str] = ()
    tests: bool = False
    on_conflict: str = OnConflict.ERROR.value
    allow_unverified: bool = False
    cache_dir: Path | None = None

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From a task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})

    @property
    def of_release(self) -> bool:
        """Whether a published tarball is asked for."""
        return self.latest_release or self.release is not None


@dataclass(frozen=True, slots=True)
class InstallReport:
    """The JSON document."""

    prefix: str
    source: str
    """The run or the place that it is from."""
    version: str | None
    inputs: tuple[dict[str, object], ...]
    """Archives or the tarball: name, size, sha256."""
    replaced: bool
    """Whether an installation was there before."""
    files: int | None
    """None in a dry run."""


def install_prefix(settings: Settings, options: InstallOptions, console: Console) -> InstallReport:
    """Install and tell. An existing installation is replaced as a whole, or stays as it is."""
    prefix = options.install_prefix
    if prefix is None:
        raise UsageError(
            "where to? name a directory, as in ./inv install rocm --run-id 24217435275"
        )
    if settings.run_id is None and not options.of_release:
        raise UsageError(
            "install what? give --run-id, --commit, --branch or --latest for a run, or --release "
            "or --latest-release for a published tarball"
        )
    check_prefix(prefix)
    if options.of_release:
        return _from_release(settings, options, prefix, console)
    return _from_run(settings, options, prefix, console)


# ------------------------------------------------------------------------------ from a run


def _from_run(
    settings: Settings, options: InstallOptions, prefix: Path, console: Console
) -> InstallReport:
    source = Source(
        places_of(settings),
        settings.run_work_dir / "archives",
        settings.jobs,
        options.allow_unverified,
        options.cache_dir,
    )
    plan, storage, target = located(source, _selection(settings, options, source.topology))
    for warning in plan.selection.warnings:
        console.warn(warning)
    root = plan.contents.root.root.s3_uri
    inputs = [(archive.filename, archive.size) for archive in plan.archives]
    report = InstallReport(
        str(prefix), root, plan.manifest.package_version, (), _is_installed(prefix), None
    )
    if settings.dry_run:
        return _told_plan(report, inputs, console)
    archives = fetch_from(source, plan, storage, target, console)
    note = _note(root, report.version, [archive.name.filename for archive in archives])
    with _held(prefix), console.progress("install", plan.size) as progress:
        unpacked = unpack(
            [archive.path for archive in archives],
            prefix,
            UnpackMode.FLATTEN,
            on_conflict=OnConflict(options.on_conflict),
            jobs=settings.jobs,
            progress=progress.advance,
            note=note,
        )
    made: tuple[dict[str, object], ...] = tuple(
        {"name": a.name.filename, "size": a.size, "sha256": a.sha256} for a in archives
    )
    return _told(replace(report, inputs=made), unpacked, console)


def _selection(settings: Settings, options: InstallOptions, topology: Topology) -> Selection:
    components = parse_components(options.components) or _USUAL
    if options.tests and Component.TEST not in components:
        components = (*components, Component.TEST)
    for_tests = () if options.tests else tuple(TEST_ONLY_ARTIFACTS & set(topology.artifacts))
    return Selection(
        artifact_group=settings.artifact_group,
        amdgpu_families=settings.amdgpu_families,
        amdgpu_targets=settings.amdgpu_targets,
        components=components,
        exclude_artifacts=for_tests,
        platform=settings.platform,
    )


# -------------------------------------------------------------------------- from a release


def _from_release(
    settings: Settings, options: InstallOptions, prefix: Path, console: Console
) -> InstallReport:
    if options.components:
        raise UsageError(
            "--components chooses among a run's archives, and a tarball is installed as a whole; "
            "give --run-id, or leave it out"
        )
    storage = open_storage(settings.staging_dir)
    place = _place(settings, options)
    tarball = choose_tarball(
        published_tarballs(storage, place),
        platform=settings.platform,
        families=_families(settings),
        version=None if options.release is None else _version(options.release),
        tests=options.tests,
        where=place.s3_uri,
    )
    if tarball.yanked is not None:
        console.warn(f"{tarball.filename} is yanked: {tarball.yanked or 'no reason is given'}")
    tarball = _with_known_digest(storage, tarball, options)
    report = InstallReport(
        str(prefix),
        place.s3_uri,
        tarball.version,
        ({"name": tarball.filename, "size": tarball.size, "sha256": tarball.sha256},),
        _is_installed(prefix),
        None,
    )
    if settings.dry_run:
        return _told_plan(report, [(tarball.filename, tarball.size)], console)
    path = _fetched(storage, tarball, settings, console)
    note = _note(place.s3_uri, tarball.version, [tarball.filename])
    with _held(prefix), console.progress("install", tarball.size) as progress:
        unpacked = unpack_tarball(path, prefix, progress=progress.advance, note=note)
    return _told(report, unpacked, console)


def _place(settings: Settings, options: InstallOptions) -> StorageLocation:
    """The directory of the tarballs of that kind of release."""
    kind = settings.release_type
    if kind is ReleaseType.CI:  # nothing was said: ci builds are not promoted
        kind = ReleaseType.RELEASE
        if options.release is not None:
            kind = release_type_of(_version(options.release))
    day = version_date(options.release or "") or dt.date(2000, 1, 1)
    places = DistributionPlaces.choose(
        release_type=kind,
        run_id="1",  # of all that is chosen only tarballs() is asked, which runs share
        date=day,
        layout=options.layout,
    )
    location = places.tarballs().location
    return StorageLocation(settings.bucket, location.key) if settings.bucket else location


def release_type_of(version: str) -> ReleaseType:
    """What a version in its normal form was made for."""
    parsed = Version(version)
    if parsed.is_devrelease:
        return ReleaseType.DEV
    if parsed.pre is None:
        return ReleaseType.RELEASE
    if parsed.pre[0] == "rc":
        return ReleaseType.PRERELEASE
    return (
        ReleaseType.NIGHTLY_BKC if (parsed.local or "").startswith("bkc") else ReleaseType.NIGHTLY
    )


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        raise UsageError(
            f"--release {text!r} is no version; it has its Python form, as in 7.13.0 or 7.13.0rc2"
        ) from None


def _families(settings: Settings) -> tuple[str, ...]:
    """The names of tarballs that will do, the most fitting first; none: any."""
    group = (settings.artifact_group,) if settings.artifact_group else ()
    asked = (*group, *settings.amdgpu_families, *settings.amdgpu_targets)
    if len(asked) != 1:
        return (MULTIARCH,) if asked else ()
    families = GpuFamilies.load()
    name = asked[0]
    wider: tuple[str, ...] = ()
    if any(target.name == name for target in families.targets):
        wider = families.families_of(name)[::-1]
    return (*dict.fromkeys((name, *wider)), MULTIARCH)


def _with_known_digest(
    storage: Storage, tarball: PublishedTarball, options: InstallOptions
) -> PublishedTarball:
    tarball = with_digest(storage, tarball)
    if tarball.sha256 is None:
        message = (
            f"{tarball.location.s3_uri}: has no digest in SHA256SUMS or a .sha256sum beside it, so "
            "it cannot be verified"
        )
        if not options.allow_unverified:
            raise IntegrityError(f"{message}; use --allow-unverified to install it all the same")
        _log.warning("%s", message)
    return tarball


def _fetched(
    storage: Storage, tarball: PublishedTarball, settings: Settings, console: Console
) -> Path:
    """The tarball on this disk, verified; an interrupted download goes on where it stopped."""
    path = storage.local_file(tarball.location)
    if path is not None:
        with os_errors(f"{path} cannot be read"):
            digest = sha256_of_file(path)
        if tarball.sha256 not in {None, digest}:
            raise IntegrityError(
                f"{path}: its SHA-256 is {digest}, not {tarball.sha256} as published; "
                "have it promoted again"
            )
        return path
    directory = settings.work_dir or Path("build") / "install"
    path = directory / tarball.filename
    with os_errors(f"{directory} cannot be filled"):
        directory.mkdir(parents=True, exist_ok=True)
    download = Download(tarball.location, path, tarball.sha256, tarball.size)
    with console.progress("fetch", tarball.size) as progress:
        storage.download([download], jobs=settings.jobs, progress=progress.advance)
    return path


# ------------------------------------------------------------------------------------ both


@contextmanager
def _held(prefix: Path) -> Iterator[None]:
    """Keep other installations to the same prefix waiting."""
    with os_errors(f"{prefix} cannot be filled"):
        place = prefix.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(place.parent)
    with exclusive(place):
        yield


def _is_installed(prefix: Path) -> bool:
    return (prefix / PREFIX_MARKER).exists()


def _note(source: str, version: str | None, inputs: Sequence[str]) -> bytes:
    """What the prefix says of itself; the same inputs give the same bytes."""
    document = {"format": 1, "source": source, "version": version, "inputs": list(inputs)}
    return json.dumps(document, indent=1).encode() + b"\n"


def _told_plan(
    report: InstallReport, inputs: Sequence[tuple[str, int]], console: Console
) -> InstallReport:
    console.table(("input", "size"), [(name, format_size(size)) for name, size in inputs])
    total = format_size(sum(size for _, size in inputs))
    verb = "would replace what is in" if report.replaced else "would be unpacked into"
    console.say(f"{total} of {report.source} {verb} {report.prefix}")
    planned: tuple[dict[str, object], ...] = tuple(
        {"name": name, "size": size, "sha256": None} for name, size in inputs
    )
    return replace(report, inputs=report.inputs or planned)


def _told(report: InstallReport, unpacked: Unpacked, console: Console) -> InstallReport:
    version = f"ROCm {report.version}" if report.version else "ROCm"
    verb = "replaced what was in" if report.replaced else "is in"
    console.say(f"{version} {verb} {report.prefix}: {unpacked.files} files from {report.source}")
    programs = Path(report.prefix) / "bin"
    if programs.is_dir():
        console.say(f"Next: export PATH={programs.resolve()}{os.pathsep}$PATH")
    return replace(report, files=unpacked.files)
