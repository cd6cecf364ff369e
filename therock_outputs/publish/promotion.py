"""Decide what of a run goes where in the distribution buckets. Pure: nothing is asked or moved."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from therock_outputs.artifacts.gpu_families import GpuFamilies
from therock_outputs.errors import NotFoundError, UsageError
from therock_outputs.indexes.closed_set import check_closed
from therock_outputs.indexes.distributions import IndexedFile
from therock_outputs.indexes.repositories import ListedPackage
from therock_outputs.indexes.shape import BESIDE, BY_PROJECT, Shape
from therock_outputs.layout import (
    DistributionPlace,
    DistributionPlaces,
    PackageFormat,
    StorageLocation,
    format_date,
)
from therock_outputs.publish.catalogue import ANY_PLATFORM, CatalogueEntry, relative_url
from therock_outputs.publish.kept_targets import DEVICE, KeptTargets
from therock_outputs.publish.run_outputs import (
    Part,
    RunOutputs,
    RunTarball,
    RunWheel,
    repository_of,
)

__all__ = [
    "LeftOut",
    "PlannedFile",
    "PlannedPlace",
    "PlannedRepository",
    "Promotion",
    "choose_version",
    "final_version",
    "plan_promotion",
]

_PACKAGE_TARGET = re.compile(r"-(gfx[0-9a-z]+(?:-[a-z0-9]+)?)$")
_LIBRARIES = "rocm-sdk-libraries-"
_SYSTEMS = {"linux": "linux", "win32": "windows"}


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file that goes to a place."""

    source: StorageLocation
    target: StorageLocation
    size: int
    """Bytes; of a retagged file those that it is made from."""
    sha256: str | None
    """Of the source, as the run's SHA256SUMS has it; None: nothing vouches for it."""
    retag: bool
    """Whether it is made anew with the final version, instead of copied."""
    entry: CatalogueEntry
    """What the catalogue will say; digest and size are filled in when they are known."""


@dataclass(frozen=True, slots=True)
class PlannedPlace:
    """A place with files that lie there by themselves: tarballs, or Python packages."""

    part: Part
    place: DistributionPlace
    """What its index and its catalogue are of."""
    files: tuple[PlannedFile, ...]
    shape: Shape | None = None
    """Of the index of Python packages; None: tarballs, which SHA256SUMS lists."""


@dataclass(frozen=True, slots=True)
class PlannedRepository:
    """A repository of native packages."""

    kind: PackageFormat
    source: StorageLocation
    target: StorageLocation
    place: DistributionPlace
    """What its catalogue is of: the repository, or what dated ones lie below."""
    packages: tuple[ListedPackage, ...]
    entries: tuple[CatalogueEntry, ...]
    is_shared: bool
    """Whether other runs' packages are in it."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of the run that is not promoted."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """What will be done."""

    run_id: str
    places: DistributionPlaces
    version: str
    """Of the run."""
    new_version: str
    """The one that it gets: another only when a prerelease becomes final."""
    targets: tuple[str, ...] | None
    """GPU targets that are kept; None: all."""
    indexes: tuple[PlannedPlace, ...]
    repositories: tuple[PlannedRepository, ...]
    left_out: tuple[LeftOut, ...] = field(default=())

    @property
    def is_retag(self) -> bool:
        """Whether the run's packages get another version."""
        return self.version != self.new_version

    @property
    def files(self) -> tuple[PlannedFile, ...]:
        """All files but native packages."""
        return tuple(file for place in self.indexes for file in place.files)

    @property
    def size(self) -> int:
        """Bytes that are moved, as far as they are known."""
        packages = sum(p.size for repository in self.repositories for p in repository.packages)
        return sum(file.size for file in self.files) + packages


def choose_version(outputs: RunOutputs, asked: str | None) -> str:
    """The version of the run that is promoted, in its Python form (PEP 440).

    UsageError for a run of several versions of which none was chosen, and NotFoundError for one
    that it does not have, or that has nothing at all.
    """
    found = {tarball.name.version for tarball in outputs.tarballs}
    found |= {wheel.file.name.version for wheel in outputs.wheels if _is_ours(wheel)}
    if not found and not outputs.packages:
        raise NotFoundError(
            f"{outputs.root.root.s3_uri} has nothing to promote; release the run first, or check "
            "--run-id and --release-type"
        )
    if asked is not None:
        wanted = str(Version(asked))
        if found and wanted not in found:
            raise NotFoundError(
                f"{outputs.root.root.s3_uri} has nothing of version {wanted}, only "
                f"{_words(found)}; check --package-version"
            )
        return wanted
    if len(found) > 1:
        raise UsageError(
            f"{outputs.root.root.s3_uri} has several versions: {_words(found)}; choose one with "
            "--package-version"
        )
    version = found.pop() if found else outputs.manifest_version
    if version is None:
        raise UsageError(
            f"{outputs.root.root.s3_uri} has native packages only, and no manifest that tells "
            "their version in Python's form; give --package-version"
        )
    return str(Version(version))


