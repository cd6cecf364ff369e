"""The step ``native``: deb and rpm packages, and repositories of them on this disk."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from therock_outputs.artifacts.archive_file import ArchiveFile
from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.console import format_size
from therock_outputs.errors import OutputsError, UsageError
from therock_outputs.indexes.repositories import (
    PublishedRepository,
    RepositoryPackage,
    RepositorySettings,
    Signer,
    open_signer,
    package_path,
    publish_packages,
)
from therock_outputs.layout import PackageFormat, Platform, StorageLocation, WorkflowOutputRoot
from therock_outputs.native_packages.build import (
    NativePackageResult,
    build_native_packages,
    builder_digest,
)
from therock_outputs.native_packages.definitions import load_definitions
from therock_outputs.native_packages.explain import explain, package_rows, skipped_rows
from therock_outputs.native_packages.inventory import read_inventory
from therock_outputs.native_packages.options import NativePackageOptions, native_versions
from therock_outputs.native_packages.plan import NativePlan, plan_native_packages
from therock_outputs.release.chain import PlannedFile, Release
from therock_outputs.release.fetch_step import with_archives
from therock_outputs.release.state import Output, fingerprint
from therock_outputs.storage import LocalStorage, Progress, Storage, Transfer
from therock_outputs.storage.files import sha256_of_file

__all__ = [
    "NATIVE_STEP",
    "make_native_packages",
    "native_target",
    "plan_native_step",
    "publish_native",
    "repository_place",
    "signer_of",
]

NATIVE_STEP = "native"
_ROWS = 12
"""Lines of a table."""

_log = logging.getLogger(__name__)


def make_native_packages(release: Release) -> Release:
    """Build the packages, unless they are there, whole, and of the same inputs and settings."""
    release = with_archives(release)
    if not _is_packaged(release):
        return release
    release.state.note_date(release.date)
    inputs = _inputs(release)
    known = release.state.outputs_of(NATIVE_STEP, inputs)
    if known is not None:
        release.console.say(f"{len(known)} native packages are there and whole; nothing to do")
        return replace(release, native=known)
    outputs = _build(release, _plan(release))
    release.state.record(NATIVE_STEP, inputs, outputs)
    return replace(release, native=outputs)


def plan_native_step(release: Release) -> Release:
    """Say which packages would be built, and what is in them."""
    release = with_archives(release)
    if not _is_packaged(release):
        return release
    known = release.state.outputs_of(NATIVE_STEP, _inputs(release))
    if known is not None:
        release.console.say(f"{len(known)} native packages are there and whole; nothing to do")
        return replace(release, native=known)
    absent = [archive for archive in release.archives if not archive.path.exists()]
    if absent:
        release.console.say(
            f"which native packages there will be shows in the archives; {len(absent)} of "
            f"{len(release.archives)} have to be fetched first"
        )
        return release
    plan = _plan(release)
    if release.options.native.explain:
        release.console.say(explain(plan, release.options.native.explain))
        return release
    _tell_plan(release, plan)
    planned = (
        PlannedFile(
            NATIVE_STEP,
            package.filename,
            None,
            str(_directory(release, package.format) / package.filename),
            is_there=False,
        )
        for package in plan.packages
    )
    return replace(release, planned=(*release.planned, *planned))


def repository_place(root: WorkflowOutputRoot, kind: PackageFormat) -> StorageLocation:
    """What a source line of this format names."""
    return root.deb_repository() if kind is PackageFormat.DEB else root.rpm_repository()


def native_target(root: WorkflowOutputRoot, filename: str) -> StorageLocation:
    """Where a package goes."""
    kind = PackageFormat(filename.rpartition(".")[2])
    return repository_place(root, kind) / package_path(kind, filename)


def publish_native(release: Release, progress: Progress | None = None) -> list[Transfer]:
    """Put the packages into the run's repositories, beside those that other jobs put there."""
    done: list[Transfer] = []
    root = release.places.destination
    publish = _Publisher(release, release.places.storage, progress)
    for kind, packages in by_format(release.native).items():
        done += publish(repository_place(root, kind), kind, packages).transfers
    return done


