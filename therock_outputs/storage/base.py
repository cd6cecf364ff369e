"""The one interface through which bytes move, whatever they are stored on."""

from __future__ import annotations

import abc
import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from therock_outputs.errors import IntegrityError
from therock_outputs.layout import StorageLocation

__all__ = [
    "Download",
    "IfExists",
    "ObjectInfo",
    "Outcome",
    "Progress",
    "Storage",
    "Transfer",
    "Transfers",
    "Upload",
]

Progress = Callable[[str, int], None]
"""Called from any thread with a label (a file name) and a number of bytes just moved."""


class IfExists(enum.Enum):
    """What an upload does when its name is taken already."""

    SAME = "same"
    """The same bytes are skipped, other bytes are a ConflictError: for all that is published."""
    REPLACE = "replace"
    """Other bytes replace the old ones: for listing pages and other pointers."""


class Outcome(enum.Enum):
    """What a transfer did."""

    WRITTEN = "written"
    SAME = "same"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says of one object."""

    location: StorageLocation
    size: int
    """Bytes."""
    etag: str | None = None
    """The server's version tag, unquoted; None where it has none. Not a digest."""
    last_modified: float | None = None
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Download:
    """One object to fetch into one file."""

    source: StorageLocation
    path: Path
    sha256: str | None = None
    """Expected digest, 64 hex digits; None: nothing is expected."""
    size: int | None = None
    """Known size in bytes, which saves a request; None: not known."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file (or a few bytes) to put under one name."""

    source: Path | bytes
    target: StorageLocation
    if_exists: IfExists = IfExists.SAME
    content_type: str | None = None
    """None: by the target's name."""
    sha256: str | None = None
    """Known digest of the source, which saves reading it twice."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one finished transfer did."""

    location: StorageLocation
    outcome: Outcome
    size: int
    sha256: str | None
    """Digest of the bytes as this process read or wrote them; None for a planned one or a
    server-side copy."""


Transfers: TypeAlias = list[Transfer]
"""What a batch did, in the order in which it was given."""


class Storage(abc.ABC):
    """A place that holds objects: a staging directory, S3, or a dry run over either.

    All methods raise StorageError for what the backend refuses, NotFoundError for what is
    not there, ConflictError for other bytes under a published name and IntegrityError for
    bytes that differ from their expected digest. All are safe to call from several threads.
    """

    @abc.abstractmethod
    def list(self, prefix: StorageLocation) -> Iterator[ObjectInfo]:
        """Objects whose key starts with ``prefix.key``, by key. Nothing there: no items."""

    @abc.abstractmethod
    def stat(self, location: StorageLocation) -> ObjectInfo | None:
        """The object, or None when there is none."""

    def exists(self, location: StorageLocation) -> bool:
        """Whether there is an object of exactly this name."""
        return self.stat(location) is not None

    @abc.abstractmethod
    def open(
        self, location: StorageLocation, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[BinaryIO]:
        """A stream over the object's bytes from ``start``, ``length`` of them or all."""

    def read(self, location: StorageLocation, limit: int = 16 << 20) -> bytes:
        """A whole small object; IntegrityError when it is larger than ``limit`` bytes."""
        with self.open(location) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise IntegrityError(
                f"{location.s3_uri} is larger than the {limit} bytes that such a file may have; "
                "check that the name is right"
            )
        return data

    @property
    def holds_directory_pages(self) -> bool:
        """Whether a key may end in ``/``: S3's may, and a browser sees the object there."""
        return False

    @property
    def honours_conditions(self) -> bool:
        """Whether `update` is known to lose no change, whoever else writes."""
        return False

    def sha256(self, location: StorageLocation) -> str:
        """The digest of an object's bytes, 64 hex digits; NotFoundError when there is none.

        All of it is read, unless the uploader noted it.
        """
        digest = hashlib.sha256()
        with self.open(location) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def local_file(self, location: StorageLocation) -> Path | None:  # noqa: ARG002
        """The file that holds the object on this machine; None where objects are no files."""
        return None

    @abc.abstractmethod
    def download(
        self,
        downloads: Sequence[Download],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Fetch objects in parallel, each to a temporary name, verified, then renamed.

        A file that is there already with the right digest is left alone. Results are in the
        order given; the first failure stops the rest.
        """

    @abc.abstractmethod
    def upload(
        self,
        uploads: Sequence[Upload],
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Put files in parallel, in no particular order; each is visible only when whole.

        What must be visible after the rest (an index) goes into a later call. Results are in
        the order given; the first failure stops the rest.
        """

    @abc.abstractmethod
    def copy(
        self,
        copies: Iterable[tuple[StorageLocation, StorageLocation]],
        *,
        if_exists: IfExists = IfExists.SAME,
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> Transfers:
        """Copy objects within this backend (server-side on S3)."""

    @abc.abstractmethod
    def update(
        self,
        location: StorageLocation,
        change: Callable[[bytes | None], bytes],
        *,
        content_type: str | None = None,
    ) -> bytes:
        """Change a shared file by compare-and-swap; what stands afterwards.

        ``change`` gets the old bytes (None: there was no file) and is called again with newer
        ones when another writer was faster.
        """

    @abc.abstractmethod
    def delete(self, location: StorageLocation) -> None:
        """Remove an object; nothing happens when there is none."""
