"""The tasks ``release``, ``build-tarballs`` and ``upload``: the chain, or one link of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from therock_outputs.artifacts.reproducible import source_date_epoch
from therock_outputs.artifacts.sample_run import SAMPLE_RUN_ID, write_sample_run
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.console import Console
from therock_outputs.errors import UsageError
from therock_outputs.places import Places, places_of
from therock_outputs.release.chain import Release, ReleaseOptions, choose_steps, run_steps
from therock_outputs.release.report import ReleaseReport, report_of, tell
from therock_outputs.release.state import only_one_release
from therock_outputs.release.steps import STEPS
from therock_outputs.settings import Settings
from therock_outputs.tarballs.encoding import DEFAULT_LEVELS, Encoding, TarballFormat

__all__ = ["ChainOptions", "run_chain", "run_tarballs", "run_upload"]

_SAMPLE_STAGING = Path("build") / "staging"


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

    @classmethod
    def of(cls, own: Mapping[str, Any]) -> Self:
        """From a task's own flags; those that were not given keep their defaults."""
        return cls(**{name: value for name, value in own.items() if value is not None})


def run_tarballs(settings: Settings, options: ChainOptions, console: Console) -> ReleaseReport:
    """The task ``build-tarballs``: fetch what is missing, then build."""
    skip = ("fetch",) if options.artifacts_dir else ()
    return run_chain(settings, replace(options, only=("fetch", "tarballs"), skip=skip), console)


def run_upload(settings: Settings, options: ChainOptions, console: Console) -> ReleaseReport:
    """The task ``upload``."""
    return run_chain(settings, replace(options, only=("upload",)), console)


def run_chain(settings: Settings, options: ChainOptions, console: Console) -> ReleaseReport:
    """Run the chosen steps and tell what came of them."""
    steps = choose_steps(STEPS, only=options.only, skip=options.skip, start=options.from_)
    if settings.run_id == SAMPLE_RUN_ID:
        settings = _with_sample(settings, console)
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
        return report_of(run_steps(release, steps, dry_run=True))
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
        mtime=source_date_epoch(os.environ),
    )


def _with_sample(settings: Settings, console: Console) -> Settings:
    """Write the sample run where it is not there yet; it never goes to S3."""
    staging = settings.staging_dir or _SAMPLE_STAGING
    settings = replace(settings, staging_dir=staging)
    places = places_of(settings)
    if not settings.dry_run and not _is_there(places, staging):
        sample = write_sample_run(staging)
        console.say(f"a sample run was written: {sample.root}")
    return settings


def _is_there(places: Places, staging: Path) -> bool:
    return places.source.root.local_path(staging).is_dir()