def final_version(version: str, asked: str | None) -> str:
    """What a release candidate becomes; UsageError unless that is a final version of the same."""
    candidate = Version(version)
    if candidate.pre is None or candidate.pre[0] != "rc" or candidate.local:
        raise UsageError(
            f"the run is of version {version}, and only a release candidate (7.13.0rc2) can "
            "become a release; give the --run-id of a prerelease"
        )
    wanted = candidate.base_version if asked is None else asked
    try:
        final = Version(wanted)
    except InvalidVersion:
        final = candidate
    is_final = not (final.is_prerelease or final.local)
    if not is_final or final.base_version != candidate.base_version or str(final) != wanted:
        raise UsageError(
            f"--dest-version {wanted!r} is no final version of {version}; it is "
            f"{candidate.base_version}, or {candidate.base_version}.post1"
        )
    return wanted


def plan_promotion(
    outputs: RunOutputs,
    places: DistributionPlaces,
    *,
    version: str,
    new_version: str | None = None,
    targets: Sequence[str] = (),
    families: GpuFamilies,
) -> Promotion:
    """Decide where everything goes.

    ``targets`` are the GPU targets or families to keep; none: all. Raises NotFoundError for a set
    of packages that is not closed and for a promotion without any file, UsageError for targets
    that the run does not have and for a variant's or a family's wheels that have no place.
    """
    planner = _Planner(
        outputs, places, version, new_version or version, KeptTargets.of(outputs, targets, families)
    )
    wheels, tarballs = planner.wheels(), planner.tarballs()
    repositories = planner.repositories()
    if not (wheels or tarballs or repositories):
        why = "; ".join(f"{item.name}: {item.why}" for item in planner.left_out[:3])
        raise NotFoundError(
            f"nothing of {outputs.root.root.s3_uri} is to be promoted"
            + (f" ({why})" if why else "; release the run first, or check --only")
        )
    return Promotion(
        outputs.root.run_id,
        places,
        version,
        planner.new_version,
        planner.targets.kept,
        (*tarballs, *wheels),
        repositories,
        tuple(planner.left_out),
    )


