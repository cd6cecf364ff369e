"""Read an artifact archive member by member; whatever it holds that it must not is an error.

The archive is input: of a fork's run it may be hostile. What this module yields has a path
that stays below its root, a stage that the manifest lists, and links that lead nowhere else.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from therock_outputs.artifacts.decompress import CountedSource, Decompressor
from therock_outputs.artifacts.links import LeavesRootError, follow, leaves_root
from therock_outputs.artifacts.names import Compression, parse_archive_filename
from therock_outputs.artifacts.tarstream import RawMember, TarStream, TypeFlag
from therock_outputs.errors import IntegrityError, NotFoundError, OutputsError

__all__ = ["MANIFEST_NAME", "ArchiveReader", "Kind", "Member", "open_archive", "parse_stages"]

MANIFEST_NAME = "artifact_manifest.txt"
_LARGEST_MANIFEST = 1 << 20
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|^[A-Za-z]:")
_MOST_BYTES_IN_PATH = 4000  # PATH_MAX less room for where it is extracted


class Kind(enum.Enum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hard link"


@dataclass(frozen=True, slots=True)
class Member:
    """One validated member of an artifact archive."""

    stage: str
    """The manifest's stage directory that it lies under."""
    path: str
    """Below the stage, which is also its place in an install prefix; empty for the stage."""
    kind: Kind
    mode: int
    """Permission bits."""
    size: int = 0
    """Bytes of data; 0 for links and directories."""
    link: str = ""
    """A symlink's target as written; a hard link's target as ``{stage}/{path}``."""

    @property
    def name(self) -> str:
        """The name in the archive."""
        return "/".join(part for part in (self.stage, self.path) if part)


class ArchiveReader(AbstractContextManager["ArchiveReader"]):
    """An open archive: its stages, then its members, each with its data, in one pass.

    Raises IntegrityError, naming the archive and the member, for all that formats.md forbids.
    The members are validated as they come, so use nothing before the iteration has ended.
    """

    def __init__(self, stream: BinaryIO, compression: Compression, label: str) -> None:
        self._begin(stream, Decompressor(stream, compression, label), label)
        self.manifest = self._read_manifest()
        self.stages = parse_stages(self.manifest, label)
        self._by_length = sorted(self.stages, key=len, reverse=True)
        self._current_stage = ""

    def _begin(self, stream: BinaryIO, source: CountedSource, label: str) -> None:
        """Set up what does not depend on how members lie in stages."""
        self._stream = stream
        self._source = source
        self._tar = TarStream(source, label)
        self._members = iter(self._tar)
        self._label = label
        self._directories: set[str] = set()
        self._files: set[str] = set()
        self._links: set[str] = set()
        self._links_in_stages: dict[str, dict[str, str]] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._stream.close()

    def __iter__(self) -> Iterator[Member]:
        """Yield the members after the manifest."""
        for raw in self._members:
            yield self._validated(raw)
        self._check_links()
        self._tar.drain()

    def readinto(self, buffer: memoryview) -> int:
        """Read data of the member that was yielded last; 0 when all of it was read."""
        return self._tar.readinto(buffer)

    @property
    def consumed(self) -> int:
        """Compressed bytes read so far."""
        return self._source.consumed

    def _read_manifest(self) -> bytes:
        first = next(self._members, None)
        if first is None:
            raise self._tar.broken("it is empty; an artifact archive begins with its manifest")
        if first.name.removeprefix("./") != MANIFEST_NAME or first.kind is not TypeFlag.FILE:
            raise self._tar.broken(
                f"its first member is {first.name!r}, not {MANIFEST_NAME}; is it an artifact?"
            )
        if first.size > _LARGEST_MANIFEST:
            raise self._tar.broken(f"its {MANIFEST_NAME} has {first.size} bytes")
        data = bytearray(first.size)
        self._tar.readinto(memoryview(data))
        return bytes(data)

    def _validated(self, raw: RawMember) -> Member:
        name = raw.name.removeprefix("./").rstrip("/")
        if problem := _path_problem(name):
            raise self._tar.broken(f"member {raw.name!r} {problem}")
        stage, path = self._split(name)
        kind = _KINDS[raw.kind]
        if _UNSAFE.match(path):
            raise self._tar.broken(f"member {raw.name!r} has a drive letter below its stage")
        if not path and kind is not Kind.DIRECTORY:
            raise self._tar.broken(f"stage {stage!r} is a {kind.value}, not a directory")
        link = raw.link
        if kind is Kind.SYMLINK:
            self._check_symlink(name, path, link)
            self._links_in_stages.setdefault(stage, {})[path] = link
        elif kind is Kind.HARDLINK:
            link = link.removeprefix("./")
            # Before this name counts as a file itself: it may name itself.
            if link not in self._files:
                raise self._tar.broken(
                    f"hard link {name!r} names {link!r}, which is not an earlier file of it"
                )
        self._check_place(name, kind)
        return Member(stage, path, kind, raw.mode, raw.size, link)

    def _split(self, name: str) -> tuple[str, str]:
        """The stage that a member lies in, and its path below it."""
        stage = self._stage_of(name)
        return stage, name[len(stage) + 1 :]

    def _stage_of(self, name: str) -> str:
        # Members of one stage follow one another nearly always.
        if name.startswith(self._current_stage + "/"):
            return self._current_stage
        for stage in self._by_length:
            if name == stage or name.startswith(stage + "/"):
                self._current_stage = stage
                return stage
        raise self._tar.broken(f"member {name!r} lies in none of the stages that it lists")

    def _check_place(self, name: str, kind: Kind) -> None:
        """Each path has one owner, and everything above it is a directory."""
        parent = name.rpartition("/")[0]
        fresh = []
        while parent and parent not in self._directories:
            if parent in self._files or parent in self._links:
                raise self._tar.broken(f"member {name!r} lies below {parent!r}, which is no folder")
            fresh.append(parent)
            parent = parent.rpartition("/")[0]
        self._directories.update(fresh)
        if kind is Kind.DIRECTORY:
            if name in self._files or name in self._links:
                raise self._tar.broken(f"{name!r} is there twice, once as a directory")
            self._directories.add(name)
            return
        if name in self._files or name in self._links or name in self._directories:
            raise self._tar.broken(f"{name!r} is there twice; one archive holds a path once")
        if kind is Kind.SYMLINK:
            self._links.add(name)
        else:
            self._files.add(name)

    def _check_symlink(self, name: str, path: str, target: str) -> None:
        if not target or _UNSAFE.search(target) or len(target.encode()) > _MOST_BYTES_IN_PATH:
            raise self._tar.broken(f"link {name!r} has an unusable target, {target!r}")
        if leaves_root(path, target):
            raise self._tar.broken(f"link {name!r} leads out of its root, to {target!r}")

    def _check_links(self) -> None:
        """Follow each link through the others: together they can lead where none does alone."""
        for stage, links in self._links_in_stages.items():
            for path in links:
                try:
                    follow(path, links)
                except LeavesRootError:
                    name = "/".join(part for part in (stage, path) if part)
                    raise self._tar.broken(
                        f"link {name!r} leads out of its root through other links"
                    ) from None


