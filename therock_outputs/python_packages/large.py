"""Files that are too large to hold: read, rewritten, digested and compressed in slices.

What a rewrite changes is known from a file's headers, of which some stand at its end. So an ELF
file is decoded twice: once to look at the headers, once to be packed, with no copy on disk.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import deflate

from therock_outputs.artifacts.elf import HEADER, SECTION, SEGMENT, ElfFile, SegmentType
from therock_outputs.artifacts.rpath import Rewrite
from therock_outputs.errors import IntegrityError
from therock_outputs.python_packages.content import ElfWork, FileKind, check_rewrite, look_at
from therock_outputs.python_packages.deflate_join import deflate_part
from therock_outputs.python_packages.wheel import Packed

__all__ = ["LARGE", "Source", "inspect_large", "pack_large"]

LARGE = 128 << 20
"""Bytes from which a file is worked on in slices."""
_PIECE = 1 << 20
_ENDS = 16 << 20
"""Bytes at both ends that are looked at for headers and strings."""

ReadInto = Callable[[memoryview], object]
"""Fills a buffer with what comes next."""
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """A file in an archive that can be read from its beginning as often as need be."""

    size: int
    label: str
    open: Callable[[], AbstractContextManager[ReadInto]]


class _Image(AbstractContextManager["_Image"]):
    """A file of which some ranges are known; the rest takes no memory and reads as zeros."""

    def __init__(self, source: Source, ranges: Sequence[Range]) -> None:
        self._map = mmap.mmap(-1, source.size)
        self._ranges = list(ranges)
        at = 0
        buffer = memoryview(bytearray(_PIECE))
        with source.open() as readinto:
            while at < source.size:
                piece = buffer[: min(_PIECE, source.size - at)]
                readinto(piece)
                if at == 0:
                    if bytes(piece[:4]) != b"\x7fELF":
                        break
                    self._ranges += _header_ranges(piece)
                self._keep(at, piece)
                at += len(piece)
        self.is_elf = at > 0
        self.view = memoryview(self._map)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the memory back."""
        self.view.release()
        self._map.close()

    def _keep(self, at: int, piece: memoryview) -> None:
        for start, end in self._ranges:
            first, last = max(start, at), min(end, at + len(piece))
            if first < last:
                self._map[first:last] = bytes(piece[first - at : last - at])

    def holds(self, start: int, end: int) -> bool:
        """Whether a range is known."""
        return any(first <= start and end <= last for first, last in self._ranges)


def _header_ranges(start: memoryview) -> list[Range]:
    """Where a file's headers say that others of them stand."""
    fields = HEADER.unpack_from(start)
    segments_at, sections_at, segment_count, section_count = (fields[n] for n in (5, 6, 10, 12))
    ranges = [
        (segments_at, segments_at + segment_count * SEGMENT.size),
        (sections_at, sections_at + section_count * SECTION.size),
    ]
    table = start[segments_at : ranges[0][1]]
    segments = SEGMENT.iter_unpack(table[: len(table) // SEGMENT.size * SEGMENT.size])
    dynamic = [(s[2], s[2] + s[5]) for s in segments if s[0] == SegmentType.DYNAMIC]
    return [*ranges, *dynamic]


def inspect_large(source: Source, work: ElfWork | None) -> tuple[FileKind, Rewrite | None]:
    """What a file is, and what its rewrite is; the first of two passes over an ELF file.

    IntegrityError for one that is cut short, or whose headers are scattered beyond reason.
    """
    if work is None:
        return FileKind(), None
    ranges: list[Range] = [(0, _ENDS), (max(0, source.size - _ENDS), source.size)]
    for _ in range(3):
        with _Image(source, ranges) as image:
            if not image.is_elf:
                return FileKind(), None
            elf = ElfFile.read(image.view, source.label)
            if elf is None:
                return FileKind(), None
            wanted = _tables_of(elf)
            if all(image.holds(*one) for one in wanted):
                kind, rewrite = look_at(elf, work)
                if rewrite is not None:
                    _check(image, elf, rewrite, source)
                return kind, rewrite
        ranges += wanted
    raise IntegrityError(f"{source.label}: its ELF headers cannot be followed; report this file")


def _tables_of(elf: ElfFile) -> list[Range]:
    """The ranges that have been read to make this of a file."""
    found = [
        (elf.segments_at, elf.segments_at + len(elf.segments) * SEGMENT.size),
        (elf.sections_at, elf.sections_at + len(elf.sections) * SECTION.size),
        (elf.strings_at, elf.strings_at + len(elf.strings)),
    ]
    found += [
        (s.offset, s.offset + s.file_size) for s in elf.segments if s.type == SegmentType.DYNAMIC
    ]
    return [(start, end) for start, end in found if start < end]


def _check(image: _Image, before: ElfFile, rewrite: Rewrite, source: Source) -> None:
    """Read the headers as they will be."""
    size = rewrite.size(source.size)
    with mmap.mmap(-1, size) as changed:
        for start, end in _tables_of(before):
            changed[start:end] = bytes(image.view[start:end])
        changed[: HEADER.size] = bytes(image.view[: HEADER.size])
        for offset, new in rewrite.parts():
            changed[offset : offset + len(new)] = new
        with memoryview(changed) as view:
            check_rewrite(view, before, source.label)


def pack_large(
    source: Source,
    readinto: ReadInto,
    rewrite: Rewrite | None,
    spool: Path,
    *,
    level: int,
    pool: ThreadPoolExecutor,
    slice_size: int,
    in_flight: int,
) -> Callable[[], Packed]:
    """Read, digest and compress a file; what then waits for the last slices.

    The result lies in ``spool``, for its taker to remove.

    ``slice_size``: bytes that are compressed at once. ``in_flight``: how many slices there may
    be in memory. ``level`` 0 digests only.
    """
    size = rewrite.size(source.size) if rewrite else source.size
    digest, checksum = hashlib.sha256(), 0
    parts: deque[Future[bytes]] = deque()
    with spool.open("wb") as file:
        for at, data in _slices((source.size, size), readinto, rewrite, slice_size):
            digest.update(data)
            if not level:
                continue
            checksum = deflate.crc32(data, checksum)
            if len(parts) >= in_flight:
                file.write(parts.popleft().result())
            is_last = at + len(data) == size
            parts.append(pool.submit(_deflate, data, level, is_last=is_last))
            del data

    def finish() -> Packed:
        with spool.open("ab") as file:
            while parts:
                file.write(parts.popleft().result())
        return Packed(size, checksum, digest.digest(), b"", source=spool)

    return finish


def _deflate(data: bytearray, level: int, *, is_last: bool) -> bytes:
    with memoryview(data) as view:
        return deflate_part(view, level, is_last=is_last)


def _slices(
    sizes: tuple[int, int], readinto: ReadInto, rewrite: Rewrite | None, slice_size: int
) -> Iterator[tuple[int, bytearray]]:
    """Offset and content of each slice of a file that grows from one size to the other."""
    before, after = sizes
    changes = list(rewrite.parts()) if rewrite else []
    for at in range(0, after, slice_size):
        data = bytearray(min(slice_size, after - at))
        with memoryview(data) as view:
            if at < before:
                readinto(view[: before - at])
            for offset, new in changes:
                first, last = max(offset, at), min(offset + len(new), at + len(data))
                if first < last:
                    view[first - at : last - at] = new[first - offset : last - offset]
        yield at, data