@dataclass(slots=True)
class _Planner:
    outputs: RunOutputs
    places: DistributionPlaces
    version: str
    new_version: str
    targets: KeptTargets
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def is_retag(self) -> bool:
        return self.version != self.new_version

    # ------------------------------------------------------------------------ tarballs

    def tarballs(self) -> tuple[PlannedPlace, ...]:
        place = self.places.tarballs()
        files = tuple(
            self._tarball(tarball, place)
            for tarball in self.outputs.tarballs
            if self._takes(tarball.name.filename, tarball.name.version, tarball.name.family)
        )
        return (PlannedPlace(Part.TARBALLS, place, files),) if files else ()

    def _tarball(self, tarball: RunTarball, place: DistributionPlace) -> PlannedFile:
        name = tarball.name
        filename = name.with_version(self.new_version) if self.is_retag else name.filename
        entry = self._entry(
            "tests-tarball" if name.with_tests else "tarball",
            filename,
            name.project,
            name.family,
            name.platform,
            filename,
        )
        target = place.location / filename
        return PlannedFile(
            tarball.location, target, tarball.size, tarball.sha256, retag=False, entry=entry
        )

    # -------------------------------------------------------------------------- wheels

    def wheels(self) -> tuple[PlannedPlace, ...]:
        wheels = [wheel for wheel in self.outputs.wheels if self._takes_wheel(wheel)]
        if not wheels:
            return ()
        groups = sorted({wheel.group for wheel in wheels if wheel.group})
        for group in groups or [""]:
            check_closed(
                self._as_promoted(wheel.file) for wheel in wheels if wheel.group in {"", group}
            )
        if not groups:
            return (self._split_wheels(wheels),)
        return tuple(self._family_wheels(wheels, group) for group in groups)

    def _as_promoted(self, file: IndexedFile) -> IndexedFile:
        """A file without what it requires for targets that are left out: it will be rewritten."""
        dropped = self.targets.known.difference(self.targets.kept or self.targets.known)
        gone = {DEVICE + target for target in dropped}
        requires = tuple(
            text for text in file.metadata.requires if _required_project(text) not in gone
        )
        return replace(file, metadata=replace(file.metadata, requires=requires))

    def _takes_wheel(self, wheel: RunWheel) -> bool:
        filename = wheel.file.name.filename
        if not _is_ours(wheel):
            self.left_out.append(LeftOut(filename, "is no package of ROCm"))
            return False
        project = wheel.file.name.project
        name = wheel.group or (project.removeprefix(DEVICE) if project.startswith(DEVICE) else None)
        return self._takes(filename, wheel.file.name.version, name)

    def _split_wheels(self, wheels: Iterable[RunWheel]) -> PlannedPlace:
        root = self.places.wheels_root()
        files = tuple(
            self._wheel(wheel, self.places.wheels(wheel.file.name.project), root)
            for wheel in wheels
        )
        shape = BY_PROJECT if self.places.wheels_by_project else BESIDE
        return PlannedPlace(Part.WHEELS, root, files, shape)

    def _family_wheels(self, wheels: Iterable[RunWheel], family: str) -> PlannedPlace:
        """The place of one family, which also gets the wheels that serve every family."""
        place = self.places.family_wheels(family)
        files = tuple(
            self._wheel(wheel, place, place) for wheel in wheels if wheel.group in {"", family}
        )
        return PlannedPlace(Part.WHEELS, place, files, BESIDE)

    def _wheel(
        self, wheel: RunWheel, place: DistributionPlace, root: DistributionPlace
    ) -> PlannedFile:
        name = wheel.file.name
        filename = name.filename
        if self.is_retag:
            filename = filename.replace(f"-{self.version}", f"-{self.new_version}", 1)
        target = place.location / filename
        systems = sorted(_SYSTEMS[system] for system in name.systems)
        entry = self._entry(
            "wheel" if name.is_wheel else "sdist",
            filename,
            name.project,
            _target_of_project(name.project, wheel.group),
            systems[0] if len(systems) == 1 else ANY_PLATFORM,
            target.relative_to(root.location),
        )
        return PlannedFile(
            wheel.location, target, wheel.size, wheel.sha256, retag=self.is_retag, entry=entry
        )

    # ------------------------------------------------------------------------ packages

    def repositories(self) -> tuple[PlannedRepository, ...]:
        if self.is_retag:
            self.left_out += [
                LeftOut(
                    f"{kind.value} packages",
                    "those of a release candidate are never final: build them anew with "
                    f"--package-version {self.new_version}",
                )
                for kind in self.outputs.packages
            ]
            return ()
        return tuple(self._repositories())

    def _repositories(self) -> Iterator[PlannedRepository]:
        for kind, packages in self.outputs.packages.items():
            place = self.places.packages(kind)
            above = self.places.packages_above(kind)
            source = repository_of(self.outputs.root, kind)
            # As in the run: what lies below packages/rpm/ there does so here.
            inner = source.relative_to(self.outputs.root.packages(kind))
            target = place.location / inner if inner else place.location
            yield PlannedRepository(
                kind,
                source,
                target,
                above,
                packages,
                tuple(self._package(kind, package, target, above) for package in packages),
                place.is_shared,
            )

    def _package(
        self,
        kind: PackageFormat,
        package: ListedPackage,
        target: StorageLocation,
        above: DistributionPlace,
    ) -> CatalogueEntry:
        location = target / package.path
        gpu = _PACKAGE_TARGET.search(package.name)
        entry = self._entry(
            kind.value,
            location.name,
            package.name,
            gpu[1] if gpu else None,
            "linux",
            location.relative_to(above.location),
        )
        return replace(entry, size=package.size, sha256=package.sha256)

    # -------------------------------------------------------------------------- common

    def _takes(self, filename: str, version: str, family: str | None) -> bool:
        if version != self.version:
            self.left_out.append(LeftOut(filename, f"is not of version {self.version}"))
            return False
        if not self.targets.keeps(family):
            self.left_out.append(LeftOut(filename, "is for targets that are left out"))
            return False
        return True

    def _entry(  # noqa: PLR0917 - the fields of an entry, in their order
        self, kind: str, name: str, project: str, target: str | None, platform: str, path: str
    ) -> CatalogueEntry:
        return CatalogueEntry(
            kind=kind,
            name=name,
            project=project,
            target=target,
            platform=platform,
            version=self.new_version,
            date=format_date(self.places.date),
            run_id=self.outputs.root.run_id,
            path=path,
            url=relative_url(path),
            size=0,
            sha256="",
        )


def _is_ours(wheel: RunWheel) -> bool:
    project = wheel.file.name.project
    return project == "rocm" or project.startswith("rocm-")


def _target_of_project(project: str, group: str) -> str | None:
    for start in (DEVICE, _LIBRARIES):
        if project.startswith(start):
            return project.removeprefix(start)
    return group or None


def _required_project(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return canonicalize_name(match[0]) if match else ""


def _words(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
