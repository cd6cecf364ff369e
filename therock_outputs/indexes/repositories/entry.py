"""The nouns of a repository: a package file, its entry in the metadata, and what was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from therock_outputs.layout import PackageFormat, StorageLocation
from therock_outputs.storage import Transfer

__all__ = [
    "Fetch",
    "Format",
    "IndexFile",
    "ListedPackage",
    "Pointer",
    "PublishedRepository",
    "RepositoryPackage",
    "RepositorySettings",
]


@dataclass(frozen=True, slots=True)
class RepositoryPackage:
    """A package file on this machine that is to be in a repository."""

    path: Path
    """Its name there is the file's own."""
    sha256: str | None = None
    """Known digest, which saves a reading; None: it is taken from the file."""


@dataclass(frozen=True, slots=True)
class ListedPackage:
    """What a repository's metadata says of one package."""

    path: str
    """From the repository's place: ``pool/main/….deb``, ``….rpm``."""
    name: str
    version: str
    """As the format writes it: ``[epoch:]version-release``."""
    architecture: str
    size: int
    """Bytes."""
    sha256: str
    record: tuple[bytes, ...] = field(repr=False)
    """Its part of each metadata file: one of ``Packages``, or those of primary, filelists and
    other."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What may be in a repository only once."""
        return (self.name, self.version, self.architecture)


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """What a repository says of itself. apt refuses a repository whose words change."""

    label: str
    origin: str = "AMD ROCm"

    @classmethod
    def of_release_type(cls, release_type: str) -> RepositorySettings:
        """The words for packages of a release type (``nightly``)."""
        return cls(f"ROCm {release_type} Packages")


@dataclass(frozen=True, slots=True)
class PublishedRepository:
    """What stands in a repository now."""

    kind: PackageFormat
    place: StorageLocation
    """What a source line or ``baseurl`` names."""
    packages: tuple[ListedPackage, ...]
    """All that is listed, by path."""
    added: tuple[str, ...]
    """Paths of the given packages that were not listed before."""
    left_out: tuple[str, ...]
    """Paths of given packages that were unlisted once and stay so."""
    transfers: tuple[Transfer, ...]
    """What happened to each package file that was given."""
    public_key: StorageLocation | None
    """Where the key that verifies the signatures stands; None: not signed."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A metadata file as the pointer names it."""

    name: str
    """apt: ``main/binary-amd64/Packages.xz``; rpm: ``primary``."""
    path: str
    """From the repository's place; it names the content."""
    size: int
    sha256: str
    fallback: str | None = None
    """Where the same bytes lie in a repository that was made without content-named files."""
    open_size: int = 0
    """Bytes when unpacked, where the pointer names them (rpm)."""
    open_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Pointer:
    """What ``Release`` or ``repomd.xml`` says."""

    time: int
    """Seconds since the epoch: never goes back."""
    files: Mapping[str, IndexFile]
    """By name."""


Fetch: TypeAlias = Callable[[IndexFile], bytes]
"""Reads a metadata file and compares it with its digest."""


class Format(Protocol):
    """What the modules :mod:`apt` and :mod:`rpm` both have."""

    KIND: PackageFormat
    """The format of its packages."""

    POINTER: str
    """The file that points at the rest of the metadata."""

    SIGNED: str
    """The file whose presence tells that the repository is signed."""

    POOL: str
    """Below what all packages lie; empty: the place itself."""

    def path_of(self, filename: str) -> str:
        """Where a new package file goes."""

    def is_package(self, path: str) -> bool:
        """Whether this path from the place is a package's."""

    def read_package(self, stream: BinaryIO, path: str, size: int, sha256: str) -> ListedPackage:
        """The entry of a package; IntegrityError when it is none. Reads only its head."""

    def parse_pointer(
        self, data: bytes, label: str, settings: RepositorySettings | None
    ) -> Pointer:
        """What the pointer says.

        IntegrityError for one that cannot be read, ConflictError for a repository that would
        lose something, or change its words (settings None: not asked).
        """

    def read_entries(self, pointer: Pointer, fetch: Fetch, label: str) -> list[ListedPackage]:
        """The packages that the metadata lists."""

    def render_files(self, packages: Sequence[ListedPackage]) -> dict[IndexFile, bytes]:
        """The metadata files for these packages."""

    def render_pointer(
        self, files: Sequence[IndexFile], settings: RepositorySettings, time: int
    ) -> bytes:
        """The pointer at these files."""

    def render_followers(
        self, data: bytes, pointer: Pointer, fetch: Fetch, sign: Sign | None
    ) -> list[dict[str, bytes]]:
        """What is a function of the pointer and is written after it, in this order."""


class Sign(Protocol):
    """Signs some bytes."""

    def __call__(self, data: bytes, *, clear: bool) -> bytes:
        """A detached signature, or the text with one in it; both armored."""
