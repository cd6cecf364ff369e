"""What an archive became: its members and the segments that hold them, saved as JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from therock_outputs.artifacts.archives import Kind
from therock_outputs.errors import IntegrityError
from therock_outputs.tarballs.store import write_whole

__all__ = ["ArchiveIndex", "IndexedMember", "Segment", "Span", "read_index", "write_index"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a segment that belongs to one member."""

    member: int
    """Position in the index's members."""
    length: int
    """Bytes of tar data: headers, content and padding."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One compressed piece of a tar file."""

    key: str
    """Digest of what is compressed; the name of the segment's file."""
    length: int
    """Bytes before compression."""
    size: int
    """Bytes after compression."""
    sha256: str
    """Of the compressed bytes."""
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class IndexedMember:
    """One member at its place in the install prefix."""

    path: str
    kind: Kind
    mode: int
    size: int = 0
    link: str = ""
    """A symlink's target; a hard link's target as a path in the prefix."""
    digest: str = ""
    """Of a file's content (a hard link has its file's); empty for others."""


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """All that is known of one archive once it was read."""

    archive: str
    """File name."""
    sha256: str
    members: tuple[IndexedMember, ...]
    """Directories included, which are in no segment: a tarball lists each once."""
    segments: tuple[Segment, ...]

    @property
    def length(self) -> int:
        """Bytes of tar data in all segments."""
        return sum(segment.length for segment in self.segments)


def write_index(path: Path, index: ArchiveIndex) -> None:
    """Write the index beside its name, then rename; its first line is the digest of the rest."""
    body = json.dumps(
        {
            "version": _VERSION,
            "archive": index.archive,
            "sha256": index.sha256,
            "members": [
                [m.path, m.kind.name, m.mode, m.size, m.link, m.digest] for m in index.members
            ],
            "segments": [
                [s.key, s.length, s.size, s.sha256, [[p.member, p.length] for p in s.spans]]
                for s in index.segments
            ],
        },
        separators=(",", ":"),
    ).encode()
    write_whole(path, hashlib.sha256(body).hexdigest().encode() + b"\n", body)


def read_index(path: Path) -> ArchiveIndex | None:
    """Read an index; None when there is none. IntegrityError when it is damaged."""
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise IntegrityError(f"{path}: a damaged index of segments; delete it")
    data = json.loads(body)
    if data["version"] != _VERSION:
        return None
    return ArchiveIndex(
        archive=data["archive"],
        sha256=data["sha256"],
        members=tuple(
            IndexedMember(p, Kind[kind], mode, size, link, content)
            for p, kind, mode, size, link, content in data["members"]
        ),
        segments=tuple(
            Segment(key, length, size, content, tuple(Span(*span) for span in spans))
            for key, length, size, content, spans in data["segments"]
        ),
    )