@contextmanager
def signer_of(release: Release) -> Iterator[Signer | None]:
    """What signs packages and repositories; None: nobody."""
    key = release.options.native.sign_key
    with open_signer(key) if key else nullcontext() as signer:
        yield signer


def by_format(outputs: Iterable[Output]) -> dict[PackageFormat, list[Output]]:
    """Packages by what they are."""
    kinds: dict[PackageFormat, list[Output]] = {}
    for output in outputs:
        kinds.setdefault(PackageFormat(output.path.suffix.removeprefix(".")), []).append(output)
    return kinds


def _is_packaged(release: Release) -> bool:
    """Whether such packages are made of this run; says so when not."""
    platform = release.places.source.platform
    if platform != Platform.LINUX:
        release.console.say(f"no deb and rpm packages are made of a run for {platform}")
    return platform == Platform.LINUX


def _options(release: Release) -> NativePackageOptions:
    native, manifest = release.options.native, release.manifest or RunManifest()
    version = native.version or release.options.package_version or manifest.package_version
    deb, rpm = native.deb_version, native.rpm_version
    if version is None and not (deb and rpm):
        raise UsageError("the run's manifest names no version; give --rocm-version")
    if version is not None and not (deb and rpm):
        versions = native_versions(version, date=release.date)
        deb, rpm = deb or versions.deb, rpm or versions.rpm
    return NativePackageOptions(
        deb_version=deb or "",
        rpm_version=rpm or "",
        release=native.version_suffix or release.places.source.run_id,
        formats=native.formats,
        split=manifest.kpack_split,
        targets=native.targets,
        prefix=native.install_prefix,
        variant=native.build_variant,
        packages=native.packages,
    )


def _plan(release: Release) -> NativePlan:
    """Read what the archives hold, and decide."""
    options = _options(release)  # complains before anything is read
    definitions = load_definitions(release.options.native.definitions)
    inventory = read_inventory([archive.path for archive in release.archives], release.jobs)
    return plan_native_packages(definitions, inventory, options, GpuFamilies.load())


def _inputs(release: Release) -> str:
    """A digest of all that decides the packages' bytes and where they lie."""
    native = release.options.native
    return fingerprint(
        {
            "builder": builder_digest(),
            "archives": {
                a.name.filename: a.sha256 or (sha256_of_file(a.path) if a.path.exists() else None)
                for a in release.archives
            },
            "options": repr(_options(release)),
            "definitions": sha256_of_file(native.definitions) if native.definitions else None,
            "keep_runpath": native.keep_runpath,
            "compression": native.compression,
            "sign_key": native.sign_key,
            "mtime": release.options.mtime,
            # Relative, so that a work directory can be moved.
            "directory": os.path.relpath(release.native_dir, release.work_dir),
        }
    )


def _build(release: Release, plan: NativePlan) -> tuple[Output, ...]:
    for note in plan.notes:
        _log.info("%s", note)
    kinds = sorted({package.format for package in plan.packages})
    # Here, unlike where it is published, the content of a name may change.
    for directory in (release.native_dir, _logs(release)):
        shutil.rmtree(directory, ignore_errors=True)
    used = set(plan.archives)
    archives = [a for a in release.archives if a.name.filename in used]
    with (
        signer_of(release) as signer,
        release.console.progress("package", sum(a.size for a in archives)) as progress,
    ):
        result = build_native_packages(
            plan.packages,
            [ArchiveFile(a.name, a.path, a.sha256) for a in archives],
            {kind: _directory(release, kind) for kind in kinds},
            release.work_dir / "native",
            mtime=release.options.mtime,
            jobs=release.jobs,
            compression=release.options.native.compression,
            keep_runpath=release.options.native.keep_runpath,
            signer=signer,
            logs_dir=_logs(release),
            progress=progress.advance,
        )
    _tell_left_out(release, plan)
    _refuse_failures(release, result)
    outputs = tuple(Output(f.path, f.size, f.sha256) for f in result.files)
    # Repositories on this disk, as they will be uploaded: apt and dnf read them by file: already.
    bucket = release.places.destination.root.bucket
    publish = _Publisher(release, LocalStorage(release.output_dir))
    for kind, packages in by_format(outputs).items():
        publish(StorageLocation(bucket, _repository(release, kind)), kind, packages)
    return outputs


