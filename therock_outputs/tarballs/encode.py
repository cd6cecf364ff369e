"""Turn archives into segments.

Each archive is decompressed once and each distinct byte compressed once, on all cores, with
memory bounded by the number of workers.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from therock_outputs.artifacts.archives import ArchiveReader, Kind, Member, open_archive
from therock_outputs.artifacts.tarheader import tar_header
from therock_outputs.artifacts.tarstream import padding
from therock_outputs.errors import IntegrityError
from therock_outputs.storage.local_io import os_errors
from therock_outputs.tarballs.encoding import SEGMENT_SIZE
from therock_outputs.tarballs.index import (
    ArchiveIndex,
    IndexedMember,
    Segment,
    Span,
    read_index,
    write_index,
)
from therock_outputs.tarballs.store import SegmentStore, Stored

__all__ = ["EncodeUnit", "encode_archives"]

_HEADROOM = 1 << 16
_WORKERS_PER_READER = 4
"""A reader decodes about 1 GB/s where a worker deflates 0.1 to 0.2: four keep it busy."""


@dataclass(frozen=True, slots=True)
class EncodeUnit:
    """One archive to turn into segments."""

    path: Path
    sha256: str
    """Digest of the archive, verified by whoever made this unit."""
    mtime: int
    """Seconds since the epoch that every member gets."""
    rank: int = 0
    """Archives of a lower one are read first."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a buffer: the header blocks of a member, or a part of its content."""

    member: int
    start: int
    length: int
    content: bool
    padding: int = 0


@dataclass(frozen=True, slots=True)
class _Compressed:
    """What a worker made of one buffer."""

    segment: Segment
    digests: tuple[tuple[int, bytes], ...]
    """Of each piece of content, by member."""


