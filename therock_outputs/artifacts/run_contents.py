"""What a run has: its archives, from one listing, and its manifest."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from therock_outputs.artifacts.archives import ArchiveReader, Kind
from therock_outputs.artifacts.names import (
    ArchiveName,
    ArtifactName,
    Component,
    Compression,
    parse_archive_filename,
)
from therock_outputs.errors import IntegrityError, NotFoundError
from therock_outputs.layout import StorageLocation, WorkflowOutputRoot
from therock_outputs.storage import Storage

__all__ = [
    "BASE_ARTIFACT",
    "LARGEST_MANIFEST",
    "MANIFEST_PATH",
    "RunArchive",
    "RunContents",
    "RunManifest",
    "find_manifest",
    "list_run",
    "read_manifest_data",
    "read_run_manifest",
]

LARGEST_MANIFEST = 16 << 20
"""Bytes of a run's manifest; a real one has some ten thousand."""
MANIFEST_PATH = "share/therock/therock_manifest.json"
"""Where an install prefix has the run's manifest."""
BASE_ARTIFACT = ArtifactName("base", Component.LIB, "generic")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunArchive:
    """One archive of a run, as the listing shows it."""

    name: ArchiveName
    location: StorageLocation
    size: int
    """Compressed bytes."""
    digest: StorageLocation | None
    """The ``.sha256sum`` file beside it; None when there is none."""

    @property
    def artifact(self) -> ArtifactName:
        """The artifact in the archive."""
        return self.name.artifact

    @property
    def compression(self) -> Compression:
        """How it is compressed."""
        return self.name.compression

    @property
    def filename(self) -> str:
        """The archive's file name."""
        return self.name.filename


@dataclass(frozen=True, slots=True)
class RunContents:
    """The objects under a run's root."""

    root: WorkflowOutputRoot
    archives: tuple[RunArchive, ...]
    """Generic ones first; of two compressions of one artifact both."""
    others: tuple[StorageLocation, ...]
    """Everything below the root that is no archive and no archive's digest, by key."""


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What a run says of itself. Any part of it may be missing: then it is None."""

    rock_commit: str | None = None
    run_id: str | None = None
    package_version: str | None = None
    rocm_version: str | None = None
    kpack_split: bool = False

    @classmethod
    def parse(cls, data: bytes, label: str) -> Self:
        """Read ``therock_manifest.json``; IntegrityError when it is not that."""
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise IntegrityError(f"{label}: the run's manifest is not JSON ({error})") from None
        if not isinstance(parsed, dict):
            raise IntegrityError(f"{label}: the run's manifest is not a JSON object")
        flags = parsed.get("flags")
        return cls(
            rock_commit=_text(parsed, "the_rock_commit", label),
            run_id=_text(parsed, "github_run_id", label),
            package_version=_text(parsed, "rocm_package_version", label),
            rocm_version=_text(parsed, "rocm_version", label),
            kpack_split=isinstance(flags, dict) and _is_true(flags.get("KPACK_SPLIT_ARTIFACTS")),
        )


def list_run(storage: Storage, root: WorkflowOutputRoot) -> RunContents:
    """List a run once. NotFoundError when nothing is there."""
    prefix = root.root.as_prefix()
    found = {info.location.key: info for info in storage.list(prefix)}
    if not found:
        raise NotFoundError(
            f"{prefix.s3_uri}: there is no such run; check --run-id, --platform and "
            "--run-github-repo, or give --bucket"
        )
    archives, digests = {}, set()
    for key, info in found.items():
        filename = key[len(prefix.key) :]
        if "/" in filename:
            continue
        if name := parse_archive_filename(filename):
            digest = found.get(prefix.key + name.sha256_filename)
            archives[key] = RunArchive(
                name, info.location, info.size, digest.location if digest else None
            )
            digests.add(prefix.key + name.sha256_filename)
    return RunContents(
        root,
        tuple(sorted(archives.values(), key=lambda archive: archive.name.sort_key)),
        tuple(
            info.location
            for key, info in found.items()
            if key not in archives and key not in digests
        ),
    )


def read_run_manifest(storage: Storage, contents: RunContents) -> RunManifest:
    """The run's manifest: the copy under ``manifests/``, else the one in ``base_lib_generic``.

    A run without any has an empty one: its GPU code is not split.
    """
    found = read_manifest_data(storage, contents)
    if found is not None:
        return RunManifest.parse(*found)
    _log.info("%s: no manifest, so its GPU code counts as not split", contents.root.root.s3_uri)
    return RunManifest()


def read_manifest_data(storage: Storage, contents: RunContents) -> tuple[bytes, str] | None:
    """The run's manifest as it stands, and what errors call it; None when the run has none."""
    copy = contents.root.manifest()
    if copy in contents.others:
        return storage.read(copy, LARGEST_MANIFEST), copy.s3_uri
    for archive in contents.archives:
        if archive.artifact == BASE_ARTIFACT:
            with storage.open(archive.location) as stream:
                reader = ArchiveReader(stream, archive.compression, archive.filename)
                data = find_manifest(reader)
            if data is not None:
                return data, archive.filename
    return None


def find_manifest(reader: ArchiveReader) -> bytes | None:
    """The run's manifest in its base archive, or None; the archive is read up to it."""
    for member in reader:
        if member.kind is Kind.FILE and member.path == MANIFEST_PATH:
            if member.size > LARGEST_MANIFEST:
                raise IntegrityError(f"{member.name}: the run's manifest has {member.size} bytes")
            data = bytearray(member.size)
            reader.readinto(memoryview(data))
            return bytes(data)
    return None


def _text(parsed: Mapping[str, Any], key: str, label: str) -> str | None:
    value = parsed.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise IntegrityError(f"{label}: {key!r} in the run's manifest is not text")
    return value


def _is_true(value: object) -> bool:
    """CMake writes its booleans as words."""
    return str(value).upper() in ("ON", "TRUE", "YES", "Y", "1")
