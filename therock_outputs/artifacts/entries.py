"""What goes into an archive: entries named in memory, or found in an artifact's directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from therock_outputs.artifacts.archives import MANIFEST_NAME, Kind, parse_stages
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError

__all__ = ["ArtifactTree", "Entry", "scan_artifact_directory"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of an archive that is to be written."""

    path: str
    """``{stage}/{path in the stage}``, with forward slashes."""
    kind: Kind
    mode: int
    """Permission bits; a hard link is written with those of its target."""
    data: bytes | Path = b""
    """A file's content, or the file that holds it."""
    link: str = ""
    """A symlink's target as it is to be read, or the ``path`` of a hard link's target."""

    @classmethod
    def file(cls, path: str, data: bytes | Path, *, executable: bool = False) -> Self:
        """A file that all may read."""
        return cls(path, Kind.FILE, 0o755 if executable else 0o644, data)

    @classmethod
    def directory(cls, path: str) -> Self:
        """A directory of its own; those above files need not be named."""
        return cls(path, Kind.DIRECTORY, 0o755)

    @classmethod
    def symlink(cls, path: str, target: str) -> Self:
        """A symbolic link."""
        return cls(path, Kind.SYMLINK, 0o777, link=target)

    @classmethod
    def hardlink(cls, path: str, target: str) -> Self:
        """Another name of the file entry whose path is ``target``."""
        return cls(path, Kind.HARDLINK, 0o644, link=target)


@dataclass(frozen=True, slots=True)
class ArtifactTree:
    """An artifact's directory in a build tree, as it was at one moment.

    Two scans are equal when nothing that could matter has changed between them.
    """

    manifest: bytes
    entries: tuple[Entry, ...]
    """By path."""
    stamps: tuple[tuple[int, int, int], ...]
    """Inode, size in bytes and modification time in ns of each entry."""
    size: int
    """Bytes of all files."""


def scan_artifact_directory(directory: Path) -> ArtifactTree:
    """Everything in the stages that ``{directory}/artifact_manifest.txt`` lists.

    A listed stage may be absent: a build makes no directory for a stage without files. Files
    of one inode become one file and hard links to it. NotFoundError when there is no manifest,
    IntegrityError for what cannot be in an archive: a device, a file outside of the stages.
    """
    manifest = _read_manifest(directory)
    stages = parse_stages(manifest, str(directory))
    entries: list[Entry] = []
    stamps: list[tuple[int, int, int]] = []
    first_names: dict[tuple[int, int], str] = {}
    try:
        for path, status in _walk(directory, stages):
            entries.append(_entry(directory, path, status, first_names))
            stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise OutputsError(
            f"cannot read {error.filename!r} ({error.strerror}); run this again when the build "
            "has ended and the file can be read"
        ) from error
    return ArtifactTree(
        manifest,
        tuple(entries),
        tuple(stamps),
        sum(stamp[1] for entry, stamp in zip(entries, stamps, strict=True) if _is_file(entry)),
    )


def _is_file(entry: Entry) -> bool:
    return entry.kind is Kind.FILE


def _read_manifest(directory: Path) -> bytes:
    path = directory / MANIFEST_NAME
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"{path} cannot be read ({error.strerror}); is {directory.name} an artifact that was "
            "built to its end?"
        ) from error


def _walk(directory: Path, stages: tuple[str, ...]) -> Iterator[tuple[str, os.stat_result]]:
    """Paths below the stages, sorted by their parts, so that a directory precedes its content."""
    wanted = set(stages)
    pending = [("", False)]
    while pending:
        path, inside = pending.pop()
        if path:
            status = (directory / path).lstat()
            is_directory = stat.S_ISDIR(status.st_mode)
            if inside:
                yield path, status
            elif not is_directory:
                raise IntegrityError(
                    f"{directory}: {path!r} lies in none of the stages of {MANIFEST_NAME} "
                    "(a stage has to be a real directory); build the artifact again"
                )
            if not is_directory:
                continue
        is_stage = path in wanted  # an empty directory beside the stages is no harm
        names = os.listdir(directory / path)  # noqa: PTH208 - names are wanted, not paths
        children = [f"{path}/{name}" if path else name for name in names]
        pending += [
            (child, inside or is_stage)
            for child in sorted(children, reverse=True)
            if child != MANIFEST_NAME
        ]


def _entry(
    directory: Path,
    path: str,
    status: os.stat_result,
    first_names: dict[tuple[int, int], str],
) -> Entry:
    # pathlib would tidy the target up; it has to stay as it is written.
    link = os.readlink(directory / path) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115
    try:
        (path + link).encode()
    except UnicodeEncodeError:
        raise IntegrityError(
            f"{directory}: {path!r} has a name or target that is not UTF-8; rename it"
        ) from None
    mode = stat.S_IMODE(status.st_mode) & 0o777
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, Kind.DIRECTORY, mode)
    if stat.S_ISLNK(status.st_mode):
        return Entry.symlink(path, link)
    if not stat.S_ISREG(status.st_mode):
        raise IntegrityError(
            f"{directory}: {path!r} is neither a file nor a directory nor a link; remove it"
        )
    if status.st_nlink > 1:
        first = first_names.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            return Entry(path, Kind.HARDLINK, mode, link=first)
    return Entry(path, Kind.FILE, mode, directory / path)
