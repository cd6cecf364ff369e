"""The chain, or one link of it: ``release``, the ``build-`` tasks and ``upload``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from therock_outputs.artifacts.reproducible import source_date_epoch
from therock_outputs.artifacts.sample_run import SAMPLE_RUN_ID
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.commands.sample import DEFAULT_STAGING, complete_sample
from therock_outputs.console import Console
from therock_outputs.errors import UsageError
from therock_outputs.layout import Platform, parse_package_format
from therock_outputs.layout.versions import parse_date
from therock_outputs.native_packages.pieces import Compression
from therock_outputs.places import Places, places_of
from therock_outputs.python_packages.catalog import PackageKind
from therock_outputs.release.chain import (
    NativeOptions,
    PythonOptions,
    Release,
    ReleaseOptions,
    choose_steps,
    run_steps,
)
from therock_outputs.release.report import ReleaseReport, report_of
from therock_outputs.release.state import only_one_release
from therock_outputs.release.steps import STEPS
from therock_outputs.release.telling import tell
from therock_outputs.settings import Settings
from therock_outputs.storage import LocalStorage
from therock_outputs.tarballs.encoding import DEFAULT_LEVELS, Encoding, TarballFormat

__all__ = [
    "ChainOptions",
    "run_chain",
    "run_native_packages",
    "run_python_packages",
    "run_tarballs",
    "run_upload",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOptions:
    """What the flags say beyond the settings; as they were typed."""

    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    from_: str | None = None
    tarball_format: str = TarballFormat.GZ.value
    compression_level: int | None = None
    include_test_tarballs: bool = False
    on_conflict: str = OnConflict.ERROR.value
    allow_unverified: bool = False
    cache_dir: Path | None = None
    segments_dir: Path | None = None
    artifacts_dir: Path | None = None
    logs_dir: Path | None = None
    manifests_dir: Path | None = None
    no_listings: bool = False
    upload_bucket: str | None = None
    upload_prefix: str | None = None
    python_only: Sequence[str] = ()
    linux_amdgpu_families: Sequence[str] = ()
    windows_amdgpu_families: Sequence[str] = ()
    wheel_platform_tag: str | None = None
    build_variant: str = ""
    wheel_compression_level: int | None = None
    strict: bool = False
    launcher_cc: str | None = None
    pkg_type: Sequence[str] = ()
    targets: Sequence[str] = ()
    rocm_version: str | None = None
    deb_version: str | None = None
    rpm_version: str | None = None
    version_suffix: str | None = None
    install_prefix: str = ""
    definitions: Path | None = None
    packages: Sequence[str] = ()
    keep_runpath: bool = False
    compression: str = Compression.ZSTD.value
    sign_key: str | None = None
    date: str | None = None
    explain: str | None = None

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From a task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})


def run_tarballs(settings: Settings, options: ChainOptions, console: Console) -> ReleaseReport:
    """The task ``build-tarballs``: fetch what is missing, then build."""
    return run_chain(settings, replace(options, only=("fetch", "tarballs")), console)


def run_python_packages(
    settings: Settings, options: ChainOptions, console: Console
) -> ReleaseReport:
    """The task ``build-python-packages``: fetch what is missing, then build."""
    return run_chain(settings, replace(options, only=("fetch", "python")), console)


def run_native_packages(
    settings: Settings, options: ChainOptions, console: Console
) -> ReleaseReport:
    """The task ``build-native-packages``: fetch what is missing, then build.

    With ``explain`` nothing is built: the plan of one package is told.
    """
    if settings.platform != Platform.LINUX:
        raise UsageError(
            f"deb and rpm packages are made of runs for Linux, not {settings.platform}; "
            "give --platform linux"
        )
    if options.explain:
        settings = replace(settings, dry_run=True)
    return run_chain(settings, replace(options, only=("fetch", "native")), console)


def run_upload(settings: Settings, options: ChainOptions, console: Console) -> ReleaseReport:
    """The task ``upload``."""
    return run_chain(settings, replace(options, only=("upload",)), console)


def run_chain(settings: Settings, options: ChainOptions, console: Console) -> ReleaseReport:
    """Run the chosen steps and tell what came of them."""
    steps = choose_steps(STEPS, only=options.only, skip=options.skip, start=options.from_)
    sample_staging = None
    if settings.run_id == SAMPLE_RUN_ID:  # it never goes to S3
        if settings.bucket or options.upload_bucket:
            raise UsageError(
                f"run {SAMPLE_RUN_ID!r} lies in a staging directory and never goes to a bucket; "
                "leave the bucket out"
            )
        sample_staging = settings.staging_dir or DEFAULT_STAGING
        settings = replace(settings, staging_dir=sample_staging)
    places = places_of(
        settings, upload_bucket=options.upload_bucket, upload_prefix=options.upload_prefix
    )
    release = Release(
        options=_release_options(settings, options),
        places=places,
        work_dir=settings.run_work_dir,
        output_dir=settings.run_output_dir,
        jobs=settings.jobs,
        console=console,
    )
    if settings.dry_run:
        with _stand_in(places, sample_staging) as seen:
            return report_of(run_steps(replace(release, places=seen), steps, dry_run=True))
    if sample_staging is not None:
        sample = complete_sample(sample_staging, places.source, settings.jobs)
        if sample is not None:
            console.say(f"a sample run was written: {sample.root}")
    with only_one_release(release.work_dir):
        release = run_steps(release, steps, dry_run=False)
    report = report_of(release)
    tell(report, console)
    return report


def _release_options(settings: Settings, options: ChainOptions) -> ReleaseOptions:
    tarball_format = TarballFormat(options.tarball_format)
    level = options.compression_level or DEFAULT_LEVELS[tarball_format]
    try:
        encoding = Encoding(tarball_format, level)
    except ValueError as error:
        raise UsageError(f"--compression-level: {error}") from None
    return ReleaseOptions(
        package_version=settings.package_version,
        families=settings.dist_amdgpu_families,
        encoding=encoding,
        include_tests=options.include_test_tarballs,
        on_conflict=OnConflict(options.on_conflict),
        allow_unverified=options.allow_unverified,
        cache_dir=options.cache_dir,
        segments_dir=options.segments_dir,
        archives_dir=options.artifacts_dir,
        logs_dir=options.logs_dir,
        manifests_dir=options.manifests_dir,
        listings=not options.no_listings,
        python=_python_options(settings, options),
        native=_native_options(options),
        date=parse_date(options.date) if options.date else None,
        mtime=source_date_epoch(os.environ),
    )


def _python_options(settings: Settings, options: ChainOptions) -> PythonOptions:
    kinds = {kind.value: kind for kind in PackageKind}
    if unknown := [name for name in options.python_only if name not in kinds]:
        raise UsageError(f"{unknown[0]!r} is no Python package; they are {', '.join(kinds)}")
    return PythonOptions(
        artifact_group=settings.artifact_group,
        only=frozenset(kinds[name] for name in options.python_only or kinds),
        linux_families=tuple(options.linux_amdgpu_families),
        windows_families=tuple(options.windows_amdgpu_families),
        wheel_platform_tag=options.wheel_platform_tag,
        build_variant=options.build_variant,
        compression_level=options.wheel_compression_level,
        strict=options.strict,
        launcher_cc=options.launcher_cc,
    )


def _native_options(options: ChainOptions) -> NativeOptions:
    return NativeOptions(
        formats=tuple(map(parse_package_format, options.pkg_type)) or NativeOptions().formats,
        targets=tuple(options.targets),
        version=options.rocm_version,
        deb_version=options.deb_version,
        rpm_version=options.rpm_version,
        version_suffix=options.version_suffix,
        install_prefix=options.install_prefix,
        build_variant=options.build_variant,
        definitions=options.definitions,
        packages=tuple(options.packages),
        keep_runpath=options.keep_runpath,
        compression=Compression(options.compression),
        sign_key=options.sign_key,
        explain=options.explain,
    )


@contextmanager
def _stand_in(places: Places, staging: Path | None) -> Iterator[Places]:
    """Places with a sample run to look at, where there is none: a dry run writes nothing."""
    if staging is None or places.source.root.local_path(staging).exists():
        yield places
        return
    with tempfile.TemporaryDirectory(prefix="therock-outputs-") as name:
        complete_sample(Path(name), places.source, jobs=1)
        yield replace(places, storage=LocalStorage(Path(name)), shown_staging_dir=staging)
