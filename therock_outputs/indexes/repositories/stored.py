"""A repository as it lies in storage: its pointer, what that lists, and the package files."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from therock_outputs.errors import ConflictError, IntegrityError, NotFoundError
from therock_outputs.indexes.repositories.entry import (
    Format,
    IndexFile,
    ListedPackage,
    Pointer,
    RepositorySettings,
)
from therock_outputs.indexes.stored_file import StoredFile
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import ObjectInfo, Storage
from therock_outputs.storage.parallel import Stop

__all__ = ["UNLISTED", "StoredRepository", "by_path", "in_order", "parse_unlisted"]

_log = logging.getLogger(__name__)

UNLISTED = "unlisted.txt"
"""Paths of packages that were taken out of the metadata and that nobody lists again."""

_LARGEST_INDEX = 1 << 30


@dataclass(slots=True)
class StoredRepository:
    """Reads a repository; what was read once of a version of it is kept."""

    storage: Storage
    place: StorageLocation
    form: Format
    settings: RepositorySettings | None = None
    """The words that it must have; None: any."""
    unlisting: frozenset[str] = frozenset()
    """Paths that this attempt unlists, and those that it lists again: a dry run notes neither."""
    relisting: frozenset[str] = frozenset()
    parsed: dict[str, list[ListedPackage]] = field(default_factory=dict)
    """Entries by the digest of the pointer that lists them."""
    made: dict[str, bytes] = field(default_factory=dict)
    """Metadata files that were last made here, by digest: they need not be fetched."""

    def entries(self, data: bytes | None) -> dict[str, ListedPackage]:
        """What a pointer lists, by path; nothing where there is none."""
        if data is None:
            return {}
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.parsed:
            pointer = self.parse(data)
            self.parsed[digest] = self.form.read_entries(pointer, self.fetch, self.label)
        return by_path(self.place, self.parsed[digest])

    def checked(self) -> tuple[ListedPackage, ...]:
        """What is listed, each package compared with the file that is there."""
        data = self.read_pointer()
        if data is None:
            raise NotFoundError(f"{self.label} is not there; publish packages there first")
        listed = self.entries(data)
        self.check_files(listed, self.found())
        return in_order(listed)

    def unlisted(self) -> frozenset[str]:
        """Paths of packages that are to stay out of the metadata."""
        try:
            listed = parse_unlisted(self.storage.read(self.place / UNLISTED))
        except NotFoundError:
            listed = frozenset()
        return (listed | self.unlisting) - self.relisting

    def found(self) -> dict[str, ObjectInfo]:
        """The package files by their paths."""
        pool = self.place / self.form.POOL if self.form.POOL else self.place.as_prefix()
        found = {info.location.relative_to(self.place): info for info in self.storage.list(pool)}
        return {path: info for path, info in found.items() if self.form.is_package(path)}

    def check_files(
        self, entries: Mapping[str, ListedPackage], found: Mapping[str, ObjectInfo]
    ) -> None:
        """NotFoundError and IntegrityError unless each package is there with its size."""
        for path, entry in entries.items():
            info = found.get(path)
            if info is None:
                raise NotFoundError(
                    f"{self.label} lists {path}, which is gone; put it back, or unlist "
                    f"{entry.name} {entry.version} first"
                )
            if info.size != entry.size:
                raise IntegrityError(
                    f"{info.location.s3_uri} has {info.size} bytes and {entry.size} by the "
                    "metadata; put the published file back"
                )

    def read_stray(self, info: ObjectInfo, stop: Stop) -> ListedPackage:
        """The entry of a package that lies there without one."""
        stop.check()
        path = info.location.relative_to(self.place)
        _log.info("%s lies there without an entry: reading it", info.location.s3_uri)
        with io.BufferedReader(StoredFile(self.storage, info.location, info.size)) as stream:
            digest = self.storage.sha256(info.location)
            return self.form.read_package(stream, path, info.size, digest)

    @property
    def label(self) -> str:
        """The pointer, as errors name it."""
        return (self.place / self.form.POINTER).s3_uri

    def parse(self, data: bytes) -> Pointer:
        """What a pointer says."""
        return self.form.parse_pointer(data, self.label, self.settings)

    def read_pointer(self) -> bytes | None:
        """The pointer as it stands; None: there is no metadata."""
        try:
            return self.storage.read(self.place / self.form.POINTER)
        except NotFoundError:
            return None

    def fetch(self, file: IndexFile) -> bytes:
        """A metadata file that the pointer names; IntegrityError for other bytes."""
        if file.sha256 in self.made:
            return self.made[file.sha256]
        location = self.place / file.path
        try:
            data = self.storage.read(location, _LARGEST_INDEX)
        except NotFoundError:
            if file.fallback is None:
                raise
            location = self.place / file.fallback
            data = self.storage.read(location, _LARGEST_INDEX)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise IntegrityError(
                f"{location.s3_uri} is not what {self.label} says of it; put the published "
                "metadata back"
            )
        return data


def by_path(place: StorageLocation, entries: Iterable[ListedPackage]) -> dict[str, ListedPackage]:
    """Entries by path; ConflictError when two files are the same version of a package."""
    paths: dict[str, ListedPackage] = {}
    identities: dict[tuple[str, str, str], ListedPackage] = {}
    for entry in entries:
        same_path = paths.setdefault(entry.path, entry)
        same_identity = identities.setdefault(entry.identity, entry)
        for other in (same_path, same_identity):
            if (other.path, other.sha256) != (entry.path, entry.sha256):
                raise ConflictError(
                    f"{(place / entry.path).s3_uri} and {other.path} are both {entry.name} "
                    f"{entry.version} for {entry.architecture}; give one another version"
                )
    return paths


def in_order(entries: Mapping[str, ListedPackage]) -> tuple[ListedPackage, ...]:
    """The entries by their paths."""
    return tuple(entries[path] for path in sorted(entries))


def parse_unlisted(data: bytes | None) -> frozenset[str]:
    """The paths in an UNLISTED file; none in one that is not there."""
    return frozenset((data or b"").decode("utf-8", "replace").splitlines())