@dataclass(frozen=True, slots=True)
class _Publisher:
    """Adds packages to repositories of one storage."""

    release: Release
    storage: Storage
    progress: Progress | None = None

    def __call__(
        self, place: StorageLocation, kind: PackageFormat, packages: Sequence[Output]
    ) -> PublishedRepository:
        release = self.release
        with signer_of(release) as signer:
            return publish_packages(
                self.storage,
                place,
                [RepositoryPackage(package.path, package.sha256) for package in packages],
                kind=kind,
                settings=RepositorySettings.of_release_type(release.places.release_type),
                mtime=release.options.mtime,
                signer=signer,
                jobs=release.jobs,
                progress=self.progress,
            )


def _repository(release: Release, kind: PackageFormat) -> str:
    """Where the repository of a format lies below a run's root; ends in ``/``."""
    root = release.places.destination
    return repository_place(root, kind).relative_to(root.root)


def _directory(release: Release, kind: PackageFormat) -> Path:
    """Where packages of a format lie before they are uploaded."""
    return (release.output_dir / _repository(release, kind) / package_path(kind, "any")).parent


def _logs(release: Release) -> Path:
    """Where the logs of packages go; one directory for each format is made there."""
    return release.build_logs_dir / "packaging"


def _refuse_failures(release: Release, result: NativePackageResult) -> None:
    """OutputsError when a package failed; the others are there, and a rerun makes all anew."""
    if not result.failures:
        return
    release.console.table(
        ("failed", "because"), [(f.plan.filename, str(f.error)) for f in result.failures]
    )
    first = result.failures[0]
    raise OutputsError(
        f"{len(result.failures)} of {len(result.failures) + len(result.files)} native packages "
        f"failed, as {first.plan.filename}: {first.error}"
    )


# -------------------------------------------------------------------------------- telling


def _tell_plan(release: Release, plan: NativePlan) -> None:
    """A line for each package that would be built, and what is odd."""
    release.console.table(
        ("package", "files", "size", "holds"),
        [(r.filename, r.files, format_size(r.size), r.holds) for r in package_rows(plan)],
    )
    _tell_left_out(release, plan)


def _tell_left_out(release: Release, plan: NativePlan) -> None:
    """Much of what is not built, and at -v all of it and what was dropped from the rest."""
    if skipped := skipped_rows(plan):
        release.console.table(
            ("not built", "packages", "because"),
            [(row.definition, len(row.packages), row.reason) for row in skipped[:_ROWS]],
        )
    if len(skipped) > _ROWS:
        release.console.say(f"and {len(skipped) - _ROWS} more; -v names them")
    for row in skipped[_ROWS:]:
        _log.info("not built: %s: %s", ", ".join(row.packages), row.reason)
    if plan.dropped:
        release.console.say(
            f"{len({drop.dependency for drop in plan.dropped})} dependencies are on packages that "
            "this run does not give, and are dropped; -v names them"
        )
    for drop in plan.dropped:
        _log.info("%s (%s) lacks %s: %s", drop.package, drop.format, drop.dependency, drop.reason)
    for stage in plan.unused:
        _log.info("in no package: %s of %s: %s", stage.stage, stage.archive, stage.reason)
    for cycle in plan.cycles:
        _log.info("these need one another, which installs: %s", ", ".join(cycle))
