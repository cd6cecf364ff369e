"""What a run has to promote: its tarballs, Python packages and native packages, by listing it."""

from __future__ import annotations

import enum
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from therock_outputs.artifacts.run_contents import RunManifest
from therock_outputs.errors import NotFoundError
from therock_outputs.indexes.build import read_distribution
from therock_outputs.indexes.distributions import IndexedFile, is_distribution
from therock_outputs.indexes.repositories import ListedPackage, read_repository
from therock_outputs.layout import PackageFormat, StorageLocation, WorkflowOutputRoot
from therock_outputs.publish.tarball_names import TarballName, parse_tarball_name
from therock_outputs.storage import ObjectInfo, Storage
from therock_outputs.storage.parallel import Stop, run_parallel
from therock_outputs.storage.sums import SHA256SUMS, parse_sums

__all__ = ["Part", "RunOutputs", "RunTarball", "RunWheel", "read_outputs", "repository_of"]

_log = logging.getLogger(__name__)

_LARGEST_SUMS = 16 << 20
_LARGEST_MANIFEST = 16 << 20
_JOBS = 4


class Part(enum.Enum):
    """What can be promoted by itself; the value is the word that ``--only`` takes."""

    TARBALLS = "tarballs"
    WHEELS = "wheels"
    PACKAGES = "packages"


@dataclass(frozen=True, slots=True)
class RunTarball:
    """A tarball of the run."""

    location: StorageLocation
    size: int
    sha256: str | None
    """As SHA256SUMS has it; None when that does not name it."""
    name: TarballName


@dataclass(frozen=True, slots=True)
class RunWheel:
    """A wheel or an sdist of the run."""

    location: StorageLocation
    size: int
    sha256: str | None
    group: str
    """The directory below ``python/``: a family or artifact group; empty when it is no such."""
    file: IndexedFile


@dataclass(frozen=True, slots=True)
class RunOutputs:
    """What a run has, of the parts that were asked for."""

    root: WorkflowOutputRoot
    tarballs: tuple[RunTarball, ...]
    wheels: tuple[RunWheel, ...]
    packages: Mapping[PackageFormat, tuple[ListedPackage, ...]]
    """What each repository lists."""
    manifest_version: str | None
    """The package version that the run's manifest tells."""


def repository_of(root: WorkflowOutputRoot, kind: PackageFormat) -> StorageLocation:
    """The run's own repository."""
    return root.deb_repository() if kind is PackageFormat.DEB else root.rpm_repository()


def read_outputs(
    storage: Storage,
    root: WorkflowOutputRoot,
    parts: Collection[Part],
    *,
    jobs: int | None = None,
) -> RunOutputs:
    """List the run, and read the metadata of its packages.

    NotFoundError for a file that SHA256SUMS or a repository names but that is not there;
    IntegrityError for one that is not what its name says.
    """
    reader = _Reader(storage, root, jobs or _JOBS)
    return RunOutputs(
        root,
        tuple(reader.tarballs()) if Part.TARBALLS in parts else (),
        tuple(reader.wheels()) if Part.WHEELS in parts else (),
        reader.packages() if Part.PACKAGES in parts else {},
        reader.manifest_version(),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    storage: Storage
    root: WorkflowOutputRoot
    jobs: int

    def tarballs(self) -> Iterator[RunTarball]:
        there = self._below(self.root.tarballs())
        sums = self._sums(self.root.tarballs(), there)
        for name, info in there.items():
            parsed = parse_tarball_name(name)
            if parsed is not None:
                yield RunTarball(info.location, info.size, sums.get(name), parsed)
            elif name.endswith((".tar.gz", ".tar.zst")):
                _log.info("%s: has not the name of a tarball; left out", info.location.s3_uri)

    def wheels(self) -> list[RunWheel]:
        there = self._below(self.root.python())
        names = [name for name in there if self._is_wheel(name)]
        groups = {name.rpartition("/")[0] for name in names}
        sums = {group: self._sums(self.root.python_files(group or None), there) for group in groups}

        def read(name: str, stop: Stop) -> RunWheel:
            stop.check()
            group, _, filename = name.rpartition("/")
            info, digest = there[name], sums[group].get(filename)
            file, _ = read_distribution(self.storage, info, filename, digest or "")
            return RunWheel(info.location, info.size, digest, group, file)

        return run_parallel(read, names, self.jobs)

    @staticmethod
    def _is_wheel(name: str) -> bool:
        return name.count("/") <= 1 and is_distribution(name) and not name.startswith("simple/")

    def packages(self) -> dict[PackageFormat, tuple[ListedPackage, ...]]:
        found = {}
        for kind in PackageFormat:
            place = repository_of(self.root, kind)
            try:
                found[kind] = read_repository(self.storage, place, kind)
            except NotFoundError:
                if next(iter(self.storage.list(place)), None) is not None:
                    raise  # packages without metadata are half a repository
        return found

    def manifest_version(self) -> str | None:
        location = self.root.manifest()
        try:
            data = self.storage.read(location, _LARGEST_MANIFEST)
        except NotFoundError:
            return None
        return RunManifest.parse(data, location.s3_uri).package_version

    def _below(self, place: StorageLocation) -> dict[str, ObjectInfo]:
        return {info.location.relative_to(place): info for info in self.storage.list(place)}

    def _sums(self, place: StorageLocation, there: Mapping[str, ObjectInfo]) -> Mapping[str, str]:
        """The digests that vouch for the files of a place."""
        location = place / SHA256SUMS
        here = {info.location for info in there.values()}
        if location not in here:
            return {}
        sums = parse_sums(self.storage.read(location, _LARGEST_SUMS), location.s3_uri)
        missing = sorted(name for name in sums if place / name not in here)
        if missing:
            raise NotFoundError(
                f"{location.s3_uri} names {missing[0]}, which is not there; upload it again"
            )
        return sums
