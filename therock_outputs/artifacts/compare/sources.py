"""Where the two sides of a comparison are read from; nothing is opened before it is asked for."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from therock_outputs.artifacts.names import (
    ArchiveName,
    ArtifactName,
    parse_sha256sum,
)
from therock_outputs.artifacts.run_contents import RunArchive, RunContents, read_manifest_data
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.storage import Storage

__all__ = [
    "Archive",
    "ArchiveFile",
    "ArchivesSource",
    "ManifestData",
    "PrefixSource",
    "SideSource",
    "StoredArchive",
    "TarballSource",
    "TreesSource",
    "source_of_run",
]

_LARGEST_DIGEST_FILE = 4096

_log = logging.getLogger(__name__)

ManifestData: TypeAlias = tuple[bytes, str]
"""A manifest as it stands, and what errors call it."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """An archive on this disk."""

    name: ArchiveName
    size: int
    path: Path

    @property
    def label(self) -> str:
        """What errors call it."""
        return str(self.path)

    @property
    def is_local(self) -> bool:
        """Whether reading it moves no bytes over a network."""
        return True

    def open(self) -> AbstractContextManager[BinaryIO]:
        """A stream over its bytes."""
        return self.path.open("rb")

    def digest(self) -> str | None:
        """The digest that stands beside it."""
        path = self.path.with_name(self.name.sha256_filename)
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        return _parsed(text, self.name)


@dataclass(frozen=True, slots=True)
class StoredArchive:
    """An archive of a run on a server."""

    storage: Storage
    archive: RunArchive

    @property
    def name(self) -> ArchiveName:
        """Its name."""
        return self.archive.name

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.archive.size

    @property
    def label(self) -> str:
        """What errors call it."""
        return self.archive.location.s3_uri

    @property
    def is_local(self) -> bool:
        """Whether reading it moves no bytes over a network."""
        return False

    def open(self) -> AbstractContextManager[BinaryIO]:
        """A stream over its bytes."""
        return self.storage.open(self.archive.location)

    def digest(self) -> str | None:
        """The digest that stands beside it."""
        if self.archive.digest is None:
            return None
        try:
            data = self.storage.read(self.archive.digest, _LARGEST_DIGEST_FILE)
        except NotFoundError:
            return None
        return _parsed(data.decode("utf-8", "replace"), self.name)


Archive: TypeAlias = ArchiveFile | StoredArchive


@dataclass(frozen=True, slots=True)
class ArchivesSource:
    """A run, or a directory of its archives."""

    label: str
    place: str
    archives: tuple[Archive, ...]
    manifest: ManifestData | None
    """None: its manifest, if it has one, is in the base archive."""

    @property
    def is_local(self) -> bool:
        """Whether all archives are on this disk."""
        return all(archive.is_local for archive in self.archives)


@dataclass(frozen=True, slots=True)
class TreesSource:
    """A directory of unpacked artifacts, as a build or ``fetch --extract`` leaves it."""

    label: str
    place: str
    directories: tuple[tuple[ArtifactName, Path], ...]


@dataclass(frozen=True, slots=True)
class PrefixSource:
    """An install prefix."""

    label: str
    place: str
    directory: Path


@dataclass(frozen=True, slots=True)
class TarballSource:
    """A tarball of an install prefix."""

    label: str
    place: str
    path: Path


SideSource: TypeAlias = ArchivesSource | TreesSource | PrefixSource | TarballSource


def source_of_run(
    label: str,
    place: str,
    storage: Storage,
    contents: RunContents,
    archives: tuple[RunArchive, ...],
) -> ArchivesSource:
    """A run; its archives count as files where the storage holds them on this disk."""
    found: list[Archive] = []
    for archive in archives:
        path = storage.local_file(archive.location)
        if path is None:
            found.append(StoredArchive(storage, archive))
        else:
            found.append(ArchiveFile(archive.name, archive.size, path))
    return ArchivesSource(label, place, tuple(found), read_manifest_data(storage, contents))


def _parsed(text: str, name: ArchiveName) -> str | None:
    try:
        return parse_sha256sum(text, name.filename)
    except IntegrityError as error:
        _log.warning("not known whether it changed: %s", error)
        return None