_KINDS = {
    TypeFlag.FILE: Kind.FILE,
    TypeFlag.DIRECTORY: Kind.DIRECTORY,
    TypeFlag.SYMLINK: Kind.SYMLINK,
    TypeFlag.HARDLINK: Kind.HARDLINK,
}


def open_archive(path: Path) -> ArchiveReader:
    """Open an archive by its file name (``….tar.zst`` or ``….tar.xz``) and read its manifest."""
    archive = parse_archive_filename(path.name)
    if archive is None:
        raise IntegrityError(f"{path}: not the name of an artifact archive")
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such archive; fetch the run first") from None
    except OSError as error:
        raise OutputsError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return ArchiveReader(stream, archive.compression, path.name)
    except BaseException:
        stream.close()
        raise


def parse_stages(manifest: bytes, label: str) -> tuple[str, ...]:
    """The stage directories that a manifest lists, in its order, each once.

    Windows line ends and blank lines are fine. IntegrityError for a name that leaves its root
    or that lies inside another stage, which would give a member two places.
    """
    try:
        text = manifest.decode()
    except UnicodeDecodeError:
        raise IntegrityError(f"{label}: its {MANIFEST_NAME} is not UTF-8") from None
    stages: dict[str, None] = {}
    for line in text.split("\n"):
        stage = line.strip(" \t\r").rstrip("/")
        if not stage:
            continue
        if problem := _path_problem(stage):
            raise IntegrityError(f"{label}: stage {stage!r} in its manifest {problem}")
        stages[stage] = None
    for stage in stages:
        parent = stage.rpartition("/")[0]
        while parent:
            if parent in stages:
                raise IntegrityError(f"{label}: stage {stage!r} lies inside stage {parent!r}")
            parent = parent.rpartition("/")[0]
    if MANIFEST_NAME in stages:
        raise IntegrityError(f"{label}: a stage has the manifest's own name")
    return tuple(stages)


def _path_problem(path: str) -> str:
    """What is wrong with a relative path inside an archive; empty when nothing is."""
    if path.startswith("/"):
        return "has an absolute path"
    if _UNSAFE.search(path):
        return "has a control character, a backslash or a drive letter in its name"
    if len(path.encode()) > _MOST_BYTES_IN_PATH:
        return f"has a path of more than {_MOST_BYTES_IN_PATH} bytes"
    for part in path.split("/"):
        if part == "..":
            return "climbs out of its root with '..'"
        if part in ("", "."):
            return "has an empty or '.' part in its path"
        if len(part.encode()) > 255:
            return "has a part of more than 255 bytes, which no file system takes"
    return ""
