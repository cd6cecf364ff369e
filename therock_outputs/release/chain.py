"""The chain as a list of steps: each is a function from a release to a release."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from therock_outputs.artifacts.fetch import FetchedArchive
from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.artifacts.tree import OnConflict
from therock_outputs.console import Console
from therock_outputs.errors import UsageError
from therock_outputs.layout import PackageFormat
from therock_outputs.native_packages.pieces import Compression
from therock_outputs.places import Places
from therock_outputs.python_packages.catalog import PackageKind
from therock_outputs.release.state import Output, ReleaseState
from therock_outputs.storage import Transfer
from therock_outputs.tarballs.encoding import Encoding
from therock_outputs.tarballs.write import WrittenTarball

__all__ = [
    "NativeOptions",
    "PlannedFile",
    "PythonOptions",
    "Release",
    "ReleaseOptions",
    "Step",
    "choose_steps",
    "run_steps",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonOptions:
    """What was asked for of the Python packages."""

    artifact_group: str | None = None
    """The family of a single-stage build, which is also where its packages go."""
    only: frozenset[PackageKind] = frozenset(PackageKind)
    linux_families: tuple[str, ...] = ()
    windows_families: tuple[str, ...] = ()
    wheel_platform_tag: str | None = None
    build_variant: str = ""
    compression_level: int | None = None
    """libdeflate's; None: what each kind of package is best made with."""
    strict: bool = False
    launcher_cc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeOptions:
    """What was asked for of the deb and rpm packages."""

    formats: tuple[PackageFormat, ...] = (PackageFormat.DEB, PackageFormat.RPM)
    targets: tuple[str, ...] = ()
    """GPU targets, or families of an unsplit run; none: all that the run has."""
    version: str | None = None
    """In any of the three forms; None: the package version."""
    deb_version: str | None = None
    rpm_version: str | None = None
    """Where they do not follow from the version."""
    version_suffix: str | None = None
    """deb's revision and rpm's release; None: the run id."""
    install_prefix: str = ""
    """Empty: by the version."""
    build_variant: str = ""
    definitions: Path | None = None
    """None: the project's own."""
    packages: tuple[str, ...] = ()
    """Definitions to build; none: all."""
    keep_runpath: bool = False
    compression: Compression = Compression.ZSTD
    sign_key: str | None = None
    """Of the keyring, or a file with the key; None: nothing is signed."""
    explain: str | None = None
    """The package whose plan is told instead of doing anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOptions:
    """What was asked for."""

    package_version: str | None = None
    """None: the run's own, from its manifest."""
    families: tuple[str, ...] = ()
    """Families to build for; none: all that the run has."""
    encoding: Encoding = field(default_factory=Encoding)
    include_tests: bool = False
    on_conflict: OnConflict = OnConflict.ERROR
    allow_unverified: bool = False
    cache_dir: Path | None = None
    """Archives of earlier runs, by digest."""
    segments_dir: Path | None = None
    """Compressed segments of earlier runs; None: in the work directory."""
    archives_dir: Path | None = None
    """Archives that are at hand, instead of fetching any."""
    logs_dir: Path | None = None
    manifests_dir: Path | None = None
    listings: bool = True
    python: PythonOptions = field(default_factory=PythonOptions)
    native: NativeOptions = field(default_factory=NativeOptions)
    date: dt.date | None = None
    """What a version without a date of its own gets; None: the day of the release's first call."""
    mtime: int
    """Seconds since the epoch that everything inside of outputs carries."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that a step would write."""

    step: str
    name: str
    size: int | None
    """Bytes; None where it has to be made first."""
    target: str
    """A path or an address."""
    is_there: bool
    """Whether something of this name and size is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What every step is handed, and what the steps before it have made."""

    options: ReleaseOptions
    places: Places
    work_dir: Path
    output_dir: Path
    jobs: int
    console: Console
    archives: tuple[FetchedArchive, ...] = ()
    manifest: RunManifest | None = None
    """None: nothing of this call has read it yet."""
    tarballs: tuple[WrittenTarball, ...] = ()
    python: tuple[Output, ...] = ()
    """Wheels and sdists, below ``python_dir``."""
    native: tuple[Output, ...] = ()
    """deb and rpm packages, below ``native_dir``."""
    transfers: tuple[Transfer, ...] | None = None
    """None: nothing was uploaded."""
    planned: tuple[PlannedFile, ...] = ()
    """What a dry run found that would be written."""

    @property
    def state(self) -> ReleaseState:
        """What earlier calls have finished."""
        run = self.places.source
        # Not its bucket: tasks of one release may say in other words where it lies.
        name = f"run {run.run_id}-{run.platform} of {run.repository}"
        return ReleaseState(self.work_dir / "release-state.json", name)

    @property
    def date(self) -> dt.date:
        """What a version without a date of its own gets; it stays when the release is repeated."""
        return self.options.date or self.state.date or dt.datetime.now(dt.UTC).date()

    @property
    def tarballs_dir(self) -> Path:
        """Where tarballs lie before they are uploaded."""
        return self.output_dir / "tarballs"

    @property
    def python_dir(self) -> Path:
        """Where Python packages lie before they are uploaded; laid out as the run's ``python/``."""
        return self.output_dir / "python"

    @property
    def native_dir(self) -> Path:
        """Where deb and rpm packages lie before they are uploaded, in repositories already.

        Laid out as the run's ``packages/``.
        """
        return self.output_dir / "packages"

    @property
    def build_logs_dir(self) -> Path:
        """Where steps leave their logs; laid out as the run's ``logs/``."""
        return self.output_dir / "logs"

    @property
    def archives_dir(self) -> Path:
        """Where archives from S3 are put."""
        return self.options.archives_dir or self.work_dir / "archives"


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain."""

    name: str
    title: str
    run: Callable[[Release], Release]
    plan: Callable[[Release], Release]
    """Says what ``run`` would do, and does nothing."""


def choose_steps(
    steps: Sequence[Step],
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    start: str | None = None,
) -> tuple[Step, ...]:
    """The steps to run, in the chain's order. UsageError for a name that is none."""
    known = [step.name for step in steps]
    for name in (*only, *skip, *((start,) if start else ())):
        if name not in known:
            raise UsageError(f"{name!r} is no step of a release; they are {', '.join(known)}")
    first = known.index(start) if start else 0
    chosen = tuple(
        step for step in steps[first:] if (not only or step.name in only) and step.name not in skip
    )
    if not chosen:
        raise UsageError("--only, --skip and --from together leave no step to run")
    return chosen


def run_steps(release: Release, steps: Sequence[Step], *, dry_run: bool) -> Release:
    """Run the steps one after another, each on what the one before it returned."""
    for step in steps:
        with release.console.group(step.title):
            release = step.plan(release) if dry_run else step.run(release)
    return release
