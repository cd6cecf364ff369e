"""Wheels and sdists as an index sees them: a file name, core metadata, a size and a digest."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO

from packaging.metadata import parse_email
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from therock_outputs.errors import IntegrityError

__all__ = [
    "METADATA_SUFFIX",
    "CoreMetadata",
    "DistributionName",
    "IndexedFile",
    "is_distribution",
    "parse_distribution",
    "parse_metadata",
    "read_metadata",
]

METADATA_SUFFIX = ".metadata"
"""What is added to a wheel's name for the file with its metadata (PEP 658)."""

_WHEEL = ".whl"
_SDIST = ".tar.gz"
# Narrower than what `packaging` takes for a name: tags may hold anything there.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")
_LARGEST_METADATA = 16 << 20
_MOST_SDIST_MEMBERS = 10_000
_DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an encrypted member
    ValueError,
)
_SYSTEMS = (("linux", "linux"), ("manylinux", "linux"), ("musllinux", "linux"), ("win", "win32"))


@dataclass(frozen=True, slots=True, order=True)
class DistributionName:
    """What the name of a wheel or an sdist says."""

    filename: str
    project: str
    """Normalised (PEP 503)."""
    version: str
    """In its normal form (PEP 440)."""
    is_wheel: bool
    systems: frozenset[str]
    """The values of ``sys_platform`` that a wheel is for; empty: any."""


@dataclass(frozen=True, slots=True, order=True)
class CoreMetadata:
    """What an index and the closed-set check need of a distribution's metadata."""

    requires_python: str | None = None
    requires: tuple[str, ...] = ()
    """Requirements (PEP 508), as they stand there."""
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class IndexedFile:
    """A file that an index lists."""

    path: str
    """From the place of the index: the file's name, or that of one level up (``../name``)."""
    name: DistributionName
    size: int
    """Bytes."""
    sha256: str
    metadata: CoreMetadata
    metadata_sha256: str | None = None
    """Digest of the metadata file beside a wheel; an sdist has none."""
    yanked: str | None = None
    """Why it is yanked (PEP 592), which may be empty; None when it is not."""


def is_distribution(filename: str) -> bool:
    """Whether a file is a wheel or an sdist by its ending."""
    return filename.endswith((_WHEEL, _SDIST))


def parse_distribution(filename: str) -> DistributionName:
    """The parts of a wheel's or an sdist's name; IntegrityError when it is no such name."""
    if not _PLAIN.fullmatch(filename):
        raise IntegrityError(
            f"{filename!r} cannot stand in an index: a wheel or sdist is called by letters, "
            "digits and . _ + ! - only; rename or remove it"
        )
    try:
        if filename.endswith(_WHEEL):
            name, version, _, tags = parse_wheel_filename(filename)
            systems = frozenset(
                system
                for tag in tags
                for start, system in _SYSTEMS
                if tag.platform.startswith(start)
            )
            return DistributionName(filename, name, str(version), is_wheel=True, systems=systems)
        name, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
        raise IntegrityError(
            f"{filename!r} cannot stand in an index: {error}; rename or remove it"
        ) from error
    return DistributionName(filename, name, str(version), is_wheel=False, systems=frozenset())


def read_metadata(stream: BinaryIO, name: DistributionName) -> bytes:
    """The bytes of a wheel's METADATA or an sdist's PKG-INFO, straight out of its archive.

    ``stream`` of a wheel must seek. IntegrityError for a damaged archive, one without metadata,
    and one whose metadata is too large to be true.
    """
    with _damage(name):
        data = _from_wheel(stream, name) if name.is_wheel else _from_sdist(stream, name)
    if data is None:
        raise IntegrityError(f"{name.filename} holds no metadata of its name; build it again")
    return data


def parse_metadata(data: bytes, name: DistributionName) -> CoreMetadata:
    """Read metadata; IntegrityError when it is of another project or version than its file."""
    raw, _ = parse_email(data)
    said = raw.get("name", ""), raw.get("version", "")
    try:
        same = (canonicalize_name(said[0]), Version(said[1])) == (
            name.project,
            Version(name.version),
        )
    except InvalidVersion:
        same = False
    if not same:
        raise IntegrityError(
            f"{name.filename} holds {said[0]!r} {said[1]!r} by its metadata; build it again"
        )
    return CoreMetadata(
        raw.get("requires_python"),
        tuple(raw.get("requires_dist", ())),
        tuple(raw.get("provides_extra", ())),
    )


def _from_wheel(stream: BinaryIO, name: DistributionName) -> bytes | None:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            directory, _, rest = info.filename.partition("/")
            if rest == "METADATA" and _is_info(directory, name):
                with archive.open(info) as member:
                    return _bounded(member, info.file_size, name)
    return None


def _is_info(directory: str, name: DistributionName) -> bool:
    """Whether a directory is the wheel's own ``{name}-{version}.dist-info``."""
    stem = directory.removesuffix(".dist-info")
    return stem != directory and canonicalize_name(stem.partition("-")[0]) == name.project


def _from_sdist(stream: BinaryIO, name: DistributionName) -> bytes | None:
    with tarfile.open(fileobj=stream, mode="r|gz") as archive:
        for count, member in enumerate(archive):
            if count > _MOST_SDIST_MEMBERS:
                break
            _, _, rest = member.name.removeprefix("./").partition("/")
            if rest == "PKG-INFO" and member.isfile():
                opened = archive.extractfile(member)
                assert opened is not None  # noqa: S101 - regular files have content
                return _bounded(opened, member.size, name)
    return None


def _bounded(stream: IO[bytes], size: int, name: DistributionName) -> bytes:
    data = stream.read(_LARGEST_METADATA + 1) if size <= _LARGEST_METADATA else b""
    if size > _LARGEST_METADATA or len(data) > _LARGEST_METADATA:
        raise IntegrityError(
            f"{name.filename} has more than {_LARGEST_METADATA} bytes of metadata; build it again"
        )
    return data


@contextmanager
def _damage(name: DistributionName) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise IntegrityError(
            f"{name.filename} is no whole {'wheel' if name.is_wheel else 'sdist'} "
            f"({error or type(error).__name__}); build or fetch it again"
        ) from error
