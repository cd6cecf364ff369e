"""What each tarball is made of: no byte is compressed twice, no tree lies on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import deflate
import zstandard

from therock_outputs.artifacts.archives import Kind
from therock_outputs.artifacts.tarheader import END_OF_ARCHIVE, RECORD, tar_header
from therock_outputs.tarballs.encoding import SEGMENT_SIZE, TarballFormat
from therock_outputs.tarballs.index import Segment
from therock_outputs.tarballs.overlay import Overlay
from therock_outputs.tarballs.store import SegmentStore

__all__ = ["Assembly", "Part", "assemble"]

_IMPLIED_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Part:
    """One segment of a tarball, in the store."""

    key: str
    length: int
    """Bytes of tar data."""
    size: int
    """Compressed bytes."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """A tarball as the list of segments that it is made of."""

    path: Path
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of the finished file."""
        return sum(part.size for part in self.parts)


def assemble(
    path: Path, generic: Overlay, complete: Overlay, store: SegmentStore, mtime: int
) -> Assembly:
    """List the parts of one tarball.

    They are the directories, then the members, of what every GPU shares; the same of what is
    for its targets; the end.

    ``generic`` is the beginning of ``complete``. That order makes the first, large part of all
    tarballs of a run the same, whatever other tarballs are made with it.
    """
    shared = len(generic.archives)
    modes = complete.directories  # an archive of a target may list what is implied before
    parts = [
        *_directories(generic.directories.keys(), modes, store, mtime),
        *_members(complete, range(shared), store),
        *_directories(modes.keys() - generic.directories.keys(), modes, store, mtime),
        *_members(complete, range(shared, len(complete.archives)), store),
    ]
    length = sum(part.length for part in parts) + len(END_OF_ARCHIVE)
    parts.append(_extra(END_OF_ARCHIVE + bytes(-length % RECORD), store))
    return Assembly(path, tuple(parts))


def _directories(
    paths: AbstractSet[str],
    modes: Mapping[str, int | None],
    store: SegmentStore,
    mtime: int,
) -> Iterator[Part]:
    """Directories by path, each once, with parents first; in segments of the usual size."""
    block = bytearray()
    for path in sorted(paths):
        mode = modes[path]
        mode = _IMPLIED_MODE if mode is None else mode
        block += tar_header(path + "/", Kind.DIRECTORY, mode=mode, mtime=mtime)
        if len(block) >= SEGMENT_SIZE:
            yield _extra(bytes(block), store)
            block.clear()
    if block:
        yield _extra(bytes(block), store)


def _members(overlay: Overlay, positions: range, store: SegmentStore) -> Iterator[Part]:
    """The segments of these archives without the members that gave way."""
    for position in positions:
        dropped = overlay.dropped.get(position, set())
        for segment in overlay.archives[position].segments:
            gone = frozenset(span.member for span in segment.spans) & dropped
            if not gone:
                yield Part(segment.key, segment.length, segment.size)
            elif len(gone) < len(segment.spans):
                yield _without(segment, gone, store)


def _without(segment: Segment, gone: frozenset[int], store: SegmentStore) -> Part:
    """The segment less some members: the one case in which bytes are compressed again."""
    kept = sum(span.length for span in segment.spans if span.member not in gone)
    marks = "".join("-" if span.member in gone else "+" for span in segment.spans)
    key = hashlib.sha256(f"part of {segment.key} {marks}".encode()).hexdigest()
    stored = store.find(key)
    if stored is None:
        compressed = store.read(segment.key, segment.size)
        if store.encoding.format is TarballFormat.GZ:
            data = memoryview(deflate.gzip_decompress(compressed, segment.length))
        else:
            data = memoryview(zstandard.ZstdDecompressor().decompress(compressed))
        block, at = bytearray(), 0
        for span in segment.spans:
            if span.member not in gone:
                block += data[at : at + span.length]
            at += span.length
        stored = store.put(key, store.encoding.compressor()(memoryview(block)))
    return Part(key, kept, stored.size)


def _extra(data: bytes, store: SegmentStore) -> Part:
    """A segment that is made for a tarball: its directories, its end."""
    key = hashlib.sha256(b"extra\n" + data).hexdigest()
    stored = store.find(key) or store.put(key, store.encoding.compressor()(memoryview(data)))
    return Part(key, len(data), stored.size)