def encode_archives(
    units: Sequence[EncodeUnit],
    store: SegmentStore,
    *,
    jobs: int,
    progress: Callable[[str, int], None] | None = None,
    done: Callable[[EncodeUnit, ArchiveIndex], None] | None = None,
) -> tuple[ArchiveIndex, ...]:
    """The index of each archive, in the order given, from the store where it has them.

    ``progress`` gets an archive's name and the bytes of it just done: its file's size in all.
    ``done`` is told of each archive whose segments are all stored, by one thread. The result does
    not depend on ``jobs``. Raises IntegrityError for an archive that breaks a rule.
    """
    encoder = _Encoder(store, jobs, progress or (lambda _label, _count: None))
    readers = max(1, -(-jobs // _WORKERS_PER_READER))
    with os_errors("an archive cannot be read; fetch the run again"):
        ordered = sorted(units, key=lambda unit: (unit.rank, -unit.path.stat().st_size))

    def index(unit: EncodeUnit) -> ArchiveIndex:
        found = reading[unit].result()()
        if done is not None:
            done(unit, found)
        return found

    with (
        ThreadPoolExecutor(jobs, "compress") as workers,
        ThreadPoolExecutor(1, "index") as indexers,
        ThreadPoolExecutor(readers, "decode") as decoders,
    ):
        encoder.workers = workers
        reading = {unit: decoders.submit(encoder.read, unit) for unit in ordered}
        # A reader goes on to the next archive while this one's last segments are compressed.
        futures = {unit: indexers.submit(index, unit) for unit in ordered}
        try:
            work: list[Future[Any]] = [*reading.values(), *futures.values()]
            wait(work, return_when=FIRST_EXCEPTION)
        finally:
            # Does nothing when all went well; else it ends the others within one segment.
            encoder.stop.set()
    errors = [error for unit in units if (error := futures[unit].exception()) is not None]
    for error in errors:
        if not isinstance(error, _StoppedError):
            raise error
    return tuple(futures[unit].result() for unit in units)


class _StoppedError(Exception):
    """This archive was given up because another one failed."""


class _Encoder:
    """Buffers, workers and the store, shared by all readers."""

    workers: ThreadPoolExecutor

    def __init__(
        self, store: SegmentStore, jobs: int, progress: Callable[[str, int], None]
    ) -> None:
        self.store = store
        self.progress = progress
        self.stop = threading.Event()
        self.free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        readers = max(1, -(-jobs // _WORKERS_PER_READER))
        for _ in range(2 * jobs + readers):
            self.free.put(memoryview(bytearray(SEGMENT_SIZE + _HEADROOM)))

    def read(self, unit: EncodeUnit) -> Callable[[], ArchiveIndex]:
        """Read an archive unless the store has it; what then waits for its index."""
        path = self.store.index_path(unit.sha256, unit.mtime)
        stored = self._stored_index(path)
        if stored is not None:
            self.progress(unit.path.name, unit.path.stat().st_size)
            index = replace(stored, archive=unit.path.name)  # its name may be another in this run
            return lambda: index
        with open_archive(unit.path) as reader:
            archive = _ArchiveEncoder(self, unit, reader)
            archive.read()

        def finish() -> ArchiveIndex:
            index = archive.index()
            write_index(path, index)
            return index

        return finish

    def compress(
        self, buffer: memoryview, pieces: Sequence[_Piece], label: str, consumed: int
    ) -> _Compressed:
        """Digest and compress what is in a buffer, then free the buffer.

        ``consumed`` are the archive's bytes that it took to fill it.
        """
        try:
            if self.stop.is_set():
                raise _StoppedError
            key, digests = _digests(buffer, pieces)
            length = pieces[-1].start + pieces[-1].length + pieces[-1].padding
            stored = self.store.find(key)
            if stored is None:
                stored = self.store.put(key, self.store.encoding.compressor()(buffer[:length]))
            self.progress(label, consumed)
            spans = _spans(pieces)
            return _Compressed(Segment(key, length, stored.size, stored.sha256, spans), digests)
        finally:
            self.free.put(buffer)

    def _stored_index(self, path: Path) -> ArchiveIndex | None:
        try:
            index = read_index(path)
        except IntegrityError:
            path.unlink(missing_ok=True)
            return None
        if index is None:
            return None
        expected = [Stored(segment.size, segment.sha256) for segment in index.segments]
        found = list(self.workers.map(self.store.find, (s.key for s in index.segments)))
        return index if found == expected else None


class _ArchiveEncoder:
    """One pass over one archive."""

    def __init__(self, encoder: _Encoder, unit: EncodeUnit, reader: ArchiveReader) -> None:
        self._encoder = encoder
        self._unit = unit
        self._reader = reader
        self._members: list[IndexedMember] = []
        self._files: dict[str, int] = {}
        self._hard_links: dict[int, int] = {}
        self._jobs: list[Future[_Compressed]] = []
        self._buffer: memoryview | None = None
        self._used = 0
        self._pieces: list[_Piece] = []
        self._reported = 0

    def read(self) -> None:
        """Read all members, cut them into segments, hand those to the workers."""
        try:
            for member in self._reader:
                self._add(member)
            self._flush()
        finally:
            if self._buffer is not None:
                self._encoder.free.put(self._buffer)

    def index(self) -> ArchiveIndex:
        """Wait for the workers."""
        done = [job.result() for job in self._jobs]
        # What follows the last segment: the end of the tar file and of the compressed stream.
        rest = self._unit.path.stat().st_size - self._reported
        self._encoder.progress(self._unit.path.name, rest)
        return ArchiveIndex(
            archive=self._unit.path.name,
            sha256=self._unit.sha256,
            members=self._with_digests(done),
            segments=tuple(compressed.segment for compressed in done),
        )

    def _add(self, member: Member) -> None:
        if not member.path:
            return  # the stage itself, which becomes the prefix
        number = len(self._members)
        link, mode = member.link, member.mode
        if member.kind is Kind.HARDLINK:
            file = self._files[member.name] = self._files[link]
            self._hard_links[number] = file
            # Some tools set the mode of a file again at each of its names.
            link, mode = self._members[file].path, self._members[file].mode
        elif member.kind is Kind.FILE:
            self._files[member.name] = number
        indexed = IndexedMember(member.path, member.kind, mode, member.size, link)
        self._members.append(indexed)
        if member.kind is not Kind.DIRECTORY:
            self._add_blocks(number, indexed)

    def _add_blocks(self, number: int, member: IndexedMember) -> None:
        """Append a member to the segment in the making.

        Large content is cut at places that depend on the member alone, so that equal content
        gives equal segments whatever stands before it.
        """
        header = tar_header(
            member.path,
            member.kind,
            mode=member.mode,
            mtime=self._unit.mtime,
            size=member.size,
            link=member.link,
        )
        total = len(header) + member.size + padding(member.size)
        in_pieces = total > SEGMENT_SIZE
        if self._used + (len(header) if in_pieces else total) > SEGMENT_SIZE:
            self._flush()
        self._space()[: len(header)] = header
        self._took(_Piece(number, self._used, len(header), content=False))
        if in_pieces:
            self._flush()
        left = member.size
        while left:
            length = min(left, SEGMENT_SIZE)
            self._reader.readinto(self._space()[:length])
            left -= length
            fill = 0 if left else padding(length)
            self._space()[length : length + fill] = bytes(fill)
            self._took(_Piece(number, self._used, length, content=True, padding=fill))
            if left:
                self._flush()

    def _space(self) -> memoryview:
        """The free part of the buffer in use."""
        if self._buffer is None:
            self._buffer = self._encoder.free.get()
        return self._buffer[self._used :]

    def _took(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self._used += piece.length + piece.padding

    def _flush(self) -> None:
        """Hand the buffer to a worker."""
        if self._encoder.stop.is_set():
            raise _StoppedError
        if self._buffer is None or not self._pieces:
            return
        self._jobs.append(
            self._encoder.workers.submit(
                self._encoder.compress,
                self._buffer,
                tuple(self._pieces),
                self._unit.path.name,
                self._reader.consumed - self._reported,
            )
        )
        self._buffer, self._used, self._pieces = None, 0, []
        self._reported = self._reader.consumed

    def _with_digests(self, done: Sequence[_Compressed]) -> tuple[IndexedMember, ...]:
        parts: dict[int, list[bytes]] = {}
        for compressed in done:
            for number, digest in compressed.digests:
                parts.setdefault(number, []).append(digest)
        digests = {
            number: _joined(parts.get(number, []))
            for number, member in enumerate(self._members)
            if member.kind is Kind.FILE
        }
        digests |= {number: digests[file] for number, file in self._hard_links.items()}
        return tuple(
            replace(member, digest=digests.get(number, ""))
            for number, member in enumerate(self._members)
        )


def _digests(
    buffer: memoryview, pieces: Sequence[_Piece]
) -> tuple[str, tuple[tuple[int, bytes], ...]]:
    """The segment's key and the digest of each piece of content, hashing each byte once."""
    key = hashlib.sha256()
    digests = []
    for piece in pieces:
        data = buffer[piece.start : piece.start + piece.length]
        if piece.content:
            digest = hashlib.sha256(data).digest()
            digests.append((piece.member, digest))
            key.update(b"content %d %d\n" % (piece.length, piece.padding) + digest)
        else:
            key.update(b"header %d\n" % piece.length)
            key.update(data)
    return key.hexdigest(), tuple(digests)


def _spans(pieces: Sequence[_Piece]) -> tuple[Span, ...]:
    """One span for each member in a segment: its pieces there follow one another."""
    lengths: dict[int, int] = {}
    for piece in pieces:
        lengths[piece.member] = lengths.get(piece.member, 0) + piece.length + piece.padding
    return tuple(Span(member, length) for member, length in lengths.items())


def _joined(digests: Sequence[bytes]) -> str:
    """A file's digest: SHA-256 of its only piece, else of the digests of its pieces."""
    if len(digests) == 1:
        return digests[0].hex()
    return hashlib.sha256(b"".join(digests)).hexdigest()
